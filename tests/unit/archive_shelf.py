"""A ledger with events enough to archive, and what is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.unit.ledger_home import Home, grant, step

from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger, View
from daybreak.ledger.archive.archiving import Archived, archive
from daybreak.ledger.archive.pruning import prune
from daybreak.ledger.archive.shelf import Entry, entries

EVENTS = 700
ARCHIVED = 512
LARGE = "large " * 12_000


class Said(NamedTuple):
    """What a ledger says: index, stream, seq, header and payload of each event."""

    index: int
    stream: str
    seq: int
    header: bytes
    payload: bytes


def said(ledger: Ledger) -> list[Said]:
    return [Said(one.index, one.stream, one.seq, one.header, one.payload) for one in ledger.read_all()]


def filled(root: Path, views: Sequence[View] = (), *, count: int = EVENTS) -> Home:
    """Steps on three streams and on one with an owner; one large payload; idempotency keys here and there."""
    home = Home(root, views)
    with home.open() as ledger:
        drafts = [Draft("run:r1", grant(), epoch=1, idem="lease")]
        drafts += [Draft("run:r1", step(n, {"n": n}), epoch=1, idem=f"own/{n}") for n in range(20)]
        drafts += [Draft("control:9", step(5, LARGE), idem="large")]
        for n in range(count - len(drafts) - 2):
            drafts.append(Draft(f"control:{n % 3}", step(n, {"n": n}), idem=f"k/{n}" if n % 5 == 0 else None))
        drafts.append(Draft("control:9", step(6, "after that")))
        ledger.append(drafts)
    return home


def archived(home: Home, *, most: int = ARCHIVED, folder: Path | None = None) -> list[Archived]:
    with home.open() as ledger:
        return list(archive(ledger, folder or home.root / "archive", end=ledger.head().size, most=most))


def pruned(root: Path, views: Sequence[View] = (), *, most: int = ARCHIVED) -> tuple[Home, list[Said]]:
    """With its first 512 events archived and pruned; and what it said before that."""
    home = filled(root, views)
    archived(home, most=most)
    with home.open() as ledger:
        before = said(ledger)
        done = list(prune(ledger, witnessed=ledger.head().size))
        assert sum(one.events for one in done) > 480
    return home, before


def files(home: Home) -> list[Path]:
    return sorted((home.root / "archive").glob("*.dbarchive"))


def blanks(home: Home) -> int:
    return int(home.rows("SELECT count(*) FROM event WHERE length(header) = 0")[0][0])


def table(home: Home) -> list[Entry]:
    import apsw

    connection = apsw.Connection(str(home.database))
    try:
        return entries(connection)
    finally:
        connection.close()


def nth(payload: Any) -> int:
    assert isinstance(payload, StepDone)
    return payload.nth
