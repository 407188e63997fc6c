"""Retries, breakers, budgets, signals, versions, planning, rollback, forks: what a run does besides going straight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit import engine_desk as desk_module

from daybreak.engine import Absent, Found, Placement, spend, step_key
from daybreak.engine.past import OnceDone, StepUnknown
from daybreak.errors import ContextMisused
from daybreak.events import (
    BreakerChanged,
    BudgetOpened,
    BudgetSettled,
    LeaseGranted,
    PauseAsked,
    ResumeAsked,
    RunMoved,
    StepTried,
    control_stream,
    run_stream,
)
from daybreak.ledger.record import Draft
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit
from daybreak.policy.retry import Retry

Counting, Crash, Desk = desk_module.Counting, desk_module.Crash, desk_module.Desk

pytestmark = pytest.mark.anyio


class Failing:
    """Fails so many times, then works."""

    def __init__(self, times: int, problem: Callable[[], Exception] = lambda: ConnectionError("lost")) -> None:
        self.left = times
        self.calls = 0
        self.problem = problem
        self.seen: list[dict[str, Any]] = []
        self.keys: set[str] = set()

    async def __call__(self, *args: Any, **kwargs: Any) -> str:
        self.calls += 1
        self.seen.append(kwargs)
        self.keys.add(step_key())
        if self.left:
            self.left -= 1
            raise self.problem()
        return "done"


class Refused(Exception):
    """An answer with status 429."""

    status = 429


async def until_over(desk: Any) -> Any:
    return await desk.engine.finish(desk.run)


# -- retry


async def test_a_step_is_tried_again_under_one_key_and_each_failed_try_is_recorded() -> None:
    """Two failures, then success: three calls, one key, two words about tries, one outcome."""
    # shows: X7
    failing = Failing(2)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", failing, retry=Retry(attempts=4, first_s=60))

    desk = Desk(code)
    result = await until_over(desk)
    assert (result.state, result.value, failing.calls, len(failing.keys)) == ("done", "done", 3, 1)
    assert [event.tries["attempts"] for event in desk.events(StepTried.type)] == [1, 2]


async def test_a_restart_goes_on_counting_tries() -> None:
    """The owner dies in its third try; the next one has two tries left, not five."""
    # shows: X7
    failing = Failing(99)
    calls = 0

    async def call() -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Crash
        return await failing()

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", call, retry=Retry(attempts=4, first_s=0.001, identical=1000))

    desk = Desk(code)
    with pytest.raises(Crash):
        await until_over(desk)
    desk.locks = type(desk.locks)()
    desk.engine = desk.another_engine()
    result = await until_over(desk)
    assert (result.state, result.code) == ("failed", "P201")
    assert "4 tries failed" in result.why
    assert failing.calls == 4  # the third try died before it called


async def test_a_long_wait_takes_no_worker_and_an_outage_no_attempt() -> None:
    """A quota message names its time: the run is waiting until then, and nothing is counted."""
    # shows: N1, N8
    said = Failing(1, lambda: RuntimeError("usage limit reached, try again in 3 hours"))

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", said, retry=Retry(attempts=1))

    desk = Desk(code)
    began = desk.clock.now()
    result = await desk.resume()
    assert result.state == "waiting"
    assert result.until is not None
    assert timedelta(hours=3) <= result.until - began < timedelta(hours=3, minutes=2)
    (tried,) = desk.events(StepTried.type)
    assert (tried.kind, tried.tries["attempts"]) == ("outage", 0)
    assert (await until_over(desk)).value == "done"


async def test_what_is_permanent_is_not_tried_again() -> None:
    """A wrong value will be as wrong the next time."""
    # shows: X7
    wrong = Failing(9, lambda: ValueError("no such thing"))

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", wrong, retry=Retry())

    desk = Desk(code)
    failed = await desk.resume()
    assert "no such thing" in failed.why
    assert wrong.calls == 1


async def test_arguments_are_adapted_between_tries_and_the_adapted_ones_survive_a_restart() -> None:
    """Half as many tokens each time; the owner dies before the second try, which has them halved all the same."""
    # shows: X7
    failing = Failing(2)

    def halve(kwargs: dict[str, Any], failure: Any, tries: Any) -> dict[str, Any]:
        return {"tokens": kwargs["tokens"] // 2}

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", failing, kwargs={"tokens": 800}, retry=Retry(first_s=3600, adapt=halve))

    desk = Desk(code)
    await desk.resume()
    await until_over(desk)
    assert [seen["tokens"] for seen in failing.seen] == [800, 400, 200]


async def test_a_once_step_whose_answer_was_lost_is_looked_up_and_not_repeated() -> None:
    """It was accepted, and the line went dead: the lookup finds it, and there is no second call."""
    # shows: N1
    failing = Failing(1)

    async def code(ctx: Any, args: Any) -> Any:
        found = Counting(Found("there"))
        return await ctx.step("publish", failing, effect="once", lookup=found, retry=Retry())

    desk = Desk(code)
    assert (await until_over(desk)).value == "there"
    assert failing.calls == 1


async def test_a_once_step_that_certainly_did_not_happen_is_tried_again() -> None:
    """The lookup says absent, twice; then it works."""
    failing = Failing(2)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("publish", failing, effect="once", lookup=Counting(Absent()), retry=Retry(first_s=0.1))

    desk = Desk(code)
    assert (await until_over(desk)).value == "done"
    assert failing.calls == 3


async def test_a_once_step_that_nobody_can_look_up_is_never_tried_blindly() -> None:
    """A dropped connection may hide success; only a plain refusal (429) is followed by another try."""
    dropped, refused = Failing(1), Failing(1, Refused)

    async def blind(ctx: Any, args: Any) -> Any:
        return await ctx.step("publish", dropped, effect="once", retry=Retry())

    async def turned_away(ctx: Any, args: Any) -> Any:
        return await ctx.step("publish", refused, effect="once", retry=Retry())

    assert (await until_over(Desk(blind))).state == "failed"
    assert dropped.calls == 1
    assert (await until_over(Desk(turned_away))).state == "done"
    assert refused.calls == 2


async def test_a_once_step_whose_lookup_cannot_tell_is_parked_after_a_failure() -> None:
    """Neither found nor absent: a person is asked, and their word settles it."""
    failing = Failing(1)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("publish", failing, effect="once", lookup=Counting("perhaps"), retry=Retry())

    desk = Desk(code)
    parked = await until_over(desk)
    assert parked.state == "parked"
    assert "nobody knows" in parked.question
    desk.engine.answer(desk.run, parked.question, {"outcome": "happened", "result": "seen"})
    assert (await until_over(desk)).value == "seen"
    assert failing.calls == 1


async def test_a_step_is_ended_at_its_limit() -> None:
    """A step that hangs fails with E210; with a retry it is tried again."""
    desk = Desk(lambda ctx, args: ctx.step("hang", _hang, limit_s=0.05))
    assert (await desk.resume()).code == "E210"


async def _hang() -> None:
    import anyio

    await anyio.sleep_forever()


async def test_a_once_step_in_a_thread_takes_no_limit() -> None:
    """The thread would go on after its end, and do it when nobody looks any more."""

    def blocking() -> None:
        """Never called."""

    desk = Desk(lambda ctx, args: ctx.step("pay", blocking, effect="once", limit_s=1))
    assert (await desk.resume()).code == ContextMisused.code


async def test_a_crash_inside_a_try_does_not_make_the_tries_count_anew() -> None:
    """It failed once, and its owner died in the second try, after the intent: the next failure is the second."""
    # shows: X7
    calls = 0

    async def call() -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Crash
        raise ConnectionError("lost")

    async def code(ctx: Any, args: Any) -> Any:
        absent = Counting(Absent())
        return await ctx.step("call", call, effect="once", lookup=absent, retry=Retry(attempts=3, first_s=0.001))

    desk = Desk(code)
    with pytest.raises(Crash):
        await until_over(desk)
    desk.locks = type(desk.locks)()
    desk.engine = desk.another_engine()
    assert (await until_over(desk)).code == "P201"
    assert [event.tries["attempts"] for event in desk.events(StepTried.type)] == [1, 2]


async def test_a_run_that_kills_every_owner_is_parked() -> None:
    """Five owners die in the same step: the sixth asks a person, and goes on when told to."""
    # shows: F15
    survivor = Counting("survived")
    desk = Desk(lambda ctx, args: ctx.step("deadly", survivor))
    stream = run_stream(desk.run)
    for epoch in range(1, 6):
        old = "queued" if epoch == 1 else "running"
        facts = (
            LeaseGranted(run=desk.run, owner="x", host="here", pid=1),
            RunMoved(run=desk.run, old=old, new="leased"),
            RunMoved(run=desk.run, old="leased", new="running"),
        )
        desk.ledger.append([Draft(stream, fact, epoch=epoch) for fact in facts])
    parked = await desk.resume()
    assert (parked.state, survivor.calls) == ("parked", 0)
    desk.engine.answer(desk.run, parked.question, "yes")
    assert (await desk.resume()).value == "survived"


# -- breakers


async def test_a_breaker_opens_over_runs_and_restarts_and_waiting_for_it_is_no_attempt() -> None:
    """Five failures of one run open it; another run of the same ledger does not even try before it half-opens."""
    # shows: N8
    failing, other = Failing(5), Failing(0)

    async def first(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", failing, breaker="shop", retry=Retry(attempts=9, first_s=0.001, identical=99))

    async def second(ctx: Any, args: Any) -> Any:
        return await ctx.step("call", other, breaker="shop")

    desk = Desk(first)
    assert (await desk.resume()).state == "waiting"
    changes = [record.event for record in desk.ledger.read("policy") if record.type == BreakerChanged.type]
    assert [change.state for change in changes][-1] == "open"
    desk.run = desk.engine.submit("kind", "another", {"n": 2})
    assert (await desk.resume(second)).state == "waiting"
    assert other.calls == 0
    assert (await until_over(desk)).value == "done"
    assert other.calls == 1


# -- budgets


def with_budget(code: Any, limit: Limit) -> Any:
    desk = Desk(code)
    desk.run = desk.engine.submit("kind", "a task", {"n": 1}, Placement(budget=limit))
    return desk


async def test_the_worst_case_is_reserved_and_what_was_used_is_settled_with_the_outcome() -> None:
    """Ten cents at worst, three in the end; both stand in the ledger, the second in the outcome's commit."""
    # shows: N1

    async def work() -> None:
        spend(Amounts(money_microusd=30_000))

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("work", work, cost=Amounts(money_microusd=100_000))

    desk = with_budget(code, Limit(money_microusd=1_000_000))
    assert (await desk.resume()).state == "done"
    assert Accounts(desk.ledger).used(f"run:{desk.run}").money_microusd == 30_000
    assert Accounts(desk.ledger).reserved_by(desk.run) == []


async def test_nothing_starts_that_could_exceed_the_budget() -> None:
    """The third call could cost more than is left: it never starts, and a person is asked; more money lets it go on."""
    # shows: N1
    calls = Counting("paid")

    async def code(ctx: Any, args: Any) -> Any:
        for place in range(3):
            await ctx.step("call", calls, place, cost=Amounts(money_microusd=400_000))

    desk = with_budget(code, Limit(money_microusd=1_000_000))
    parked = await desk.resume()
    assert (parked.state, calls.calls) == ("parked", 2)
    desk.ledger.append([Draft("policy", BudgetOpened(account=f"run:{desk.run}", limit={"money_microusd": 1_200_000}))])
    desk.engine.answer(desk.run, parked.question, "yes")
    assert (await desk.resume()).state == "done"
    assert calls.calls == 3


async def test_a_try_that_died_is_paid_for_at_its_worst() -> None:
    """Nobody knows what it cost: the next owner takes the worst case as used, once."""
    # shows: N1
    crash = Counting("paid", crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("call", crash, cost=Amounts(tokens=100))

    desk = with_budget(code, Limit(tokens=1000))
    with pytest.raises(Crash):
        await desk.resume()
    desk.locks = type(desk.locks)()
    desk.engine = desk.another_engine()
    assert (await desk.resume()).state == "done"
    settled = desk.events(BudgetSettled.type)
    assert [(one.presumed, one.used["tokens"]) for one in settled] == [(True, 100), (False, 100)]


async def test_a_night_without_money_pauses_its_runs_for_the_next_one() -> None:
    """The night's account is the wall; the run is paused, not parked, and another night goes on with it."""
    calls = Counting("paid")

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("call", calls, cost=Amounts(tokens=100))

    desk = Desk(code)
    for night, tokens in (("poor", 50), ("rich", 500)):
        desk.ledger.append([Draft("policy", BudgetOpened(account=f"night:{night}", limit={"tokens": tokens}))])
    first = await desk.engine.supervise(desk.run, night="poor", account="night:poor")
    assert (first.state, first.code, calls.calls) == ("paused", "P211", 0)
    assert (await desk.engine.supervise(desk.run, night="rich", account="night:rich")).state == "done"


async def test_a_run_stops_when_its_time_is_used_up() -> None:
    """A budget of half a second of work, used over two leases; then a person is asked."""
    desk = with_budget(lambda ctx, args: ctx.step("hang", _hang), Limit(time_ms=50))
    parked = await desk.resume()
    assert parked.state == "parked"
    assert "time" in parked.question


# -- waiting for others, versions, planning


async def test_a_run_waits_for_a_signal_without_a_worker() -> None:
    """It is waiting with no time; the signal wakes it and brings its value."""
    desk = Desk(lambda ctx, args: ctx.wait_for("approval"))
    waiting = await desk.resume()
    assert (waiting.state, waiting.until) == ("waiting", None)
    desk.engine.signal(desk.run, "approval", {"by": "ann"})
    assert (await desk.resume()).value == {"by": "ann"}


async def test_a_signal_that_does_not_come_in_time_is_an_error_that_replays() -> None:
    """The deadline is kept; later signals do not change what the code has seen."""
    desk = Desk(lambda ctx, args: ctx.wait_for("approval", 60))
    assert (await desk.engine.finish(desk.run)).code == "E211"


async def test_a_change_of_code_has_a_version_that_a_run_keeps() -> None:
    """A run that had come past the place before the change stays on the old side; new runs take the new one."""
    crash = Counting(crash_in_call=1)

    async def old(ctx: Any, args: Any) -> Any:
        await ctx.step("a", Counting("a"))
        await ctx.step("b", crash)

    async def new(ctx: Any, args: Any) -> Any:
        version = await ctx.version("greet first", 1)
        if version:
            await ctx.step("greet", Counting("hello"))
        await ctx.step("a", Counting("a"))
        await ctx.step("b", crash)
        return version

    desk = Desk(old)
    with pytest.raises(Crash):
        await desk.resume()
    desk.locks = type(desk.locks)()
    desk.engine = desk.another_engine()
    assert (await desk.resume(new)).value == 0
    desk.run = desk.engine.submit("kind", "another", {"n": 1})
    assert (await desk.resume(new)).value == 1


async def test_planning_without_doing_is_stopped_after_two_rounds() -> None:
    """The third round in a row asks a person; a step that does something begins the count anew."""
    # shows: X5

    async def loop(ctx: Any, args: Any) -> Any:
        for place in range(4):
            await ctx.step("think", Counting("plan"), place, sort="plan")

    async def sane(ctx: Any, args: Any) -> Any:
        for place in range(4):
            await ctx.step("think", Counting("plan"), place, sort="plan")
            await ctx.step("do", Counting("done"), place)

    desk = Desk(loop)
    parked = await desk.resume()
    assert parked.state == "parked"
    assert "planning" in parked.question
    assert len([event for event in desk.events("step.done") if event.sort == "plan"]) == 2
    assert (await Desk(sane).resume()).state == "done"


async def test_a_held_run_stops_between_two_steps_and_goes_on_when_it_is_let_go() -> None:
    """A person pauses it while it works."""
    desk: Any

    async def pause() -> None:
        desk.ledger.append([Draft(control_stream(desk.run), PauseAsked(run=desk.run, why="lunch"))])
        desk.clock.advance(1)

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("a", pause)
        return await ctx.step("b", Counting("b"))

    desk = Desk(code)
    held = await desk.resume()
    assert (held.state, held.why) == ("paused", "lunch")
    assert (await desk.resume()).state == "paused"
    desk.ledger.append([Draft(control_stream(desk.run), ResumeAsked(run=desk.run))])
    assert (await desk.resume()).value == "b"


# -- going back


async def test_a_failed_run_is_taken_up_before_the_step_that_it_failed_with() -> None:
    """Only the failed step is done again; both generations stay in the ledger."""
    # shows: F13
    first, second = Counting("a"), Failing(1)

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("first", first)
        return await ctx.step("second", second)

    desk = Desk(code)
    assert (await desk.resume()).state == "failed"
    assert (await desk.resume()).state == "failed"  # nobody asked for it again
    desk.engine.queue.retry(desk.run)
    assert (await desk.resume()).value == "done"
    assert (first.calls, second.calls) == (1, 2)
    assert {record.gen for record in desk.ledger.read(f"run:{desk.run}")} == {0, 1}


async def test_a_rollback_forgets_what_came_after_the_step_and_nothing_before_it() -> None:
    """A done run goes back before its second of three steps."""
    # shows: F13
    steps = [Counting(place) for place in range(3)]

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.step(f"step {place}", one) for place, one in enumerate(steps)]

    desk = Desk(code)
    assert (await desk.resume()).state == "done"
    await desk.engine.roll_back(desk.run, "step 1")
    assert (await desk.resume()).value == [0, 1, 2]
    assert [one.calls for one in steps] == [1, 2, 2]
    with pytest.raises(StepUnknown, match="step 9"):
        await desk.engine.roll_back(desk.run, "step 9")


async def test_a_fork_begins_with_what_was_kept_and_leaves_its_source_alone() -> None:
    """The new run does the rest; a second fork of the fork works as well."""
    # shows: F13
    steps = [Counting(place) for place in range(3)]

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.step(f"step {place}", one) for place, one in enumerate(steps)]

    desk = Desk(code)
    await desk.resume()
    size = len(desk.events())
    source, desk.run = desk.run, await desk.engine.fork(desk.run, "step 2")
    assert (await desk.resume()).value == [0, 1, 2]
    assert [one.calls for one in steps] == [1, 1, 2]
    again = await desk.engine.fork(desk.run, "/step 1/0")
    desk.run = again
    assert (await desk.resume()).value == [0, 1, 2]
    assert [one.calls for one in steps] == [1, 2, 3]
    desk.run = source
    assert len(desk.events()) == size


async def test_going_back_past_a_once_step_asks_first() -> None:
    """It has happened; only somebody who says so may have it done a second time."""
    # shows: F13
    paid = Counting("paid")

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("before", Counting("x"))
        await ctx.step("pay", paid, effect="once")

    desk = Desk(code)
    await desk.resume()
    for going_back in (desk.engine.roll_back, desk.engine.fork):
        with pytest.raises(OnceDone, match="pay"):
            await going_back(desk.run, "before")
    await desk.engine.roll_back(desk.run, "before", again=True)
    assert (await desk.resume()).state == "done"
    assert paid.calls == 2


# -- before a run begins


async def test_a_run_that_needs_a_failed_one_asks_before_it_begins() -> None:
    """Nothing is lost and nothing goes on silently: a person decides."""

    async def code(ctx: Any, args: Any) -> Any:
        if args["n"] == 1:
            return await ctx.step("fail", Failing(9))
        return "went on"

    desk = Desk(code)
    needs = desk.run
    desk.run = desk.engine.submit("kind", "later", {"n": 2}, Placement(after=(needs,)))
    later, desk.run = desk.run, needs
    assert (await desk.resume()).state == "failed"
    desk.run = later
    parked = await desk.resume()
    assert parked.state == "parked"
    assert needs in parked.question
    desk.engine.answer(desk.run, parked.question, "yes")
    assert (await desk.resume()).value == "went on"


async def test_a_run_that_comes_too_late_asks_before_it_begins() -> None:
    """Its deadline passed while it stood in the queue; no ends it."""
    desk = Desk(Counting("x"))
    deadline: datetime = desk.clock.now() + timedelta(hours=1)
    desk.run = desk.engine.submit("kind", "late", {"n": 2}, Placement(deadline=deadline))
    desk.clock.advance(7200)
    parked = await desk.resume()
    assert parked.state == "parked"
    desk.engine.answer(desk.run, parked.question, "no")
    assert (await desk.resume()).state == "cancelled"
