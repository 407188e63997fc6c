"""Snapshots of folders with SQLite databases in them: consistent, compressed, checksummed, rotated; restored whole or
not at all. Knows nothing of what the folders mean.

    store = Store(Path("/backup/notes"))
    made = store.create({"notes": Path("notes")}, moment=datetime.now(UTC))
    store.verify(made.name)                        # reads every byte back
    store.unpack(made.name, Path("/tmp/notes-as-they-were"))
    store.prune(Rule(daily=7), now=datetime.now(UTC))

POSIX is what the tests run on. On Windows a folder's entries cannot be synced (the system does that by itself), the
lock is `msvcrt.locking`, and names that Windows cannot hold are refused at unpacking.
"""

from daybreak.host.snapshots.manifest import Archive, Entry, Manifest
from daybreak.host.snapshots.problems import (
    BadArgument,
    CompressorMissing,
    SnapshotDamaged,
    SnapshotError,
    SnapshotMissing,
    SourceUnusable,
    StoreBusy,
    StoreFull,
    StoreUnusable,
    TargetOccupied,
)
from daybreak.host.snapshots.rotation import Rule, keep
from daybreak.host.snapshots.store import Damaged, Progress, Pruned, Snapshot, Staged, Store

__all__ = [
    "Archive",
    "BadArgument",
    "CompressorMissing",
    "Damaged",
    "Entry",
    "Manifest",
    "Progress",
    "Pruned",
    "Rule",
    "Snapshot",
    "SnapshotDamaged",
    "SnapshotError",
    "SnapshotMissing",
    "SourceUnusable",
    "Staged",
    "Store",
    "StoreBusy",
    "StoreFull",
    "StoreUnusable",
    "TargetOccupied",
    "keep",
]
