"""Schedules in the ledger: one run per window, whatever crashes, restarts, races or is edited."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from daybreak.engine.placement import Placement, PlacementWrong
from daybreak.engine.queue import Queue
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.engine.schedules import (
    EACH_MAX,
    Opened,
    ScheduleMisnamed,
    Schedules,
    ScheduleUnknown,
    Skipped,
    TaskTemplate,
    TemplateWrong,
)
from daybreak.engine.view import RUNS
from daybreak.engine.window import Schedule
from daybreak.errors import DaybreakError, DraftRefused, LedgerStopped, NotPlain
from daybreak.events import RunMoved, ScheduleSet, TaskAdded, WindowOpened, WindowSkipped, run_stream
from daybreak.ledger import Draft, Ledger
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

LOOKER = Path(__file__).with_name("schedule_looker.py")
DAILY = Schedule.daily("02:30", "Europe/Berlin")
TASK = TaskTemplate(kind="command", title="Back up", args={"file": "backup.toml"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def queue_on(ledger: Any, clock: FakeClock, seed: int = 0) -> Queue:
    return Queue(ledger, clock, random.Random(seed).randbytes)


class Desk:
    """A ledger, a clock and schedules on them."""

    def __init__(self, now: str = "2026-11-19T12:00", ledger: Any = None) -> None:
        self.clock = FakeClock(at(now))
        self.ledger = ledger or MemoryLedger(
            clock=self.clock, views=[RUNS, SCHEDULES], entropy=random.Random(0).randbytes
        )
        self.schedules = Schedules(self.ledger, self.clock, queue_on(self.ledger, self.clock))

    def look(self, now: str | datetime) -> list[Opened | Skipped]:
        moment = at(now) if isinstance(now, str) else now
        self.clock.start = moment - timedelta(seconds=self.clock.monotonic())
        return self.schedules.look(moment)

    def events(self, *kinds: type) -> list[Any]:
        return [record.event for record in self.ledger.read_all() if isinstance(record.event, kinds)]

    def move(self, run: str, *states: Any, question: str = "") -> None:
        old: Any = "queued"
        for state in states:
            moved = RunMoved(run=run, old=old, new=state, question=question)
            self.ledger.append([Draft(run_stream(run), moved, epoch=0)])
            old = state


def opened(told: Sequence[Opened | Skipped]) -> list[str]:
    return [one.window[:10] for one in told if isinstance(one, Opened)]


def test_a_window_becomes_one_run_in_one_commit() -> None:
    """However often one looks; the event, the task and its first move stand side by side, with the schedule's key."""
    # shows: N6
    desk = Desk()
    assert desk.schedules.set("backup", DAILY, TASK)
    assert desk.look("2026-11-20T01:29") == []
    [told] = desk.look("2026-11-20T01:30")
    assert isinstance(told, Opened)
    assert told.window == "2026-11-20T02:30+0100"
    for moment in ("2026-11-20T01:30", "2026-11-20T01:29", "2026-11-20T09:00"):
        assert desk.look(moment) == []
    records = list(desk.ledger.read_all())[-3:]
    assert [record.type for record in records] == ["window.opened", "task.added", "run.moved"]
    assert {record.trace for record in records} == {told.run}
    [task] = desk.events(TaskAdded)
    assert (task.kind, task.schedule, task.window) == ("command", "backup", told.window)
    assert task.keys == {"schedule:backup": 1}
    [past] = desk.schedules.history("backup")
    assert (past.window, past.run, past.state, past.over) == (told.window, told.run, "queued", False)


def test_each_kind_of_schedule_opens_its_windows_for_a_week() -> None:
    """Hourly, daily, weekly and a cron line, in four zones, over a change of the clock."""
    # shows: N6
    desk = Desk("2026-10-23T00:00")
    made = {
        "hourly": Schedule.hourly(5, "America/New_York"),
        "daily": Schedule.daily("02:30", "Europe/Berlin"),
        "weekly": Schedule.weekly("sun", "12:00", "Asia/Kathmandu"),
        "cron": Schedule(cron="*/20 1-3 * * *", zone="Australia/Lord_Howe"),
    }
    for name, schedule in made.items():
        desk.schedules.set(name, schedule, TASK)
    moment = at("2026-10-23T00:00")
    for _ in range(7 * 24 * 4):
        moment += timedelta(minutes=15)
        for told in desk.look(moment):
            if isinstance(told, Opened):
                desk.move(told.run, "done")
    for name, schedule in made.items():
        expected = [w.key for w in takewhile(lambda w: w.start <= moment, schedule.windows(at("2026-10-23T00:00")))]
        found = [event.window for event in desk.events(WindowOpened, WindowSkipped) if event.schedule == name]
        assert found == expected
    assert len([event for event in desk.events(WindowOpened) if event.schedule == "daily"]) == 7
    assert desk.ledger.compare_views() == []


def test_missed_windows_are_skipped_with_a_reason_or_caught_up() -> None:
    """Three nights off: none, the newest, or all of them in a row."""
    # shows: N6
    desk = Desk()
    desk.schedules.set("none", replace(DAILY, catch_up="skip"), TASK)
    desk.schedules.set("once", DAILY, TASK)
    desk.schedules.set("all", replace(DAILY, catch_up="all"), TASK)
    told = desk.look("2026-11-22T08:00")
    assert opened([one for one in told if one.schedule == "none"]) == []
    assert opened([one for one in told if one.schedule == "once"]) == ["2026-11-22"]
    assert opened([one for one in told if one.schedule == "all"]) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    skipped = [one for one in told if isinstance(one, Skipped)]
    assert len(skipped) == 5
    assert all("missed" in one.why for one in skipped)
    assert [event.why for event in desk.events(WindowSkipped)] == [one.why for one in skipped]


def test_a_year_asleep_fills_neither_the_ledger_nor_the_queue() -> None:
    """Every minute for three weeks: one run, and the skipped ones told in few events; all of them are accounted for."""
    desk = Desk("2026-11-01T00:00")
    desk.schedules.set("minutely", Schedule(cron="* * * * *"), TASK)
    desk.look("2026-11-22T00:00")
    assert len(desk.events(WindowOpened)) == 1
    assert len(desk.events(WindowSkipped)) <= 22 * EACH_MAX
    assert "with it the 999 windows before it" in desk.events(WindowSkipped)[0].why
    assert desk.schedules.due(at("2026-11-22T00:00"), "minutely") == 0


def test_a_window_is_skipped_while_an_earlier_run_hangs_or_is_parked() -> None:
    """The reason names the run, its state, since when, and the question it waits with; then it goes on."""
    # shows: N6
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    [first] = desk.look("2026-11-20T02:00")
    assert isinstance(first, Opened)
    desk.move(first.run, "leased", "running")
    [hung] = desk.look("2026-11-21T02:00")
    assert isinstance(hung, Skipped)
    assert hung.why == f"run {first.run} of window {first.window} is not over: running since 2026-11-20T02:00:00Z"
    desk.move(first.run, "parked", question="overwrite?")
    [parked] = desk.look("2026-11-22T02:00")
    assert isinstance(parked, Skipped)
    assert "parked since" in parked.why
    assert "'overwrite?'" in parked.why
    assert [past.run for past in desk.schedules.not_over("backup")] == [first.run]
    desk.move(first.run, "cancelled")
    assert opened(desk.look("2026-11-23T02:00")) == ["2026-11-23"]
    assert len(desk.events(TaskAdded)) == 2


def test_queued_behind_a_run_that_hangs_nothing_grows_without_end() -> None:
    """With `queue`, at most `waiting_max` runs stand there; what comes then is skipped and says so."""
    # shows: N6
    desk = Desk()
    desk.schedules.set("backup", replace(DAILY, overlap="queue", waiting_max=3), TASK)
    told = [one for day in range(20, 26) for one in desk.look(f"2026-11-{day}T02:00")]
    assert opened(told) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert all("3 runs of it are not over" in one.why for one in told if isinstance(one, Skipped))
    assert {task.keys["schedule:backup"] for task in desk.events(TaskAdded)} == {1}


def test_all_missed_windows_come_up_as_there_is_room() -> None:
    """With `all`, none is given up: three at a time, oldest first."""
    desk = Desk()
    desk.schedules.set("backup", replace(DAILY, catch_up="all", waiting_max=3), TASK)
    done: list[str] = []
    for _ in range(5):
        told = desk.look("2026-11-30T08:00")
        done += opened(told)
        for one in told:
            assert isinstance(one, Opened)
            desk.move(one.run, "done")
    assert done == [f"2026-11-{day}" for day in range(20, 31)]
    assert desk.events(WindowSkipped) == []


def test_editing_a_schedule_never_runs_an_old_window() -> None:
    """Neither one that ran already nor one that nobody had looked at; that one is skipped, with the reason."""
    # shows: N6
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    assert opened(desk.look("2026-11-20T02:00")) == ["2026-11-20"]
    desk.clock.advance(24 * 3600)
    assert desk.schedules.set("backup", Schedule.daily("01:00", "Europe/Berlin"), TASK)
    assert [event.why for event in desk.events(WindowSkipped)] == ["the schedule was edited before anybody looked"]
    assert desk.look("2026-11-21T09:00") == []
    desk.move(desk.events(WindowOpened)[0].run, "done")
    assert opened(desk.look("2026-11-22T00:00")) == ["2026-11-22"]


def test_editing_only_the_task_keeps_what_is_due() -> None:
    """Last night's window, not looked at yet, runs with the new task."""
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    desk.clock.advance(24 * 3600)
    assert desk.schedules.set("backup", replace(DAILY, late_s=60.0), replace(TASK, title="Back up all"))
    assert opened(desk.look("2026-11-20T12:00")) == ["2026-11-20"]
    assert [task.title for task in desk.events(TaskAdded)] == ["Back up all"]


def test_setting_the_same_again_is_nothing() -> None:
    """A program that sets its schedules at every start loses no window by it."""
    desk = Desk()
    task = replace(TASK, place={"priority": 5, "budget": {"attempts": 3}, "rates": {"mail": "3/hour"}})
    assert desk.schedules.set("backup", DAILY, task)
    assert not desk.schedules.set("backup", DAILY, task)
    assert len(desk.events(ScheduleSet)) == 1
    desk.look("2026-11-20T02:00")
    [added] = desk.events(TaskAdded)
    assert (added.priority, added.budget, added.rates) == (5, {"attempts": 3}, {"mail": "3/hour"})


def test_a_removed_schedule_that_comes_back_repeats_no_window() -> None:
    """Its history stays, and its old windows stay over."""
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    desk.look("2026-11-20T02:00")
    desk.schedules.remove("backup")
    with pytest.raises(ScheduleUnknown):
        desk.schedules.get("backup")
    assert desk.look("2026-11-21T02:00") == []
    assert len(desk.schedules.history("backup")) == 1
    desk.schedules.set("backup", DAILY, TASK)
    assert desk.look("2026-11-21T03:00") == []
    desk.move(desk.events(WindowOpened)[0].run, "done")
    assert opened(desk.look("2026-11-22T02:00")) == ["2026-11-22"]


def test_forced_runs_stand_beside_the_windows() -> None:
    """Each asked for is one run more; the window comes all the same."""
    # shows: N6
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    first, second = desk.schedules.force("backup"), desk.schedules.force("backup")
    assert (first.window, second.window) == ("forced-1", "forced-2")
    for one in (first, second):
        desk.move(one.run, "done")
    assert opened(desk.look("2026-11-20T02:00")) == ["2026-11-20"]
    assert [event.forced for event in desk.events(WindowOpened)] == [True, True, False]
    with pytest.raises(ScheduleUnknown):
        desk.schedules.force("nothing")


def test_the_ledger_itself_refuses_a_second_run_of_a_window() -> None:
    """A program that makes the events by hand: a window twice, one before the schedule, one that it does not have."""
    # shows: N6 N16
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    [told] = desk.look("2026-11-20T02:00")
    queue = queue_on(desk.ledger, desk.clock, seed=7)
    for schedule, window, start in (
        ("backup", told.window, "2026-11-20T01:30:00.000000Z"),
        ("backup", "2026-11-20T02:30+0200", "2026-11-20T00:30:00.000000Z"),
        ("backup", "2026-11-18T02:30+0100", "2026-11-18T01:30:00.000000Z"),
        ("nobody", "2026-11-20T02:30+0100", "2026-11-20T01:30:00.000000Z"),
    ):
        run, drafts = queue.drafts("command", "again", {}, Placement(schedule=schedule, window=window))
        event = WindowOpened(schedule=schedule, window=window, start=start, run=run)
        with pytest.raises(DraftRefused):
            desk.ledger.append([Draft("schedules", event), *drafts])
    assert len(desk.events(TaskAdded)) == 1


class Failing:
    """A log that dies at its n-th append, before or after it is done."""

    def __init__(self, ledger: MemoryLedger, n: int, *, after: bool) -> None:
        self._ledger, self._n, self._after = ledger, n, after

    def append(self, drafts: Sequence[Draft]) -> Any:
        self._n -= 1
        if self._n == 0 and not self._after:
            raise LedgerStopped("the power is gone", hint="")
        done = self._ledger.append(drafts)
        if self._n == 0:
            raise LedgerStopped("the power is gone", hint="")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", range(1, 9))
def test_a_crash_before_or_after_any_append_loses_and_repeats_nothing(n: int, after: bool) -> None:
    """Three schedules over four days, a process that dies at its n-th append, and the next one."""
    # shows: N6 N14
    desk = Desk()
    for name, catch_up in (("a", "skip"), ("b", "once"), ("c", "all")):
        desk.schedules.set(name, replace(DAILY, catch_up=catch_up), TASK)
    died = False
    for day in range(20, 24):
        failing: Any = Failing(desk.ledger, n if not died else 0, after=after)
        try:
            Schedules(failing, desk.clock, queue_on(desk.ledger, desk.clock, n)).look(at(f"2026-11-{day}T01:31"))
        except LedgerStopped:
            died = True
        desk.look(f"2026-11-{day}T01:32")
        for event in desk.events(WindowOpened):
            if not next(p for p in desk.schedules.history(event.schedule) if p.run == event.run).over:
                desk.move(event.run, "done")
    for name in "abc":
        assert [e.window[:10] for e in desk.events(WindowOpened) if e.schedule == name] == [
            f"2026-11-{day}" for day in range(20, 24)
        ]
    assert len(desk.events(TaskAdded)) == 12


def test_a_schedule_whose_task_cannot_be_queued_stops_no_other() -> None:
    """It was fine when it was made, and the kind is gone today: its window is skipped with the reason."""
    desk = Desk()
    desk.schedules.set("a-broken", DAILY, replace(TASK, kind="known then"))
    desk.schedules.set("backup", DAILY, TASK)

    class Later(Queue):
        def drafts(self, kind: str, title: str, args: Any, placement: Placement) -> tuple[str, list[Draft]]:
            if kind == "known then":
                raise TemplateWrong("no task function is called that", hint="register it")
            return super().drafts(kind, title, args, placement)

    later = Later(desk.ledger, desk.clock, random.Random(1).randbytes)
    told = Schedules(desk.ledger, desk.clock, later).look(at("2026-11-20T02:00"))
    assert [type(one) for one in told] == [Skipped, Opened]
    assert isinstance(told[0], Skipped)
    assert "cannot be queued: U153" in told[0].why


def test_a_run_that_the_ledger_refuses_is_skipped_and_the_others_are_not() -> None:
    """A dedupe word that only one run may have: the first window runs, the later ones say why they did not."""
    desk = Desk()
    desk.schedules.set("x", replace(DAILY, catch_up="all"), replace(TASK, place={"dedupe": "one"}))
    told = desk.look("2026-11-22T08:00")
    assert [type(one) for one in told] == [Opened, Skipped, Skipped]
    assert all("L113" in one.why for one in told[1:] if isinstance(one, Skipped))
    assert desk.look("2026-11-22T08:00") == []
    desk.move(next(one.run for one in told if isinstance(one, Opened)), "cancelled")
    assert opened(desk.look("2026-11-23T08:00")) == ["2026-11-23"]


def test_a_schedule_of_a_newer_version_is_named_and_stops_no_other() -> None:
    """A field that this version does not know."""
    desk = Desk()
    desk.schedules.set("backup", DAILY, TASK)
    odd = ScheduleSet(
        name="odd", schedule={"cron": "0 2 * * *", "moon": "full"}, task={}, since="2026-11-19T12:00:00.000000Z"
    )
    desk.ledger.append([Draft("schedules", odd)])
    assert opened(desk.look("2026-11-20T02:00")) == ["2026-11-20"]
    [(name, why)] = desk.schedules.broken()
    assert name == "odd"
    assert "moon" in why
    desk.schedules.remove("odd")
    assert desk.schedules.broken() == []


def test_the_next_windows_are_told_and_when_to_wake() -> None:
    """Sorted by time over all schedules; those already handled are not told again."""
    desk = Desk()
    assert desk.schedules.wake_at(desk.clock.now()) is None
    desk.schedules.set("backup", DAILY, TASK)
    desk.schedules.set("report", Schedule.daily("06:00", "Europe/Berlin"), TASK)
    coming = desk.schedules.next(desk.clock.now(), count=2)
    assert [(name, window.key[:16]) for name, window in coming] == [
        ("backup", "2026-11-20T02:30"), ("report", "2026-11-20T06:00"),
        ("backup", "2026-11-21T02:30"), ("report", "2026-11-21T06:00"),
    ]  # fmt: skip
    assert desk.schedules.wake_at(desk.clock.now()) == at("2026-11-20T01:30")
    assert len(desk.schedules.next(desk.clock.now(), "report", 3)) == 3


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "../etc", "ä", "a\n", None, 7])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    """Names stand in keys, file names and on command lines."""
    with pytest.raises(ScheduleMisnamed):
        Desk().schedules.set(name, DAILY, TASK)


@pytest.mark.parametrize(
    "task",
    [
        replace(TASK, args={"x": object()}),
        replace(TASK, args=cast(Any, [1])),
        replace(TASK, kind=cast(Any, None)),
        replace(TASK, kind=""),
        replace(TASK, title=" "),
        replace(TASK, title="x" * 5000),
        replace(TASK, place={"after": ["run-1"]}),
        replace(TASK, place={"deadline": "2026-12-01T00:00:00Z"}),
        replace(TASK, place={"schedule": "other", "window": "w"}),
        replace(TASK, place=cast(Any, [])),
        replace(TASK, place={"budget": {"gold": 1}}),
        replace(TASK, place={"budget": 7}),
        replace(TASK, place={"keys": 7}),
        replace(TASK, place={"priority": "high"}),
        replace(TASK, place={"rates": {"x": "often"}}),
    ],
)
def test_a_task_that_cannot_be_queued_makes_no_schedule(task: TaskTemplate) -> None:
    """It is refused before anything is recorded."""
    # shows: P8
    desk = Desk()
    with pytest.raises((TemplateWrong, NotPlain, PlacementWrong)):
        desk.schedules.set("backup", DAILY, task)
    assert desk.events(ScheduleSet) == []


class Model(RuleBasedStateMachine):
    """Schedules against what they promise, under looks, edits, crashes, moves of runs and clocks that jump."""

    CRONS = st.sampled_from(["30 2 * * *", "0 */6 * * *", "15 2 * * sun", "*/30 1-3 * * *"])
    POLICIES = st.sampled_from(["skip", "once", "all"])

    @initialize()
    def begin(self) -> None:
        self.desk = Desk("2026-03-27T12:00")
        self.now = self.desk.clock.now()
        self.edited: dict[str, datetime] = {}

    @rule(name=st.sampled_from("ab"), cron=CRONS, catch_up=POLICIES, overlap=st.sampled_from([None, "queue"]))
    def set(self, name: str, cron: str, catch_up: Any, overlap: Any) -> None:
        made = Schedule(cron=cron, zone="Europe/Berlin", catch_up=catch_up, overlap=overlap, waiting_max=4)
        self.desk.clock.start = self.now - timedelta(seconds=self.desk.clock.monotonic())
        before = next((row.schedule for row in self.desk.schedules.all() if row.name == name), None)
        if self.desk.schedules.set(name, made, TASK) and (before is None or before.cron != cron):
            self.edited[name] = self.now

    @rule(name=st.sampled_from("ab"))
    def remove(self, name: str) -> None:
        if name in {row.name for row in self.desk.schedules.all()}:
            self.desk.schedules.remove(name)

    @rule(hours=st.floats(-3, 80))
    def time(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(fresh=st.booleans(), dies=st.sampled_from([0, 0, 1, 2]), after=st.booleans())
    def look(self, fresh: bool, dies: int, after: bool) -> None:
        log: Any = Failing(self.desk.ledger, dies, after=after)
        looker = Schedules(log, self.desk.clock, self.desk.schedules._queue) if fresh or dies else self.desk.schedules
        self.desk.clock.start = self.now - timedelta(seconds=self.desk.clock.monotonic())
        try:
            told = looker.look(self.now)
        except LedgerStopped:
            return
        for one in told:
            assert one.start <= self.now
            assert one.start > self.edited[one.schedule]

    @precondition(lambda self: self.desk.events(WindowOpened))
    @rule(data=st.data(), state=st.sampled_from(["done", "failed", "parked"]))
    def move(self, data: st.DataObject, state: str) -> None:
        event = data.draw(st.sampled_from(self.desk.events(WindowOpened)))
        self.desk.move(event.run, state)

    @invariant()
    def one_run_per_window(self) -> None:
        told = [(event.schedule, event.window) for event in self.desk.events(WindowOpened, WindowSkipped)]
        assert len(told) == len(set(told))
        runs = [event.run for event in self.desk.events(WindowOpened)]
        assert runs == [event.run for event in self.desk.events(TaskAdded)]
        assert all(event.why for event in self.desk.events(WindowSkipped))
        for row in self.desk.schedules.all():
            waiting = len(self.desk.schedules.not_over(row.name))
            assert waiting <= (4 if row.schedule.queues or waiting > 1 else 1)

    def teardown(self) -> None:
        assert self.desk.ledger.compare_views() == []


def test_schedules_keep_their_promise_whatever_happens() -> None:
    """Any order of edits, looks by old and new processes, crashes, and clocks that go back."""
    # shows: N6 N14
    run_state_machine_as_test(Model, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))


# -- real ledgers, several processes


def real(home: Path) -> Ledger:
    return Ledger.open(
        home / "ledger", keys=home / "keys", witness=home / "witness", clock=FakeClock(), views=[RUNS, SCHEDULES]
    )


def looker(home: Path, *moments: str) -> subprocess.Popen[str]:
    """A process that looks at each of these moments as soon as it is told to."""
    command = [sys.executable, str(LOOKER), str(home), *moments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def audit(home: Path, days: Sequence[int], names: Sequence[str]) -> None:
    with real(home) as ledger:
        found = [record.event for record in ledger.read_all()]
        assert ledger.compare_views() == []
    told = [(e.schedule, e.window[:10]) for e in found if isinstance(e, WindowOpened)]
    assert sorted(told) == sorted((name, f"2026-11-{day}") for name in names for day in days)
    runs = [event.run for event in found if isinstance(event, WindowOpened)]
    assert sorted(runs) == sorted(event.run for event in found if isinstance(event, TaskAdded))


def prepare(home: Path, names: Sequence[str]) -> None:
    home.mkdir()
    with real(home) as ledger:
        desk = Desk(ledger=ledger)
        for name in names:
            desk.schedules.set(name, replace(DAILY, catch_up="all"), TASK)


def test_processes_that_look_at_once_open_each_window_once(tmp_path: Path) -> None:
    """Four of them, four schedules, ten days."""
    # shows: N6 N14
    home, names, days = tmp_path / "home", ["a", "b", "c", "d"], range(20, 30)
    prepare(home, names)
    lookers = [looker(home, *(f"2026-11-{day}T01:31" for day in days)) for _ in range(4)]
    for one in lookers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n", one.communicate()[1]
    told = 0
    for one in lookers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in lookers:
        output, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors
        told += output.count("opened")
    assert told == len(names) * len(days)
    audit(home, days, names)


def test_processes_killed_while_they_look_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Killed at random moments, with another one beside; the last one finds the rest."""
    # shows: N6 N14
    home, names, days = tmp_path / "home", ["a", "b"], range(20, 30)
    prepare(home, names)
    moments = [f"2026-11-{day}T01:31" for day in days]
    chance = random.Random(4)
    for _ in range(3):
        pair = [looker(home, *moments), looker(home, *moments)]
        for one in pair:
            assert one.stdout is not None
            assert one.stdin is not None
            assert one.stdout.readline() == "ready\n", one.communicate()[1]
            one.stdin.write("go\n")
            one.stdin.flush()
        try:
            pair[0].wait(chance.uniform(0, 0.05))
        except subprocess.TimeoutExpired:
            os.kill(pair[0].pid, signal.SIGKILL)
        for one in pair[1:]:
            if chance.random() < 0.7:
                os.kill(one.pid, signal.SIGKILL)
        for one in pair:
            one.communicate(timeout=60)
    last = looker(home, *moments)
    _, errors = last.communicate("go\n", timeout=60)
    assert last.returncode == 0, errors
    audit(home, days, names)


@given(st.lists(st.floats(0, 40), min_size=1, max_size=12), st.sampled_from(["skip", "once", "all"]))
@settings(max_examples=40, deadline=None)
def test_two_schedules_objects_of_one_ledger_agree(pauses: list[float], catch_up: Any) -> None:
    """One that looks often and one that looks seldom: what they open together is what one alone would."""
    both, alone = Desk(), Desk()
    for desk in (both, alone):
        desk.schedules.set("x", replace(DAILY, catch_up=catch_up), TASK)
    other = Schedules(both.ledger, both.clock, queue_on(both.ledger, both.clock, 3))
    now = at("2026-11-19T12:00")
    for turn, pause in enumerate(pauses):
        now += timedelta(hours=pause)
        if turn % 3 == 0:
            other.look(now)
        both.look(now)
        alone.look(now)
    assert [e.window for e in both.events(WindowOpened)] == [e.window for e in alone.events(WindowOpened)]
    assert [e.window for e in both.events(WindowSkipped)] == [e.window for e in alone.events(WindowSkipped)]


def test_every_error_has_a_hint() -> None:
    """What to do next."""
    desk = Desk()
    for call in (desk.schedules.get, desk.schedules.remove, desk.schedules.history, desk.schedules.force):
        with pytest.raises(DaybreakError) as caught:
            call("x")
        assert caught.value.hint
