"""Durable steps: kept, replayed, never computed twice."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.unit import engine_desk as desk

from daybreak import errors
from daybreak.engine import Kept, Told, step_key
from daybreak.errors import CheckError, ContextMisused, NotPlain, StepError
from daybreak.events import GateDecided, StepDone

pytestmark = pytest.mark.anyio


Desk, Counting, Crash = desk.Desk, desk.Counting, desk.Crash


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_kept_step_is_never_computed_again() -> None:
    """Behind a crash the function runs again, kept steps return at once, and only the rest is computed."""
    # shows: P6 N14
    one, two = Counting("first"), Counting("second", crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.step("one", one, args["n"]), await ctx.step("two", two)]

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    result = await bench.resume()
    assert (result.state, result.value) == ("done", ["first", "second"])
    assert (one.calls, two.calls) == (1, 2)


async def test_a_done_run_is_not_run_again_and_still_tells_its_value() -> None:
    """Supervising a final run calls nothing and returns what it returned."""
    one = Counting({"a": [1, 2.5, None]})

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("one", one)

    bench = Desk(code)
    first = await bench.resume()
    size = bench.size()
    again = await bench.resume()
    assert first.value == again.value == {"a": [1, 2.5, None]}
    assert one.calls == 1
    assert bench.size() == size


async def test_a_step_costs_one_append() -> None:
    """An ordinary step is one event in one append: no event says that it began."""

    async def code(ctx: Any, args: Any) -> None:
        for number in range(5):
            await ctx.step("one", Counting(number))

    bench = Desk(code)
    appended: list[list[str]] = []
    append = bench.ledger.append

    def spy(drafts: Any) -> Any:
        appended.append([draft.event.type for draft in drafts])
        return append(drafts)

    bench.ledger.append = spy
    await bench.resume()
    lease = ["lease.granted", "run.moved", "run.moved"]
    assert appended == [lease, *[["step.done"]] * 5, ["step.done", "run.moved"]]


async def test_sync_functions_run_beside_the_event_loop() -> None:
    """A function that blocks runs in a thread, and its step's key is at hand there."""
    here = threading.get_ident()

    def block() -> list[Any]:
        return [threading.get_ident() != here, len(step_key())]

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.step("block", block), await ctx.step("awaitable", lambda: Counting("late")())]

    assert (await Desk(code).resume()).value == [[True, 64], "late"]


async def test_the_key_of_a_step_is_the_same_on_every_try() -> None:
    """What the outside is given to recognise a repeat does not change with the owner, and differs between steps."""
    keys: list[str] = []

    def note() -> None:
        keys.append(step_key())
        if len(keys) == 1:
            raise Crash

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("note", note)
        await ctx.step("note", note)

    bench = Desk(code)
    with pytest.raises(BaseException) as caught:
        await bench.resume()
    assert "Crash" in repr(caught.value)
    await bench.resume()
    assert keys[0] == keys[1] != keys[2]


async def test_facts_are_told_in_the_same_commit_as_the_step() -> None:
    """Events of the task's own stand right behind the step's, and a replay does not tell them again."""
    decided = GateDecided(run="r", attempt=1, workspace="", verdict="passed", score=90.0)
    crash = Counting(crash_in_call=1)

    async def code(ctx: Any, args: Any) -> Any:
        value = await ctx.step("gate", lambda: Kept("passed", tell=[decided]))
        await ctx.step("crash", crash)
        return value

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).value == "passed"
    assert bench.events("gate.decided") == [decided]
    types = [event.type for event in bench.events()]
    assert types.index("gate.decided") == types.index("step.done") + 1


@pytest.mark.parametrize(
    ("problem", "kind", "code"),
    [
        (CheckError("it broke", hint="mend it"), CheckError, "C100"),
        (errors.HistoryDiverged("odd", hint="but a step may raise it"), errors.HistoryDiverged, "E202"),
        (ValueError("wrong"), StepError, "E203"),
        (SystemExit(3), StepError, "E203"),
        (ExceptionGroup("two", [ValueError(), OSError()]), StepError, "E203"),
        (StopIteration(), StepError, "E203"),
    ],
)
async def test_a_failure_is_kept_and_raised_again_equal(problem: BaseException, kind: type, code: str) -> None:
    """The code sees the same error live and after a crash, by class, code, message and hint."""
    # shows: F16
    seen: list[Any] = []
    crash = Counting(crash_in_call=1)
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise problem

    async def task(ctx: Any, args: Any) -> None:
        try:
            await ctx.step("fail", fail)
        except errors.DaybreakError as error:
            seen.append((type(error), getattr(error, "cause", error.code), error.message, error.hint))
        await ctx.step("crash", crash)

    bench = Desk(task)
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).state == "done"
    assert seen[0] == seen[1]
    assert seen[0][:2] == (kind, code)
    assert len(calls) == 1


async def test_an_unhandled_failure_of_a_step_ends_the_run_with_its_code_and_hint() -> None:
    """The run's end carries the code, what happened and what to do."""
    # shows: F16

    def fail() -> None:
        raise CheckError("the tool is missing", hint="install it")

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("fail", fail)

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.code, result.why, result.hint) == (
        "failed",
        "C100",
        "the tool is missing",
        "install it",
    )
    assert (await bench.resume()).code == "C100"


async def test_an_error_in_the_code_itself_keeps_its_traceback() -> None:
    """An unexpected exception fails the run with E199, and a blob shows where."""
    # shows: F16

    async def code(ctx: Any, args: Any) -> None:
        raise ZeroDivisionError("of ours")

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.code, result.why) == ("failed", "E199", "ZeroDivisionError: of ours")
    blob = bench.ledger.get_blob(result.hint.rpartition(" ")[2])
    assert b'raise ZeroDivisionError("of ours")' in blob


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1: "key"},
        float("nan"),
        b"bytes",
        {"deep": [{1, 2}]},
        2**64,
        "\ud800",
        Path("/x"),
        ["\ud800"],
        {"\udfff": 1},
    ],
)
async def test_what_is_not_json_is_refused_by_name(value: Any) -> None:
    """A result that JSON cannot hold is an error that names the step; so is an argument."""
    # shows: P8

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("odd one", lambda: value)

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.code) == ("failed", "E205")
    assert "odd one" in result.why

    async def asks(ctx: Any, args: Any) -> Any:
        return await ctx.step("odd one", Counting(), value)

    result = await Desk(asks).resume()
    assert (result.state, result.code) == ("failed", "E205")
    assert "odd one" in result.why


async def test_a_value_nested_without_end_is_refused() -> None:
    """A list that contains itself is an error, not a crash."""
    endless: list[Any] = []
    endless.append(endless)

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("endless", lambda: endless)

    assert (await Desk(code).resume()).code == "E205"


async def test_a_value_is_the_same_before_and_after_a_crash() -> None:
    """Tuples are lists at once, not only after a replay; and changing a result does not change what is kept."""
    crash = Counting(crash_in_call=1)
    seen: list[Any] = []

    async def code(ctx: Any, args: Any) -> Any:
        value = await ctx.step("pair", lambda: {"pair": (1, "zwei", 2**64 - 1, -0.5)})
        seen.append(dict(value))
        value["pair"] = "changed"
        await ctx.step("crash", crash)
        return seen[0] == seen[-1]

    bench = Desk(code)
    with pytest.raises(Crash):
        await bench.resume()
    assert (await bench.resume()).value is True


async def test_time_and_chance_come_back_the_same() -> None:
    """`now`, `random` and a sleep's deadline are kept; a resumed sleep waits only for what is left."""
    crash = Counting(crash_in_call=1)
    seen: list[Any] = []

    async def code(ctx: Any, args: Any) -> None:
        seen.append([await ctx.now(), await ctx.random(), await ctx.random()])
        await ctx.sleep(3600)
        await ctx.step("crash", crash)

    bench = Desk(code)
    began_s = bench.clock.monotonic()
    slept = await bench.resume()
    assert (slept.state, slept.until) == ("waiting", bench.clock.now() + timedelta(hours=1))
    with pytest.raises(Crash):
        await bench.engine.finish(bench.run)
    bench.clock.advance(5)
    assert (await bench.resume()).state == "done"
    assert all(one == seen[0] for one in seen)
    assert 0 <= seen[0][1] < 1
    assert seen[0][1] != seen[0][2]
    assert bench.clock.monotonic() - began_s == pytest.approx(3605, abs=1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
async def test_an_impossible_sleep_is_refused(seconds: float) -> None:
    """Less than nothing, for ever, and centuries."""

    async def code(ctx: Any, args: Any) -> None:
        await ctx.sleep(seconds)

    assert (await Desk(code).resume()).code == "E208"


@pytest.mark.parametrize("name", ["", "ctx.return", "ctx."])
async def test_reserved_names_are_refused(name: str) -> None:
    """A step cannot pose as one of the engine's own."""

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step(name, Counting())

    assert (await Desk(code).resume()).code == ContextMisused.code


async def test_an_unknown_effect_and_a_misplaced_lookup_are_refused() -> None:
    """Nobody is left to believe that a word which we do not know protects them."""

    async def misspelt(ctx: Any, args: Any) -> None:
        await ctx.step("pay", Counting(), effect="onec")

    async def misplaced(ctx: Any, args: Any) -> None:
        await ctx.step("pay", Counting(), lookup=Counting())

    assert (await Desk(misspelt).resume()).code == "E208"
    assert (await Desk(misplaced).resume()).code == "E208"


async def test_two_steps_at_once_in_one_branch_are_refused() -> None:
    """Order counts inside a branch, so there is one step at a time; `gather` is for more."""
    started = anyio.Event()

    async def wait() -> None:
        started.set()
        await anyio.sleep_forever()

    async def code(ctx: Any, args: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.step, "one", wait)
            await started.wait()
            try:
                await ctx.step("two", Counting())
            finally:
                group.cancel_scope.cancel()

    with pytest.raises(ContextMisused, match=r"'two'.*'one'"):
        raise (await Desk(code).resume()).error or AssertionError


async def test_a_step_inside_a_step_is_refused() -> None:
    """A step's function has no steps of its own: they would be lost when it is replayed."""

    async def code(ctx: Any, args: Any) -> None:
        async def outer() -> None:
            await ctx.step("inner", Counting())

        await ctx.step("outer", outer)

    assert (await Desk(code).resume()).code == "E208"


async def test_progress_is_told_and_not_recorded() -> None:
    """Listeners hear when a step is computed and what it reports; a replay is silent; the ledger holds nothing."""
    # shows: F14
    heard: list[Told] = []
    crash = Counting(crash_in_call=1)

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("work", lambda: ctx.report("half", 0.5))
        await ctx.step("crash", crash)

    bench = Desk(code, listeners=(heard.append,))
    with pytest.raises(Crash):
        await bench.resume()
    first = [(told.step, told.text, told.fraction, told.started) for told in heard]
    assert first == [("work", "", None, True), ("work", "half", 0.5, False), ("crash", "", None, True)]
    del heard[:]
    await bench.resume()
    assert [told.step for told in heard] == ["crash"]


async def test_a_broken_listener_does_not_break_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and dropped; the run and the other listeners go on."""
    heard: list[Told] = []
    calls: list[int] = []

    def broken(told: Told) -> None:
        calls.append(1)
        raise BrokenPipeError

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("one", Counting())
        await ctx.step("two", Counting())

    bench = Desk(code, listeners=(broken, heard.append))
    assert (await bench.resume()).state == "done"
    assert len(heard) == 2
    assert len(calls) == 1
    assert "a listener broke" in caplog.text


async def test_something_told_that_is_no_event_is_refused() -> None:
    """The ledger holds typed facts only."""

    async def code(ctx: Any, args: Any) -> Any:
        return await ctx.step("tell", lambda: Kept(1, tell=["not an event"]))  # type: ignore[list-item]

    assert (await Desk(code).resume()).code == "E208"


async def test_the_value_of_a_run_must_be_json_too() -> None:
    """Otherwise the run fails and says so, before anything claims that it is done."""

    async def code(ctx: Any, args: Any) -> Any:
        return object()

    bench = Desk(code)
    result = await bench.resume()
    assert (result.state, result.code) == ("failed", NotPlain.code)
    assert not [event for event in bench.events() if isinstance(event, StepDone)]
