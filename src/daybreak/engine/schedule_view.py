"""The view `schedules`: one row for each schedule, one for each window that was ever opened or skipped.

It refuses what must not be: a window twice, one from before the schedule was made or edited, one that is older than
what was handled already. Whatever it shows can be thrown away and made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from daybreak.engine import plain
from daybreak.engine.window import Schedule, ScheduleWrong
from daybreak.events import FINAL, RunMoved, ScheduleRemoved, ScheduleSet, WindowOpened, WindowSkipped
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

_SCHEMA = """
CREATE TABLE view_schedules (
  name     TEXT PRIMARY KEY,
  schedule TEXT NOT NULL,
  task     TEXT NOT NULL,
  since    TEXT NOT NULL,
  handled  TEXT NOT NULL,
  edited   TEXT NOT NULL,
  edits    INTEGER NOT NULL,
  removed  INTEGER NOT NULL
) STRICT;
CREATE TABLE view_schedules_windows (
  schedule TEXT NOT NULL,
  window   TEXT NOT NULL,
  start    TEXT NOT NULL,
  told     TEXT NOT NULL,
  forced   INTEGER NOT NULL,
  run      TEXT UNIQUE,
  why      TEXT NOT NULL,
  state    TEXT NOT NULL,
  moved    TEXT NOT NULL,
  question TEXT NOT NULL,
  may_be   INTEGER NOT NULL,
  PRIMARY KEY (schedule, window)
) STRICT;
CREATE INDEX view_schedules_windows_told ON view_schedules_windows (schedule, told);
CREATE INDEX view_schedules_windows_open ON view_schedules_windows (schedule, told)
  WHERE state NOT IN ('', 'done', 'failed', 'cancelled');
"""
NOT_OVER = "state NOT IN ('', 'done', 'failed', 'cancelled')"
_SET = """INSERT INTO view_schedules VALUES (?, ?, ?, ?, '', ?, 1, 0) ON CONFLICT (name) DO UPDATE SET
  schedule = excluded.schedule, task = excluded.task, since = excluded.since, edited = excluded.edited,
  edits = edits + 1, removed = 0"""
_REMOVE = "UPDATE view_schedules SET removed = 1, edits = edits + 1, edited = ? WHERE name = ?"
_WINDOW = """INSERT INTO view_schedules_windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', (
  SELECT 1 FROM view_schedules WHERE name = ? AND NOT removed AND (? OR (since < ? AND handled < ?))))"""
"""`may_be` is NULL, and so the event refused, where the window is no longer the schedule's own."""
_HANDLED = "UPDATE view_schedules SET handled = max(handled, ?) WHERE name = ?"
_MOVE = "UPDATE view_schedules_windows SET state = ?, moved = ?, question = ? WHERE run = ?"


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case ScheduleSet() as made:
            kept = (plain.encode(made.schedule).decode(), plain.encode(made.task).decode())
            yield Statement(_SET, (made.name, *kept, made.since, record.ts))
        case ScheduleRemoved() as removed:
            yield Statement(_REMOVE, (record.ts, removed.name))
        case WindowOpened() as opened:
            mine = (opened.schedule, int(opened.forced), opened.start, opened.start)
            run = (int(opened.forced), opened.run, "", "queued", record.ts)
            yield Statement(_WINDOW, (opened.schedule, opened.window, opened.start, record.ts, *run, *mine))
            if not opened.forced:
                yield Statement(_HANDLED, (opened.start, opened.schedule))
        case WindowSkipped() as skipped:
            mine = (skipped.schedule, 0, skipped.start, skipped.start)
            no_run = (0, None, skipped.why, "", "")
            yield Statement(_WINDOW, (skipped.schedule, skipped.window, skipped.start, record.ts, *no_run, *mine))
            yield Statement(_HANDLED, (skipped.start, skipped.schedule))
        case RunMoved() as moved:
            yield Statement(_MOVE, (moved.new, record.ts, moved.question, moved.run))
        case _:
            pass


_OF = (ScheduleSet, ScheduleRemoved, WindowOpened, WindowSkipped, RunMoved)
SCHEDULES = View(name="schedules", version=1, schema=_SCHEMA, apply=_apply, of=_OF, weight="critical")
"""Register it where the ledger is opened."""


# -- its rows


@dataclass(frozen=True, slots=True)
class Row:
    """A schedule as it stands."""

    name: str
    schedule: Schedule
    template: Mapping[str, Any]
    """The task that each window adds: kind, title, args, place."""
    since: datetime
    """Windows that start after this are its own."""
    handled: datetime | None
    """Start of the newest window that was opened or skipped."""
    edited: str
    """When it was made or last edited."""
    edits: int

    def after(self, now: datetime) -> datetime:
        """Windows that start after this are still to come."""
        return max(now, self.since, self.handled or self.since)


@dataclass(frozen=True, slots=True)
class Past:
    """A window that was opened or skipped."""

    window: str
    start: str
    told: str
    """When that was decided."""
    forced: bool
    run: str
    """Empty where it was skipped."""
    why: str
    """Why it was skipped."""
    state: str
    """Of its run."""
    moved: str
    """Since when the run is in that state."""
    question: str
    """What a person must decide, where the run is parked."""

    @property
    def over(self) -> bool:
        return not self.run or self.state in FINAL


class Stored(NamedTuple):
    name: str
    schedule: str
    task: str
    since: str
    handled: str
    edited: str
    edits: int


SELECT = "SELECT name, schedule, task, since, handled, edited, edits FROM view_schedules"
PAST = "SELECT window, start, told, forced, run, why, state, moved, question FROM view_schedules_windows"


def row_of(stored: Stored) -> Row:
    """Raises ScheduleWrong where it cannot be followed here."""
    template = plain.decode(stored.task.encode())
    schedule = _schedule_of(stored.schedule)
    _check_template(stored.name, template)
    try:
        since, handled = moment(stored.since), moment(stored.handled) if stored.handled else None
    except ValueError as error:
        raise ScheduleWrong(f"schedule {stored.name} has no right moment: {error}", hint="make it again") from error
    return Row(stored.name, schedule, template, since, handled, stored.edited, stored.edits)


def _check_template(name: str, template: Any) -> None:
    """What a version of this program that nobody knows may have kept in another shape. Raises ScheduleWrong."""
    match template:
        case {"kind": str(), "title": str(), "args": dict(), **rest} if isinstance(rest.get("place", {}), dict):
            return
    raise ScheduleWrong(
        f"the task of schedule {name} is kept in another shape", hint="use the newer version, or make it again"
    )


def readable(stored: Stored) -> Row | None:
    try:
        return row_of(stored)
    except ScheduleWrong:
        return None


@lru_cache(maxsize=256)
def _schedule_of(text: str) -> Schedule:
    try:
        return Schedule(**plain.decode(text.encode()))
    except (TypeError, ValueError, AttributeError) as error:
        raise ScheduleWrong(f"a newer version wrote this schedule: {error}", hint="use the newer version") from error


def past_of(window: str, start: str, told: str, forced: int, run: str | None, *rest: str) -> Past:
    return Past(window, start, told, bool(forced), run or "", *rest)


def moment(text: str) -> datetime:
    """Of an event's time."""
    return datetime.fromisoformat(text).astimezone(UTC)
