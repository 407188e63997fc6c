"""Which snapshots stay. Pure: the same times, rule and moment give the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from daybreak.host.snapshots.problems import BadArgument

KEEP_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    """How many of each kind stay, each the newest of its day, ISO week or month. Days without a snapshot do not
    count, so a machine that was off for a month loses nothing. The newest of all always stays."""

    daily: int = 7
    weekly: int = 0
    monthly: int = 0

    def __post_init__(self) -> None:
        for name in ("daily", "weekly", "monthly"):
            number: object = getattr(self, name)
            if type(number) is not int or not 0 <= number <= KEEP_MAX:
                raise BadArgument(
                    f"{name} must be a whole number from 0 to {KEEP_MAX}, not {number!r}", hint="for example 7"
                )


def keep(times: Sequence[datetime], rule: Rule, now: datetime) -> frozenset[int]:
    """The places in `times` (aware, in any order) of the snapshots that stay.

    Days, weeks and months are those of `now`'s time zone. Whatever is later than `now` stays and counts for nothing:
    a clock was wrong, and which one cannot be told. Raises BadArgument for a time without zone.
    """
    for time in (*times, now):
        _check(time)
    newest_first = sorted(range(len(times)), key=lambda place: (times[place], place), reverse=True)
    stay = {place for place in newest_first if times[place] > now} | set(newest_first[:1])
    past = [place for place in newest_first if times[place] <= now]
    for count, period in ((rule.daily, _day), (rule.weekly, _week), (rule.monthly, _month)):
        stay |= _newest_of_each(times, past, count, period, now)
    return frozenset(stay)


def _check(time: object) -> None:
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise BadArgument(f"{time!r} is not a time with a zone", hint="use datetime.now(UTC)")


Period = Callable[[datetime], tuple[int, ...]]


def _newest_of_each(
    times: Sequence[datetime], newest_first: Sequence[int], count: int, period: Period, now: datetime
) -> set[int]:
    first: dict[tuple[int, ...], int] = {}
    for place in newest_first:
        first.setdefault(period(times[place].astimezone(now.tzinfo)), place)
    return set(list(first.values())[:count])


def _day(time: datetime) -> tuple[int, ...]:
    return time.year, time.month, time.day


def _week(time: datetime) -> tuple[int, ...]:
    return tuple(time.isocalendar())[:2]


def _month(time: datetime) -> tuple[int, ...]:
    return time.year, time.month
