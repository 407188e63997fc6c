"""The queue against a model that looks at everything: what may begin, in which order, and until when one may sleep."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daybreak.clock import stamp
from daybreak.engine.queue import Placement, Queue
from daybreak.engine.view import CHARGED_MS_MAX, RUNS, TURN_MS
from daybreak.errors import LeaseLost
from daybreak.events import (
    FINAL,
    Answered,
    CancelAsked,
    Event,
    LeaseGranted,
    ResumeAsked,
    RunHeld,
    RunMoved,
    Signalled,
    State,
    control_stream,
    run_stream,
)
from daybreak.ledger import Draft, Ledger
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

UNDER_WAY = {"leased", "running", "verifying"}
LEASABLE = {"queued", "waiting", "paused", "parked", *UNDER_WAY}
RATES = {"mails": ("1/min", 1, 60), "calls": ("2/h", 2, 3600)}
PROJECTS = ["", "a", "b"]


@dataclass
class Task:
    """A run as the model knows it."""

    run: str
    placement: Placement
    place: int
    state: State = "queued"
    epoch: int = 0
    wake: datetime | None = None
    held: bool = False
    restored: bool = False
    answered: bool = False
    cancel: bool = False
    leased: datetime | None = None
    night: str = ""
    priority: int = 0
    not_before: datetime | None = None
    deadline: datetime | None = None
    broke: set[str] = field(default_factory=set)

    @property
    def rank(self) -> tuple[int, float, int]:
        deadline = math.inf if self.deadline is None else self.deadline.timestamp()
        return (-self.priority, deadline, self.place)

    @property
    def over(self) -> bool:
        return self.state in FINAL and not (self.state == "failed" and self.answered)


class Model:
    """Everything in dictionaries; every question looks at all of it."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.served: Counter[str] = Counter()
        self.turn = 0
        self.paused: set[str] = set()
        self.starts: list[tuple[str, datetime]] = []

    # -- what may begin

    def free(self, task: Task, now: datetime) -> bool:
        """Nothing of its own holds it back."""
        if task.held or task.restored or task.cancel:
            return False
        if any(self.tasks[run].state not in FINAL for run in task.placement.after):
            return False
        if task.not_before is not None and task.not_before > now:
            return False
        match task.state:
            case "queued" | "paused":
                return True
            case "waiting":
                return task.answered or (task.wake is not None and task.wake <= now)
            case "parked" | "failed":
                return task.answered
            case _:
                return False

    def room(self, task: Task, now: datetime, held: Counter[str], begun: Counter[str]) -> bool:
        if any(held[key] >= most for key, most in task.placement.keys.items()):
            return False
        for rate in () if task.epoch else task.placement.rates:
            _, most, seconds = RATES[rate]
            recent = sum(1 for name, at in self.starts if name == rate and at > now - timedelta(seconds=seconds))
            if recent + begun[rate] >= most:
                return False
        return True

    def late(self, task: Task, now: datetime) -> bool:
        asked = task.held or task.restored or task.cancel
        begun = task.state != "queued" or task.epoch
        return not asked and not begun and task.deadline is not None and task.deadline <= now

    def next(self, now: datetime, taken: Collection[str], most: int, night: str) -> list[str]:
        left = [task for task in self.tasks.values() if task.run not in taken]
        ends = ("queued", "waiting", "paused", "parked")
        quick = sorted((one for one in left if one.cancel and one.state in ends), key=lambda one: one.place)
        open_now = [one for one in left if "" not in self.paused and one.placement.project not in self.paused]
        quick += sorted(
            (one for one in open_now if self.late(one, now)), key=lambda one: (one.deadline or now, one.rank)
        )
        picked = [one.run for one in quick][:most]
        held, begun, start = self.load(taken)
        while len(picked) < most:
            fit = [
                one
                for one in open_now
                if one.run not in picked
                and one not in quick
                and self.free(one, now)
                and self.room(one, now, held, begun)
                and not (one.state == "paused" and night and one.night == night and not one.answered)
            ]
            if not fit:
                break
            best = min(fit, key=lambda one: (max(self.turn_of(start), start[one.placement.project]), one.rank))
            picked.append(best.run)
            held.update(list(best.placement.keys))
            begun.update([] if best.epoch else list(best.placement.rates))
            project = best.placement.project
            start["turn"] = max(self.turn_of(start), start[project])
            start[project] = start["turn"] + TURN_MS
        return picked

    @staticmethod
    def turn_of(start: dict[str, int]) -> int:
        return start["turn"]

    def load(self, taken: Collection[str]) -> tuple[Counter[str], Counter[str], dict[str, int]]:
        """Keys in use, starts that are about to be, and each project's service."""
        held: Counter[str] = Counter()
        begun: Counter[str] = Counter()
        start = {project: max(self.turn, self.served[project]) for project in PROJECTS} | {"turn": self.turn}
        for task in self.tasks.values():
            if task.state in UNDER_WAY or task.run in taken:
                held.update(list(task.placement.keys))
            if task.state not in UNDER_WAY and task.run in taken:
                begun.update([] if task.epoch else list(task.placement.rates))
                start[task.placement.project] += TURN_MS
        return held, begun, start

    def eligible(self, now: datetime) -> set[str]:
        """Everything that could be picked now as the first."""
        held, begun, _ = self.load(())
        fit = {
            one.run
            for one in self.tasks.values()
            if not self.paused & {"", one.placement.project}
            and (self.late(one, now) or (self.free(one, now) and self.room(one, now, held, begun)))
        }
        return fit | {one.run for one in self.tasks.values() if one.cancel and one.state not in {*UNDER_WAY, *FINAL}}

    def moments(self) -> set[datetime]:
        """Every time at which anything could change by itself."""
        found = {
            moment
            for task in self.tasks.values()
            for moment in (task.wake, task.not_before, task.deadline)
            if moment is not None
        }
        return found | {at + timedelta(seconds=RATES[name][2]) for name, at in self.starts}

    # -- what happens

    def lease(self, run: str, now: datetime, night: str) -> None:
        task = self.tasks[run]
        project = task.placement.project
        if task.epoch == 0:
            self.starts += [(name, now) for name in task.placement.rates]
        self.turn = max(self.turn, self.served[project])
        self.served[project] = max(self.turn, self.served[project]) + TURN_MS
        task.epoch, task.answered, task.leased, task.night = task.epoch + 1, False, now, night

    def move(self, run: str, new: State, now: datetime, wake: datetime | None = None) -> None:
        task = self.tasks[run]
        if task.state in UNDER_WAY and new not in UNDER_WAY and task.leased is not None:
            took = int((now - task.leased).total_seconds() * 1000)
            self.served[task.placement.project] += max(0, min(CHARGED_MS_MAX, took) - TURN_MS)
        if task.state in FINAL:
            task.cancel = task.answered = False
        task.state, task.wake = new, wake
        for other in self.tasks.values():
            if run in other.placement.after and new in FINAL:
                if new == "done" and run in other.broke:
                    other.answered |= other.state == "parked"
                other.broke = other.broke | {run} if new != "done" else other.broke - {run}


class QueueMachine(RuleBasedStateMachine):
    """The queue on a memory ledger beside the model; every rule does the same to both."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.ledger = self.open()
        self.queue = Queue(self.ledger, self.clock, Random(1).randbytes)
        self.model = Model()
        self.random = Random(2)

    def open(self) -> Any:
        return MemoryLedger(clock=self.clock, views=[RUNS], entropy=Random(0).randbytes)

    @initialize(number=st.integers(0, 1_000))
    def some_tasks_to_begin_with(self, number: int) -> None:
        """Of all sorts, so that the rules have something to work with."""
        chance = Random(number)
        for title in ("one", "two", "three", "four"):
            known = list(self.model.tasks)
            self.put(
                Placement(
                    project=chance.choice(PROJECTS),
                    priority=chance.choice([0, 1]),
                    after=tuple(chance.sample(known, chance.choice([0, 0, 1]) if known else 0)),
                    keys=chance.choice([{}, {"x": 1}]),
                    rates={name: RATES[name][0] for name in chance.choice([[], ["mails"], ["calls"]])},
                    deadline=self.moment(chance.choice([None, 200])),
                ),
                title,
            )

    def has(self, states: Collection[str]) -> bool:
        return any(task.state in states for task in self.model.tasks.values())

    def some(self, data: st.DataObject, states: Collection[str]) -> str | None:
        runs = [task.run for task in self.model.tasks.values() if task.state in states]
        return data.draw(st.sampled_from(runs)) if runs else None

    def tell(self, run: str, event: Event) -> None:
        self.ledger.append([Draft(control_stream(run), event)])

    def moment(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self.clock.now() + timedelta(seconds=seconds)

    # -- rules

    @rule(
        data=st.data(),
        project=st.sampled_from(PROJECTS),
        priority=st.integers(-1, 1),
        begin=st.sampled_from([None, None, -10, 30, 100]),
        deadline=st.sampled_from([None, None, 101, 400]),
        keys=st.dictionaries(st.sampled_from("xy"), st.integers(1, 2), max_size=2),
        rates=st.sampled_from([set(), {"mails"}, {"calls"}, set(RATES)]),
        dedupe=st.sampled_from(["", "", "", "one", "two"]),
    )
    def add(self, data: Any, project: str, priority: int, begin: int | None, deadline: int | None, **rest: Any) -> None:
        known = list(self.model.tasks)
        after = data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
        placement = Placement(
            project=project,
            priority=priority,
            after=tuple(after),
            not_before=self.moment(begin),
            deadline=self.moment(deadline),
            keys=rest["keys"],
            rates={name: RATES[name][0] for name in rest["rates"]},
            dedupe=rest["dedupe"],
        )
        self.put(placement)

    def put(self, placement: Placement, title: str = "a task") -> None:
        added = self.queue.add("kind", title, {}, placement)
        tasks, word = self.model.tasks, placement.dedupe
        same = [task.run for task in tasks.values() if word and not task.over and task.placement.dedupe == word]
        assert added.existed == bool(same)
        if same:
            assert [added.run] == same
            return
        task = Task(added.run, placement, len(tasks), priority=placement.priority)
        task.not_before, task.deadline = placement.not_before, placement.deadline
        task.broke = {run for run in placement.after if tasks[run].state in ("failed", "cancelled")}
        tasks[added.run] = task

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sleep_until_something_may_happen(self) -> None:
        wake = self.queue.wake_at(self.clock.now())
        if wake is not None:
            self.clock.advance((wake - self.clock.now()).total_seconds())

    @precondition(lambda self: self.has(LEASABLE))
    @rule(data=st.data(), verifies=st.booleans(), night=st.sampled_from(["n1", "n2"]))
    def lease_anything(self, data: Any, verifies: bool, night: str) -> None:
        """By hand, or a run that a crash left."""
        if (run := self.some(data, LEASABLE)) is not None:
            self.lease(run, night, "verifying" if verifies else "running")

    @rule(night=st.sampled_from(["n1", "n2"]), most=st.integers(1, 3))
    def lease_what_is_next(self, night: str, most: int) -> None:
        for pick in self.queue.next(self.clock.now(), most=most, night=night):
            if pick.state != "failed":
                self.lease(pick.run, night, "running")

    def lease(self, run: str, night: str, then: State) -> None:
        task = self.model.tasks[run]
        granted = LeaseGranted(run=run, owner="o", host="here", pid=1, night=night)
        moves = [RunMoved(run=run, old=task.state, new="leased"), RunMoved(run=run, old="leased", new=then)]
        epoch = self.ledger.epoch(run_stream(run)) + 1
        self.ledger.append([Draft(run_stream(run), event, epoch=epoch) for event in (granted, *moves)])
        self.model.lease(run, self.clock.now(), night)
        task.state, task.wake = then, None

    @rule(data=st.data())
    def an_owner_from_before_comes_back(self, data: Any) -> None:
        """Stopped for a while and revived: whatever it says is refused, and changes nothing."""
        begun = [task for task in self.model.tasks.values() if task.epoch]
        if not begun:
            return
        task = data.draw(st.sampled_from(begun))
        stream = run_stream(task.run)
        late = RunMoved(run=task.run, old="running", new="done")
        again = LeaseGranted(run=task.run, owner="o", host="here", pid=1)
        for event, epoch in ((late, task.epoch - 1), (again, task.epoch)):
            with pytest.raises(LeaseLost):
                self.ledger.append([Draft(stream, event, epoch=epoch)])

    @precondition(lambda self: self.has(UNDER_WAY))
    @rule(
        data=st.data(),
        new=st.sampled_from(["done", "done", "failed", "cancelled", "waiting", "waiting", "paused", "parked"]),
        wake=st.none() | st.integers(-5, 100),
    )
    def stop(self, data: Any, new: State, wake: int | None) -> None:
        if (run := self.some(data, UNDER_WAY)) is None:
            return
        until = self.moment(wake) if new == "waiting" else None
        self.moved(run, new, until)

    def moved(self, run: str, new: State, until: datetime | None = None) -> None:
        task = self.model.tasks[run]
        event = RunMoved(run=run, old=task.state, new=new, until=stamp(until) if until else "")
        self.ledger.append([Draft(run_stream(run), event, epoch=self.ledger.epoch(run_stream(run)))])
        self.model.move(run, new, self.clock.now(), until)

    @precondition(lambda self: self.has(FINAL))
    @rule(data=st.data())
    def roll_back(self, data: Any) -> None:
        """A run that is over begins again, unless another has its word."""
        run = self.some(data, FINAL)
        if run is None:
            return
        dedupe = self.model.tasks[run].placement.dedupe
        others = [one for one in self.model.tasks.values() if one.run != run and not one.over]
        if not dedupe or all(one.placement.dedupe != dedupe for one in others):
            self.moved(run, "queued")

    @precondition(lambda self: self.has(LEASABLE))
    @rule(data=st.data())
    def hold(self, data: Any) -> None:
        if (run := self.some(data, {*LEASABLE})) is not None:
            self.queue.pause(run)
            self.model.tasks[run].held = True

    @rule(data=st.data())
    def let_go(self, data: Any) -> None:
        held = [one.run for one in self.model.tasks.values() if one.held and one.state not in FINAL]
        if held:
            run = data.draw(st.sampled_from(held))
            self.queue.resume(run)
            self.model.tasks[run].held, self.model.tasks[run].answered = False, True

    @precondition(lambda self: self.has({"parked", "failed"}))
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        run = self.some(data, {"parked", "failed"})
        if run is None:
            return
        task = self.model.tasks[run]
        others = [one for one in self.model.tasks.values() if one.run != run and not one.over]
        word = task.placement.dedupe
        if not word or not task.over or all(one.placement.dedupe != word for one in others):
            self.tell(run, ResumeAsked(run=run))
            task.held, task.answered = False, True

    @precondition(lambda self: self.has(LEASABLE))
    @rule(data=st.data(), answer=st.sampled_from(["go on", "no"]), signal=st.booleans())
    def answer(self, data: Any, answer: str, signal: bool) -> None:
        if (run := self.some(data, {*LEASABLE, *FINAL})) is None:
            return
        task = self.model.tasks[run]
        if signal:
            self.tell(run, Signalled(run=run, name="s"))
            task.answered = task.answered or task.state != "failed"
        else:
            self.tell(run, Answered(run=run, question="q", answer=answer))
            task.answered = task.state != "failed"
            task.restored = task.restored and answer != "go on"

    @precondition(lambda self: self.has(LEASABLE))
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        if (run := self.some(data, LEASABLE)) is not None:
            self.tell(run, CancelAsked(run=run))
            self.model.tasks[run].cancel, self.model.tasks[run].restored = True, False

    @precondition(lambda self: self.has({"queued", "waiting", "parked"}))
    @rule(data=st.data())
    def restore(self, data: Any) -> None:
        if (run := self.some(data, {"queued", "waiting", "parked"})) is not None:
            held = RunHeld(run=run, log="l", question="q", size=1, known=1)
            self.ledger.append([Draft(run_stream(run), held, epoch=self.ledger.epoch(run_stream(run)))])
            self.model.tasks[run].restored |= not self.model.tasks[run].cancel

    @precondition(lambda self: self.has(LEASABLE))
    @rule(data=st.data(), priority=st.none() | st.integers(-2, 2), begin=st.none() | st.integers(0, 60))
    def place(self, data: Any, priority: int | None, begin: int | None) -> None:
        if (run := self.some(data, LEASABLE)) is not None:
            task, moment = self.model.tasks[run], self.moment(begin)
            self.queue.move(run, priority=priority, not_before=moment)
            task.priority = task.priority if priority is None else priority
            task.not_before = moment or task.not_before

    @rule(project=st.sampled_from(["", "a"]), on=st.booleans())
    def pause_the_queue(self, project: str, on: bool) -> None:
        changed = self.queue.pause(project=project) if on else self.queue.resume(project=project)
        assert changed == ((project in self.model.paused) != on)
        (self.model.paused.add if on else self.model.paused.discard)(project)

    # -- what must hold

    @invariant()
    def the_queue_gives_what_the_model_gives(self) -> None:
        now = self.clock.now()
        for most in (1, 3, 50):
            picks = self.queue.next(now, most=most)
            assert [pick.run for pick in picks] == self.model.next(now, (), most, "")
        self.says_why(picks, now)

    def says_why(self, picks: list[Any], now: datetime) -> None:
        for pick in picks:
            task = self.model.tasks[pick.run]
            assert pick.cancel == task.cancel
            assert pick.late == (not task.cancel and self.model.late(task, now))
            if pick.broken:
                assert all(self.model.tasks[run].state in ("failed", "cancelled") for run in pick.broken)

    @precondition(lambda self: self.model.tasks)
    @invariant()
    def what_is_taken_already_counts(self) -> None:
        taken = self.random.sample(sorted(self.model.tasks), min(3, len(self.model.tasks)))
        now = self.clock.now()
        picks = self.queue.next(now, taken=taken, most=3, night="n1")
        assert [pick.run for pick in picks] == self.model.next(now, taken, 3, "n1")

    @invariant()
    def nobody_sleeps_past_something_that_may_begin(self) -> None:
        now = self.clock.now()
        wake = self.queue.wake_at(now)
        assert wake is None or wake > now
        already = self.model.eligible(now)
        for moment in self.model.moments():
            if moment > now and (wake is None or moment < wake):
                assert self.model.eligible(moment) <= already

    @invariant()
    def the_table_names_every_run_that_is_not_over(self) -> None:
        rows = self.queue.listing(self.clock.now())
        assert sorted(row.run for row in rows) == sorted(one.run for one in self.model.tasks.values() if not one.over)
        positions = [row.position for row in rows if row.position is not None]
        assert positions == list(range(1, len(positions) + 1))
        assert all(row.why for row in rows)

    def teardown(self) -> None:
        assert self.ledger.compare_views() == []
        self.ledger.close()


class RealQueueMachine(QueueMachine):
    """The same on a ledger with a disk."""

    def open(self) -> Any:
        self.folder = tempfile.TemporaryDirectory(prefix="daybreak-queue-")
        root = Path(self.folder.name)
        places = {name: root / name for name in ("keys", "witness")}
        return Ledger.open(root / "ledger", **places, clock=self.clock, views=[RUNS], entropy=Random(0).randbytes)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


def careful(examples: int, steps: int) -> settings:
    """Without explaining a failure line by line, which takes minutes."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=[phase for phase in Phase if phase is not Phase.explain],
    )


QueueMachine.TestCase.settings = careful(25, 40)
TestQueueAgainstTheModel = QueueMachine.TestCase
"""For any sequence of events, `next` gives what a look at everything gives, and `wake_at` misses nothing."""
# shows: N16, N6


@pytest.mark.chaos
class TestQueueAgainstTheModelAtLength(QueueMachine.TestCase):
    settings = careful(200, 60)


RealQueueMachine.TestCase.settings = careful(5, 30)
TestQueueOnADiskAgainstTheModel = pytest.mark.on_disk(RealQueueMachine.TestCase)
"""The same where every event is synced to disk."""
# shows: N16, N1
