"""The view `nights`: one row for each night, and what can be asked about nights that were. Derived, never the truth.

A night without an end whose supervisor holds no lock any more has died. A night that begins while the time of one that
died is not over goes on with its account, so that a supervisor that is killed ten times spends one budget, not ten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from daybreak.clock import stamp
from daybreak.engine.log import Log
from daybreak.events import NIGHTS as STREAM
from daybreak.events import NightBegan, NightEnded, NightNoted
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

__all__ = [
    "NIGHTS",
    "STREAM",
    "NightRow",
    "above_of",
    "account_of",
    "gone_before",
    "nights",
    "notes",
    "open_nights",
    "starts",
]

SAME_NIGHT = timedelta(hours=24)
"""A night without a planned end is gone on with for so long after it began."""

_SCHEMA = """
CREATE TABLE view_nights (
  night       TEXT PRIMARY KEY,
  place       INTEGER NOT NULL UNIQUE,
  seq         INTEGER NOT NULL,
  host        TEXT NOT NULL,
  pid         INTEGER NOT NULL,
  workers     INTEGER NOT NULL,
  until       TEXT NOT NULL,
  budget      TEXT NOT NULL,
  once        INTEGER NOT NULL,
  began       TEXT NOT NULL,
  went_before TEXT NOT NULL,
  seat        TEXT NOT NULL,
  joined      TEXT NOT NULL,
  ended       TEXT NOT NULL,
  why         TEXT NOT NULL,
  counts      TEXT NOT NULL,
  used        TEXT NOT NULL,
  text        TEXT NOT NULL,
  noted       INTEGER NOT NULL,
  level       INTEGER NOT NULL
) STRICT;
CREATE INDEX view_nights_open ON view_nights (place) WHERE ended = '';
"""
_BEGAN = "INSERT INTO view_nights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', '{}', '{}', '', 0, 0)"
_ENDED = """UPDATE view_nights SET ended = ?, why = ?, counts = ?, used = ?, text = ?
  WHERE night = ? AND ended = ''"""
_NOTED = "UPDATE view_nights SET noted = noted + 1, level = max(level, ?) WHERE night = ?"
_COLUMNS = """night, host, pid, workers, until, budget, once, began, went_before, seat, joined,
  ended, why, counts, used, text, noted, level, seq"""


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case NightBegan() as began:
            where = (began.night, record.index, record.seq, began.host, began.pid, began.workers)
            plan = (began.until, _json(began.budget), int(began.once), record.ts, began.went_before)
            yield Statement(_BEGAN, (*where, *plan, began.seat, began.joined))
        case NightEnded() as ended:
            told = (record.ts, ended.why, _json(ended.counts), _json(ended.used), ended.text)
            yield Statement(_ENDED, (*told, ended.night))
        case NightNoted() as noted:
            yield Statement(_NOTED, (noted.level, noted.night))
        case _:
            pass


NIGHTS = View(name="nights", version=2, schema=_SCHEMA, apply=_apply, of=(NightBegan, NightEnded, NightNoted))
"""Register it where the ledger is opened."""


@dataclass(frozen=True, slots=True)
class NightRow:
    """A night."""

    night: str
    host: str
    pid: int
    workers: int
    until: str
    """When it was to end; empty where nothing but the queue or a person ends it."""
    budget: Mapping[str, int]
    once: bool
    began: str
    went_before: str
    """The night before it, where that one had died."""
    seat: str
    """Of its process, where several homes share the ledger."""
    joined: str
    """The night of another home whose budget it shares."""
    ended: str
    """Empty where nobody has written its end yet."""
    why: str
    counts: Mapping[str, int]
    used: Mapping[str, int]
    text: str
    noted: int
    level: int
    """The highest of what was noted."""
    seq: int
    """Of its first event in the stream of nights."""


def nights(log: Log, most: int = 1, *, named: str = "") -> list[NightRow]:
    """The newest first; only those whose name begins so, where something is named."""
    sql = f"SELECT {_COLUMNS} FROM view_nights WHERE substr(night, 1, length(?1)) = ?1 ORDER BY place DESC LIMIT ?2"
    return [_row(*row) for row in log.query(sql, (named, most))]


def open_nights(log: Log) -> list[NightRow]:
    """Those without an end, the newest first: under way, or dead."""
    return [_row(*row) for row in log.query(f"SELECT {_COLUMNS} FROM view_nights WHERE ended = '' ORDER BY place DESC")]


def notes(log: Log, row: NightRow) -> list[tuple[str, NightNoted]]:
    """What a night noted: moment and note, in order."""
    found = []
    for record in log.read(STREAM, after=row.seq):
        if isinstance(record.event, NightNoted) and record.event.night == row.night:
            found.append((record.ts, record.event))
    return found


def account_of(log: Log, night: str) -> str:
    """The account of a night that has a budget: its own, or that of the one that it goes on with; of a night without
    one, that of the night that it joined. Empty where none has a budget."""
    name, row = night, None
    for row in _back_from(log, night, _same_account):
        name = row.night
    if row is None or row.budget:
        return f"night:{name}"
    return above_of(log, row)


def above_of(log: Log, row: NightRow) -> str:
    """The account that a night shares with the one that it joined; empty where there is none."""
    return account_of(log, row.joined) if row.joined and row.joined != row.night and _is_before(log, row) else ""


def _is_before(log: Log, row: NightRow) -> bool:
    """Did the night that it joined begin earlier? So that no two nights ever share in a circle."""
    return any(other.night == row.joined and other.seq < row.seq for other in nights(log, named=row.joined))


def starts(log: Log, night: str) -> list[NightRow]:
    """The night and those that died before it and that it went on with in the same time, the newest first: what a
    person calls one night, however often its supervisor was killed."""
    return list(_back_from(log, night, _same_time))


def gone_before(log: Log, now: datetime) -> str:
    """The night that died and that one which begins now goes on with: its time is not over, and no other has gone on
    with it. Those with a budget first, then the oldest; empty where there is none."""
    sql = f"""SELECT {_COLUMNS} FROM view_nights WHERE why = 'died'
      AND night NOT IN (SELECT went_before FROM view_nights) AND iif(until = '', began, until) > ?
      ORDER BY budget = '{{}}', place"""
    for row in log.query(sql, (stamp(now - SAME_NIGHT),)):
        found = _row(*row)
        if not found.until or found.until > stamp(now):
            return found.night
    return ""


def _back_from(log: Log, night: str, same: Callable[[NightRow, NightRow], bool]) -> Iterable[NightRow]:
    """The night, and those before it that it goes on with, as long as `same(old, new)`."""
    found = [row for row in nights(log, named=night) if row.night == night]
    while found:
        row = found[0]
        yield row
        before = nights(log, named=row.went_before) if row.went_before else []
        found = [old for old in before if old.night == row.went_before and old.seq < row.seq and same(old, row)]


def _same_account(old: NightRow, new: NightRow) -> bool:
    """Is the new one the same night for its budget?"""
    return bool(old.budget and new.budget) and _same_time(old, new)


def _same_time(old: NightRow, new: NightRow) -> bool:
    """Did the new one begin before the old one's time was over?"""
    if old.until:
        return new.began < old.until
    return datetime.fromisoformat(new.began) - datetime.fromisoformat(old.began) < SAME_NIGHT


def _json(amounts: Mapping[str, int]) -> str:
    return json.dumps(amounts, sort_keys=True)


_amounts = msgspec.json.Decoder(dict[str, int]).decode


def _row(
    night: str,
    host: str,
    pid: int,
    workers: int,
    until: str,
    budget: str,
    once: int,
    began: str,
    went_before: str,
    seat: str,
    joined: str,
    ended: str,
    why: str,
    counts: str,
    used: str,
    text: str,
    noted: int,
    level: int,
    seq: int,
) -> NightRow:
    return NightRow(
        night=night,
        host=host,
        pid=pid,
        workers=workers,
        until=until,
        budget=_amounts(budget),
        once=bool(once),
        began=began,
        went_before=went_before,
        seat=seat,
        joined=joined,
        ended=ended,
        why=why,
        counts=_amounts(counts),
        used=_amounts(used),
        text=text,
        noted=noted,
        level=level,
        seq=seq,
    )
