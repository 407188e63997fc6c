"""The rehearsal of a night: it plays by the engine's own rules, and its numbers are those of the history."""

from __future__ import annotations

import heapq
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from daybreak.clock import stamp
from daybreak.engine import VIEWS, Context, Engine, Placement, spend
from daybreak.engine.experience import (
    Assumed,
    AssumptionWrong,
    Experience,
    NothingKnown,
    Piece,
    Story,
    Teller,
    Told,
    merged,
)
from daybreak.engine.night import Plan
from daybreak.engine.queue import Queue
from daybreak.engine.rehearsal import Rehearsal, RehearsalWrong, Span, Start, rehearse
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.engine.schedules import Schedules, TaskTemplate
from daybreak.engine.virtual import Timetable
from daybreak.engine.window import Schedule
from daybreak.events import (
    POLICY,
    Answered,
    LeaseGranted,
    PauseAsked,
    ResumeAsked,
    RunMoved,
    StepDone,
    StepTried,
    control_stream,
    run_stream,
)
from daybreak.ledger.record import Draft
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit
from daybreak.report import rehearsed
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

NIGHT = "night:real"


class Desk:
    """A ledger in memory with a queue, and histories that are written into it as owners would."""

    def __init__(self, seed: int = 0) -> None:
        self.random, self.clock = Random(seed), FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, SCHEDULES], entropy=self.random.randbytes)
        self.queue = Queue(self.ledger, self.clock, self.random.randbytes)

    def add(self, title: str = "one", kind: str = "work", **placement: Any) -> str:
        return self.queue.add(kind, title, {}, Placement(**placement)).run

    def say(self, run: str, *events: Any, epoch: int = 1) -> None:
        self.ledger.append([Draft(run_stream(run), event, epoch=epoch) for event in events])

    def lease(self, run: str, epoch: int = 1, old: Any = "queued") -> None:
        granted = LeaseGranted(run=run, owner="o", host="here", pid=1)
        moves = (RunMoved(run=run, old=old, new="leased"), RunMoved(run=run, old="leased", new="running"))
        self.say(run, granted, *moves, epoch=epoch)

    def step(self, run: str, name: str = "a", nth: int = 0, epoch: int = 1) -> None:
        self.say(run, StepDone(run=run, branch="", name=name, nth=nth, args="0" * 64, result=None), epoch=epoch)

    def past(
        self, seconds: float, title: str = "one", kind: str = "work", new: Any = "done", question: str = ""
    ) -> str:
        """A run that took so long and came to that state."""
        run = self.add(title, kind)
        self.lease(run)
        self.clock.advance(seconds)
        self.say(run, RunMoved(run=run, old="running", new=new))
        return run

    def rehearse(self, *assumed: str, workers: int = 1, nights: int = 20, seed: int = 0, **plan: Any) -> Rehearsal:
        hours = plan.pop("hours", None)
        until = None if hours is None else self.clock.now() + timedelta(hours=hours)
        return rehearse(
            self.ledger,
            self.clock.now(),
            Plan(workers=workers, until=until, **plan),
            nights=nights,
            seed=seed,
            assumed=[Assumed.parse(text) for text in assumed],
        )

    def starts(self, *assumed: str, **how: Any) -> list[Start]:
        """Of one night."""
        found: list[Start] = []
        plan = Plan(**how)
        rehearse(
            self.ledger,
            self.clock.now(),
            plan,
            nights=1,
            assumed=[Assumed.parse(text) for text in assumed],
            told=lambda _, start: found.append(start),
        )
        return found


# -- the numbers


def list_scheduled(seconds: Sequence[float], workers: int) -> float:
    """When the last of these is finished, taken in order by whoever is free first."""
    free = [0.0] * workers
    for taken in seconds:
        heapq.heappush(free, heapq.heappop(free) + taken)
    return max(free)


def test_its_median_is_that_of_the_distribution_behind_the_history() -> None:
    """400 runs with durations from a known distribution; the truth is computed without Daybreak from 4,000 nights drawn
    from that distribution itself. Failures and prices likewise."""
    # shows: N20
    desk, nature = Desk(), Random(11)

    def duration() -> float:
        return nature.lognormvariate(6.0, 0.5) + 60

    for number in range(400):
        desk.past(duration(), f"past {number}", new="failed" if nature.random() < 0.2 else "done")
    for number in range(60):
        desk.add(f"task {number}")
    found = desk.rehearse(workers=4, nights=80)
    truth = statistics.median(list_scheduled([duration() for _ in range(60)], 4) for _ in range(4_000))
    assert found.finish.p50 == pytest.approx(truth, rel=0.05)
    assert found.at_end["failed"].p50 == pytest.approx(12, abs=3)
    assert found.finish.p10 < found.finish.p50 < found.finish.p90
    assert {one.basis.level for one in found.drawn} == {"kind"}
    assert found.thinnest is not None
    assert found.thinnest.observations == 200  # the newest ones


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    """Word for word, of everything."""
    # shows: N20 N18
    desk = Desk()
    for number in range(20):
        desk.past(100 + 17 * number)
        desk.add()
    told = [json.dumps(rehearsed.as_json(desk.rehearse(workers=3, seed=seed))) for seed in (5, 5, 6)]
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_more_workers_meet_the_same_tasks() -> None:
    """What is drawn for a run does not depend on when it begins, so that two rehearsals can be compared night by
    night: twice the workers never take longer for tasks that need nothing of each other."""
    desk = Desk()
    for _ in range(40):
        desk.add()
    slow, fast = (desk.rehearse("work=20min±80%", workers=workers) for workers in (2, 8))
    assert all(one > other for one, other in zip(slow.finishes, fast.finishes, strict=True))


def test_three_observations_are_as_uncertain_as_they_should_be() -> None:
    """The same three durations a hundred times over: then the median is known well, before it was a guess, and both
    are said."""
    # shows: N20
    spans = []
    for times in (1, 30):
        desk = Desk()
        for _ in range(times):
            for seconds in (100, 400, 1600):
                desk.past(seconds, new="done")
        for _ in range(50):
            desk.add()
        found = desk.rehearse(nights=60)
        spans.append(found.finish.p90 - found.finish.p10)
        text = "\n".join(rehearsed.lines(found))
        assert ("3 observations: rather a guess" in text) == (times == 1)
        assert ("50 of 50 rest on fewer than 10 observations: rather a guess" in text) == (times == 1)
    assert spans[0] > 2 * spans[1]


def test_the_deadline_cuts_a_night_and_the_rest_is_told() -> None:
    """Ten hours of work for an evening of four: four hours are done, and when all would be done is said too."""
    # shows: N20
    desk = Desk()
    for _ in range(10):
        desk.add()
    found = desk.rehearse("work=1h,0.5usd", hours=4.5)
    assert found.at_end["done"] == Span(4, 4, 4)
    assert found.at_end["under way"] == Span(1, 1, 1)
    assert found.at_end["queued"] == Span(5, 5, 5)
    assert (found.finish.p50, found.in_time, found.busy.p50) == (36_000, 0.0, 1.0)
    assert found.cost.p50 == 2.5  # what is cut off counts at its worst
    assert found.held[0].cause == "workers"
    assert "too late" in "\n".join(rehearsed.lines(found))
    everything = desk.rehearse("work=1h,0.5usd", hours=11)
    assert (everything.in_time, everything.cost.p50, everything.at_end["done"].p50) == (1.0, 5.0, 10)


# -- the rules


@dataclass(frozen=True)
class Job:
    """A task of the differential test. Durations in milliseconds; a wait of 0 is none."""

    project: int
    priority: int
    first_ms: int
    wait_s: int
    second_ms: int
    after: tuple[int, ...]
    key: int
    rate: bool
    not_before_s: int
    deadline_s: int
    price: int
    budget: int
    ends: str


jobs = st.builds(
    Job,
    project=st.integers(0, 2),
    priority=st.integers(0, 2),
    first_ms=st.integers(1_000, 900_000),
    wait_s=st.sampled_from([0, 0, 0, 60, 1_000]),
    second_ms=st.integers(1_000, 90_000),
    after=st.lists(st.integers(0, 8), max_size=2, unique=True).map(tuple),
    key=st.integers(0, 3),
    rate=st.booleans(),
    not_before_s=st.sampled_from([0, 0, 0, 300, 2_000]),
    deadline_s=st.sampled_from([0, 0, 0, 2_500]),
    price=st.integers(0, 5),
    budget=st.sampled_from([0, 0, 0, 4]),
    ends=st.sampled_from(["done", "done", "done", "failed", "parked"]),
)


async def work(ctx: Context, args: dict[str, Any]) -> None:
    """Two steps with prices, a wait between them, and an end."""
    price = Amounts(money_microusd=args["price"])

    async def step(ms: int) -> None:
        await trio.sleep(ms / 1000)
        spend(replace(price, money_microusd=price.money_microusd // 2))

    await ctx.step("first", step, args["first_ms"], cost=price)
    if args["wait_s"]:
        await ctx.sleep(args["wait_s"])
    await ctx.step("second", step, args["second_ms"], cost=price)
    if args["ends"] == "failed":
        raise RuntimeError("as was to be expected")
    if args["ends"] == "parked":
        await ctx.ask("what now?")


class Real:
    """The real engine and queue on a virtual clock, without a supervisor: whoever is free takes what the queue gives.

    Each job is a kind of its own, with one run in the past that went the same way."""

    def __init__(self, wanted: Sequence[Job], workers: int, budget: int) -> None:
        self.workers, self.budget = workers, budget
        self.mock = MockClock(autojump_threshold=0)
        self.clock = FakeClock(elapsed=self.mock.current_time)
        self.random = Random(3)
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, SCHEDULES], entropy=self.random.randbytes)
        kinds = {f"kind {number}": work for number in range(len(wanted))}
        self.engine = Engine(self.ledger, kinds, MemoryLocks(), self.clock, self.random.randbytes, sleep=trio.sleep)
        self.jobs = wanted
        self.runs: list[str] = []
        self.asking: list[str] = []
        """Runs of the past that still ask."""
        self.rehearsed: Rehearsal | None = None
        self.starts: list[Start] = []
        self.began_s = 0.0

    async def play(self) -> None:
        for number, job in enumerate(self.jobs):
            past = self.submit(number, job, Placement(budget=Limit(money_microusd=1_000)))
            if (await self.engine.finish(past)).state == "parked":
                self.asking.append(past)
        self.began_s = self.clock.monotonic()
        for number, job in enumerate(self.jobs):
            self.runs.append(self.submit(number, job, self.placement(job)))
        limit = Limit(money_microusd=self.budget) if self.budget else None
        plan = Plan(workers=self.workers, budget=limit)
        self.rehearsed = rehearse(
            self.ledger, self.clock.now(), plan, nights=1, told=lambda _, start: self.starts.append(start)
        )
        if limit is not None:
            opened = Accounts(self.ledger).open(NIGHT, limit)
            assert opened is not None
            self.ledger.append([Draft(POLICY, opened)])
        async with trio.open_nursery() as nursery:
            await self.night(nursery)

    def submit(self, number: int, job: Job, placement: Placement) -> str:
        args = {"price": job.price, "first_ms": job.first_ms, "wait_s": job.wait_s, "second_ms": job.second_ms}
        return self.engine.submit(f"kind {number}", f"job {number}", {**args, "ends": job.ends}, placement)

    def placement(self, job: Job) -> Placement:
        now = self.clock.now()
        return Placement(
            project=f"p{job.project}",
            priority=job.priority,
            after=[self.runs[place] for place in job.after if place < len(self.runs)],  # type: ignore[arg-type]
            not_before=now + timedelta(seconds=job.not_before_s) if job.not_before_s else None,
            deadline=now + timedelta(seconds=job.deadline_s) if job.deadline_s else None,
            keys={f"key {job.key}": job.key} if job.key else {},
            rates={"calls": "2/h"} if job.rate else {},
            budget=Limit(money_microusd=job.budget) if job.budget else None,
        )

    async def night(self, nursery: trio.Nursery) -> None:
        under_way: set[str] = set()
        while True:
            woken = self.wake = trio.Event()
            picks = self.engine.queue.next(
                self.clock.now(), taken=under_way, most=self.workers - len(under_way), night="real"
            )
            for pick in picks:
                under_way.add(pick.run)
                nursery.start_soon(self.worker, pick.run, under_way, lambda: woken.set())  # noqa: B023
                await wait_all_tasks_blocked()  # it has its lease and its first money: trio starts tasks in any order
            if woken.is_set():
                continue
            wake = self.engine.queue.wake_at(self.clock.now())
            if not under_way and wake is None:
                return
            left_s = float("inf") if wake is None else (wake - self.clock.now()).total_seconds()
            with trio.move_on_after(max(left_s, 0.000_001)):
                await woken.wait()

    async def worker(self, run: str, under_way: set[str], _: Callable[[], None]) -> None:
        await self.engine.supervise(run, night="real", account=NIGHT if self.budget else "")
        under_way.discard(run)
        self.wake.set()

    def leases(self) -> list[tuple[int, str]]:
        """When each run got a worker in the real night: milliseconds after its beginning."""
        found = []
        for run in self.runs:
            for record in self.ledger.read(run_stream(run)):
                if isinstance(record.event, LeaseGranted):
                    since = self.clock.start + timedelta(seconds=self.began_s)
                    found.append((_ms(record.ts, since), run))
        return sorted(found)

    def states(self) -> dict[str, int]:
        runs = [*self.runs, *self.asking]
        marks = ", ".join("?" * len(runs))
        sql = f"SELECT state, count(*) FROM view_runs WHERE run IN ({marks}) GROUP BY state"
        return dict(self.ledger.query(sql, runs))


def _ms(ts: str, since: Any) -> int:
    return round((datetime.fromisoformat(ts) - since).total_seconds() * 1000)


def _job(**details: Any) -> Job:
    plain = Job(0, 0, 1_000, 0, 1_000, (), 0, False, 0, 0, 0, 0, "done")
    return replace(plain, **details)


@settings(max_examples=30, deadline=None)
@example([_job(), _job(first_ms=249_900), _job(after=(0, 1), deadline_s=2_500)], 2, 0)  # at that very moment
@given(wanted=st.lists(jobs, min_size=1, max_size=9), workers=st.integers(1, 3), budget=st.sampled_from([0, 0, 12]))
def test_it_starts_what_the_engine_starts_when_the_engine_starts_it(
    wanted: list[Job], workers: int, budget: int
) -> None:
    """With durations that are certain, every lease of a real night on a virtual clock is foreseen to the millisecond,
    with projects, priorities, needs, keys, rates, moments, deadlines, waits, questions, prices, budgets."""
    # shows: N20
    wanted = [replace(job, first_ms=job.first_ms * 10 + place) for place, job in enumerate(wanted)]  # no two at once
    real = Real(wanted, workers, budget)
    trio.run(real.play, clock=real.mock)
    assert real.rehearsed is not None
    assert sorted((round(start.at_s * 1000), start.run) for start in real.starts) == real.leases()
    foreseen = {state: int(span.p50) for state, span in real.rehearsed.at_end.items()}
    assert foreseen == real.states()


def test_no_night_costs_more_than_its_budget() -> None:
    """Worst cases are reserved, as the engine does it; what could not be paid is left for the next night."""
    # shows: N20 N5
    desk = Desk()
    for _ in range(30):
        desk.add()
    found = desk.rehearse("work=10min,1usd±40%", workers=3, nights=50, budget=Limit(money_microusd=10_000_000))
    assert max(found.money) <= 10
    assert min(found.money) > 6
    assert found.accounts == {"night": 1.0}
    assert {one.state for one in found.stopped} == {"paused"}
    assert "the night's budget is used up in 100% of nights" in "\n".join(rehearsed.lines(found))


def test_the_time_of_a_run_ends_it() -> None:
    """With a question, as in a real night."""
    desk = Desk()
    desk.add(budget=Limit(time_ms=60_000))
    found = desk.rehearse("work=2min")
    assert (found.finish.p50, found.at_end) == (60.0, {"parked": Span(1, 1, 1)})
    assert found.stopped[0].why == "the run's time is used up: raise its budget?"


def test_the_bottleneck_is_named() -> None:
    """A key, a rate, other runs, or too few workers."""
    # shows: N20
    for placement, cause in (({"keys": {"shop": 1}}, "key shop"), ({"rates": {"api": "1/h"}}, "rate api")):
        desk = Desk()
        for _ in range(10):
            desk.add(**placement)  # type: ignore[arg-type]
        found = desk.rehearse("work=10min", workers=5, nights=2)
        assert found.held[0].cause == cause
    desk = Desk()
    first = desk.add()
    desk.add(after=(first,))
    [held] = desk.rehearse("work=1h", workers=5, nights=2).held
    assert (held.cause, round(held.hours, 6)) == ("needs", 1.0)


def test_windows_of_schedules_come_in_the_night_and_only_there() -> None:
    """Hourly from 22:30 to 06:00: eight runs, all done; the schedule itself knows nothing of them."""
    # shows: N20 N6
    desk = Desk()
    schedules = Schedules(desk.ledger, desk.clock, desk.queue)
    schedules.set("news", Schedule.hourly(30), TaskTemplate(kind="work", title="news", args={}))
    found = desk.rehearse("work=10min", hours=8)
    assert (found.windows, found.at_end) == (Span(8, 8, 8), {"done": Span(8, 8, 8)})
    assert [(one.run, one.title) for one in found.drawn] == [("", "news")]
    assert schedules.history("news") == []
    assert schedules.look(desk.clock.now()) == []
    late = desk.rehearse("work=70min", hours=8)  # every second one comes while its predecessor works
    assert late.windows == Span(4, 4, 4)


def test_what_is_held_asks_or_is_under_way_goes_as_it_would() -> None:
    """A held run stays; an answered one goes on behind its kept steps; one that is under way goes first, from where it
    is; one that shall be cancelled is gone."""
    desk = Desk()
    for _ in range(5):
        past = desk.add()
        desk.lease(past)
        for nth, seconds in enumerate((100, 300)):
            desk.clock.advance(seconds)
            desk.step(past, nth=nth)
        desk.clock.advance(50)
        desk.say(past, RunMoved(run=past, old="running", new="done"))
    held, answered, left, gone, fresh = (desk.add() for _ in range(5))
    desk.ledger.append([Draft(control_stream(held), PauseAsked(run=held))])
    desk.lease(answered)
    desk.step(answered)
    desk.say(answered, RunMoved(run=answered, old="running", new="parked", question="?"))
    desk.ledger.append([Draft(control_stream(answered), Answered(run=answered, question="?", answer="yes"))])
    desk.lease(left)
    desk.step(left)
    desk.step(left, nth=1)
    desk.queue.cancel(gone)
    starts = desk.starts(workers=1)
    assert [(start.run, start.at_s) for start in starts] == [(left, 0), (gone, 50), (answered, 50), (fresh, 400)]
    found = desk.rehearse()
    assert (found.finish.p50, found.at_end["queued"].p50, found.at_end["cancelled"].p50) == (850, 1, 1)


def test_a_failed_run_that_was_asked_for_again_goes_again() -> None:
    """As the engine does it: it is rolled back, and begins."""
    desk = Desk()
    run = desk.past(60, new="failed")
    desk.past(60)
    desk.ledger.append([Draft(control_stream(run), ResumeAsked(run=run))])
    assert [start.run for start in desk.starts()] == [run]


# -- what it leaves alone


def test_nothing_is_written() -> None:
    """Not one event, and no view changes; whatever is played."""
    # shows: N20
    desk = Desk()
    schedules = Schedules(desk.ledger, desk.clock, desk.queue)
    schedules.set("news", Schedule.hourly(30), TaskTemplate(kind="work", title="news", args={}))
    for _ in range(5):
        desk.add(keys={"a": 1}, budget=Limit(money_microusd=5))

    def everything() -> list[Any]:
        tables = [name for (name,) in desk.ledger.query("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [desk.ledger.head().size, *(desk.ledger.query(f"SELECT * FROM {name}") for name in sorted(tables))]

    before = everything()
    desk.rehearse("work=1min,0.1usd,fail 20%", hours=8, budget=Limit(money_microusd=1))
    assert everything() == before
    assert desk.ledger.compare_views() == []


def test_the_second_night_is_played_like_the_first() -> None:
    """Nothing of a night is left over for the next one: with certain durations all are the same."""
    desk = Desk()
    schedules = Schedules(desk.ledger, desk.clock, desk.queue)
    schedules.set("news", Schedule.hourly(30), TaskTemplate(kind="work", title="news", args={}))
    for number in range(6):
        desk.add(rates={"api": "2/h"}, budget=Limit(money_microusd=150_000), project=f"p{number % 2}")
    found = desk.rehearse("work=11min,0.1usd", hours=5, workers=2, nights=5, budget=Limit(money_microusd=400_000))
    assert len(set(found.finishes)) == len(set(found.money)) == 1
    assert {span.p10 == span.p90 for span in found.at_end.values()} == {True}


# -- what is known


def test_a_story_has_what_was_waited_for_and_not_what_was_lost() -> None:
    """A retry with a wait, a crash, an interruption, a question: the work that was lost with its owner counts once."""
    # shows: N20
    desk = Desk()
    run = desk.add()
    desk.lease(run)
    desk.clock.advance(10)
    desk.step(run)
    desk.clock.advance(7)  # lost with its owner
    desk.lease(run, epoch=2, old="running")
    desk.clock.advance(20)
    again = (desk.clock.now() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    tried = StepTried(
        run=run, branch="", name="b", nth=0, args="0" * 64, kind="outage", what="429", again=again, tries={}
    )
    desk.say(run, tried, RunMoved(run=run, old="running", new="waiting", until=again), epoch=2)
    desk.clock.advance(9_000)  # nobody had time for it when it could go on
    desk.lease(run, epoch=3, old="waiting")
    desk.clock.advance(5)  # cancelled at the end of a night
    desk.say(run, RunMoved(run=run, old="running", new="paused"), epoch=3)
    desk.clock.advance(50_000)
    desk.lease(run, epoch=4, old="paused")
    desk.clock.advance(30)
    desk.say(run, RunMoved(run=run, old="running", new="parked", question="really?"), epoch=4)
    desk.clock.advance(50_000)
    desk.lease(run, epoch=5, old="parked")
    desk.clock.advance(40)
    desk.say(run, RunMoved(run=run, old="running", new="done"), epoch=5)
    teller = Teller()
    for record in desk.ledger.read(run_stream(run)):
        teller.take(record)
    story = teller.story()
    assert story is not None
    told = [(piece.busy_us // 1_000_000, piece.then, piece.wait_us // 1_000_000) for piece in story.pieces]
    assert told == [(10, "", 0), (20, "", 0), (0, "waiting", 3_600), (30, "parked", 0), (40, "done", 0)]
    assert (story.end, story.steps) == ("parked", 1)
    assert [piece.busy_us // 1_000_000 for piece in story.stints] == [30, 30, 40]
    desk.add()
    found = desk.rehearse()
    assert (found.finish.p50, found.stopped[0].why) == (3_660, "really?")


@given(
    pieces=st.lists(
        st.builds(
            Piece,
            busy_us=st.integers(0, 1_000),
            used=st.builds(Amounts, money_microusd=st.integers(0, 9)),
            worst=st.none() | st.builds(Amounts, money_microusd=st.integers(9, 20)),
            steps=st.integers(0, 3),
            then=st.sampled_from(["", "", "waiting"]),
            wait_us=st.integers(0, 9),
        ),
        max_size=20,
    ),
    steps=st.integers(0, 12),
)
def test_drawing_pieces_together_loses_nothing(pieces: list[Piece], steps: int) -> None:
    """Work, prices, steps and waits are the same; and what is left behind kept steps is never more than all."""
    story = Story((*pieces, Piece(1, then="done")))
    for field in ("busy_us", "steps"):
        assert sum(getattr(one, field) for one in story.pieces) == sum(getattr(one, field) for one in story.stints)
    assert sum(one.used.money_microusd for one in pieces) == sum(one.used.money_microusd for one in story.stints)
    assert [one.then for one in story.stints] == [one.then for one in story.pieces if one.then]
    assert merged(story.stints) == story.stints
    left = story.after(steps)
    if left is not None:
        assert left == story.pieces[len(story.pieces) - len(left) :]
        assert sum(one.steps for one in left) >= story.steps - steps
    else:
        assert story.steps <= steps


def test_a_long_story_is_told_in_fewer_words() -> None:
    """A thousand steps: the same work, the same steps, in a few hundred pieces; its waits stay."""
    desk = Desk()
    run = desk.add()
    desk.lease(run)
    for nth in range(1_000):
        desk.clock.advance(1)
        desk.step(run, nth=nth)
    desk.say(run, RunMoved(run=run, old="running", new="waiting", until=stamp(desk.clock.now() + timedelta(hours=1))))
    desk.lease(run, epoch=2, old="waiting")
    desk.say(run, RunMoved(run=run, old="running", new="done"), epoch=2)
    teller = Teller()
    for record in desk.ledger.read(run_stream(run)):
        teller.take(record)
    story = teller.story()
    assert story is not None
    assert len(story.pieces) < 500
    assert (sum(piece.busy_us for piece in story.pieces), story.steps) == (1_000_000_000, 1_000)
    assert [piece.then for piece in story.stints] == ["waiting", "done"]


def test_a_run_that_came_further_than_any_other_is_at_its_last_piece() -> None:
    """There is nothing to compare it with."""
    draws = Told((Story((Piece(5, steps=1), Piece(7, then="done"))),)).draws(Random(0))
    assert draws.draw(Random(0), 4) == (Piece(7, then="done"),)
    assert draws.draw(Random(0), 1) == (Piece(7, then="done"),)


def test_titles_come_before_kinds_and_kinds_before_assumptions() -> None:
    """Three runs of a title are enough; fewer count among those of their kind."""
    # shows: N20
    desk = Desk()
    for _ in range(3):
        desk.past(10, "known")
    desk.past(10, "hardly known")
    known = Experience(desk.ledger, ["work", "other"], [Assumed.parse("other=1s"), Assumed.parse("special=2s")])
    levels = {}
    for kind, title in (("work", "known"), ("work", "hardly known"), ("other", "x"), ("other", "special")):
        basis = known.basis(kind, title)
        assert basis is not None
        levels[title] = (basis.level, basis.name, basis.observations)
    assert levels == {
        "known": ("title", "known", 3),
        "hardly known": ("kind", "work", 4),
        "x": ("assumed", "other", 0),
        "special": ("assumed", "special", 0),
    }
    assert known.basis("third", "y") is None


def test_without_anything_known_it_says_what_to_assume() -> None:
    """No number is made up."""
    # shows: N20
    desk = Desk()
    desk.add("a")
    with pytest.raises(NothingKnown) as caught:
        desk.rehearse()
    assert "--assume 'work=10min±50%'" in caught.value.hint
    assert desk.rehearse("*=1min").finish.p50 == 60


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("build=10min", Assumed("build", 600_000)),
        ("build = 1h30min ±50% , 0.5usd", Assumed("build", 5_400_000, 0.5, Amounts(money_microusd=500_000))),
        ("a=b=10s+-5%,fail 10%, ask 2.5%", Assumed("a=b", 10_000, 0.05, fail=0.1, ask=0.025)),
        ("*=1s,2usd 300tokens±20%", Assumed("*", 1000, 0, Amounts(money_microusd=2_000_000, tokens=300), 0.2)),
    ],
)
def test_assumptions_are_read(text: str, wanted: Assumed) -> None:
    """As people write them."""
    assert Assumed.parse(text) == wanted


@given(st.text(max_size=60) | st.from_regex(r"[a-z]{1,5}=([0-9]{1,9}(min|usd|h|%|s)?[±,+\- ]{0,2}(fail|ask)?){1,4}"))
@example("build=")
@example("=10min")
@example("build=10min,10min")
@example("build=10min±200%")
@example("build=0.5usd")
@example("build=99999d")
@example("build=1min,fail 60%,ask 60%")
@example("build=1min,1usd,2usd")
def test_assumptions_that_cannot_be_read_are_refused(text: str) -> None:
    """With one kind of error, which says how to write them."""
    told: Assumed | AssumptionWrong
    try:
        told = Assumed.parse(text)
    except AssumptionWrong as error:
        told = error
    if isinstance(told, Assumed):
        assert told.name
        assert told.busy_ms >= 0
        assert told.fail + told.ask <= 1
    else:
        assert told.hint
        assert len(told.message) <= 300


def test_what_cannot_be_played_is_refused() -> None:
    """No nights, a night that is over, a night of a year."""
    desk = Desk()
    desk.add()
    wrong: list[Callable[[], object]] = [
        partial(desk.rehearse, "*=1s", nights=0),
        partial(desk.rehearse, "*=1s", hours=-1),
        partial(desk.rehearse, "*=1s", hours=24 * 365),
    ]
    for one in wrong:
        with pytest.raises(RehearsalWrong):
            one()
    with pytest.raises(AssumptionWrong):
        desk.rehearse("a=1s", "a=2s")


def test_an_empty_queue_is_a_short_night() -> None:
    """Nothing is divided by nothing."""
    desk = Desk()
    found = desk.rehearse(hours=8)
    assert (found.runs, found.finish.p50, found.drawn, found.thinnest) == (0, 0, (), None)
    assert rehearsed.lines(found)


# -- how it looks


def test_the_plot_has_every_night_in_it() -> None:
    """Whatever the spread, at most a dozen bars and one, and each night in one of them."""
    desk = Desk()
    desk.add()
    for assumed in ("work=1s", "work=10s±100%", "work=5h±90%", "work=30d±100%"):
        found = desk.rehearse(assumed, nights=40)
        bars = rehearsed.plot(found)[1:]
        assert 1 <= len(bars) <= rehearsed.BARS + 1
        assert sum(int(bar.split()[-1]) for bar in bars) == 40
        assert all(len(bar) < 80 for bar in bars)


def test_json_says_of_every_task_what_it_was_drawn_from() -> None:
    """And nothing in it is anything but JSON."""
    # shows: N20
    desk = Desk()
    run = desk.add("a title")
    told = json.loads(json.dumps(rehearsed.as_json(desk.rehearse("*=1min,ask 100%", hours=1))))
    [task] = told["tasks"]
    assert (task["run"], task["title"], task["drawn_from"], task["observations"]) == (run, "a title", "assumed", 0)
    assert told["stopped"][0] == {
        "state": "parked",
        "kind": "work",
        "title": "a title",
        "why": "a question (assumed)",
        "nights": 1.0,
        "runs": 1.0,
    }
    assert told["finish_s"] == {"p10": 60.0, "p50": 60.0, "p90": 60.0}


@pytest.mark.parametrize("cron", ["*/20 * * * *", "30 2 * * *", "0 0 1 * *"])
def test_a_timetable_has_the_moments_of_its_schedule(cron: str) -> None:
    """Whoever asks from when, in any order and side by side, over a change of the clock."""
    plain = Schedule(cron=cron, zone="Europe/Berlin", repeated="second")
    table = Timetable(cron=cron, zone="Europe/Berlin", repeated="second")
    begin = datetime(2026, 10, 24, 20, tzinfo=UTC)
    chance = Random(1)
    for _ in range(12):
        after = begin + timedelta(minutes=chance.randrange(-90, 900))
        both = [table.windows(after), table.windows(after + timedelta(hours=1))]
        found = [[next(one) for _ in range(4)] for one in both]
        assert found == [list(islice(plain.windows(after + timedelta(hours=hours)), 4)) for hours in (0, 1)]
