"""Breakers: what fails again and again is left alone, then tried with care."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daybreak.policy.breaker import Breaker, BreakerMisused, BreakerOpen, BreakerRule, Circuit, MemoryCircuits
from daybreak.policy.failure import Failure
from daybreak.testing.clock import FakeClock

NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


def broken() -> None:
    raise ConnectionError("down")


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(broken)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_failures_open_it_and_a_probe_that_works_closes_it(clock: FakeClock) -> None:
    """Closed, open, half-open, closed; while open nothing is called."""
    breaker = Breaker("shop", BreakerRule(failures=3, open_s=30), clock=clock)
    fail(breaker, 3)
    called: list[int] = []
    with pytest.raises(BreakerOpen, match="down") as refused:
        breaker.call(called.append, 1)
    assert refused.value.until == clock.now() + timedelta(seconds=30)
    clock.advance(30)
    breaker.call(called.append, 2)
    assert called == [2]
    assert breaker.circuit == Circuit()


def test_a_probe_that_fails_opens_it_for_longer(clock: FakeClock) -> None:
    """30 s, then 60, then 120, and never beyond the longest."""
    breaker = Breaker("shop", BreakerRule(failures=1, open_s=30, most_s=100), clock=clock)
    for length in (30, 60, 100, 100):
        fail(breaker)
        assert breaker.circuit.until == clock.now() + timedelta(seconds=length)
        clock.advance(length)


def test_only_failures_close_together_count(clock: FakeClock) -> None:
    """Five in a night are no reason."""
    breaker = Breaker("shop", BreakerRule(failures=2, within_s=60), clock=clock)
    for _ in range(5):
        fail(breaker)
        clock.advance(61)
    assert breaker.circuit.state == "closed"


def test_an_answer_that_something_is_wrong_does_not_count(clock: FakeClock) -> None:
    """404 says that the other side works."""
    breaker = Breaker("shop", BreakerRule(failures=1), clock=clock)
    with pytest.raises(ValueError, match="no such"), breaker:
        raise ValueError("no such listing")
    assert breaker.circuit.state == "closed"


def test_an_outage_with_a_time_opens_it_at_once_until_then(clock: FakeClock) -> None:
    """A quota that resets at five is not asked before five."""
    # shows: N8 X7
    breaker = Breaker("model", clock=clock)
    with pytest.raises(RuntimeError), breaker:
        raise RuntimeError("usage limit: try again in 3 hours")
    assert breaker.circuit.until == clock.now() + timedelta(hours=3)


def test_one_probe_passes_at_a_time_and_a_lost_one_is_replaced(clock: FakeClock) -> None:
    """The process of a probe may die without a word; its place is free again after a while."""
    breaker = Breaker("shop", BreakerRule(failures=1, open_s=30, probe_s=100), clock=clock)
    fail(breaker)
    clock.advance(30)
    breaker.passed()
    with pytest.raises(BreakerOpen):
        breaker.passed()
    clock.advance(100)
    breaker.ended(breaker.passed(), None)
    assert breaker.circuit.state == "closed"


def test_a_cancelled_probe_says_nothing(clock: FakeClock) -> None:
    """Ctrl-C neither closes nor opens it, and the next one may try."""
    breaker = Breaker("shop", BreakerRule(failures=1, open_s=30), clock=clock)
    fail(breaker)
    clock.advance(30)
    with pytest.raises(KeyboardInterrupt), breaker:
        raise KeyboardInterrupt
    assert breaker.circuit.state == "half_open"
    breaker.call(int)
    assert breaker.circuit.state == "closed"


def test_a_call_from_before_it_opened_decides_nothing(clock: FakeClock) -> None:
    """A slow success of yesterday does not close what is broken now."""
    breaker = Breaker("shop", BreakerRule(failures=1, open_s=30), clock=clock)
    early = breaker.passed()
    clock.advance(1)
    fail(breaker)
    breaker.ended(early, None)
    assert breaker.circuit.state == "open"


def test_many_threads_share_one_breaker(clock: FakeClock) -> None:
    """Of eight at once exactly one is the probe."""
    circuits = MemoryCircuits()
    rule_ = BreakerRule(failures=1, open_s=30)
    fail(Breaker("shop", rule_, circuits, clock=clock))
    clock.advance(30)
    passed: list[datetime] = []
    together = threading.Barrier(8)

    def attempt() -> None:
        together.wait()
        try:
            passed.append(Breaker("shop", rule_, circuits, clock=clock).passed())
        except BreakerOpen:
            return

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": -1}, {"factor": 0}, {"probes": 0}, {"probe_s": "x"}])
def test_a_rule_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    """With the name of the value and its range."""
    with pytest.raises(BreakerMisused, match=next(iter(wrong))):
        BreakerRule(**wrong)


class AnyStory(RuleBasedStateMachine):
    """Calls begin and end in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = BreakerRule(failures=2, within_s=20, open_s=10, most_s=40, probes=2, probe_s=50)
        self.circuit, self.now = Circuit(), NOW
        self.under_way: list[datetime] = []
        self.quiet_since: datetime | None = None

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def call(self) -> None:
        self.now += timedelta(microseconds=1)
        before = self.circuit
        self.circuit, until = self.rule.ask(self.circuit, self.now)
        if until is None:
            self.under_way.append(self.now)
            assert before.until is None or self.now >= before.until, "called while it was open"
        else:
            assert until > self.now
            assert before.state != "closed"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), how=st.sampled_from(["well", "badly", "outage", "cancelled"]))
    def end(self, data: Any, how: str) -> None:
        began = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(began)
        if how == "well":
            self.circuit = self.rule.succeeded(self.circuit, began)
        elif how == "cancelled":
            self.circuit = self.rule.abandoned(self.circuit, began)
        else:
            until = self.now + timedelta(seconds=30) if how == "outage" else None
            failure = Failure("outage" if until else "retryable", "x", until)
            self.circuit = self.rule.failed(self.circuit, failure, began, self.now)

    @invariant()
    def it_is_in_order(self) -> None:
        circuit = self.circuit
        assert len(circuit.failures) < self.rule.failures
        assert len(circuit.probes) <= self.rule.probes
        assert (circuit.state == "closed") == (circuit.openings == 0)
        assert circuit.state != "open" or not circuit.probes

    @invariant()
    def it_never_stays_shut_for_ever(self) -> None:
        later = self.now + timedelta(seconds=100)
        assert self.rule.ask(self.circuit, later)[1] is None


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=40, deadline=None)


@pytest.mark.chaos
class TestAnyStoryAtLength(AnyStory.TestCase):
    settings = settings(max_examples=500, deadline=None)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": []}, {"name": "x" * 4096}, {"name": "x", "rule": "y"}])
def test_a_breaker_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """In few words, however long what was given."""
    with pytest.raises(BreakerMisused) as refused:
        Breaker(**wrong)
    assert len(str(refused.value)) < 200
