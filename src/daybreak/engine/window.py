"""Schedules and their windows: the slots of local time in each of which a scheduled task runs once.

A window begins when its schedule falls due and ends when the next one begins. Its key is its local time with the
offset from UTC (`2026-10-25T02:30+0200`), so that a task that is recorded under its window's key runs once whatever
restarts, and an hour that comes twice has two keys. Everything here is a pure function of times that come in.

Changes of the clock, by the rule of Debian's cron, as cronsim has it: a task at a fixed time that the clock skips runs
at the first moment after the gap, and one at a time that comes twice runs the first time; both can be chosen
otherwise. Tasks of every hour or minute follow real time: none is lost and none runs twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from daybreak.errors import UsageError

CatchUp = Literal["skip", "once", "all"]
InGap = Literal["after", "skip"]
Repeated = Literal["first", "second"]
Overlap = Literal["skip", "queue"]

CAUGHT_UP_MAX = 1000
"""Windows that one look gives; a schedule of every minute that slept for a year is caught up in several."""
CRON_CHARS_MAX = 500

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class ScheduleWrong(UsageError):
    """A schedule that nobody can follow."""

    code = "U133"


@dataclass(frozen=True, slots=True)
class Window:
    """`start` ≤ now < `end` is its time; both aware, in UTC."""

    key: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a schedule gives: windows to run now and windows that are skipped, each oldest first."""

    run: tuple[Window, ...]
    skipped: tuple[tuple[Window, str], ...]
    """With the reason, for the log."""
    next: Window | None
    """The one after now; None where there will be none."""
    upto: datetime
    """Every window that starts up to here is in `run`, in `skipped`, or was before."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a task runs. Raises ScheduleWrong."""

    cron: str
    """Five fields (minute hour day month weekday), as in crontab(5); names and L, # as cronsim reads them."""
    zone: str = "UTC"
    """An IANA name: the clock on whose wall the fields are read."""
    catch_up: CatchUp = "once"
    """Windows that were missed: none of them, the newest one, or all."""
    late_s: float = 300.0
    """With `skip`: how late a window may still begin."""
    gap: InGap = "after"
    """A fixed time that the clock skips: right after the gap, or not on that day."""
    repeated: Repeated = "first"
    """A fixed time that comes twice: the first or the second one."""
    overlap: Overlap | None = None
    """A window that comes while the run of an earlier one is not over (it is still at work, hangs, or waits for a
    person): it is skipped, with the reason, or its run is queued behind. None: queued with `catch_up` all, else
    skipped."""
    waiting_max: int = 100
    """With `queue`: so many runs of it that are not over at most. What comes then is skipped; with `catch_up` all,
    it comes up again when there is room."""

    def __post_init__(self) -> None:
        choices = (("catch_up", CatchUp), ("gap", InGap), ("repeated", Repeated), ("overlap", Overlap))
        for name, allowed in choices:
            if getattr(self, name) not in get_args(allowed) and (name, getattr(self, name)) != ("overlap", None):
                raise ScheduleWrong(
                    f"{name} {_cut(getattr(self, name))} is unknown", hint=f"one of {', '.join(get_args(allowed))}"
                )
        if self.catch_up == "all" and self.overlap == "skip":
            raise ScheduleWrong(
                "all missed windows cannot be caught up where a window is skipped while another's run is not over",
                hint="leave overlap away, or make it `queue`",
            )
        if not _is_number(self.late_s) or not 0 <= self.late_s <= 31 * 86_400:
            raise ScheduleWrong(f"late_s {_cut(self.late_s)}", hint="a number of seconds from 0 to 31 days")
        if not _is_number(self.waiting_max) or not 1 <= self.waiting_max <= CAUGHT_UP_MAX:
            raise ScheduleWrong(f"waiting_max {_cut(self.waiting_max)}", hint=f"a number from 1 to {CAUGHT_UP_MAX}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
            raise ScheduleWrong(
                f"there is no time zone {_cut(self.zone)}", hint="such as Europe/Berlin or UTC"
            ) from error
        _check_cron(self.cron)

    @property
    def queues(self) -> bool:
        """Whether a window is queued behind a run that is not over."""
        return self.overlap == "queue" or (self.overlap is None and self.catch_up == "all")

    # -- making one

    @classmethod
    def hourly(cls, minute: int = 0, zone: str = "UTC") -> Self:
        """At that minute of every hour."""
        return cls(cron=f"{minute} * * * *", zone=zone)

    @classmethod
    def daily(cls, at: str = "00:00", zone: str = "UTC") -> Self:
        """Every day at `HH:MM`."""
        return cls(cron=f"{_clock(at)} * * *", zone=zone)

    @classmethod
    def weekly(cls, day: str = "mon", at: str = "00:00", zone: str = "UTC") -> Self:
        """On that day (mon … sun) of every week at `HH:MM`."""
        if str(day)[:3].lower() not in _WEEKDAYS:
            raise ScheduleWrong(f"{_cut(day)} is no day of the week", hint=", ".join(_WEEKDAYS))
        return cls(cron=f"{_clock(at)} * * {day[:3].upper()}", zone=zone)

    # -- windows

    def windows(self, after: datetime) -> Iterator[Window]:
        """The windows that start after that moment, oldest first; as many as will ever be."""
        for start, end in pairwise(self._starts(after)):
            yield Window(self._key(start), start, end)

    def due(self, now: datetime, *, since: datetime, handled: datetime | None = None) -> Due:
        """What is to be done now.

        `since` is when the schedule was made or last edited: windows that start up to then are nobody's any more.
        `handled` is the `upto` of the last look, kept with what came of it; so every window comes up exactly once,
        however often and from however many processes one looks.
        """
        after = max(since, handled) if handled is not None else since
        begun: list[Window] = []
        following = None
        for window in self.windows(after):
            if window.start > now or len(begun) == CAUGHT_UP_MAX:
                following = window
                break
            begun.append(window)
        cut = following is not None and following.start <= now
        run, skipped = self._choose(begun, now, more=cut)
        upto = begun[-1].start if cut else max(now, after)
        return Due(tuple(run), tuple(skipped), following, upto)

    def _choose(
        self, begun: list[Window], now: datetime, *, more: bool
    ) -> tuple[list[Window], list[tuple[Window, str]]]:
        if self.catch_up == "all":
            return begun, []
        newest = None if more else begun[-1] if begun else None
        if newest is not None and self.catch_up == "skip" and now - newest.start > timedelta(seconds=self.late_s):
            newest = None
        why = "missed; only the newest is caught up" if self.catch_up == "once" else "missed; none is caught up"
        return [newest] if newest else [], [(window, why) for window in begun if window is not newest]

    @cached_property
    def _wall(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _key(self, start: datetime) -> str:
        return start.astimezone(self._wall).strftime("%Y-%m-%dT%H:%M%z")

    @cached_property
    def _fixed(self) -> bool:
        """At fixed times of day, which a change of the clock can skip or repeat."""
        minute, hour = self.cron.split()[:2]
        return not minute.startswith("*") and not hour.startswith("*")  # as Debian's cron and cronsim tell it

    def _starts(self, after: datetime) -> Iterator[datetime]:
        """Moments in UTC, rising, each after `after`."""
        from cronsim import CronSim

        # From a little earlier, because a moment that the clock repeats or skips is moved.
        begin = (after - timedelta(hours=3)).astimezone(self._wall)
        last = after.astimezone(UTC)
        for local in CronSim(self.cron, begin):
            moment = self._moved(local)
            if moment is not None and moment > last:
                last = moment
                yield moment

    def _moved(self, local: datetime) -> datetime | None:
        """The moment of a wall time, by the choices for gaps and repeats."""
        if self._fixed and self.gap == "skip" and not self._is_written(local):
            return None
        if self._fixed and self.repeated == "second":
            second = local.replace(fold=1)
            if second.astimezone(UTC) > local.astimezone(UTC):
                return second.astimezone(UTC)
        return local.astimezone(UTC)

    def _is_written(self, local: datetime) -> bool:
        """Whether the cron line names this wall time, or cronsim moved it out of a gap."""
        from cronsim import CronSim

        wall = local.replace(tzinfo=None)
        return next(CronSim(self.cron, wall - timedelta(minutes=1))) == wall


def edited(schedule: Schedule, **changes: object) -> Schedule:
    """The schedule with other values, checked like a new one. Its windows count from the edit on (`since`)."""
    return replace(schedule, **changes)  # type: ignore[arg-type] # checked as it is made


def _check_cron(line: object) -> None:
    from cronsim import CronSim, CronSimError

    if not isinstance(line, str) or len(line) > CRON_CHARS_MAX:
        raise ScheduleWrong(f"{_cut(line)} is no cron line", hint="text of five fields, such as `30 2 * * mon-fri`")
    try:
        if len(line.split()) != 5:
            raise CronSimError("five fields are wanted")
        next(CronSim(line, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        hint = "minute hour day month weekday, such as `30 2 * * mon-fri`"
        raise ScheduleWrong(f"the cron line {_cut(line)} cannot be read: {error}", hint=hint) from error
    except StopIteration:
        raise ScheduleWrong(f"the cron line {_cut(line)} never falls due", hint="such a day never comes") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _clock(text: str) -> str:
    found = _CLOCK.fullmatch(str(text))
    if found is None:
        raise ScheduleWrong(f"{_cut(text)} is no time of day", hint="write HH:MM, such as 02:30")
    return f"{int(found.group(2))} {int(found.group(1))}"
