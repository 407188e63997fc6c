"""Schedules in the ledger: each window of each schedule becomes one run, or a skip with its reason, once and for ever.

Why once: a window's event and its run are one commit. Three things refuse a second one, whoever tries it, from
whatever process, before or after whatever crash: the idempotency key of the event, which stands in the ledger itself;
the row of the view, unique by schedule and window; and the mark up to which windows have been handled, below which no
window opens any more. Whoever comes second reads again and goes on. Crash windows: before the commit nothing has
happened, behind it everything has.

Windows follow `window.Schedule.due`. Runs of one schedule never work at the same time: they share a concurrency key.
A window that comes while the run of an earlier one is not over is skipped with the reason, or queued behind, as the
schedule says; so a run that hangs or is parked for weeks piles nothing up. A run whose owner died needs nothing of
this: it is taken over by the next supervisor.

Nothing here reads the clock: `look` is told the time, and the others ask the clock that was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import Any, Protocol, runtime_checkable

from daybreak import events
from daybreak.clock import Clock, stamp
from daybreak.engine import plain
from daybreak.engine.log import Log
from daybreak.engine.placement import Placement
from daybreak.engine.schedule_view import NOT_OVER, PAST, SELECT, Past, Row, Stored, moment, past_of, readable, row_of
from daybreak.engine.window import CAUGHT_UP_MAX, Due, Schedule, ScheduleWrong, Window
from daybreak.errors import DaybreakError, DraftRefused, EngineError, LedgerError, UsageError
from daybreak.events import ScheduleRemoved, ScheduleSet, WindowOpened, WindowSkipped
from daybreak.ledger.record import Draft
from daybreak.policy.budget import Limit

EACH_MAX = 20
"""Windows in a row that were skipped for one reason: more are told as one, so that a schedule of every minute that
slept for a year does not fill the ledger."""
ACTOR = "schedules"
TITLE_MAX = 200
PASSES_MAX = 100
"""Commits for one schedule in one look; the next look goes on where it stopped."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACE = ("project", "priority", "keys", "rates", "dedupe", "budget")
"""What a schedule may say about the place of its runs in the queue."""


class ScheduleUnknown(UsageError):
    """No schedule has that name."""

    code = "U151"


class ScheduleMisnamed(UsageError):
    """That is no name for a schedule."""

    code = "U152"


class TemplateWrong(UsageError):
    """What a schedule is to add to the queue cannot be added."""

    code = "U153"


class ScheduleBusy(EngineError):
    """Others change the schedule all the time."""

    code = "E231"


# -- words


class Drafts(Protocol):
    """What is needed of the queue."""

    def drafts(self, kind: str, title: str, args: Any, placement: Placement) -> tuple[str, list[Draft]]:
        """A run's id, and what puts it into the queue once it is appended. Raises what is wrong with it."""
        ...


@runtime_checkable
class Binding(Protocol):
    """A queue that knows which tasks can only be done in this home."""

    def home_keys(self, kind: str, keys: Mapping[str, int]) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTemplate:
    """What each window adds to the queue. Checked by `Schedules.set`."""

    kind: str
    title: str
    args: Mapping[str, Any]
    """A dictionary of JSON."""
    place: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `queue.Placement` as JSON: project, priority, keys, rates, dedupe, budget; nothing that names a moment
    or a run, because each window adds another one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A window has come, and its run stands in the queue."""

    schedule: str
    window: str
    start: datetime
    run: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A window has passed without a run."""

    schedule: str
    window: str
    start: datetime
    why: str


# -- schedules


class Schedules:
    """Any number in any number of processes may look at once. The ledger must have the view SCHEDULES."""

    def __init__(self, log: Log, clock: Clock, queue: Drafts) -> None:
        self._log = log
        self._clock = clock
        self._queue = queue
        self._idle: dict[str, tuple[Row, datetime]] = {}
        """Until when there is nothing to do for a schedule, so that looking often costs one question."""

    # -- making them

    def set(self, name: str, schedule: Schedule, task: TaskTemplate) -> bool:
        """Make the schedule, or edit it; False where it is so already, and nothing is recorded.

        No window that has begun by now runs because of an edit. Those that nobody had looked at yet are skipped with
        that reason; where only the task changed, or what is done about late windows, they stay due.
        Raises TemplateWrong, NotPlain and what the queue raises, before anything is recorded.
        """
        _check_name(name)
        kept = _template_as_json(name, task)
        if isinstance(self._queue, Binding):
            keys = kept["place"].get("keys", {})
            if home := self._queue.home_keys(task.kind, keys):
                kept["place"]["keys"] = {**home, **keys}
        self._drafts(name, kept, "check")  # only whether it could be queued
        for _ in range(PASSES_MAX):
            stored, now = self._stored(name), self._clock.now()
            row = None if stored is None else readable(stored)
            if row is not None and (row.schedule, row.template) == (schedule, kept):
                return False
            given_up: list[Draft] = []
            since = now if stored is None or not stored.handled else max(now, moment(stored.handled))
            if row is not None and _times(row.schedule) == _times(schedule):
                since = row.since
            elif row is not None:
                given_up = self._given_up(row, now, "the schedule was edited before anybody looked")
            made = ScheduleSet(name=name, schedule=asdict(schedule), task=kept, since=stamp(since))
            if self._appended([*given_up, Draft(events.SCHEDULES, made, ACTOR)], stored):
                return True
        raise _contended(name)

    def remove(self, name: str) -> None:
        """No window of it opens any more; runs in the queue stay, and so does its history. Raises ScheduleUnknown."""
        _check_name(name)
        for _ in range(PASSES_MAX):
            stored = self._stored(name)
            if stored is None:
                raise _unknown(name)
            row = readable(stored)
            why = "the schedule was removed before anybody looked"
            given_up = [] if row is None else self._given_up(row, self._clock.now(), why)
            if self._appended([*given_up, Draft(events.SCHEDULES, ScheduleRemoved(name=name), ACTOR)], stored):
                return
        raise _contended(name)

    # -- windows

    def look(self, now: datetime, name: str | None = None) -> list[Opened | Skipped]:
        """Open or skip every window that has come by now, of all schedules or of one; what was done by this look.

        Safe at any time, in any number of processes. A schedule whose task cannot be queued keeps no other from its
        windows: its own are skipped, with that reason. Raises ScheduleUnknown, and LedgerError where the ledger
        cannot be written; nothing is lost then, the windows stay due.
        """
        rows = self.all() if name is None else [self.get(name)]
        return [told for row in rows for told in self._look_at(row, now)]

    def force(self, name: str) -> Opened:
        """A run of the schedule now, beside its time, whatever else of it is under way; it begins when runs of it that
        are at work let it. Its windows stay what they are. Raises ScheduleUnknown, and what the queue raises."""
        for _ in range(PASSES_MAX):
            row, now = self.get(name), self._clock.now()
            counted = "SELECT count(*) FROM view_schedules_windows WHERE schedule = ? AND forced"
            key = f"forced-{self._log.query(counted, (name,))[0][0] + 1}"
            run, drafts = self._drafts(name, row.template, key)
            opened = Opened(name, key, now, run, forced=True)
            try:
                self._log.append([_opening(opened), *drafts])
            except DraftRefused:
                if not self._told(name, key) and self._row(name) == row:
                    raise
                continue  # somebody else was as quick
            return opened
        raise _contended(name)

    # -- looking at them

    def all(self) -> list[Row]:
        """Those that are not removed, by name, without those of `broken`."""
        return [row for stored in self._all_stored() if (row := readable(stored)) is not None]

    def broken(self) -> list[tuple[str, str]]:
        """Schedules that this version of the program, or this machine with its time zones, cannot follow: name, why."""
        found = []
        for stored in self._all_stored():
            try:
                row_of(stored)
            except ScheduleWrong as error:
                found.append((stored.name, error.message))
        return found

    def get(self, name: str) -> Row:
        """Raises ScheduleUnknown, and ScheduleWrong for a broken one."""
        _check_name(name)
        row = self._row(name)
        if row is None:
            raise _unknown(name)
        return row

    def next(self, now: datetime, name: str | None = None, count: int = 1) -> list[tuple[str, Window]]:
        """The windows to come: `count` of each schedule, or of one; the nearest first."""
        rows = self.all() if name is None else [self.get(name)]
        found = [(row.name, window) for row in rows for window in islice(row.schedule.windows(row.after(now)), count)]
        return sorted(found, key=lambda pair: (pair[1].start, pair[0]))

    def wake_at(self, now: datetime) -> datetime | None:
        """When the next window comes; None where none ever will."""
        coming = self.next(now)
        return coming[0][1].start if coming else None

    def due(self, now: datetime, name: str) -> int:
        """Windows that have come and that nobody has opened or skipped yet; 1,000 at most."""
        due = _due(self.get(name), now)
        return len(due.run) + len(due.skipped)

    def history(self, name: str, most: int = 20) -> list[Past]:
        """What became of its windows, the newest first; of removed schedules too. Raises ScheduleUnknown."""
        _check_name(name)
        newest = "WHERE schedule = ? ORDER BY told DESC, start DESC LIMIT ?"
        found = self._log.query(f"{PAST} {newest}", (name, max(0, most)))
        if not found:
            self.get(name)
        return [past_of(*row) for row in found]

    def not_over(self, name: str) -> list[Past]:
        """Windows whose run is not over, the oldest first."""
        return [
            past_of(*row) for row in self._log.query(f"{PAST} WHERE schedule = ? AND {NOT_OVER} ORDER BY told", (name,))
        ]

    # -- one look at one schedule

    def _look_at(self, row: Row, now: datetime) -> list[Opened | Skipped]:
        if self._idles(row, now):
            return []
        told: list[Opened | Skipped] = []
        at_once = CAUGHT_UP_MAX
        for _ in range(PASSES_MAX):
            due = _due(row, now)
            wanted = self._decide(row, due)[:at_once]
            if not wanted:
                self._rest(row, due)
                break
            try:
                told += self._commit(row, wanted)
            except DraftRefused as refused:
                if self._row(row.name) == row:  # nobody was quicker: it is the run itself that is refused
                    if at_once > 1:
                        at_once = 1
                    else:
                        told += self._commit(row, [_not_queued(wanted[0], refused)])
            fresh = self._row(row.name)
            if fresh is None:
                break
            row = fresh
        return told

    def _idles(self, row: Row, now: datetime) -> bool:
        known = self._idle.get(row.name)
        return known is not None and known[0] == row and now < known[1]

    def _rest(self, row: Row, due: Due) -> None:
        if not due.run and due.next is not None:
            self._idle[row.name] = (row, due.next.start)

    def _decide(self, row: Row, due: Due) -> list[_Wanted]:
        """What becomes of each window, oldest first. Empty where nothing is due, or where there is no room."""
        if not due.run and not due.skipped:
            return []
        under_way = self.not_over(row.name)
        room = row.schedule.waiting_max - len(under_way)
        wanted: list[_Wanted] = [_Wanted(window, why) for window, why in due.skipped]
        for window in due.run:
            if not row.schedule.queues and under_way:
                wanted.append(_Wanted(window, _stale(under_way)))
            elif room > 0:
                room -= 1
                wanted.append(_Wanted(window))
            elif row.schedule.catch_up != "all":
                wanted.append(
                    _Wanted(window, f"{len(under_way)} runs of it are not over; the oldest: {_stale(under_way)}")
                )
            else:
                break  # it stays due until there is room
        return _condensed(sorted(wanted, key=lambda one: one.window.start))

    def _commit(self, row: Row, wanted: Sequence[_Wanted]) -> list[Opened | Skipped]:
        """All of it in one commit. Raises DraftRefused where another process was quicker, or the ledger refuses."""
        told: list[Opened | Skipped] = []
        drafts: list[Draft] = []
        for one in wanted:
            outcome, more = self._outcome(row, one)
            told.append(outcome)
            drafts += more
        self._log.append(drafts)
        return told

    def _outcome(self, row: Row, one: _Wanted) -> tuple[Opened | Skipped, list[Draft]]:
        window = one.window
        if not one.why:
            try:
                run, drafts = self._drafts(row.name, row.template, window.key)
            except LedgerError:
                raise
            except DaybreakError as error:
                one = _not_queued(one, error)
            else:
                opened = Opened(row.name, window.key, window.start, run)
                return opened, [_opening(opened), *drafts]
        skipped = Skipped(row.name, window.key, window.start, one.why)
        return skipped, [_skipping(skipped)]

    def _given_up(self, row: Row, now: datetime, why: str) -> list[Draft]:
        """What says that windows that have come will not be opened."""
        due = _due(row, now)
        wanted = [_Wanted(window, other) for window, other in due.skipped] + [_Wanted(one, why) for one in due.run]
        ordered = _condensed(sorted(wanted, key=lambda one: one.window.start))
        return [_skipping(Skipped(row.name, one.window.key, one.window.start, one.why)) for one in ordered]

    # -- the ledger and the queue

    def _drafts(self, name: str, template: Mapping[str, Any], window: str) -> tuple[str, list[Draft]]:
        """A run of the schedule on its way into the queue. Runs of one schedule work one after the other."""
        placement = _placement(name, template, window)
        return self._queue.drafts(template["kind"], template["title"], template["args"], placement)

    def _appended(self, drafts: Sequence[Draft], stored: Stored | None) -> bool:
        """False where another process did something about the schedule meanwhile: read again."""
        name = stored.name if stored is not None else ""
        try:
            self._log.append(drafts)
        except DraftRefused:
            if stored is None or self._stored(name) == stored:
                raise
            return False
        return True

    def _told(self, name: str, window: str) -> bool:
        found = "SELECT 1 FROM view_schedules_windows WHERE schedule = ? AND window = ?"
        return bool(self._log.query(found, (name, window)))

    def _row(self, name: str) -> Row | None:
        stored = self._stored(name)
        return None if stored is None else row_of(stored)

    def _stored(self, name: str) -> Stored | None:
        found = self._log.query(f"{SELECT} WHERE name = ? AND NOT removed", (name,))
        return Stored(*found[0]) if found else None

    def _all_stored(self) -> list[Stored]:
        return [Stored(*found) for found in self._log.query(f"{SELECT} WHERE NOT removed ORDER BY name")]


# -- parts


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A window that is to be opened, or skipped where there is a reason."""

    window: Window
    why: str = ""


def _due(row: Row, now: datetime) -> Due:
    return row.schedule.due(now, since=row.since, handled=row.handled)


def _times(schedule: Schedule) -> tuple[str, ...]:
    """What decides which windows there are."""
    return (schedule.cron, schedule.zone, schedule.gap, schedule.repeated)


def _opening(opened: Opened) -> Draft:
    event = WindowOpened(
        schedule=opened.schedule,
        window=opened.window,
        start=stamp(opened.start),
        run=opened.run,
        forced=opened.forced,
    )
    return Draft(events.SCHEDULES, event, ACTOR, idem=_idem(opened.schedule, opened.window), trace=opened.run)


def _skipping(skipped: Skipped) -> Draft:
    event = WindowSkipped(schedule=skipped.schedule, window=skipped.window, start=stamp(skipped.start), why=skipped.why)
    return Draft(events.SCHEDULES, event, ACTOR, idem=_idem(skipped.schedule, skipped.window))


def _idem(schedule: str, window: str) -> str:
    return f"window:{schedule}:{window}"


def _stale(under_way: Sequence[Past]) -> str:
    """Why a window cannot begin, for the log."""
    oldest = under_way[0]
    asks = f" with the question {oldest.question[:200]!r}" if oldest.question else ""
    return f"run {oldest.run} of window {oldest.window} is not over: {oldest.state} since {oldest.moved[:19]}Z{asks}"


def _not_queued(one: _Wanted, error: DaybreakError) -> _Wanted:
    return _Wanted(one.window, one.why or f"its task cannot be queued: {error.code} {error.message[:500]}")


def _condensed(wanted: Sequence[_Wanted]) -> list[_Wanted]:
    """Many windows in a row that are skipped for one reason are told as one, the newest."""
    short: list[_Wanted] = []
    for why, group in groupby(wanted, key=lambda one: one.why):
        same = list(group)
        if why and len(same) > EACH_MAX:
            first, last = same[0].window, same[-1].window
            same = [_Wanted(last, f"{why}; with it the {len(same) - 1} windows before it, from {first.key} on")]
        short += same
    return short


def _template_as_json(name: str, task: TaskTemplate) -> dict[str, Any]:
    """Raises TemplateWrong, NotPlain."""
    _check_words(name, task.kind, task.title, task.args, task.place)
    if fixed := sorted(set(task.place) - set(_PLACE)):
        raise TemplateWrong(
            f"the task of schedule {name} cannot have {', '.join(map(str, fixed))[:80]}: each window adds another run",
            hint=f"a schedule's task may have {', '.join(_PLACE)}",
        )
    template = {"kind": task.kind, "title": task.title, "args": dict(task.args), "place": dict(task.place)}
    plain_template: dict[str, Any] = plain.plain(template, f"the task of schedule {name}")
    return plain_template


def _check_words(name: str, kind: object, title: object, *parts: object) -> None:
    for word in (kind, title):
        if not isinstance(word, str) or not word.strip() or len(word) > TITLE_MAX:
            raise TemplateWrong(
                f"the task of schedule {name} has no kind and title of 1 to {TITLE_MAX} characters", hint="name both"
            )
    if not all(isinstance(part, Mapping) and all(isinstance(key, str) for key in part) for part in parts):
        raise TemplateWrong(f"arguments and place of schedule {name} are no dictionaries", hint="names with values")


def _placement(name: str, template: Mapping[str, Any], window: str) -> Placement:
    """Where a window's run stands in the queue. Raises TemplateWrong, PlacementWrong."""
    place = dict(template["place"])
    try:
        budget = Limit(**place.pop("budget")) if "budget" in place else None
        keys = {**place.pop("keys", {}), f"schedule:{name}": 1}
        return Placement(**place, keys=keys, budget=budget, schedule=name, window=window)
    except (TypeError, ValueError) as error:
        raise TemplateWrong(
            f"the task of schedule {name} cannot be placed like that: {str(error)[:200]}",
            hint=f"{', '.join(_PLACE)}, as `daybreak add` takes them; a newer version may have written it",
        ) from error


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ScheduleMisnamed(
            f"{str(name)[:80]!r} cannot name a schedule",
            hint="1 to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        )


def _unknown(name: str) -> ScheduleUnknown:
    return ScheduleUnknown(f"there is no schedule {name!r}", hint="`daybreak schedule list` names them")


def _contended(name: str) -> ScheduleBusy:
    return ScheduleBusy(f"schedule {name} is changed by others all the time", hint="nothing was recorded; try again")
