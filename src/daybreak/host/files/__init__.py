"""Files that change together or not at all, on disk before we say so. Serves any Python program alone.

`transaction` for one file or many, `recover` for what a crashed one has left, `write_file` for the single small file,
`put_folder` for a whole folder. What is promised, and what is not, stands in `transaction`.
"""

from daybreak.host.files.content import Content
from daybreak.host.files.folder import (
    NoRoom,
    NotDelivered,
    TargetUnusable,
    check_target,
    put_folder,
    remove_leftovers,
)
from daybreak.host.files.problems import (
    AlreadyThere,
    ChangedMeanwhile,
    ContentRefused,
    DiskFull,
    FilesError,
    IntentDamaged,
    Interrupted,
    LinkRefused,
    NotRecovered,
    NotThere,
    NotWritten,
    PathRefused,
    RootBusy,
    RootUnusable,
    TooTangled,
    TransactionOver,
)
from daybreak.host.files.recovery import Recovery
from daybreak.host.files.single import sync_folder, write_file
from daybreak.host.files.transaction import Transaction, recover, transaction

__all__ = [
    "AlreadyThere",
    "ChangedMeanwhile",
    "Content",
    "ContentRefused",
    "DiskFull",
    "FilesError",
    "IntentDamaged",
    "Interrupted",
    "LinkRefused",
    "NoRoom",
    "NotDelivered",
    "NotRecovered",
    "NotThere",
    "NotWritten",
    "PathRefused",
    "Recovery",
    "RootBusy",
    "RootUnusable",
    "TargetUnusable",
    "TooTangled",
    "Transaction",
    "TransactionOver",
    "check_target",
    "put_folder",
    "recover",
    "remove_leftovers",
    "sync_folder",
    "transaction",
    "write_file",
]
