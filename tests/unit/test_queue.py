"""The queue: what goes in, what may begin, in which order, and what people do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.engine import picking
from daybreak.engine.placement import Rate
from daybreak.engine.queue import (
    NamedTask,
    NeedsCircle,
    NotInQueue,
    Placement,
    PlacementWrong,
    Queue,
    WordTaken,
)
from daybreak.engine.view import RUNS, TURN_MS
from daybreak.errors import DaybreakError, DraftRefused, NotPlain, UnknownRun
from daybreak.events import (
    QUEUE,
    Answered,
    CancelAsked,
    Event,
    LeaseGranted,
    ResumeAsked,
    RunHeld,
    RunMoved,
    Signalled,
    State,
    TaskAdded,
    control_stream,
    run_stream,
)
from daybreak.ledger import Draft, Ledger, Record, Statement, View
from daybreak.policy.budget import Limit
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger


class Bench:
    """A queue on a ledger, and somebody who leases."""

    def __init__(self, ledger: Any = None, clock: FakeClock | None = None, seed: int = 0) -> None:
        self.clock = clock or FakeClock()
        self.ledger = ledger or MemoryLedger(clock=self.clock, views=[RUNS], entropy=Random(seed).randbytes)
        self.queue = Queue(self.ledger, self.clock, Random(seed + 1).randbytes)

    def add(self, title: str = "task", **placement: Any) -> str:
        return self.queue.add("kind", title, {}, Placement(**placement)).run

    def later(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    def next(self, most: int = 1, **options: Any) -> list[str]:
        return [pick.run for pick in self.queue.next(self.clock.now(), most=most, **options)]

    def one(self) -> picking.Pick:
        (pick,) = self.queue.next(self.clock.now())
        return pick

    def write(self, run: str, *events: Event, lease: bool = False) -> None:
        epoch = self.ledger.epoch(run_stream(run)) + lease
        self.ledger.append([Draft(run_stream(run), event, epoch=epoch) for event in events])

    def lease(self, run: str, night: str = "") -> None:
        old = self.state(run)
        granted = LeaseGranted(run=run, owner="me", host="here", pid=1, night=night)
        moves = (RunMoved(run=run, old=old, new="leased"), RunMoved(run=run, old="leased", new="running"))
        self.write(run, granted, *moves, lease=True)

    def state(self, run: str) -> State:
        ((state,),) = self.ledger.query("SELECT state FROM view_runs WHERE run = ?", (run,))
        return state  # type: ignore[no-any-return]

    def move(self, run: str, new: State, **details: Any) -> None:
        self.write(run, RunMoved(run=run, old=self.state(run), new=new, **details))

    def do(self, run: str, seconds: float = 0, end: State = "done", **details: Any) -> None:
        """All of a run."""
        self.lease(run)
        self.clock.advance(seconds)
        self.move(run, end, **details)

    def tell(self, event: Any) -> None:
        self.ledger.append([Draft(control_stream(event.run), event)])

    def wake(self) -> float | None:
        """Seconds from now."""
        wake = self.queue.wake_at(self.clock.now())
        return None if wake is None else (wake - self.clock.now()).total_seconds()

    def row(self, run: str) -> Any:
        return next(row for row in self.queue.listing(self.clock.now()) if row.run == run)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Bench]:
    """On a ledger with a disk."""
    clock = FakeClock()
    with open_ledger(tmp_path, clock) as ledger:
        yield Bench(ledger, clock)


def open_ledger(root: Path, clock: FakeClock, views: Any = (RUNS,)) -> Ledger:
    return Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=clock, views=views)


# -- placement


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "x" * 201),
        ("project", "a\nb"),
        ("project", 7),
        ("priority", 1001),
        ("priority", True),
        ("priority", 1.5),
        ("after", "run-1"),
        ("after", [""]),
        ("after", [None]),
        ("after", ["run"] * 10_001),
        ("not_before", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the point
        ("not_before", "07:00"),
        ("deadline", datetime(1, 1, 1, tzinfo=UTC)),
        ("deadline", datetime(9999, 1, 1, tzinfo=UTC)),
        ("keys", {"shop": 0}),
        ("keys", {"shop": True}),
        ("keys", {"": 1}),
        ("keys", ["shop"]),
        ("keys", {str(number): 1 for number in range(33)}),
        ("rates", {"mails": "often"}),
        ("rates", {"mails": 30}),
        ("dedupe", "\0"),
        ("budget", {"money_microusd": 1}),
        ("window", "2026-01-01"),
    ],
)
def test_a_placement_that_cannot_be_is_refused_by_name(field: str, value: Any) -> None:
    """The error names the field, is short, and says what would do."""
    # shows: N16
    with pytest.raises(PlacementWrong) as caught:
        Placement(**{field: value})
    assert caught.value.hint
    assert len(caught.value.message) < 200


def test_a_deadline_before_the_beginning_is_refused() -> None:
    """Such a task could never begin in time."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(PlacementWrong, match="deadline"):
        Placement(not_before=moment, deadline=moment)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5/s", Rate(5, 1)), ("10 / min", Rate(10, 60)), ("30/hour", Rate(30, 3600)), ("100/DAY", Rate(100, 86_400))],
)
def test_a_rate_is_a_number_and_a_unit(text: str, rate: Rate) -> None:
    """In the words that people use."""
    assert Rate.of(text) == rate


@pytest.mark.parametrize(
    "text", ["", "0/s", "5", "/s", "5/fortnight", "-1/s", "1e3/s", "９/s", "9999999/s", None, "5/s" * 99]
)
def test_what_is_no_rate_is_refused(text: Any) -> None:
    """And the message is short, however long the text."""
    with pytest.raises(PlacementWrong) as caught:
        Rate.of(text)
    assert len(caught.value.message) < 120


def test_a_placement_survives_the_ledger(bench: Bench) -> None:
    """What was asked for is in the event and in the view."""
    run = bench.add(project="p", priority=3, keys={"k": 2}, rates={"r": "5/s"}, budget=Limit(tokens=9), dedupe="d")
    (added,) = [record.event for record in bench.ledger.read(QUEUE)]
    assert isinstance(added, TaskAdded)
    assert (added.run, added.project, added.priority, added.keys) == (run, "p", 3, {"k": 2})
    assert (added.rates, added.budget, added.dedupe) == ({"r": "5/s"}, {"tokens": 9}, "d")
    found = bench.ledger.query("SELECT project, priority, keyed, rated, budget FROM view_runs")
    assert found == [("p", 3, '{"k":2}', '{"r":"5/s"}', '{"tokens":9}')]


def test_arguments_that_are_no_json_are_refused_before_anything_is_recorded(bench: Bench) -> None:
    """NotPlain, and the ledger is as it was."""
    with pytest.raises(NotPlain):
        bench.queue.add("kind", "task", {"now": object()})
    assert not list(bench.ledger.read(QUEUE))


@pytest.mark.parametrize(
    ("kind", "title", "args"),
    [
        ("", "t", {}),
        ("kind", "", {}),
        (None, "t", {}),
        ("kind", "t" * 5000, {}),
        ("kind", "\udcff", {}),
        ("kind", "t", []),
    ],
)
def test_a_task_that_cannot_be_written_is_refused_in_words(bench: Bench, kind: Any, title: Any, args: Any) -> None:
    """Before anything is recorded."""
    with pytest.raises(DaybreakError) as caught:
        bench.queue.add(kind, title, args)
    assert len(caught.value.message) < 200
    assert not list(bench.ledger.read(QUEUE))


def test_names_that_no_run_can_have_are_unknown(bench: Bench) -> None:
    """Whatever is in them."""
    for name in ("\udcff", "\0", "", "x" * 10_000, None):
        with pytest.raises(UnknownRun) as caught:
            bench.queue.cancel(name)  # type: ignore[arg-type] # that is the point
        assert len(caught.value.message) < 200


# -- order


def test_priority_then_deadline_then_age(bench: Bench) -> None:
    """Within one project; no deadline is the furthest."""
    # shows: N16
    old, new = bench.add(), bench.add()
    far = bench.add(deadline=bench.later(900))
    near = bench.add(deadline=bench.later(300))
    high = bench.add(priority=1)
    low = bench.add(priority=-1, deadline=bench.later(10))
    assert bench.next(9) == [high, near, far, old, new, low]


def test_tasks_of_one_moment_keep_their_order(bench: Bench) -> None:
    """Ids of one millisecond are random; the place in the ledger decides."""
    added = [bench.add() for _ in range(20)]
    assert bench.next(20) == added


def test_what_is_taken_is_not_given_again(bench: Bench) -> None:
    """So that one process can pick for many workers."""
    first, second = bench.add(), bench.add()
    assert bench.next(taken=[first]) == [second]
    bench.lease(first)
    assert bench.next(9) == [second]


def test_somebody_moves_a_task(bench: Bench) -> None:
    """Fields that are not named stay."""
    # shows: N16
    first, second = bench.add(priority=1), bench.add()
    bench.queue.move(second, priority=2)
    assert bench.next(2) == [second, first]
    bench.queue.move(second, not_before=bench.later(60))
    assert bench.next(2) == [first]
    assert bench.row(second).priority == 2
    bench.queue.move(first, priority=0, deadline=bench.later(99))
    bench.queue.move(first, no_deadline=True)
    assert (bench.row(first).priority, bench.row(first).deadline) == (0, "")


# -- fairness


def test_projects_take_turns_however_much_one_has(bench: Bench) -> None:
    """A project that adds a hundred tasks does not hold up one that adds two."""
    # shows: N16
    for _ in range(100):
        bench.add(project="flood")
    small = [bench.add(project="small") for _ in range(2)]
    assert set(small) <= set(bench.next(4))


def test_what_is_picked_but_not_leased_yet_weighs(bench: Bench) -> None:
    """Or one look after the other would give one project all the workers."""
    first, second = bench.add(project="a", priority=2), bench.add(project="a", priority=2)
    other = bench.add(project="b")
    assert bench.next(2, taken=[first]) == [other, second]


def test_the_share_is_of_time_not_of_tasks(bench: Bench) -> None:
    """One worker; tasks of one project take ten times as long, and both projects get about the same time."""
    # shows: N16
    lengths = {"long": 100.0, "short": 10.0}
    for project, seconds in lengths.items():
        for _ in range(round(4_000 / seconds)):
            bench.add(project=project)
    worked: Counter[str] = Counter()
    for _ in range(110):
        pick = bench.one()
        bench.do(pick.run, lengths[pick.project])
        worked[pick.project] += round(lengths[pick.project])
    assert abs(worked["long"] - worked["short"]) <= 200


def test_a_project_gets_no_credit_for_time_without_work(bench: Bench) -> None:
    """One that was away while another worked for hours shares from now on; it does not get the hours after."""
    for _ in range(20):
        bench.add(project="busy")
    for _ in range(10):
        bench.do(bench.next()[0], 600)
    for _ in range(10):
        bench.add(project="new")
    order = [bench.one().project]
    for _ in range(7):
        bench.do(bench.next()[0], 600)
        order.append(bench.one().project)
    assert Counter(order) == {"new": 4, "busy": 4} or Counter(order) == {"new": 5, "busy": 3}


def test_a_machine_that_slept_does_not_cost_a_project_its_night(bench: Bench) -> None:
    """One lease costs an hour at most."""
    bench.add(project="slept")
    bench.add(project="slept")
    bench.do(bench.next()[0], 20 * 3600)
    for _ in range(20):
        bench.add(project="other")
    worked = 0
    while bench.one().project == "other":
        bench.do(bench.next()[0], 600)
        worked += 1
    assert worked <= 7


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), workers=st.integers(1, 3))
def test_nobody_starves(seed: int, workers: int) -> None:
    """Whatever the others add, and however long their tasks are: a run that may begin does so after a bounded number
    of others, which does not depend on how many wait."""
    # shows: N16
    random, bench = Random(seed), Bench(seed=seed)
    patient = bench.add(project="patient")
    others = ["a", "b", "c"]
    begun = 0
    under_way: list[str] = []
    while True:
        for _ in range(3):
            bench.add(project=random.choice(others), priority=random.choice([0, 1000]))
        (run,) = bench.next(taken=under_way)
        if run == patient:
            break
        bench.lease(run)
        under_way.append(run)
        begun += 1
        bench.clock.advance(random.choice([0.1, 1, 500]))
        if len(under_way) == workers:
            bench.move(under_way.pop(0), "done")
        assert begun <= len(others), "its start is at nothing, so each other project begins once at most"


# -- time


def test_a_task_is_not_given_before_its_time(bench: Bench) -> None:
    """And `wake_at` says when."""
    # shows: N16
    run = bench.add(not_before=bench.later(60))
    assert (bench.next(), bench.wake()) == ([], 60.0)
    bench.clock.advance(59.999999)
    assert bench.next() == []
    bench.clock.advance(0.000001)
    assert (bench.next(), bench.wake()) == ([run], None)


def test_better_ones_that_have_just_come_due_go_first(bench: Bench) -> None:
    """Between its moment and the next lease a task stands among the others by rank."""
    plain = bench.add()
    better = bench.add(priority=5, not_before=bench.later(60))
    worse = bench.add(priority=-5, not_before=bench.later(50))
    bench.clock.advance(60)
    assert bench.next(9) == [better, plain, worse]
    bench.lease(plain)
    assert bench.next(9) == [better, worse]


def test_what_has_come_due_stays_so(bench: Bench) -> None:
    """Though the clock be set back: a task does not vanish again."""
    # shows: N16
    run = bench.add(not_before=bench.later(60))
    other = bench.add()
    bench.clock.advance(60)
    bench.lease(other)
    bench.clock.start -= timedelta(hours=5)
    assert bench.next() == [run]


def test_a_run_that_waits_goes_on_at_its_time(bench: Bench) -> None:
    """It needs no worker until then."""
    # shows: N5
    run = bench.add()
    bench.do(run, end="waiting", until="2026-03-01T22:10:00.000000Z", why="the quota resets")
    assert (bench.next(), bench.wake()) == ([], 600.0)
    assert "quota" in bench.row(run).why
    bench.clock.advance(600)
    assert bench.one().state == "waiting"


def test_a_deadline_that_passed_before_the_beginning_is_told(bench: Bench) -> None:
    """Even of a run that waits for another, for its time, or for a key: a person must know."""
    # shows: N16
    holder = bench.add(keys={"k": 1})
    bench.lease(holder)
    deadline = bench.later(100)
    late = {
        bench.add(deadline=deadline, after=(holder,)),
        bench.add(deadline=deadline, keys={"k": 1}),
        bench.add(deadline=deadline, priority=-3),
    }
    assert bench.wake() == 100.0
    bench.clock.advance(100)
    picks = bench.queue.next(bench.clock.now(), most=9)
    assert {pick.run for pick in picks} == late
    assert all(pick.late for pick in picks)
    assert "deadline" in bench.row(picks[0].run).why


def test_a_deadline_means_nothing_to_a_run_that_has_begun(bench: Bench) -> None:
    """It is about the beginning."""
    run = bench.add(deadline=bench.later(10))
    bench.do(run, end="paused")
    bench.clock.advance(60)
    assert not bench.one().late
    bench.do(run, end="failed")
    bench.move(run, "queued", why="rolled back")
    assert (bench.one().run, bench.one().late, bench.wake()) == (run, False, None)


# -- keys and rates


def test_a_key_lets_only_so_many_begin(bench: Bench) -> None:
    """Runs under way and those that were just picked count; waiting ones do not."""
    # shows: N16
    first, second, third = (bench.add(keys={"shop": 2}) for _ in range(3))
    free = bench.add()
    assert bench.next(9) == [first, second, free]
    bench.lease(first)
    assert bench.next(9, taken=[second]) == [free]
    bench.move(first, "waiting", until="2026-03-02T00:00:00.000000Z")
    assert bench.next(9) == [second, third, free]


def test_a_waiting_run_needs_its_key_again(bench: Bench) -> None:
    """Somebody else may have it by then."""
    first, second = bench.add(keys={"shop": 1}), bench.add(keys={"shop": 1})
    bench.do(first, end="waiting", until="2026-03-01T22:00:01.000000Z")
    bench.lease(second)
    bench.clock.advance(5)
    assert bench.next() == []
    assert f"key shop is held by {second}" in bench.row(first).why
    bench.move(second, "done")
    assert bench.next() == [first]


def test_each_run_obeys_its_own_limit_of_a_shared_key(bench: Bench) -> None:
    """Limits may differ; the count is one."""
    wide, narrow = bench.add(keys={"shop": 5}), bench.add(keys={"shop": 1}, priority=-1)
    bench.lease(wide)
    assert bench.next() == []
    bench.move(wide, "done")
    assert bench.next() == [narrow]


def test_a_full_key_does_not_hold_up_those_behind(bench: Bench) -> None:
    """However many runs wait for it."""
    bench.lease(bench.add(keys={"shop": 1}))
    for _ in range(700):
        bench.add(keys={"shop": 1}, priority=1)
    free = bench.add()
    assert bench.next(2) == [free]


def test_a_rate_counts_beginnings_within_any_stretch(bench: Bench) -> None:
    """Not calendar hours: at no time have more begun within the last hour."""
    # shows: N16
    runs = [bench.add(rates={"mails": "2/hour"}) for _ in range(4)]
    bench.do(runs[0])
    bench.clock.advance(1800)
    bench.do(runs[1])
    assert (bench.next(), bench.wake()) == ([], 1800.0)
    assert "2/hour" in bench.row(runs[2]).why
    bench.clock.advance(1800)
    assert bench.next(9) == [runs[2]]
    bench.do(runs[2])
    assert (bench.next(), bench.wake()) == ([], 1800.0)


def test_going_on_is_no_beginning(bench: Bench) -> None:
    """A run that has begun is not held back by its rate, and does not use it up."""
    first, second = bench.add(rates={"mails": "2/h"}), bench.add(rates={"mails": "2/h"})
    for _ in range(3):
        bench.do(first, end="paused")
    assert bench.next(9) == [first, second]


def test_picks_of_one_look_count_for_each_other(bench: Bench) -> None:
    """Or one look would pass a rate and a key."""
    runs = [bench.add(rates={"mails": "2/h"}, keys={"k": 3}) for _ in range(5)]
    assert bench.next(9) == runs[:2]
    assert bench.next(9, taken=runs[:1]) == runs[1:2]


# -- needs


def test_a_run_waits_for_those_that_it_needs(bench: Bench) -> None:
    """All of them."""
    # shows: N16
    one, two = bench.add(), bench.add()
    last = bench.add(after=(one, two))
    assert bench.next(9) == [one, two]
    assert bench.row(last).why == f"needs {', '.join(sorted([one, two]))}"
    bench.do(one)
    assert bench.next(9) == [two]
    bench.do(two)
    assert bench.one() == picking.Pick(last, "kind", "task", "", "queued")


def test_a_run_may_need_one_that_is_over(bench: Bench) -> None:
    """Then it does not wait."""
    one = bench.add()
    bench.do(one)
    last = bench.add(after=(one,))
    assert bench.next() == [last]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_need_that_did_not_succeed_is_for_a_person(bench: Bench, end: State) -> None:
    """The run is given, with the names, so that somebody is asked."""
    # shows: N16
    one, two = bench.add(), bench.add()
    last = bench.add(after=(one, two), not_before=bench.later(10))
    bench.do(one, end=end)
    bench.do(two)
    assert bench.next() == []
    bench.clock.advance(10)
    pick = bench.one()
    assert (pick.run, pick.broken) == (last, (one,))


def test_a_question_about_a_need_is_dropped_when_the_need_is_met(bench: Bench) -> None:
    """The needed run is rolled back and succeeds: whoever was parked because of it goes on by itself."""
    one = bench.add()
    last = bench.add(after=(one,))
    bench.do(one, end="failed")
    bench.do(last, end="parked", question="one failed: go on without it?")
    assert bench.next() == []
    bench.move(one, "queued")
    bench.do(one)
    pick = bench.one()
    assert (pick.run, pick.broken) == (last, ())


def test_a_need_that_is_met_late_wakes_nobody_else(bench: Bench) -> None:
    """A run that went on without it and failed is not tried again because of it."""
    one = bench.add()
    last = bench.add(after=(one,))
    bench.do(one, end="failed")
    bench.do(last, end="failed")
    bench.move(one, "queued")
    bench.do(one)
    assert bench.next() == []


def test_a_need_that_begins_again_is_waited_for_again(bench: Bench) -> None:
    """Rolled back before the other has begun."""
    one = bench.add()
    last = bench.add(after=(one,))
    bench.do(one)
    bench.move(one, "queued")
    assert bench.next(9) == [one]
    bench.do(one)
    assert bench.next(9) == [last]


def test_an_unknown_need_is_named(bench: Bench) -> None:
    """Before anything is recorded."""
    with pytest.raises(UnknownRun, match="run-nowhere"):
        bench.add(after=("run-nowhere",))
    assert not list(bench.ledger.read(QUEUE))


def test_the_ledger_itself_refuses_a_need_that_is_not_there(bench: Bench) -> None:
    """Whoever writes the event: such a run could wait for ever."""
    for needs in ("run-nowhere", "run-1"):
        added = TaskAdded(task="task-1", run="run-1", kind="kind", title="t", args={}, after=[needs])
        with pytest.raises(DraftRefused):
            bench.ledger.append([Draft(QUEUE, added)])


def test_tasks_that_need_each_other_are_added_together(bench: Bench) -> None:
    """In any order, in one commit; names are theirs alone, and a run that exists may be needed too."""
    # shows: N16
    there = bench.add()
    bench.do(there)
    tasks = [
        NamedTask(name="deploy", kind="kind", title="deploy", args={}, after=("test", "build")),
        NamedTask(name="test", kind="kind", title="test", args={}, after=("build",)),
        NamedTask(name="build", kind="kind", title="build", args={}, after=(there,)),
    ]
    size = len(list(bench.ledger.read_all()))
    added = bench.queue.add_all(tasks)
    assert len(list(bench.ledger.read_all())) == size + 6
    assert list(added) == ["deploy", "test", "build"]
    order = []
    while picks := bench.next():
        order.append(picks[0])
        bench.do(picks[0])
    assert order == [added[name].run for name in ("build", "test", "deploy")]


def test_a_circle_is_named(bench: Bench) -> None:
    """With all its members, in the direction of the needs; nothing is added."""
    # shows: N16
    tasks = [
        NamedTask(name=name, kind="kind", title=name, args={}, after=(after,))
        for name, after in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    ]
    with pytest.raises(NeedsCircle, match="a → b → c → a"):
        bench.queue.add_all(tasks)
    with pytest.raises(NeedsCircle, match="a → a"):
        bench.queue.add_all([NamedTask(name="a", kind="kind", title="a", args={}, after=("a",))])
    assert not list(bench.ledger.read(QUEUE))


def test_a_bad_task_among_several_adds_none(bench: Bench) -> None:
    """All or none."""
    good = NamedTask(name="a", kind="kind", title="a", args={})
    for bad in (
        NamedTask(name="b", kind="kind", title="b", args={}, after=("run-nowhere",)),
        NamedTask(name="a", kind="kind", title="again", args={}),
        NamedTask(name="b", kind="kind", title="b", args={"x": {1, 2}}),
    ):
        with pytest.raises(DaybreakError):
            bench.queue.add_all([good, bad])
    assert not list(bench.ledger.read(QUEUE))
    assert bench.queue.add_all([]) == {}


def test_a_task_that_is_there_already_is_needed_in_its_place(bench: Bench) -> None:
    """Added together, with a word that is taken: others wait for the run that has it."""
    there = bench.add(dedupe="build")
    word = Placement(dedupe="build")
    added = bench.queue.add_all(
        [
            NamedTask(name="build", kind="kind", title="build", args={}, placement=word),
            NamedTask(name="again", kind="kind", title="build", args={}, placement=word),
            NamedTask(name="test", kind="kind", title="test", args={}, after=("build", "again")),
        ]
    )
    assert (added["build"].run, added["build"].existed, added["again"].run) == (there, True, there)
    assert bench.row(added["test"].run).why == f"needs {there}"


# -- words and windows


def test_a_word_is_taken_once_while_its_run_is_not_over(bench: Bench) -> None:
    """Adding again finds the same run; afterwards there is a new one."""
    # shows: N16, N6
    first = bench.queue.add("kind", "t", {}, Placement(dedupe="nightly"))
    again = bench.queue.add("kind", "t", {}, Placement(dedupe="nightly"))
    assert (first.existed, again.existed, again.run) == (False, True, first.run)
    bench.do(first.run, end="failed")
    third = bench.queue.add("kind", "t", {}, Placement(dedupe="nightly"))
    assert (third.existed, third.run != first.run) == (False, True)


def test_a_failed_run_is_not_tried_again_beside_its_successor(bench: Bench) -> None:
    """Asked through the queue it is refused in words, and by the ledger whoever asks."""
    first = bench.add(dedupe="nightly")
    bench.do(first, end="failed")
    second = bench.add(dedupe="nightly")
    with pytest.raises(WordTaken, match=second):
        bench.queue.retry(first)
    with pytest.raises(DraftRefused):
        bench.tell(ResumeAsked(run=first))


def test_a_run_that_is_to_be_tried_again_has_its_word(bench: Bench) -> None:
    """From the moment on that somebody asked."""
    first = bench.add(dedupe="nightly")
    bench.do(first, end="failed")
    bench.queue.retry(first)
    assert bench.queue.add("kind", "t", {}, Placement(dedupe="nightly")).run == first
    assert bench.one().state == "failed"


def test_a_window_has_one_run_for_ever(bench: Bench) -> None:
    """Also when the first is long over."""
    # shows: N6
    bench.do(bench.add(schedule="s", window="w"))
    with pytest.raises(DraftRefused):
        bench.add(schedule="s", window="w")
    bench.add(schedule="s", window="w2")


def test_two_processes_add_one_word_once(tmp_path: Path) -> None:
    """Whoever comes second finds the run of the first, though neither saw the other before."""
    # shows: N6, N16
    clock = FakeClock()
    with open_ledger(tmp_path, clock) as one, open_ledger(tmp_path, clock) as two:
        first, second = Bench(one, clock, seed=1), Bench(two, clock, seed=2)
        looked: list[str] = []
        known = second.queue._same

        def late(word: str) -> str | None:
            """The second looks before the first has written."""
            if looked:
                return known(word)
            looked.append(word)
            first.add(dedupe="word")
            return None

        second.queue._same = late  # type: ignore[method-assign]
        added = second.queue.add("kind", "t", {}, Placement(dedupe="word"))
        assert added.existed
        assert [added.run] == [row.run for row in first.queue.listing(clock.now())]
        assert one.compare_views() == []


# -- people


def test_a_held_run_is_not_given(bench: Bench) -> None:
    """Until somebody lets it go; saying it twice records it once."""
    # shows: N16
    run = bench.add()
    assert bench.queue.pause(run, why="not tonight")
    assert not bench.queue.pause(run)
    assert bench.next() == []
    assert bench.row(run).why == "paused by a person"
    assert bench.queue.resume(run)
    assert bench.next() == [run]


def test_a_paused_project_gives_nothing(bench: Bench) -> None:
    """The others do; the whole queue can be paused as well."""
    shop, free = bench.add(project="shop"), bench.add()
    assert bench.queue.pause(project="shop", why="sale")
    assert not bench.queue.pause(project="shop")
    assert bench.next(9) == [free]
    assert bench.row(shop).why == "project shop is paused: sale"
    bench.queue.pause()
    assert bench.next(9) == []
    assert set(bench.queue.paused()) == {"", "shop"}
    assert bench.queue.resume()
    assert bench.queue.resume(project="shop")
    assert not bench.queue.resume(project="shop")
    assert sorted(bench.next(9)) == sorted([shop, free])


def test_a_cancelled_run_is_given_at_once_to_be_ended(bench: Bench) -> None:
    """Whatever it waits for: nobody wants to hear of it next week."""
    # shows: N16
    holder = bench.add(keys={"k": 1})
    bench.lease(holder)
    waits = [
        bench.add(not_before=bench.later(9e5)),
        bench.add(after=(holder,)),
        bench.add(keys={"k": 1}),
        bench.add(project="paused"),
        bench.add(rates={"r": "1/day"}),
    ]
    bench.queue.pause(waits[0])
    bench.queue.pause(project="paused")
    for run in waits:
        bench.queue.cancel(run, "not needed")
    picks = bench.queue.next(bench.clock.now(), most=9)
    assert [(pick.run, pick.cancel) for pick in picks] == [(run, True) for run in waits]
    bench.do(waits[0], end="cancelled")
    assert bench.next() == [waits[1]]


def test_a_parked_run_is_given_once_somebody_answered(bench: Bench) -> None:
    """Or asked for it; one lease uses the answer up."""
    run = bench.add()
    bench.do(run, end="parked", question="really?")
    assert bench.next() == []
    assert bench.row(run).why == "asks: really?"
    bench.queue.answer(run, "yes")
    assert bench.next() == [run]
    bench.do(run, end="parked", question="really really?")
    assert bench.next() == []
    bench.queue.retry(run)
    assert bench.next() == [run]
    answers = [record.event for record in bench.ledger.read(control_stream(run))]
    assert answers[0] == Answered(run=run, question="really?", answer="yes")


def test_a_signal_on_the_way_to_waiting_is_not_lost(bench: Bench) -> None:
    """It comes after the run looked for it and before it says that it waits."""
    # shows: N5
    run = bench.add()
    bench.lease(run)
    bench.tell(Signalled(run=run, name="ready"))
    bench.move(run, "waiting")
    assert bench.next() == [run]
    bench.do(run, end="waiting")
    assert (bench.next(), bench.wake()) == ([], None)
    bench.tell(Signalled(run=run, name="ready"))
    assert bench.next() == [run]


def test_a_run_that_its_night_paused_is_left_for_the_next(bench: Bench) -> None:
    """Or a night without money would pick the same run for ever; unless somebody asks for it."""
    # shows: N5
    run = bench.add()
    bench.lease(run, night="night-1")
    bench.move(run, "paused", why="the night's budget is spent")
    assert bench.next(night="night-1") == []
    assert bench.next(night="night-2") == [run]
    bench.queue.resume(run)
    assert bench.next(night="night-1") == [run]


def test_a_run_of_a_restored_log_waits_for_a_person(bench: Bench) -> None:
    """Nobody may lease it, so nobody is given it, until somebody says `go on` or cancels it."""
    # shows: N6
    run, other = bench.add(), bench.add()
    for name in (run, other):
        bench.write(name, RunHeld(run=name, log="l", question="did it go on?", size=1, known=2))
    assert bench.next(9) == []
    bench.tell(Answered(run=run, question="did it go on?", answer="perhaps"))
    assert bench.next(9) == []
    bench.tell(Answered(run=run, question="did it go on?", answer=" Go  on "))
    bench.tell(CancelAsked(run=other))
    assert bench.next(9) == [other, run]


def test_a_wish_to_cancel_from_before_a_restore_counts(bench: Bench) -> None:
    """As it does for the ledger: the run is not held, also when it is rolled back one day."""
    run = bench.add()
    bench.queue.cancel(run)
    bench.write(run, RunHeld(run=run, log="l", question="did it go on?", size=1, known=2))
    bench.do(run, end="cancelled")
    bench.move(run, "queued", why="rolled back")
    assert (bench.one().run, bench.one().cancel) == (run, False)


def test_what_is_over_cannot_be_moved(bench: Bench) -> None:
    """Each with its reason."""
    run = bench.add()
    bench.do(run)
    queue = bench.queue
    for asked in (
        lambda: queue.move(run, priority=1),
        lambda: queue.pause(run),
        lambda: queue.cancel(run),
        lambda: queue.retry(run),
        lambda: queue.resume(run),
        lambda: queue.answer(run, "yes"),
    ):
        with pytest.raises(NotInQueue, match="done"):
            asked()
    for asked_of in (queue.cancel, queue.retry, queue.pause, queue.resume):
        with pytest.raises(UnknownRun):
            asked_of("run-nowhere" * 50)


def test_a_run_that_nothing_holds_cannot_be_resumed(bench: Bench) -> None:
    """It would say that something happened."""
    run = bench.add()
    with pytest.raises(NotInQueue):
        bench.queue.resume(run)
    with pytest.raises(NotInQueue):
        bench.queue.answer(run, "yes")


# -- the table


def test_the_table_says_why_each_run_waits(bench: Bench) -> None:
    """In the order in which things may happen."""
    under_way, ready = bench.add(keys={"k": 1}), bench.add()
    bench.lease(under_way)
    keyed = bench.add(keys={"k": 1})
    timed = bench.add(not_before=bench.later(60))
    needs = bench.add(after=(ready,))
    held = bench.add()
    bench.queue.pause(held)
    rows = bench.queue.listing(bench.clock.now())
    assert [row.run for row in rows] == [under_way, ready, keyed, timed, needs, held]
    assert [row.position for row in rows] == [None, 1, None, None, None, None]
    assert [row.why for row in rows] == [
        "under way on here",
        "ready",
        f"key k is held by {under_way}",
        "not before 2026-03-01 22:01:00Z",
        f"needs {ready}",
        "paused by a person",
    ]
    assert rows[3].until == "2026-03-01T22:01:00.000000Z"


def test_many_needs_are_counted_not_named(bench: Bench) -> None:
    """A row stays a row."""
    needs = tuple(bench.add() for _ in range(5))
    assert bench.row(bench.add(after=needs)).why.endswith("and 2 more")


# -- on a real ledger


def test_the_queue_works_on_a_real_ledger(real: Bench) -> None:
    """The same words; the views are what the events say."""
    first = real.add(project="a", keys={"k": 1})
    real.add(project="a", keys={"k": 1}, after=(first,), deadline=real.later(500))
    real.add(project="b", rates={"r": "1/s"}, not_before=real.later(5))
    assert real.next(9) == [first]
    real.do(first, 7)
    assert len(real.next(9)) == 2
    assert real.ledger.compare_views() == []


def test_another_process_sees_what_was_added_and_leased(tmp_path: Path) -> None:
    """Without opening again."""
    clock = FakeClock()
    with open_ledger(tmp_path, clock) as one, open_ledger(tmp_path, clock) as two:
        first, second = Bench(one, clock, seed=1), Bench(two, clock, seed=2)
        run = first.add()
        assert second.next() == [run]
        second.lease(run)
        assert first.next() == []


def _old(record: Record) -> Iterator[Statement]:
    if isinstance(record.event, TaskAdded):
        yield Statement("INSERT INTO view_runs VALUES (?, 'queued')", (record.event.run,))


def test_the_view_of_an_older_version_is_made_anew(tmp_path: Path) -> None:
    """Nothing but opening the ledger is needed."""
    # shows: N1
    clock = FakeClock()
    old = View("runs", 1, "CREATE TABLE view_runs (run TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT", _old)
    with open_ledger(tmp_path, clock, [old]) as ledger:
        added = TaskAdded(task="task-1", run="run-1", kind="kind", title="t", args={})
        ledger.append([Draft(QUEUE, added)])
    with open_ledger(tmp_path, clock) as ledger:
        assert Bench(ledger, clock).next() == ["run-1"]
        assert ledger.compare_views() == []


def test_picking_is_an_index_look_up(bench: Bench) -> None:
    """No question that `next` or `wake_at` asks walks over the table or sorts it."""
    # shows: N16
    asked: list[tuple[str, Any]] = []
    query = bench.ledger.query

    def listening(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        asked.append((sql, params))
        return query(sql, params)  # type: ignore[no-any-return]

    bench.ledger.query = listening
    for number in range(3):
        bench.add(keys={"k": 1}, rates={"r": "9/s"}, project=str(number))
    bench.lease(bench.next(2)[0])
    asked.clear()
    bench.next(3, taken=[bench.add()])
    bench.queue.wake_at(bench.clock.now())
    assert asked
    walks = set()
    for sql, params in asked:
        plan = [str(row[3]) for row in query(f"EXPLAIN QUERY PLAN {sql}", params)]
        walks |= {line for line in plan if line.startswith("SCAN view_runs") and "view_runs_ending" not in line}
        sorts = "TEMP B-TREE" in " ".join(plan)
        assert not sorts or sql in (picking._RIPENED, picking._RATED), sql
    assert walks <= {"SCAN view_runs_turn", "SCAN view_runs_projects"}


def test_a_lease_costs_its_project_a_turn(bench: Bench) -> None:
    """The constant that fairness rests on."""
    bench.lease(bench.add(project="p"))
    assert bench.ledger.query("SELECT served_ms FROM view_runs_projects") == [(TURN_MS,)]
