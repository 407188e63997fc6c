"""When something may be told: quiet hours and digests, by the clock on the wall. Pure functions of times that come in.

Quiet hours are read off the clock of a zone, so that they begin and end at their local times whatever the clocks do in
that night: an end that is skipped is the first moment after the gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_SKEW = timedelta(minutes=1)
_GAP = timedelta(hours=25)
"""No quiet end is farther away."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a channel may be told something."""

    quiet: tuple[time, time] | None = None
    daily: time | None = None
    """The time of a digest of each day."""
    span: timedelta | None = None
    """A digest so long after the first that waits."""
    through: int = 3
    """So severe waits for nothing."""
    zone: ZoneInfo | None = None
    """None: this machine's."""

    @property
    def digests(self) -> bool:
        return self.daily is not None or self.span is not None


def rule(quiet: str, digest: str, through: int, zone: str) -> Rule:
    """From the texts of the settings, which have been checked there."""
    begin, _, end = quiet.partition("-")
    daily = span = None
    if digest.endswith("min"):
        span = timedelta(minutes=int(digest.removesuffix("min")))
    elif digest.endswith("h"):
        span = timedelta(hours=int(digest.removesuffix("h")))
    elif digest:
        daily = time.fromisoformat(digest)
    return Rule(
        quiet=(time.fromisoformat(begin), time.fromisoformat(end)) if quiet else None,
        daily=daily,
        span=span,
        through=through,
        zone=ZoneInfo(zone) if zone else None,
    )


def is_quiet(rule: Rule, now: datetime) -> bool:
    """Is it within the quiet hours?"""
    if rule.quiet is None:
        return False
    begin, end = rule.quiet
    shown = _local(rule, now).time()
    return begin <= shown < end if begin < end else shown >= begin or shown < end


def may_be_told(rule: Rule, at: datetime, now: datetime) -> datetime:
    """The moment from which on something that waits since `at`, and does not break through, may be told; not before
    `now`."""
    moment = at
    if at > now + _SKEW:  # stamped by a clock that was wrong: it says nothing about how long it has waited
        moment = now
    elif rule.span is not None:
        moment = at + rule.span
    elif rule.daily is not None:
        moment = _next(rule, rule.daily, at)
    return _quiet_end(rule, max(moment, now))


def _quiet_end(rule: Rule, moment: datetime) -> datetime:
    """The moment itself, or the end of the quiet hours that it lies in."""
    if rule.quiet is None or not is_quiet(rule, moment):
        return moment
    end = rule.quiet[1]
    day = _local(rule, moment).date()
    for found in sorted(_moment(rule, one, end, fold) for one in (day, day + _DAY) for fold in (0, 1)):
        if found <= moment:
            continue
        while is_quiet(rule, found) and found < moment + _GAP:  # the clock skips the end
            found += _MINUTE
        return found
    return moment + _GAP


def _next(rule: Rule, at: time, after: datetime) -> datetime:
    """The first time after a moment that the clock shows so."""
    day = _local(rule, after).date()
    return next(found for days in range(3) if (found := _moment(rule, day + days * _DAY, at, 0)) > after)


def _local(rule: Rule, moment: datetime) -> datetime:
    return moment.astimezone(rule.zone)


def _moment(rule: Rule, day: date, at: time, fold: int) -> datetime:
    """In UTC."""
    return datetime.combine(day, at, tzinfo=rule.zone).replace(fold=fold).astimezone(UTC)
