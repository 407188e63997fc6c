"""A moment as people say it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from daybreak.errors import UsageError, cut

_AHEAD = re.compile(r"([0-9]{1,5})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class MomentWrong(UsageError):
    """A time that nobody can read."""

    code = "U165"


def moment_of(text: str, now: datetime) -> datetime:
    """`2026-11-22T07:00Z`, `07:00` (the next time that the clock on the wall shows that), `+90m`, `now`.

    A date without an offset is local time. Raises MomentWrong."""
    told = text.strip()
    try:
        if told == "now":
            return now
        if found := _AHEAD.fullmatch(told.removeprefix("+")):
            return now + timedelta(seconds=int(found[1]) * _UNIT_S[found[2]])
        if found := _CLOCK.fullmatch(told):
            return _next_on_the_wall(int(found[1]), int(found[2]), now)
        return datetime.fromisoformat(told).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise MomentWrong(
            f"{cut(text)} is no time", hint="write 2026-11-22T07:00Z, 07:00, +90m (s, m, h, d) or now"
        ) from error


def past_moment(text: str, now: datetime) -> datetime:
    """The same of what was: `22:00` is the last time that the clock on the wall showed that, `12h` and `-12h` are so
    long ago. Raises MomentWrong, also for a time to come."""
    told = text.strip()
    if found := _AHEAD.fullmatch(told.removeprefix("-")):
        moment = now - timedelta(seconds=int(found[1]) * _UNIT_S[found[2]])
    elif found := _CLOCK.fullmatch(told):
        moment = moment_of(told, now)
        while moment > now:
            moment = moment_of(told, moment - timedelta(hours=49))
    else:
        moment = moment_of(text, now)
    if moment > now:
        raise MomentWrong(f"{cut(text)} is still to come", hint="write 22:00, -12h or 2026-11-22T22:00Z")
    return moment


def _next_on_the_wall(hour: int, minute: int, now: datetime) -> datetime:
    wall = now.astimezone()
    for day in range(2):
        naive = wall.replace(hour=hour, minute=minute, second=0, microsecond=0, tzinfo=None) + timedelta(days=day)
        if (moment := naive.astimezone(UTC)) > now:
            return moment
    raise ValueError("no such time within two days")
