"""A task as it is asked for, whatever its kind: read and checked, and nothing recorded yet.

Task files and Python functions become the same thing here: what the queue takes, and a schedule where it has one.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from daybreak.engine.placement import Placement
from daybreak.engine.schedules import TaskTemplate
from daybreak.engine.window import CatchUp, Schedule, ScheduleWrong
from daybreak.errors import UsageError

_MINUTE = re.compile(r":([0-5][0-9])")
EVERY = ("hour", "day", "week")
_ONCE_ONLY = ("after", "not_before", "deadline")
"""What says something about one run, and nothing about those of a schedule."""


class NotScheduled(UsageError):
    """Something that a task of a schedule cannot say, or a schedule is missing."""

    code = "U179"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`kind`, `title` and `args` are what `Engine.submit` takes."""

    kind: str
    title: str
    args: dict[str, Any]
    placement: Placement = field(default_factory=Placement)
    schedule: Schedule | None = None
    """When it runs again and again; None where it runs once."""
    name: str = ""
    """Of the schedule, where nobody chooses another one."""

    def template(self) -> TaskTemplate:
        """What each window of its schedule adds. Raises NotScheduled for what fits one run only."""
        if told := [name for name in _ONCE_ONLY if getattr(self.placement, name)]:
            raise NotScheduled(
                f"{' and '.join(told)} cannot be said of a task that runs again and again",
                hint="leave it out, or leave the schedule out",
            )
        placed = self.placement
        budget = {} if placed.budget is None else {k: v for k, v in asdict(placed.budget).items() if v is not None}
        place = {
            "project": placed.project,
            "priority": placed.priority,
            "keys": dict(placed.keys),
            "rates": dict(placed.rates),
            "dedupe": placed.dedupe,
            "budget": budget,
        }
        return TaskTemplate(
            kind=self.kind, title=self.title, args=self.args, place={k: v for k, v in place.items() if v}
        )

    def placed(self, **changes: Any) -> Asked:
        """With another place in the queue; None leaves what it says itself. Raises PlacementWrong."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, placement=replace(self.placement, **given)) if given else self


def schedule(
    *,
    every: str | None = None,
    at: str | None = None,
    on: str | None = None,
    cron: str | None = None,
    zone: str = "UTC",
    catch_up: CatchUp = "once",
) -> Schedule | None:
    """`every` hour (`at=":15"`), day (`at="02:30"`) or week (`on="mon"`, `at`), or a cron line; None where neither is
    given. Raises ScheduleWrong."""
    if every is None and cron is None:
        if at is not None or on is not None:
            raise ScheduleWrong("a time of day alone is no schedule", hint='say every = "day" beside it')
        return None
    if every is not None and cron is not None:
        raise ScheduleWrong("every and cron are both given", hint="leave one of them out")
    if cron is not None:
        if at is not None or on is not None:
            raise ScheduleWrong("a cron line says the time itself", hint="leave `at` and `on` out")
        made = Schedule(cron=cron, zone=zone)
    else:
        made = _every(every, at, on, zone)
    return replace(made, catch_up=catch_up)


def _every(every: object, at: str | None, on: str | None, zone: str) -> Schedule:
    if on is not None and every != "week":
        raise ScheduleWrong("a day of the week belongs to every week", hint='say every = "week", or leave `on` out')
    match every:
        case "hour":
            return Schedule.hourly(_minute(at or ":00"), zone)
        case "day":
            return Schedule.daily(at or "00:00", zone)
        case "week":
            return Schedule.weekly(on or "mon", at or "00:00", zone)
    raise ScheduleWrong(f"every {every!r:.60} is unknown", hint=f"one of {', '.join(EVERY)}, or a cron line")


def _minute(at: str) -> int:
    found = _MINUTE.fullmatch(str(at))
    if found is None:
        raise ScheduleWrong(f"{at!r:.60} is no minute of an hour", hint='write at = ":15"')
    return int(found[1])
