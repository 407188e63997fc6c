"""Runs: leases, states, branches, questions, cancellation, effects that must happen once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest
from tests.unit import engine_desk as desk

from daybreak.engine import Absent, Found, Parked, states, step_key
from daybreak.errors import CheckError, LeaseLost, LedgerBusy, LedgerError, NotPlain, RunBusy, UnknownKind, UnknownRun
from daybreak.events import (
    FINAL,
    CancelAsked,
    LeaseGranted,
    RunMoved,
    StepDone,
    control_stream,
    run_stream,
)
from daybreak.ledger.record import Draft
from daybreak.testing.world import MemoryLocks

pytestmark = pytest.mark.anyio


Desk, Counting, Crash = desk.Desk, desk.Counting, desk.Crash


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- the way of a run


async def test_a_run_goes_through_the_states_in_order() -> None:
    """From the queue to its end, each move recorded; `enter` is recorded with the next live step."""

    async def code(ctx: Any, args: Any) -> str:
        await ctx.step("work", Counting())
        await ctx.enter("verifying")
        await ctx.step("look", Counting())
        await ctx.enter("running")
        return "value"

    bench = Desk(code)
    await bench.resume()
    assert bench.states() == ["queued", "leased", "running", "verifying", "done"]
    rows = bench.ledger.query("SELECT kind, title, state, epoch, host FROM view_runs WHERE run = ?", (bench.run,))
    assert rows == [("kind", "a task", "done", 1, "here")]


async def test_a_replay_does_not_enter_states_again() -> None:
    """On resume, states passed through before the crash are not recorded a second time."""
    crash = Counting(crash_in_call=1)

    async def code(ctx: Any, args: Any) -> None:
        await ctx.enter("verifying")
        await ctx.step("look", Counting())
        await ctx.enter("running")
        await ctx.step("crash", crash)

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    await bench.resume()
    assert bench.states() == [
        *["queued", "leased", "running", "verifying", "running", "paused"],
        *["leased", "running", "done"],
    ]


@pytest.mark.parametrize("state", ["done", "leased", "queued", "resting"])
async def test_a_task_cannot_enter_just_any_state(state: str) -> None:
    """What only the engine decides is not a task's to say: no task declares itself done."""
    # shows: N16

    async def code(ctx: Any, args: Any) -> None:
        await ctx.enter(state)

    assert (await Desk(code).resume()).code == "E208"


def test_only_a_rollback_leads_out_of_a_final_state_and_each_can_be_reached() -> None:
    """The table of moves: final is final but for a new generation, nothing is unreachable, none other is legal."""
    # shows: N16
    assert set(states.LEGAL) == set(states.STATES)
    reached, new = {"queued"}, {"queued"}
    while new:
        new = {to for state in new for to in states.LEGAL[state]} - reached
        reached |= new
    assert reached == set(states.STATES)
    for state in states.STATES:
        assert (states.LEGAL[state] == {"queued"}) == (state in FINAL)
        for other in set(states.STATES) - states.LEGAL[state]:
            with pytest.raises(AssertionError, match=f"from {state} to {other}"):
                states.check(state, other)


async def test_what_cannot_be_queued_is_refused_before_anything_is_recorded() -> None:
    """An unknown kind, and arguments that are not JSON."""
    # shows: P8
    bench = Desk(Counting())
    size = bench.size()
    with pytest.raises(UnknownKind, match="'odd'"):
        bench.engine.submit("odd", "title", {})
    with pytest.raises(NotPlain, match="key"):
        bench.engine.submit("kind", "title", {"key": object()})
    assert bench.size() == size


async def test_an_unknown_run_and_an_unknown_kind_are_named() -> None:
    """A run that is not there is an error; a run of a kind that is no more fails with a code."""
    bench = Desk(Counting())
    with pytest.raises(UnknownRun, match="'run-x'"):
        await bench.engine.supervise("run-x")
    with pytest.raises(UnknownRun):
        bench.engine.cancel("run-x")
    result = await bench.another_engine(kinds={}).supervise(bench.run)
    assert (result.state, result.code) == ("failed", "E206")


# -- owners


async def test_a_run_that_somebody_has_is_refused_and_names_the_owner() -> None:
    """A second supervisor is told who has the run, and nothing is recorded."""
    # shows: N5
    started, go = anyio.Event(), anyio.Event()

    async def wait() -> None:
        started.set()
        await go.wait()

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("wait", wait)

    bench = Desk(code)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.resume)
        await started.wait()
        size = bench.size()
        with pytest.raises(RunBusy, match="process 1 on here"):
            await bench.another_engine().supervise(bench.run)
        assert bench.size() == size
        (resumable,) = bench.engine.resumable()
        assert (resumable.state, resumable.owner, resumable.orphaned) == ("running", bench.locks.me, False)
        go.set()
    assert bench.engine.resumable() == []


async def test_an_owner_that_lost_its_lease_stops_and_records_nothing() -> None:
    """Another machine took the run over: what the old owner had under way is dropped, whatever its code catches."""
    # shows: N5
    started, go = anyio.Event(), anyio.Event()
    after = Counting()

    async def wait() -> str:
        started.set()
        await go.wait()
        return "from the old owner"

    async def old_code(ctx: Any, args: Any) -> str:
        with suppress(LeaseLost):
            await ctx.step("wait", wait)
        with suppress(LeaseLost):
            await ctx.step("after", after)
        return "swallowed"

    async def new_code(ctx: Any, args: Any) -> Any:
        return await ctx.step("wait", Counting("from the new owner"))

    bench = Desk(old_code)
    elsewhere = bench.another_engine(MemoryLocks("there"), kinds={"kind": new_code})
    lost: list[BaseException] = []

    async def old() -> None:
        try:
            await bench.resume()
        except LeaseLost as problem:
            lost.append(problem)

    async with anyio.create_task_group() as group:
        group.start_soon(old)
        await started.wait()
        result = await elsewhere.supervise(bench.run)
        size = bench.size()
        go.set()
    assert result.value == "from the new owner"
    assert len(lost) == 1
    assert bench.size() == size
    assert after.calls == 0


async def test_a_dead_owner_is_found_and_replaced() -> None:
    """A run that says it is under way while nobody holds its lock is orphaned; a new owner may take it."""
    # shows: N5 F15
    bench = Desk(Counting("done"))
    stream = run_stream(bench.run)
    bench.ledger.append(
        [
            Draft(stream, LeaseGranted(run=bench.run, owner="x", host="here", pid=7), epoch=1),
            Draft(stream, RunMoved(run=bench.run, old="queued", new="leased"), epoch=1),
            Draft(stream, RunMoved(run=bench.run, old="leased", new="running"), epoch=1),
        ]
    )
    (resumable,) = bench.engine.resumable()
    assert resumable.orphaned
    (seen_elsewhere,) = bench.another_engine(MemoryLocks("there")).resumable()
    assert not seen_elsewhere.orphaned, "whether an owner on another machine is dead cannot be known here"
    assert (await bench.resume()).value == "done"
    assert bench.ledger.epoch(stream) == 2
    assert [event.why for event in bench.events("run.moved")][3] == "its owner died"


async def test_an_interrupted_run_is_paused_and_goes_on_later() -> None:
    """Cancelled from outside (Ctrl-C), it records `paused`, cleans up and gives its lock back."""
    # shows: N4 X4
    started = anyio.Event()
    cleaned: list[str] = []
    one = Counting(1)

    async def wait() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append("yes")

    async def code(ctx: Any, args: Any) -> int:
        value = await ctx.step("one", one)
        if not cleaned:
            await ctx.gather(lambda ctx: ctx.step("wait", wait))
        return int(value)

    bench = Desk(code)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.resume)
        await started.wait()
        group.cancel_scope.cancel()
    assert bench.states()[-1] == "paused"
    assert cleaned == ["yes"]
    assert bench.locks.owner(bench.run) is None
    assert (await bench.resume()).value == 1
    assert one.calls == 1


async def test_keyboard_interrupt_is_recorded_and_passed_on() -> None:
    """Raised inside the code itself, it pauses the run, too."""

    async def code(ctx: Any, args: Any) -> None:
        raise KeyboardInterrupt

    bench = Desk(code)
    with pytest.raises(KeyboardInterrupt):
        await bench.resume()
    assert bench.events("run.moved")[-1].why == "interrupted by KeyboardInterrupt"


async def test_a_ledger_that_breaks_stops_the_run_where_it_is() -> None:
    """Nothing is recorded behind an append that failed, whatever the code catches; a later owner goes on."""
    # shows: N14
    one, two = Counting(1), Counting(2)

    async def code(ctx: Any, args: Any) -> list[Any]:
        values = []
        for name, function in (("one", one), ("two", two)):
            try:
                values.append(await ctx.step(name, function))
            except Exception:  # noqa: BLE001 - as careless code does
                values.append(None)
        return values

    bench = Desk(code)

    class Broken:
        """Takes the lease and then no more."""

        appends = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.ledger, name)

        async def append_async(self, drafts: Any) -> Any:
            self.appends += 1
            if self.appends > 1:
                raise LedgerError("the disk is full", hint="make room")
            return await bench.ledger.append_async(drafts)

    broken = Broken()
    with pytest.raises(LedgerError):
        await bench.another_engine(ledger=broken).supervise(bench.run)
    assert broken.appends == 2
    assert two.calls == 0
    assert (await bench.resume()).value == [1, 2]


@pytest.mark.parametrize(("busy", "state"), [(2, "done"), (3, None)])
async def test_a_busy_ledger_is_tried_again(busy: int, state: str | None) -> None:
    """Another process held the ledger too long, so nothing was appended: a few tries are harmless, then it is an error
    that leaves the run to be resumed."""
    left = [0]
    bench = Desk(Counting("value"))
    append = bench.ledger.append_async

    async def append_when_free(drafts: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise LedgerBusy("held", hint="wait")
        return await append(drafts)

    bench.ledger.append_async = append_when_free
    left[0] = busy
    if state is None:
        with pytest.raises(LedgerBusy):
            await bench.resume()
    assert (await bench.resume()).state == "done"


async def test_a_ledger_error_inside_a_step_is_not_kept_as_its_failure() -> None:
    """That the disk was full while a blob was put is no result: the next owner computes the step again."""
    full = [True]

    async def code(ctx: Any, args: Any) -> Any:
        def put() -> str:
            if full[0]:
                raise LedgerError("the disk is full", hint="make room")
            return str(ctx.put_blob(b"bytes"))

        return (await ctx.step("put", put)), ctx.get_blob(await ctx.step("put", put)).decode()

    bench = Desk(code)
    with pytest.raises(LedgerError):
        await bench.resume()
    assert bench.states()[-1] == "running"
    full[0] = False
    assert (await bench.resume()).value[1] == "bytes"


@pytest.mark.parametrize("where", ["in a step", "beside steps"])
async def test_an_error_is_recorded_where_its_traceback_cannot_be_kept(where: str) -> None:
    """A Postgres that takes no blob now must not hide what happened."""

    async def code(ctx: Any, args: Any) -> Any:
        def wrong() -> None:
            raise ZeroDivisionError("by nothing")

        await ctx.step("wrong", wrong) if where == "in a step" else wrong()

    async def busy(data: bytes) -> str:
        raise LedgerBusy("the ledger's Postgres cannot be reached", hint="try again")

    bench = Desk(code)
    bench.ledger.put_blob_async = busy
    ended = await bench.resume()
    assert ended.state == "failed"
    assert "ZeroDivisionError: by nothing" in ended.why
    assert "is not kept" in ended.hint


# -- what does not fit history


async def crashed_after(*steps: tuple[str, int]) -> Any:
    """A bench whose run holds these steps (name, argument) and was interrupted behind them."""

    async def code(ctx: Any, args: Any) -> None:
        for name, argument in steps:
            await ctx.step(name, Counting(name), argument)
        await ctx.gather(lambda ctx: ctx.step("inner", Counting(1)))
        raise Crash

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    return bench


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([("b", 1)], r"history holds step 'a'.*asks for step 'b'"),
        ([("a", 2)], r"history holds step 'a'.*asks for step 'a'"),
        ([("a", 1), ("a", 1)], r"history holds step 'b'.*asks for step 'a' \(use 2\)"),
        ([("a", 1)], r"history holds step 'b'.*nothing more"),
        ([("a", 1), ("b", 1), ("c", 1)], r"history holds step 'inner' in branch 0.*no such branch"),
    ],
)
async def test_code_that_does_not_fit_history_is_parked_naming_both(steps: list[Any], says: str) -> None:
    """Another name, other arguments, another order, steps left over, a branch left over; and the run can go on
    with the code that it began with."""
    bench = await crashed_after(("a", 1), ("b", 1))
    original = bench.code

    async def changed(ctx: Any, args: Any) -> None:
        for name, argument in steps:
            await ctx.step(name, Counting(name), argument)

    result = await bench.resume(changed)
    assert (result.state, result.code) == ("parked", "E202")
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(result.why)
    with pytest.raises(Crash):
        await bench.resume(original)


async def test_a_changed_step_behind_a_begun_once_is_noticed() -> None:
    """History that ends with an intent wants the same step again, and no other."""

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("pay", Counting(crash_in_call=1), effect="once")

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()

    async def changed(ctx: Any, args: Any) -> None:
        await ctx.step("other", Counting())

    result = await bench.resume(changed)
    assert (result.state, result.code) == ("parked", "E202")
    assert "the beginning of step 'pay'" in result.why

    async def empty(ctx: Any, args: Any) -> None:
        pass

    assert (await bench.resume(empty)).code == "E202"


# -- side by side


async def test_children_run_side_by_side_and_keep_their_own_order() -> None:
    """Each child waits for the other, results stand in the order of the call, and nested branches have paths."""
    # shows: F5
    events = [anyio.Event(), anyio.Event()]

    async def meet(number: int) -> int:
        events[number].set()
        await events[1 - number].wait()
        return number

    async def child(ctx: Any, number: int) -> list[Any]:
        met = await ctx.step("meet", meet, number)
        inner = await ctx.gather(lambda ctx: ctx.step("inner", Counting(number)))
        return [ctx.branch, met, *inner]

    async def code(ctx: Any, args: Any) -> Any:
        first = await ctx.gather(lambda ctx: child(ctx, 0), lambda ctx: child(ctx, 1))
        return [*first, await ctx.gather(), *await ctx.gather(lambda ctx: ctx.step("later", Counting("x")))]

    bench = Desk(code)
    assert (await bench.resume()).value == [["0", 0, 0], ["1", 1, 1], [], "x"]
    branches = {event.branch for event in bench.events("step.done")}
    assert branches == {"0", "0.0", "1", "1.0", "2", ""}


async def test_the_first_failure_cancels_the_siblings_and_a_replay_agrees() -> None:
    """A failing child ends the others before `gather` returns; after a crash the same error is raised."""
    # shows: F5
    slow_ended: list[str] = []
    crash = Counting(crash_in_call=1)
    seen: list[str] = []

    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            slow_ended.append("yes")

    def fail(message: str) -> None:
        raise CheckError(message, hint="none")

    async def failing(ctx: Any) -> None:
        await ctx.step("fail", fail, "the second child")

    async def waiting(ctx: Any) -> None:
        await ctx.step("before", Counting())
        await ctx.step("slow", slow)

    async def code(ctx: Any, args: Any) -> None:
        try:
            await ctx.gather(waiting, failing, waiting)
        except CheckError as problem:
            seen.append(problem.message)
        assert slow_ended, "gather returned while a child was alive"
        await ctx.step("crash", crash)

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).state == "done"
    assert seen == ["the second child", "the second child"]


async def test_of_two_failures_the_first_in_the_ledger_is_raised_also_on_replay() -> None:
    """Two fail at the same moment; the one that is recorded second is met first on replay."""
    crash = Counting(crash_in_call=1)
    seen: list[str] = []
    waiting: list[str] = []
    moment = anyio.Event()

    async def stubborn() -> None:
        while "fail" not in waiting:
            await anyio.lowlevel.checkpoint()
        waiting.append("stubborn")
        await moment.wait()
        raise CheckError("stubborn", hint="none")

    async def fail() -> None:
        waiting.append("fail")
        await moment.wait()
        raise CheckError("fail", hint="none")

    async def both() -> None:
        while len(waiting) < 2:
            await anyio.lowlevel.checkpoint()
        moment.set()

    async def code(ctx: Any, args: Any) -> None:
        steps = {"stubborn": stubborn, "fail": fail, "both": both}
        try:
            await ctx.gather(*(lambda ctx, name=name: ctx.step(name, steps[name]) for name in steps))
        except CheckError as problem:
            seen.append(problem.message)
        await ctx.step("crash", crash)

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    first, second = (event.message for event in bench.events("step.failed"))
    assert {first, second} == {"stubborn", "fail"}
    assert (await bench.resume()).state == "done"
    assert seen == [first, first]


async def test_a_step_that_fails_because_it_is_cancelled_records_nothing() -> None:
    """That it was ended is no word about the step: nobody can say how it would have gone."""
    started = anyio.Event()

    async def ended() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise CheckError("ended", hint="none")

    async def fail() -> None:
        await started.wait()
        raise CheckError("first", hint="none")

    async def code(ctx: Any, args: Any) -> None:
        await ctx.gather(lambda ctx: ctx.step("ended", ended), lambda ctx: ctx.step("fail", fail))

    bench = Desk(code)
    assert (await bench.resume()).state == "failed"
    assert [event.message for event in bench.events("step.failed")] == ["first"]


async def test_a_parking_child_lets_its_siblings_finish() -> None:
    """What does not depend on the question is done meanwhile, and not again afterwards."""
    slow, fast = Counting("slow"), Counting("fast")

    async def asking(ctx: Any) -> Any:
        return await ctx.ask("which one?")

    async def working(ctx: Any) -> Any:
        return [await ctx.step("slow", slow), await ctx.step("fast", fast)]

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.gather(asking, working)

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.question) == ("parked", "which one?")
    assert (slow.calls, fast.calls) == (1, 1)
    bench.engine.answer(bench.run, "which one?", "this")
    assert (await bench.resume()).value == ["this", ["slow", "fast"]]
    assert (slow.calls, fast.calls) == (1, 1)


# -- questions


async def test_a_question_parks_the_run_until_it_is_answered() -> None:
    """Resumed without an answer it parks again, resumed with one it goes on, and the answer is kept."""
    crash = Counting(crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        answer = await ctx.ask("deliver?")
        await ctx.step("crash", crash)
        return answer

    bench = Desk(code)
    for _ in range(2):
        result = await bench.resume()
        assert (result.state, result.question) == ("parked", "deliver?")
    (resumable,) = bench.engine.resumable()
    assert resumable.question == "deliver?"
    bench.engine.answer(bench.run, "another question", "no")
    assert (await bench.resume()).state == "parked"
    bench.engine.answer(bench.run, "deliver?", "no")
    bench.engine.answer(bench.run, "deliver?", {"yes": True})
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).value == {"yes": True}, "the latest answer counts"


async def test_the_same_question_asked_again_wants_a_new_answer() -> None:
    """An answer is used once."""

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.ask("go on?"), await ctx.ask("go on?")]

    bench = Desk(code)
    bench.engine.answer(bench.run, "go on?", 1)
    assert (await bench.resume()).state == "parked"
    bench.engine.answer(bench.run, "go on?", 2)
    assert (await bench.resume()).value == [1, 2]


async def test_code_that_swallows_its_parking_is_parked_all_the_same() -> None:
    """`except Exception` around a question does not turn it into an answer."""
    after = Counting()

    async def code(ctx: Any, args: Any) -> str:
        with suppress(Exception):
            await ctx.ask("really?")
        with suppress(Exception):
            await ctx.step("after", after)
        return "done"

    result = await Desk(code).resume()
    assert (result.state, result.question, after.calls) == ("parked", "really?", 0)


async def test_a_step_may_park_and_is_computed_again_on_resume() -> None:
    """A step that finds out that it needs a person keeps nothing."""
    calls: list[int] = []

    def deliver() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise Parked("the disk is full: make room, then resume", why="ENOSPC")
        return "delivered"

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("deliver", deliver)

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.why) == ("parked", "ENOSPC")
    assert (await bench.resume()).value == "delivered"


# -- cancelling


async def test_a_cancelled_run_stops_before_its_next_step() -> None:
    """The step under way is finished and kept, the next one does not begin, and the run is over."""
    two = Counting()

    async def code(ctx: Any, args: Any) -> None:
        def one() -> None:
            bench.engine.cancel(bench.run, "not needed any more")

        await ctx.step("one", one)
        await ctx.step("two", two)

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.why, two.calls) == ("cancelled", "not needed any more", 0)
    assert len(bench.events("step.done")) == 1
    assert (await bench.resume()).state == "cancelled"


async def test_code_that_swallows_its_cancellation_is_cancelled_all_the_same() -> None:
    """`except Exception` does not outlive the request."""

    async def code(ctx: Any, args: Any) -> str:
        with suppress(Exception):
            await ctx.step("cancel", lambda: bench.engine.cancel(bench.run))
            await ctx.step("next", Counting())
        return "done"

    bench = Desk(code)
    assert (await bench.resume()).state == "cancelled"


async def test_a_queued_or_parked_run_can_be_cancelled() -> None:
    """Its code does not even begin."""
    code = Counting()
    bench = Desk(code)
    bench.engine.cancel(bench.run)
    assert (await bench.resume()).state == "cancelled"
    assert code.calls == 0


async def test_a_sleeping_run_hears_that_it_is_cancelled() -> None:
    """It need not sleep to the end first."""
    slept: list[float] = []

    async def code(ctx: Any, args: Any) -> None:
        await ctx.sleep(4.5)

    bench = Desk(code)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            stream = control_stream(bench.run)
            bench.ledger.append([Draft(stream, CancelAsked(run=bench.run))])
        await bench.clock.sleep(seconds)

    bench.engine._sleep = sleep
    assert (await bench.resume()).state == "cancelled"
    assert len(slept) == 3


# -- once


class Outside:
    """The world outside: it remembers every effect by its key."""

    def __init__(self, *, crash: str = "") -> None:
        self.effects: list[str] = []
        self.crash = crash

    async def pay(self) -> str:
        if self.crash == "before":
            self.crash = ""
            raise Crash
        self.effects.append(step_key())
        if self.crash == "after":
            self.crash = ""
            raise Crash
        return "paid"

    async def lookup(self, key: str) -> Found | Absent:
        return Found("paid, as it turned out") if key in self.effects else Absent()


@pytest.mark.parametrize(("crash", "value"), [("before", "paid"), ("after", "paid, as it turned out"), ("", "paid")])
async def test_a_once_step_with_a_lookup_happens_once(crash: str, value: str) -> None:
    """Whether the crash came before or after the effect, it happens once and the run goes on."""
    # shows: N14
    outside = Outside(crash=crash)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("pay", outside.pay, effect="once", lookup=outside.lookup)

    bench = Desk(code)
    if crash:
        with pytest.raises(Crash):
            await bench.resume()
    result = await bench.resume()
    assert (result.state, result.value) == ("done", value)
    assert len(outside.effects) == 1
    intended = bench.events("step.intended")
    assert {event.key for event in intended} == set(outside.effects)


@pytest.mark.parametrize(
    ("answer", "crash", "state", "value", "effects"),
    [
        ("happened", "after", "done", None, 1),
        ({"outcome": "happened", "result": 5}, "after", "done", 5, 1),
        ("repeat", "before", "done", "paid", 1),
        ("failed", "before", "failed", None, 0),
        ("perhaps", "before", "parked", None, 0),
        ({"odd": 1}, "before", "parked", None, 0),
    ],
)
async def test_a_once_step_without_a_lookup_asks_a_person(
    answer: Any, crash: str, state: str, value: Any, effects: int
) -> None:
    """Nobody tries it a second time blindly: the run is parked as ambiguous until a person says what happened."""
    # shows: N14
    outside = Outside(crash=crash)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("pay", outside.pay, effect="once")

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    for _ in range(2):
        result = await bench.resume()
        assert result.state == "parked"
        assert "nobody knows whether it happened" in result.question
        assert "'pay'" in result.question
    bench.engine.answer(bench.run, result.question, answer)
    result = await bench.resume()
    assert (result.state, result.value, len(outside.effects)) == (state, value, effects)


async def test_an_answer_about_one_crash_does_not_count_for_the_next() -> None:
    """`repeat` allows one repeat; if that one crashes as well, the person is asked again."""
    outside = Outside(crash="before")

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("pay", outside.pay, effect="once")

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    question = (await bench.resume()).question
    bench.engine.answer(bench.run, question, "repeat")
    outside.crash = "after"
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).state == "parked"
    assert len(outside.effects) == 1


async def test_absent_does_not_count_while_the_old_owner_may_live_elsewhere() -> None:
    """The owner that began was on another machine; it might act at any moment, so its absence is no certainty."""
    # shows: N5
    outside = Outside(crash="before")

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("pay", outside.pay, effect="once", lookup=outside.lookup)

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    there = bench.another_engine(MemoryLocks("there"))
    result = await there.supervise(bench.run)
    assert (result.state, outside.effects) == ("parked", [])
    assert "on host 'here'" in result.why


async def test_a_lookup_that_cannot_tell_parks_the_run() -> None:
    """One that raises, or answers anything but Found or Absent, is no certainty."""

    async def raising(key: str) -> Any:
        raise ConnectionError("no network")

    for lookup in (raising, Counting(None), Counting(True)):
        outside = Outside(crash="after")

        async def code(ctx: Any, args: Any, lookup: Any = lookup, outside: Any = outside) -> Any:
            return await ctx.step("pay", outside.pay, effect="once", lookup=lookup)

        bench = Desk(code)
        with pytest.raises(Crash):
            await bench.resume()
        assert (await bench.resume()).state == "parked"
        assert len(outside.effects) == 1


async def test_a_once_step_that_fails_is_kept_as_failed() -> None:
    """It raised, so it is known how it ended: no question, no second try."""

    async def code(ctx: Any, args: Any) -> Any:
        def refuse() -> None:
            raise CheckError("refused", hint="none")

        return await ctx.step("pay", refuse, effect="once")

    bench = Desk(code)
    assert (await bench.resume()).code == "C100"
    assert [event.type for event in bench.events() if not isinstance(event, RunMoved | StepDone)] == [
        "lease.granted",
        "step.intended",
        "step.failed",
    ]
