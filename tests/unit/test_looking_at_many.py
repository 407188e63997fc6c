"""A coordinator with many runs under way: a look at the queue costs what may be picked, not what is being done."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from daybreak.engine import VIEWS, Placement, Queue
from daybreak.engine.aside import Aside
from daybreak.events import LeaseGranted, RunMoved, run_stream
from daybreak.ledger import Draft
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger


class Counted:
    """A ledger that counts what is handed to its questions."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.asked_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.asked_bytes += sum(len(one) for one in params if isinstance(one, str))
        return self._ledger.query(sql, params)


def queue_with(number: int) -> tuple[MemoryLedger, FakeClock, list[str], str, str]:
    """So many runs under way in project a, and one more in each of two projects."""
    clock, chance = FakeClock(), Random(1)
    ledger = MemoryLedger(clock=clock, views=VIEWS, entropy=chance.randbytes)
    queue = Queue(ledger, clock, chance.randbytes)
    runs = [queue.add("kind", f"{at}", {}, Placement(project="a")).run for at in range(number)]
    for run in runs:
        granted = LeaseGranted(run=run, owner="o", host="h", pid=1)
        begun = RunMoved(run=run, old="queued", new="running")
        ledger.append([Draft(run_stream(run), event, epoch=1) for event in (granted, begun)])
    more, other = (queue.add("kind", name, {}, Placement(project=name)).run for name in ("a", "b"))
    return ledger, clock, runs, more, other


def test_a_look_asks_nothing_about_runs_whose_lease_is_known() -> None:
    """With a thousand workers each look asked for a thousand rows, which was more work than the task itself."""
    asked = []
    for number in (3, 60):
        ledger, clock, runs, *waiting = queue_with(number)
        counted = Counted(ledger)
        queue = Queue(counted, clock, Random(2).randbytes, leased=set(runs))
        found = [pick.run for pick in queue.next(clock.now(), taken=runs, most=2)]
        assert sorted(found) == sorted(waiting)
        asked.append(counted.asked_bytes)
    assert asked[0] == asked[1]


def test_what_is_known_to_be_leased_is_picked_around_as_before() -> None:
    ledger, clock, runs, more, other = queue_with(5)
    asked = Queue(ledger, clock, Random(2).randbytes).next(clock.now(), taken=runs, most=2)
    known = Queue(ledger, clock, Random(2).randbytes, leased=set(runs)).next(clock.now(), taken=runs, most=2)
    assert asked == known
    fresh = Queue(ledger, clock, Random(2).randbytes, leased=set(runs))
    assert [pick.run for pick in fresh.next(clock.now(), taken=[*runs, other], most=2)] == [more]


def test_what_was_left_aside_once_costs_nothing_later_and_still_counts() -> None:
    """Coordinators that reach for the same tasks leave thousands aside for a moment."""
    clock = FakeClock()
    aside = Aside(clock)
    for number in range(500):
        assert aside.put(f"run-{number}", most_s=60.0) == 1.0
    assert len(aside.runs()) == len(list(aside.moments_s())) == 500
    clock.advance(1.0)
    assert (aside.runs(), list(aside.moments_s()), aside.pending()) == (set(), [], False)
    assert aside._ends == []
    assert aside.put("run-7", most_s=60.0) == 2.0, "the second time in a row is twice as long"
    assert aside.runs() == {"run-7"}
    aside.came_back("run-7", after_s=5.0)
    assert (aside.runs(), aside.pending()) == (set(), False)
    assert aside.put("run-7", most_s=60.0) == 1.0
    clock.advance(1.0)
    assert aside.runs() == set()


def test_a_run_put_aside_for_longer_stays_until_the_later_moment() -> None:
    clock = FakeClock()
    aside = Aside(clock)
    aside.put("run-1", most_s=60.0)
    clock.advance(0.5)
    aside.put("run-1", most_s=60.0)
    clock.advance(1.0)
    assert aside.runs() == {"run-1"}
    clock.advance(1.0)
    assert aside.runs() == set()
