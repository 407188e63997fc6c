"""Is a head that is known outside one of this ledger's? What notices a cut, an old copy and a rewriting."""

from __future__ import annotations

from pathlib import Path

from daybreak.errors import LedgerBehind, LedgerForked, LedgerTampered
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.rows import Rows


def compare(path: Path, rows: Rows, size: int, outside: Checkpoint) -> None:
    """`size`: events that the ledger at `path` holds. Raises LedgerBehind, LedgerForked, LedgerTampered."""
    if outside.size > size:
        raise LedgerBehind(
            f"{path} holds {size} events, but {outside.size} were known outside: "
            "it was cut short, or an old copy was put back",
            hint="put the newest copy of the ledger back. Nothing was changed.",
        )
    try:
        root = rows.tiles(size).root(outside.size)
    except LookupError as error:
        raise LedgerTampered(
            f"{path}: {error}",
            hint="stop; run `daybreak ledger verify`, find out what changed the file, and restore a copy.",
        ) from error
    if root != outside.root:
        raise LedgerForked(
            f"the first {outside.size} events of {path} are not those that were known outside",
            hint="somebody rewrote the ledger or two copies were written: put the witnessed one back.",
        )
