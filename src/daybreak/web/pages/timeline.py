"""A run as bars over time: its states, and its attempts. Drawn here, so that it is there without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from daybreak import events
from daybreak.ledger import Record
from daybreak.web.pages.text import span

WIDTH, LABEL, ROW = 1000, 190, 24
ROWS_MAX = 16
TICKS = 5
_KINDS = {"done": "good", "passed": "good", "failed": "bad", "parked": "ask", "queued": "wait", "waiting": "wait",
          "paused": "wait", "cancelled": "wait"}  # fmt: skip


class Bar(NamedTuple):
    x: float
    width: float
    kind: str
    title: str


class Track(NamedTuple):
    y: int
    name: str
    bars: list[Bar]


class Tick(NamedTuple):
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    tracks: list[Track]
    ticks: list[Tick]
    height: int
    words: str
    """The same for those who do not see it."""
    left_out: int


class _Piece(NamedTuple):
    name: str
    begin: datetime
    end: datetime
    kind: str
    title: str


def draw(records: Sequence[Record], now: datetime) -> Timeline | None:
    """None where nothing has happened yet."""
    own = [record for record in records if record.stream.startswith("run:")]
    if not own:
        return None
    over = any(isinstance(one.event, events.RunMoved) and one.event.new in events.FINAL for one in own[-20:])
    begin, end = _at(own[0]), _at(own[-1]) if over else now
    if (end - begin).total_seconds() < 0.001:
        return None
    pieces = [*_states(own, end), *_attempts(own, end)]
    names = list(dict.fromkeys(piece.name for piece in pieces))
    scale = (WIDTH - LABEL - 10) / (end - begin).total_seconds()

    def bar(piece: _Piece) -> Bar:
        x = LABEL + (piece.begin - begin).total_seconds() * scale
        return Bar(
            round(x, 1), round(max(2.0, (piece.end - piece.begin).total_seconds() * scale), 1), piece.kind, piece.title
        )

    tracks = [
        Track(20 + row * ROW, name, [bar(piece) for piece in pieces if piece.name == name][:200])
        for row, name in enumerate(names[:ROWS_MAX])
    ]
    whole = (end - begin).total_seconds()
    ticks = [Tick(round(LABEL + whole * n / TICKS * scale, 1), span(whole * n / TICKS)) for n in range(TICKS + 1)]
    words = f"{span(whole)} in all. " + ". ".join(piece.title for piece in pieces[:30])
    return Timeline(tracks, ticks, 26 + len(tracks) * ROW, words, max(0, len(names) - ROWS_MAX))


def _states(own: Sequence[Record], end: datetime) -> list[_Piece]:
    moves = [(one, one.event) for one in own if isinstance(one.event, events.RunMoved)]
    found = []
    for place, (record, moved) in enumerate(moves):
        until = _at(moves[place + 1][0]) if place + 1 < len(moves) else end
        title = f"{moved.new} for {span((until - _at(record)).total_seconds())}"
        found.append(_Piece("state", _at(record), until, _KINDS.get(moved.new, ""), title))
    return found


def _attempts(own: Sequence[Record], end: datetime) -> list[_Piece]:
    began: dict[int, tuple[datetime, str]] = {}
    found: dict[int, _Piece] = {}
    for record in own:
        match record.event:
            case events.AttemptBegan() as one:
                began[one.attempt] = (_at(record), one.worker)
                found[one.attempt] = _piece(one.attempt, one.worker, _at(record), end, "", "under way")
            case events.AttemptClaimed() as one:
                begin, worker = began.get(one.attempt, (_at(record), one.worker))
                found[one.attempt] = _piece(one.attempt, worker, begin, _at(record), "", f"claims {one.outcome}")
            case events.GateDecided() as one if one.attempt in found:
                old = found[one.attempt]
                kind = _KINDS.get(one.verdict, "")
                found[one.attempt] = _piece(
                    one.attempt, began[one.attempt][1], old.begin, _at(record), kind, one.verdict
                )
            case _:
                pass
    return list(found.values())


def _piece(number: int, worker: str, begin: datetime, end: datetime, kind: str, outcome: str) -> _Piece:
    name = f"attempt {number}: {worker[:18]}"
    return _Piece(name, begin, end, kind, f"{name}: {outcome} after {span((end - begin).total_seconds())}")


def _at(record: Record) -> datetime:
    return datetime.fromisoformat(record.ts)
