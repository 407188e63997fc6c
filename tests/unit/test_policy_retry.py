"""Trying again: what is tried again, when, how often, and when it is enough."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.policy.failure import Failure, classify
from daybreak.policy.retry import Again, Enough, GaveUp, Retry, RetryMisused, Tries

NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
QUICK = Retry(attempts=4, first_s=0, most_s=0)


class Answered(Exception):
    """As an HTTP library raises it."""

    def __init__(self, status: int, text: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text or str(status))
        self.status_code, self.headers = status, headers or {}


def failure(number: int = 0, kind: Any = "retryable", until: datetime | None = None) -> Failure:
    return Failure(kind, f"Timeout: {'abcdefghij'[number]}", until)


KINDS: list[tuple[BaseException, str]] = [
    (TimeoutError("slow"), "retryable"),
    (ConnectionResetError(errno.ECONNRESET, "reset by peer"), "retryable"),
    (OSError(errno.EIO, "disk"), "retryable"),
    (FileNotFoundError(2, "no", "x"), "permanent"),
    (PermissionError(13, "no", "x"), "permanent"),
    (ValueError("x"), "permanent"),
    (TypeError("x"), "permanent"),
    (Answered(400), "permanent"),
    (Answered(401), "permanent"),
    (Answered(403), "permanent"),
    (Answered(403, "rate limit, try again in 20s"), "outage"),
    (Answered(404), "permanent"),
    (Answered(408), "retryable"),
    (Answered(429), "outage"),
    (Answered(500), "retryable"),
    (Answered(503), "outage"),
    (Answered(529), "outage"),
    (RuntimeError("quota used up, resets at 5am (UTC)"), "outage"),
    (RuntimeError("who knows"), "retryable"),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=lambda value: str(value)[:30] or type(value).__name__)
def test_failures_are_told_apart(error: BaseException, kind: str) -> None:
    """Retryable, permanent, or an outage."""
    # shows: X7
    assert classify(error, NOW).kind == kind


def test_an_outage_is_waited_out_and_is_not_an_attempt() -> None:
    """Even with a single attempt allowed it goes on after the time that the provider named."""
    # shows: X7 N8
    until = NOW + timedelta(hours=3)
    again = Retry(attempts=1).decide(Tries(NOW), failure(kind="outage", until=until), NOW, lambda: 0.0)
    assert isinstance(again, Again)
    assert again.at == until
    assert again.tries.attempts == 0


def test_an_outage_that_lasts_too_long_is_given_up() -> None:
    """A reset in two days is not waited for by a rule that waits a day."""
    until = NOW + timedelta(days=2)
    assert isinstance(Retry().decide(Tries(NOW), failure(kind="outage", until=until), NOW, lambda: 0.0), Enough)


def test_what_is_permanent_is_not_tried_again() -> None:
    """One call, and the cause is kept."""
    calls = []

    def wrong() -> None:
        calls.append(1)
        raise ValueError("x")

    with pytest.raises(GaveUp, match="will not work the next time") as caught:
        QUICK.run(wrong)
    assert len(calls) == 1
    assert isinstance(caught.value.__cause__, ValueError)


def test_identical_failures_end_before_the_attempts_do() -> None:
    """Three times the same, numbers and addresses aside, is a loop that nothing will end."""
    # shows: X7
    calls = []

    def same() -> None:
        calls.append(1)
        raise RuntimeError(f"request {len(calls)} at 0x{len(calls):08x} took {len(calls)}.5 s")

    with pytest.raises(GaveUp, match="in the same way"):
        Retry(attempts=50, first_s=0, most_s=0, identical=3).run(same)
    assert len(calls) == 3


def test_what_is_known_to_pass_may_come_again_in_the_same_words() -> None:
    """An outage of a network is no loop: all attempts are used, in the end it works."""
    # shows: X7
    answers = iter([ConnectionError("no answer")] * 6)

    def fetch() -> str:
        for error in answers:
            raise error
        return "there"

    assert Retry(attempts=7, first_s=0, most_s=0, identical=2).run(fetch) == "there"


def test_adapted_arguments_are_no_repeat() -> None:
    """What changes its arguments between tries may fail alike until its attempts are used up, or it works."""
    # shows: X7
    seen = []

    def ask(*, tokens: int) -> int:
        seen.append(tokens)
        if tokens > 1000:
            raise RuntimeError("too much")
        return tokens

    rule = replace(
        Retry(attempts=10, first_s=0, most_s=0, identical=2),
        adapt=lambda arguments, _failure, _tries: {"tokens": arguments["tokens"] // 2},
    )
    assert rule.run(ask, tokens=8000) == 1000
    assert seen == [8000, 4000, 2000, 1000]


def test_it_works_the_third_time_also_for_async_functions() -> None:
    """The decorator serves both."""
    errors: Iterator[Exception] = iter([TimeoutError("a"), ConnectionError("b")])

    @QUICK
    async def fetch(value: int) -> int:
        for error in errors:
            raise error
        return value

    assert asyncio.run(fetch(7)) == 7


def test_an_interrupt_is_never_retried() -> None:
    """Ctrl-C ends it at once."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        QUICK.run(interrupted)


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True), st.floats(0.01, 100), st.floats(1, 10), st.floats(0, 500))
def test_the_wait_is_full_jitter_below_an_exponential_bound(
    attempts: int, drawn: float, first_s: float, factor: float, most_s: float
) -> None:
    """Between nothing and min(most, first x factor^(n-1)), wherever chance falls."""
    # shows: X7
    rule = Retry(attempts=1000, first_s=first_s, factor=factor, most_s=most_s, identical=1000)
    again = rule.decide(Tries(NOW, attempts=attempts - 1), failure(), NOW, lambda: drawn)
    assert isinstance(again, Again)
    bound = min(most_s, first_s * factor ** (attempts - 1))
    assert abs((again.at - NOW).total_seconds() - drawn * bound) < 1e-3


@given(st.lists(st.tuples(st.sampled_from(["retryable", "outage"]), st.integers(0, 9)), max_size=30), st.integers(1, 8))
def test_never_more_tries_than_allowed_whatever_happens(story: list[tuple[str, int]], attempts: int) -> None:
    """Outages aside, and never two decisions from one state that differ."""
    rule, tries, now, failed = Retry(attempts=attempts, outage_s=31 * 86_400), Tries(NOW), NOW, 0
    for kind, number in story:
        decision = rule.decide(tries, failure(number, kind), now, lambda: 0.5)
        assert decision == rule.decide(tries, failure(number, kind), now, lambda: 0.5)
        failed += kind == "retryable"
        assert failed <= attempts
        if isinstance(decision, Enough):
            return
        assert decision.at >= now
        tries, now = decision.tries, decision.at
    assert failed < attempts


def test_a_time_limit_holds_over_restarts() -> None:
    """The first try's time is kept with the tries."""
    began = NOW - timedelta(seconds=59)
    rule = Retry(within_s=60, first_s=10, identical=9)
    assert isinstance(rule.decide(Tries(began), failure(), NOW, lambda: 0.99), Enough)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"first_s": -1},
        {"factor": 0.5},
        {"identical": 1},
        {"within_s": -1},
        {"within_s": "x"},
        {"clock": ""},
        {"most_s": "x"},
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    """With the name of the value and its range."""
    with pytest.raises(RetryMisused, match=next(iter(wrong))):
        Retry(**wrong)
