"""When an outage is over, as the other side says it: in headers, in a body, or in a sentence.

Read are `Retry-After` (seconds or an HTTP date, RFC 9110), `RateLimit-Reset` and `X-RateLimit-Reset*` (seconds, a Unix
time, or a duration such as `6m0s`), and sentences like "try again in 20 seconds", "resets at 3pm (Europe/Berlin)",
"limit reached|1795245600", "reset at 2026-11-21T05:00:00Z". A time that cannot be right (past, or more than
FARTHEST away) is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

FARTHEST = timedelta(days=31)

_HEADERS = (
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset-after",
    "ratelimit-reset",
    "x-ratelimit-reset",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-unified-reset",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
)
_UNIT_S = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60}
_UNIT_S |= {"h": 3600, "hr": 3600, "hour": 3600, "d": 86400, "day": 86400}
_UNIT = r"(?:ms|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:r|our)?s?|d(?:ays?)?)"
_PART = re.compile(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)\s?({_UNIT})(?![a-z])", re.IGNORECASE)
_LENGTH = rf"[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?\s?{_UNIT}(?![a-z])"
_SPAN = rf"{_LENGTH}(?:[\s,]{{0,2}}(?:and\s)?{_LENGTH})*"
_IN = re.compile(
    rf"(?:again|retry|reset(?:s|ting)?|available|wait|renew(?:s|ed)?)\s(?:\w{{1,12}}\s){{0,3}}?"
    rf"(?:in|after|for|of|within)?:?\s{{0,2}}(?:about\s|approximately\s|at\sleast\s)?({_SPAN})",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2}| UTC)?"
)
_EPOCH = re.compile(r"(?:reset\w*|\|)\W{0,4}(1[6-9][0-9]{8}|2[0-9]{9})(?![0-9])", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:reset(?:s)?|again|available)\s(?:\w{1,12}\s){0,2}?(?:at|after)\s([0-9]{1,2})(?::([0-9]{2}))?\s?([ap]\.?m\.?)?"
    r"(?:\s?\(?([A-Z][A-Za-z_]{1,20}/[A-Za-z_/+-]{1,30}|UTC|GMT)\)?)?",
    re.IGNORECASE,
)


def reset_time(text: str, headers: Mapping[str, Any], now: datetime) -> datetime | None:
    """The latest time that headers (names in lower case) or, without one, the text gives; aware, in UTC; or None.

    Never raises for what the other side wrote."""
    told = [moment for name in _HEADERS if (moment := _header(name, str(headers.get(name, "")), now)) is not None]
    if told:
        return max(told)
    for read in (_from_iso, _from_epoch, _from_span, _from_clock):
        moment = _sane(read(text, now), now)
        if moment is not None:
            return moment
    return None


def _header(name: str, value: str, now: datetime) -> datetime | None:
    value = value.strip()[:100]
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", value):
        number = float(value) / (1000 if name.endswith("-ms") else 1)
        if number > 10**11:
            number /= 1000  # a Unix time in milliseconds
        return _sane(_epoch(number) if number > 10**9 else now + timedelta(seconds=number), now)
    if _ISO.fullmatch(value):
        return _sane(_from_iso(value, now), now)
    if parts := _PART.findall(value):
        return _sane(now + _duration(parts), now)
    from email.utils import parsedate_to_datetime  # these two only when somebody is out: each costs milliseconds

    try:
        return _sane(parsedate_to_datetime(value), now)
    except ValueError:
        return None


def _sane(moment: datetime | None, now: datetime) -> datetime | None:
    if moment is None or not now <= moment <= now + FARTHEST:
        return None
    return moment.astimezone(UTC)


def _epoch(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds < 10**11 else None


def _duration(parts: list[tuple[str, str]]) -> timedelta:
    total = sum(float(number) * _unit_s(unit) for number, unit in parts)
    return timedelta(seconds=min(total, FARTHEST.total_seconds() * 2))


def _unit_s(unit: str) -> float:
    unit = unit.lower()
    return _UNIT_S[unit] if unit in _UNIT_S else _UNIT_S[unit.rstrip("s")]


def _from_iso(text: str, now: datetime) -> datetime | None:
    found = _ISO.search(text)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found.group().replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_epoch(text: str, now: datetime) -> datetime | None:
    found = _EPOCH.search(text)
    return _epoch(float(found.group(1))) if found else None


def _from_span(text: str, now: datetime) -> datetime | None:
    found = _IN.search(text)
    return now + _duration(_PART.findall(found.group(1))) if found else None


def _from_clock(text: str, now: datetime) -> datetime | None:
    """`3pm (Europe/Berlin)`: the next time that the clock there shows it; without a zone UTC."""
    found = _CLOCK.search(text)
    if found is None or (found.group(2) is None and found.group(3) is None):
        return None  # a bare number is too little to go by
    hour, minute = int(found.group(1)), int(found.group(2) or 0)
    half = (found.group(3) or "").lower().replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        there = now.astimezone(ZoneInfo(found.group(4) or "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    moment = there.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    return moment if moment > there else (moment.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=there.tzinfo)
