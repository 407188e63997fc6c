"""How a task stands in the queue: its project and priority, what it waits for, and with whom it shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from daybreak.clock import stamp
from daybreak.engine import plain
from daybreak.engine.view import PRIORITY_MAX
from daybreak.errors import NotPlain, UsageError
from daybreak.policy.budget import Limit

NAME_CHARACTERS_MAX = 200
TITLE_CHARACTERS_MAX = 4_096
AFTER_MAX = 10_000
"""Runs that one may wait for."""
SHARED_MAX = 32
"""Keys, and rates, of one task."""
AT_ONCE_MAX = 1_000_000
HOME_KEY = "home:"
"""How a key begins that binds a run to one of the homes that share the ledger: what it names is a folder there."""
STARTS_MAX = 100_000
"""Starts that one rate limit allows within its time."""

_UNIT_S = {"s": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_RATE = re.compile(r"([0-9]{1,6})\s*/\s*([a-z]{1,6})")


class PlacementWrong(UsageError):
    """A task cannot stand in the queue like that."""

    code = "U161"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts within any stretch of so many seconds; 1 or more of both."""

    starts: int
    seconds: int

    @classmethod
    def of(cls, text: object) -> Rate:
        """`5/s`, `30/hour`, `100/day`. Raises PlacementWrong."""
        found = _RATE.fullmatch(text.strip().lower()) if isinstance(text, str) else None
        if found is None or found[2] not in _UNIT_S or not 1 <= int(found[1]) <= STARTS_MAX:
            raise PlacementWrong(
                f"{_cut(text)} is no rate",
                hint=f"write 1 to {STARTS_MAX} starts and a unit: 5/s, 10/min, 30/hour, 100/day",
            )
        return cls(int(found[1]), _UNIT_S[found[2]])

    def opens(self, oldest: datetime) -> datetime:
        """When the next may start, where `oldest` is the earliest of the last `starts` starts."""
        return oldest + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a task stands. Checked as it is made; raises PlacementWrong, which names the field."""

    project: str = ""
    """Projects share the workers' time fairly; printable, at most 200 characters."""
    priority: int = 0
    """Within its project, the higher one first; -1,000 to 1,000."""
    after: tuple[str, ...] = ()
    """Runs that must be over before; where one of them failed or was cancelled, a person is asked."""
    not_before: datetime | None = None
    """Aware."""
    deadline: datetime | None = None
    """Aware. Nearer ones go first within a priority; where it passes before the run began, a person is asked."""
    keys: Mapping[str, int] = field(default_factory=dict)
    """Concurrency keys: at most so many runs with that key are under way at once; 1 or more."""
    rates: Mapping[str, str] = field(default_factory=dict)
    """Rate limits by name, such as `30/hour`: so many runs that name it begin within any hour."""
    dedupe: str = ""
    """While a run with this word is not over, no second one is taken."""
    budget: Limit | None = None
    """The most that the run may use."""
    schedule: str = ""
    window: str = ""
    """The window of a schedule that it belongs to: one run for each, for ever."""

    def __post_init__(self) -> None:
        for name in ("project", "dedupe", "schedule", "window"):
            _check_name(name, getattr(self, name), empty=True)
        if type(self.priority) is not int or abs(self.priority) > PRIORITY_MAX:
            raise _wrong("priority", self.priority, f"a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}")
        if bool(self.schedule) != bool(self.window):
            raise _wrong("window", self.window, "a schedule and its window go together")
        object.__setattr__(self, "after", _checked_after(self.after))
        for name in ("not_before", "deadline"):
            _check_moment(name, getattr(self, name))
        if self.not_before and self.deadline and self.deadline <= self.not_before:
            raise _wrong("deadline", stamp(self.deadline), "after not_before: it could never begin in time")
        object.__setattr__(self, "keys", _checked_keys(self.keys))
        object.__setattr__(self, "rates", _checked_rates(self.rates))
        if self.budget is not None and not isinstance(self.budget, Limit):
            raise _wrong("budget", self.budget, "a policy.budget.Limit")

    def as_fields(self) -> dict[str, Any]:
        """As `events.TaskAdded` names them."""
        return {
            "project": self.project,
            "priority": self.priority,
            "after": list(self.after),
            "not_before": stamp(self.not_before) if self.not_before else "",
            "deadline": stamp(self.deadline) if self.deadline else "",
            "keys": dict(self.keys),
            "rates": dict(self.rates),
            "dedupe": self.dedupe,
            "budget": {name: most for name, most in asdict(self.budget or Limit()).items() if most is not None},
            "schedule": self.schedule,
            "window": self.window,
        }


def checked_task(kind: object, title: object, args: object) -> dict[str, Any]:
    """The arguments as JSON. Raises PlacementWrong, NotPlain."""
    for what, text, most in (("kind", kind, NAME_CHARACTERS_MAX), ("title", title, TITLE_CHARACTERS_MAX)):
        if not isinstance(text, str) or not 0 < len(text) <= most or "\0" in text:
            raise PlacementWrong(f"the {what} cannot be {ascii(text)[:80]}", hint=f"1 to {most} characters of text")
        plain.plain(text, f"the {what} of a task")
    kept = plain.plain(args, f"the arguments of {str(title)[:80]!r}")
    if not isinstance(kept, dict):
        raise NotPlain(f"the arguments of {str(title)[:80]!r} are no dictionary", hint="give them by name")
    return kept


def is_run_name(run: object) -> bool:
    """Whether it could be a run's name at all."""
    return isinstance(run, str) and run.isprintable() and 0 < len(run) <= NAME_CHARACTERS_MAX


def _checked_after(after: object) -> tuple[str, ...]:
    if isinstance(after, str) or not isinstance(after, tuple | list | frozenset | set):
        raise _wrong("after", after, "a list of runs")
    if len(after) > AFTER_MAX:
        raise _wrong("after", f"{len(after)} runs", f"at most {AFTER_MAX}")
    for run in after:
        _check_name("after", run)
    return tuple(dict.fromkeys(after))


def _checked_keys(keys: object) -> Mapping[str, int]:
    for name, most in _checked_names("keys", keys).items():
        if type(most) is not int or not 1 <= most <= AT_ONCE_MAX:
            raise _wrong(f"keys.{name}", most, f"how many at once: 1 to {AT_ONCE_MAX}")
    return dict(_checked_names("keys", keys))


def _checked_rates(rates: object) -> Mapping[str, str]:
    names = _checked_names("rates", rates)
    for text in names.values():
        Rate.of(text)
    return dict(names)


def _checked_names(what: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise _wrong(what, given, "names with their limits")
    if len(given) > SHARED_MAX:
        raise _wrong(what, f"{len(given)} names", f"at most {SHARED_MAX}")
    for name in given:
        _check_name(what, name)
    return given


def _check_name(what: str, name: object, *, empty: bool = False) -> None:
    fits = isinstance(name, str) and len(name) <= NAME_CHARACTERS_MAX and name.isprintable() and (empty or name)
    if not fits:
        raise _wrong(what, name, f"at most {NAME_CHARACTERS_MAX} printable characters")


def _check_moment(what: str, moment: object) -> None:
    if moment is None:
        return
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise _wrong(what, moment, "a moment with its time zone")
    try:
        year = moment.astimezone(UTC).year
    except OverflowError:
        year = 0
    if not 1970 <= year <= 9998:
        raise _wrong(what, moment, "a moment from 1970 to 9998")


def _wrong(what: str, given: object, hint: str) -> PlacementWrong:
    return PlacementWrong(f"{what} cannot be {_cut(given)}", hint=hint)


def _cut(given: object) -> str:
    text = ascii(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
