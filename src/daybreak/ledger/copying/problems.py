"""Why a ledger cannot be copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from daybreak.errors import LedgerError, LedgerStopped


class CopyTaken(LedgerError):
    """There is something where the copy is to be made."""

    code = "L196"


class CopyUnsound(LedgerError):
    """What is to be copied is not a whole ledger as its key signed it, or it changed while it was copied."""

    code = "L197"


class CopyArchived(LedgerError):
    """Parts of the ledger lie in an archive."""

    code = "L198"


@contextmanager
def disk(what: str) -> Iterator[None]:
    """What the disk refuses (no room, no rights) as LedgerStopped. Nothing was made then."""
    try:
        yield
    except (OSError, apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise LedgerStopped(f"{what}: {error}", hint="see to its room and its rights; nothing was made.") from error
