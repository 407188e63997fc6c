"""The signed head of the ledger, and how far others know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daybreak.errors import DaybreakError
from daybreak.ledger import verified
from daybreak.ledger.note import NoteError

if TYPE_CHECKING:
    from daybreak.home import Home
    from daybreak.report.marks import Marks


@dataclass(frozen=True, slots=True)
class Verified:
    """How far this home has verified its ledger. Moments are texts as in the ledger; empty for never."""

    size: int
    at: str
    whole_at: str
    whole_size: int
    wrong: str = ""
    """Why that cannot be told."""


@dataclass(frozen=True, slots=True)
class Head:
    size: int
    root: str
    """In hex."""
    note: str
    """The signed checkpoint as it stands in the file."""
    key: str
    """The public key that opens it."""
    postgres: str
    """Where the ledger is, where this is a mirror; empty otherwise."""
    verified: Verified


def look(home: Home) -> Head:
    """The newest head in the file, its signature checked. Raises LedgerTampered."""
    head = home.ledger.newest()
    return Head(
        size=head.size,
        root=head.root.hex(),
        note=head.text,
        key=home.ledger.verifier.text,
        postgres=home.ledger.postgres or "",
        verified=_verified(home),
    )


def _verified(home: Home) -> Verified:
    try:
        known = verified.read(home.places.witness)
    except NoteError as error:
        return Verified(0, "", "", 0, str(error))
    if known is None:
        return Verified(0, "", "", 0)
    return Verified(known.size, known.at, known.whole_at, known.whole_size)


def marks(home: Home) -> tuple[Marks | None, str]:
    """Witnessed and replicated as it is known here; or why that cannot be told."""
    from daybreak.home import marks as looking

    try:
        return looking.look(home), ""
    except DaybreakError as error:
        return None, f"{error.code} {error.message}; {error.hint}"
