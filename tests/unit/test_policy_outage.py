"""When an outage is over, as headers and sentences of the other side say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.policy.outage import FARTHEST, reset_time

NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
EPOCH = int(NOW.timestamp())

HEADERS = [
    ("retry-after", "30", 30),
    ("retry-after", "Sat, 21 Nov 2026 04:31:00 GMT", 60),
    ("retry-after-ms", "1500", 1.5),
    ("x-ratelimit-reset", str(EPOCH + 90), 90),
    ("x-ratelimit-reset", str((EPOCH + 90) * 1000), 90),
    ("x-ratelimit-reset-tokens", "6m0s", 360),
    ("x-ratelimit-reset-requests", "120ms", 0.12),
    ("anthropic-ratelimit-requests-reset", "2026-11-21T05:00:00Z", 1800),
    ("ratelimit-reset", "0", 0),
]
SENTENCES = [
    ("Rate limit reached. Please try again in 20s.", 20),
    ("Please try again in 1h2m3.5s", 3723.5),
    ("retry after 30 seconds", 30),
    ("Your quota will reset after 2 hours and 5 minutes", 7500),
    ("You may retry in about 3 days", 3 * 86_400),
    ("Claude AI usage limit reached|" + str(EPOCH + 600), 600),
    ("limit will reset at 2026-11-21T05:00:00Z", 1800),
    ("reset at 2026-11-21 06:00 UTC, sorry", 5400),
    ("Your limit resets at 7am (Europe/Berlin)", 5400),
    ("resets at 3:15 p.m. (America/New_York)", 15 * 3600 + 45 * 60),
    ("usage limit, try again at 04:00", 23.5 * 3600),
]
NOTHING = [
    "connection reset by peer",
    "retry",
    "it took 30 s",
    "try again",
    "resets at 25:00",
    "resets at 13 pm",
    "resets at 3pm (Mars/Olympus)",
    "resets at 3",
    "please try again in 90 days",
    "reset at 2020-01-01T00:00:00Z",
    "reset at 2026-13-41T99:00:00Z",
    "try again in 99999999999999 s",
    "try again in ２０s",
    "resets at ٣pm (UTC)",
    "limit reached|" + str(EPOCH + 600).translate({ord(str(n)): 0x0660 + n for n in range(10)}),
    "reset at ２０２６-11-21T05:00:00Z",
]


@pytest.mark.parametrize("value", ["３０", "６m", "２０２６-11-21T05:00:00Z", "²"])
def test_digits_of_other_scripts_are_no_time(value: str) -> None:
    """No server means them so; a header that cannot be read is none."""
    assert reset_time("", {"retry-after": value}, NOW) is None


@pytest.mark.parametrize(("name", "value", "seconds"), HEADERS)
def test_a_header_says_when(name: str, value: str, seconds: float) -> None:
    """Seconds, milliseconds, dates, durations and Unix times, whatever the header's fashion."""
    # shows: X7
    assert reset_time("", {name: value}, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "seconds"), SENTENCES)
def test_a_sentence_says_when(text: str, seconds: float) -> None:
    """As providers really word it; a time of day is the next one there."""
    # shows: X7
    assert reset_time(text, {}, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_no_time_is_none(text: str) -> None:
    """Past, far away, impossible, or no time at all."""
    assert reset_time(text, {}, NOW) is None


def test_of_several_headers_the_latest_counts() -> None:
    """Going on when only the first of two limits is over would hit the second."""
    told = {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}
    assert reset_time("try again in 2s", told, NOW) == NOW + timedelta(minutes=6)


@given(st.text(max_size=300), st.text(max_size=60))
def test_whatever_the_other_side_writes_nothing_is_raised(text: str, value: str) -> None:
    """The answer is None, or lies between now and a month away."""
    found = reset_time(text, {"retry-after": value, "x-ratelimit-reset": value}, NOW)
    assert found is None or NOW <= found <= NOW + FARTHEST
