"""The ledger a page at a time, newest first. Every question goes through an index, whatever the ledger's size: by the
event's place, or by its place in its stream. A type stands in no index: for one, so many events are looked through and
no more, and the page says which, and where to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from daybreak import events
from daybreak.ledger.record import decode_header
from daybreak.web.pages import withheld
from daybreak.web.pages.withheld import NOTHING, Sees

LINES = 50
STRETCH = 10_000
"""Events that are looked through for a type at once: some ten milliseconds."""
PREVIEW_BYTES = 2_048
PREVIEW_CHARACTERS = 140
STREAM_MAX = 200
STREAMS_SHOWN = 12
KNOWN_STREAMS = (
    events.QUEUE,
    events.NIGHTS,
    events.SCHEDULES,
    events.POLICY,
    events.MEMORY,
    events.KEYS,
)


class Asked(Protocol):
    """Whatever answers questions about the ledger's tables."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events. Without a stream `before` and `after` are indexes, else places in the stream; one of them at
    most."""

    stream: str = ""
    type: str = ""
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in the list. Texts are safe to show."""

    index: int
    stream: str
    seq: int
    type: str
    """Empty where it was pruned: then only its place is here."""
    at: str
    actor: str
    run: str
    """Of its stream, or what it is correlated with; empty where that is no run."""
    says: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    lines: tuple[EventLine, ...]
    top: int
    """Index, or place in the stream, of the newest event; -1 where there is none."""
    older: int | None
    """`before` of the next page; None at the end."""
    newer: int | None
    """`after` of the page before; None where this one has the newest."""
    looked: tuple[int, int] | None
    """First and last of the events that were looked through for a type; None where there was no need."""


def number(text: str) -> int | None:
    """A place; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def page(ledger: Asked, wanted: Wanted, sees: Sees = NOTHING, lines: int = LINES) -> Listing:
    key = "seq" if wanted.stream else "leaf"
    top = _top(ledger, wanted.stream)
    if top < 0:
        return Listing((), -1, None, None, None)
    low, high, up = _bounds(wanted, top)
    if low > high:
        return Listing((), top, None, None, None)
    where, params = [f"{key} >= ?", f"{key} <= ?"], [low, high]
    texts: list[Any] = []
    if wanted.stream:
        where.insert(0, "stream = ?")
        texts = [wanted.stream]
    values: list[Any] = [*texts, *params]
    if wanted.type:
        where.append("instr(header, ?)")
        values.append(b'"type":' + msgspec.json.encode(wanted.type))  # no text inside a header reads so
    columns = f"leaf, stream, seq, header, substr(payload, 1, {PREVIEW_BYTES}), length(payload)"
    sql = f"SELECT {columns} FROM event WHERE {' AND '.join(where)} ORDER BY {key} {'ASC' if up else 'DESC'} LIMIT ?"
    rows = ledger.query(sql, (*values, lines + 1))
    more = len(rows) > lines
    rows = rows[:lines]
    if up:
        rows.reverse()
    found = tuple(_line(row, sees) for row in rows)
    return _listing(wanted, found, top, (low, high), up=up, more=more)


def _bounds(wanted: Wanted, top: int) -> tuple[int, int, bool]:
    """First and last place to look at, and whether to go upwards."""
    if wanted.after is not None:
        low = wanted.after + 1
        return low, min(top, low + STRETCH - 1) if wanted.type else top, True
    high = top if wanted.before is None else min(top, wanted.before - 1)
    return (max(0, high - STRETCH + 1) if wanted.type else 0), high, False


def _listing(
    wanted: Wanted, lines: tuple[EventLine, ...], top: int, looked: tuple[int, int], *, up: bool, more: bool
) -> Listing:
    places = [one.seq if wanted.stream else one.index for one in lines]
    low, high = looked
    if more and not up:
        low = places[-1]
    if more and up:
        high = places[0]
    if not wanted.type and places:
        low, high = places[-1], places[0]
    return Listing(
        lines,
        top,
        older=low if low > 0 else None,
        newer=high if high < top else None,
        looked=(low, high) if wanted.type else None,
    )


def _top(ledger: Asked, stream: str) -> int:
    sql = "SELECT max(seq) FROM event WHERE stream = ?" if stream else "SELECT max(leaf) FROM event"
    found = ledger.query(sql, (stream,) if stream else ())[0][0]
    return -1 if found is None else int(found)


def _line(row: tuple[Any, ...], sees: Sees) -> EventLine:
    leaf, stream, seq, raw, begin, length = row
    if not raw:
        return EventLine(leaf, stream, seq, "", "", "", run_of(stream), "", ("pruned",))
    try:
        header = decode_header(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return EventLine(leaf, stream, seq, "", "", "", "", "its header cannot be read", ("damaged",))
    marks: list[str] = []
    says = ""
    if header.commit is not None:
        marks.append("sealed")
    elif length is None:
        marks.append("large")
    elif sees.words:
        says = _preview(header.type, header.stream, bytes(begin), length, sees)
    if header.type not in events.BY_TYPE:
        marks.append("unknown type")
    return EventLine(
        index=leaf,
        stream=stream,
        seq=seq,
        type=withheld.text(header.type, 60),
        at=header.ts,
        actor=withheld.text(header.actor, 60),
        run=run_of(stream) or (header.trace if header.trace.startswith("run-") else ""),
        says=says,
        marks=tuple(marks),
    )


def run_of(stream: str) -> str:
    """The run whose stream it is; empty for others."""
    head, _, run = stream.partition(":")
    return run if head in ("run", "control") else ""


def _preview(kind: str, stream: str, begin: bytes, length: int, sees: Sees) -> str:
    if length > len(begin):
        if withheld.holds_something(kind) and not sees.examples:
            return ""
        return withheld.text(begin.decode("utf-8", "replace"), PREVIEW_CHARACTERS)
    try:
        told = msgspec.json.decode(begin)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "it is no JSON"
    told = withheld.fields(kind, told, sees)
    if not isinstance(told, Mapping):
        return "" if told == withheld.NOT_SHOWN else withheld.text(told, PREVIEW_CHARACTERS)
    own = run_of(stream)
    parts = [f"{name} {_value(value)}" for name, value in told.items() if _says_something(name, value, own)]
    return withheld.text(" · ".join(parts), PREVIEW_CHARACTERS)


def _says_something(name: str, value: Any, own: str) -> bool:
    return (value is False or bool(value)) and value != withheld.NOT_SHOWN and not (name == "run" and value == own)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# -- which stream somebody means


@dataclass(frozen=True, slots=True)
class Streams:
    """What was typed, as streams."""

    stream: str = ""
    """The one that is meant; empty where that is not clear."""
    near: tuple[str, ...] = ()
    """Others that begin so."""


def streams(ledger: Asked, typed: str) -> Streams:
    """A stream's name, or a run's, or the beginning of either; found by the index alone."""
    typed = typed.strip()[:STREAM_MAX]
    if not typed:
        return Streams()
    candidates = [typed] if ":" in typed else [typed, events.run_stream(typed)]
    for name in candidates:
        if _exists(ledger, name):
            return Streams(name)
    near = [one for name in candidates for one in _beginning(ledger, name)]
    return Streams(near[0]) if len(near) == 1 else Streams(near=tuple(near[:STREAMS_SHOWN]))


def _exists(ledger: Asked, stream: str) -> bool:
    return bool(ledger.query("SELECT 1 FROM event WHERE stream = ? AND seq = 0", (stream,)))


def _beginning(ledger: Asked, begin: str) -> list[str]:
    """Streams that begin so, each found by one step in the index."""
    found: list[str] = []
    sql, at = "SELECT min(stream) FROM event WHERE stream >= ?", begin
    while len(found) < STREAMS_SHOWN:
        name = ledger.query(sql, (at,))[0][0]
        if name is None or not str(name).startswith(begin):
            break
        found.append(str(name))
        sql, at = "SELECT min(stream) FROM event WHERE stream > ?", str(name)
    return found
