"""One event of the ledger, read and checked: its header, what it says, its place in its chain and in the signed head.

What is stored is compared with what was hashed as it is read, and the event's path to the root of the newest signed
head is computed here anew; so the page tells what this server found at that moment, and from which bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from daybreak.errors import LedgerError
from daybreak.ledger import Ledger, Record, database
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.record import Header, decode_header
from daybreak.ledger.rows import Rows
from daybreak.ledger.tree import verify_inclusion
from daybreak.web.pages import withheld
from daybreak.web.pages.browsing import run_of
from daybreak.web.pages.withheld import Sees

PARSED_BYTES = 256 * 1024
"""A longer payload is not shown at all, because to look for secrets in it takes longer than a page may: the command
line has it."""
SHOWN_CHARACTERS = 60_000
TEXT_CHARACTERS = 8_000
"""Of one text inside a payload."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an event says, as far as its reader may see it."""

    text: str
    """JSON, indented; empty where it is not shown."""
    why: str
    """Why it is not, or not all; empty where it is."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way from the event's leaf to a signed root, as computed just now."""

    hashes: tuple[str, ...]
    size: int
    root: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a page shows it. Texts are safe to show."""

    index: int
    stream: str
    seq: int
    id: str
    type: str
    at: str
    actor: str
    run: str
    trace: str
    epoch: int | None
    gen: int
    idem: str
    key: str
    """Name of the signing key under which it was written."""
    prev: str
    """Leaf hash of the event before it in its stream; empty for the first."""
    leaf: str
    payload: str
    """SHA-256 of the payload."""
    size: int
    """Bytes of the payload."""
    header: str
    """The canonical bytes that were hashed."""
    sealed: str
    """`about somebody`, `forgotten`, or empty."""
    said: Said
    codes: tuple[str, ...]
    """Codes of errors that it speaks of."""
    before: int | None
    """Index of its neighbour in the stream."""
    behind: int | None
    path: Path | None
    """None where it cannot be computed; `wrong` says why."""
    wrong: str


class Missing(Exception):
    """There is no such event."""


class _Asked(Protocol):
    def query(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]: ...


def find(ledger: _Asked, name: str) -> int | None:
    """The index that a person means by an index or STREAM#SEQ; None where there is no such event. Ids stand in no
    index: `daybreak ledger prove ID` looks through everything."""
    stream, mark, place = name.strip().rpartition("#")
    if not (place.isascii() and place.isdigit() and len(place) <= 15):
        return None
    if mark:
        found = ledger.query("SELECT leaf FROM event WHERE stream = ? AND seq = ?", (stream, int(place)))
    else:
        found = ledger.query("SELECT leaf FROM event WHERE leaf = ?", (int(place),))
    return int(found[0][0]) if found else None


def read(ledger: Ledger, index: int, sees: Sees) -> Event:
    """Raises Missing; LedgerTampered and others of its family where what is stored is not what was hashed."""
    found = ledger.query("SELECT header, payload FROM event WHERE leaf = ?", (index,))
    if not found:
        raise Missing
    with rows(ledger) as reader:
        record, prev = reader.record(index, *found[0])
    return _event(ledger, record, decode_header(record.header), prev or "", sees)


@contextmanager
def rows(ledger: Ledger) -> Iterator[Rows]:
    """On a connection of its own, so that a large blob or an archive keeps nobody waiting; without the keys of
    subjects, so that what is sealed stays so."""
    connection = database.connect_reader(ledger.directory / database.FILE)
    try:
        yield ledger.rows_of(connection)
    finally:
        connection.close()


def _event(ledger: Ledger, record: Record, header: Header, prev: str, sees: Sees) -> Event:
    path, wrong = _path(ledger, record)
    told = _decoded(record)
    return Event(
        index=record.index,
        stream=record.stream,
        seq=record.seq,
        id=withheld.text(record.id, 100),
        type=withheld.text(record.type, 100),
        at=record.ts,
        actor=withheld.text(record.actor, 200),
        run=run_of(record.stream) or (record.trace if record.trace.startswith("run-") else ""),
        trace=withheld.text(record.trace, 200),
        epoch=record.epoch,
        gen=record.gen,
        idem=withheld.text(record.idem or "", 300),
        key=header.key,
        prev=prev,
        leaf=record.hash.hex(),
        payload=header.payload,
        size=len(record.payload),
        header=withheld.text(record.header.decode("utf-8", "replace")),
        sealed=_sealed(ledger, record),
        said=_said(record, told, sees),
        codes=_codes(told) if sees.words else (),
        before=_neighbour(ledger, record, -1),
        behind=_neighbour(ledger, record, 1),
        path=path,
        wrong=wrong,
    )


def _sealed(ledger: Ledger, record: Record) -> str:
    if record.secret is None:
        return ""
    return "forgotten" if record.secret.key in ledger.forgotten_subjects() else "about somebody"


def _neighbour(ledger: _Asked, record: Record, step: int) -> int | None:
    found = ledger.query("SELECT leaf FROM event WHERE stream = ? AND seq = ?", (record.stream, record.seq + step))
    return int(found[0][0]) if found else None


def _path(ledger: Ledger, record: Record) -> tuple[Path | None, str]:
    try:
        head, hashes = ledger.inclusion_proof(record.index)
    except (LedgerError, LookupError, ValueError) as error:
        return None, withheld.text(getattr(error, "message", error), 500)
    holds = _holds(record, head, hashes)
    return Path(tuple(one.hex() for one in hashes), head.size, head.root.hex(), holds), ""


def _holds(record: Record, head: Checkpoint, hashes: list[bytes]) -> bool:
    try:
        return bool(verify_inclusion(record.index, head.size, record.hash, hashes, head.root))
    except ValueError:
        return False


# -- what it says


def _decoded(record: Record) -> Any:
    """The payload as JSON values; None where it is too long to be looked at, or no JSON."""
    if len(record.payload) > PARSED_BYTES:
        return None
    try:
        return msgspec.json.decode(record.words)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _said(record: Record, told: Any, sees: Sees) -> Said:
    if not sees.words:
        return Said("", "Payloads are shown to whoever may see evidence (scope “evidence”).")
    if len(record.payload) > PARSED_BYTES:
        return Said("", f"{len(record.payload):,} bytes are too long for a page.")
    if told is None:
        return Said("", "What is stored is no JSON.")
    told = withheld.fields(record.type, told, sees)
    cut = _Cut()
    text = withheld.text(json.dumps(cut.short(told), indent=2, ensure_ascii=False))
    if len(text) > SHOWN_CHARACTERS:
        return Said(text[:SHOWN_CHARACTERS], f"The first {SHOWN_CHARACTERS:,} of {len(text):,} characters.")
    return Said(text, f"Texts longer than {TEXT_CHARACTERS:,} characters are cut." if cut.done else "")


class _Cut:
    """Cuts long texts inside a value, each redacted before."""

    def __init__(self) -> None:
        self.done = False

    def short(self, value: Any) -> Any:
        if isinstance(value, str):
            safe = withheld.text(value) if len(value) > TEXT_CHARACTERS else value
            if len(safe) <= TEXT_CHARACTERS:
                return safe
            self.done = True
            return f"{safe[:TEXT_CHARACTERS]}… and {len(safe) - TEXT_CHARACTERS:,} more characters"
        if isinstance(value, dict):
            return {name: self.short(one) for name, one in value.items()}
        return [self.short(one) for one in value] if isinstance(value, list) else value


def _codes(told: Any) -> tuple[str, ...]:
    """Of an event's own field for it: everything else may be anybody's words."""
    code = told.get("code") if isinstance(told, dict) else None
    return (code,) if isinstance(code, str) and len(code) == 4 and code.isalnum() and code.isascii() else ()
