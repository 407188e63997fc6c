"""What can go wrong with a file transaction.

    FilesError            H150  this machine refused: permissions, a failing disk
    ├── PathRefused       H152  no path below the root: absolute, `..`, NUL, too long, reserved
    ├── LinkRefused       H153  a symbolic link, or a special file, lies on the way or at its end
    ├── NotThere          H154  there is no such file or folder
    ├── AlreadyThere      H155  something else has that name
    ├── ChangedMeanwhile  H156  somebody else changed what the transaction was about to change
    ├── RootBusy          H157  another transaction is at work in this root
    ├── RootUnusable      H158  the root is no folder of ours
    ├── DiskFull          H159  no space, or the quota is used up
    ├── ContentRefused    H160  neither bytes, text, binary file nor iterable of bytes
    ├── TransactionOver   H161  used outside its `with` block
    ├── IntentDamaged     H162  the record of a crashed transaction cannot be read
    ├── NotRecovered      H163  a transaction could be finished neither way; its record is kept
    ├── TooTangled        H164  a folder renamed twice, or renamed across another renamed folder
    └── Interrupted       H165  a signal came during the commit, and its own handler raised nothing
    NotWritten            H111  `write_file`: one file could not be written

After each of them but NotRecovered and IntentDamaged the files are as they were before the transaction.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from daybreak.errors import HostError


class FilesError(HostError):
    """The system refused something that a file transaction needs."""

    code = "H150"


class PathRefused(FilesError):
    """This cannot name a file below the root."""

    code = "H152"


class LinkRefused(FilesError):
    """A symbolic link or a special file is where an ordinary file or folder is needed."""

    code = "H153"


class NotThere(FilesError):
    """There is no such file or folder."""

    code = "H154"


class AlreadyThere(FilesError):
    """Something else has that name."""

    code = "H155"


class ChangedMeanwhile(FilesError):
    """Somebody outside the transaction changed what it was about to change; theirs was kept."""

    code = "H156"


class RootBusy(FilesError):
    """Another transaction is at work in this root."""

    code = "H157"


class RootUnusable(FilesError):
    """The root is not a folder in which transactions can be made."""

    code = "H158"


class DiskFull(FilesError):
    """There is no space left, or the quota is used up."""

    code = "H159"


class ContentRefused(FilesError):
    """What was to be written is neither bytes, text, a binary file nor an iterable of bytes."""

    code = "H160"


class TransactionOver(FilesError):
    """A transaction was used outside its `with` block."""

    code = "H161"


class IntentDamaged(FilesError):
    """The record of a crashed transaction is not one that this version wrote."""

    code = "H162"


class NotRecovered(FilesError):
    """A transaction could be finished neither forward nor back. Its record is kept; nothing is lost."""

    code = "H163"


class TooTangled(FilesError):
    """Renames of whole folders that depend on each other more than one transaction can undo."""

    code = "H164"


class Interrupted(FilesError):
    """A signal came during the commit: it was rolled back."""

    code = "H165"


class NotWritten(HostError):
    """A file could not be written; what was there before is still there."""

    code = "H111"


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AS_BEFORE = "nothing was changed; "


def refusal(error: OSError, what: str) -> FilesError:
    """The typed error for what the system said. `what`: a clause such as `a/b.txt could not be written`."""
    why = f"{what}: {error.strerror or error}"
    if error.errno in FULL:
        return DiskFull(why, hint=_AS_BEFORE + "make room, then try again")
    if error.errno == errno.ENAMETOOLONG:
        return PathRefused(why, hint="choose a shorter name")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FilesError(why, hint=_AS_BEFORE + "check the permissions of the file and of its folder")
    if error.errno == errno.EXDEV:
        return FilesError(why, hint="it lies on another file system than the root; use a root on that one")
    if error.errno == errno.EIO:
        return FilesError(why, hint=_AS_BEFORE + "the disk may be failing: look at the system's log")
    return FilesError(why, hint=_AS_BEFORE + "mend the cause, then try again")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Inside, an OSError becomes a FilesError that begins with `what`."""
    try:
        yield
    except OSError as error:
        raise refusal(error, what) from error
