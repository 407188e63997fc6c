"""What can be wrong with archived events."""

from __future__ import annotations

from daybreak.errors import LedgerError


class ArchiveMissing(LedgerError):
    """Events were pruned, and the file that has them is not where it was put."""

    code = "L211"


class ArchiveDamaged(LedgerError):
    """A file is no archive, is not whole, or is the archive of other events."""

    code = "L212"


class ArchiveTaken(LedgerError):
    """A file of that name is there already and is another one; nothing is ever overwritten."""

    code = "L213"


class ArchiveUnwritable(LedgerError):
    """The disk refused the file."""

    code = "L214"


class PruneRefused(LedgerError):
    """What is to be pruned is not witnessed, or not safely archived."""

    code = "L215"


class ShrinkRefused(LedgerError):
    """The database is open elsewhere, or there is no room to write it anew."""

    code = "L216"


class RangeUnknown(LedgerError):
    """No archive has those events."""

    code = "L217"
