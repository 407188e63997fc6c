"""Runs that are about somebody: nothing that they are given, keep or are told is shown in views or logs, and all of it
can be forgotten."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from tests.unit import engine_desk as engine_desk

from daybreak.engine.history import PastForgotten
from daybreak.events import QUEUE, Answered, Signalled, StepDone, control_stream, run_stream
from daybreak.ledger import Draft
from daybreak.policy.retry import Retry

SECRET = "Slartibartfast"
WHO = "customer-42"


async def greet(ctx: Any, args: Any) -> Any:
    words = await ctx.step("greet", lambda: f"hello {args['name']}")
    return [words, await ctx.ask("which fjord?")]


def desk_of(code: Any = greet) -> Any:
    """With one more run, which is about somebody."""
    desk = engine_desk.Desk(code)
    desk.run = desk.engine.submit("kind", f"write to {SECRET}", {"name": SECRET}, subject=WHO)
    return desk


def shown(desk: Any) -> str:
    """Everything that any view holds."""
    tables = [
        name for view in desk.ledger._views.objects.values() for name, sql in view.items() if "CREATE TABLE" in sql
    ]
    return "".join(repr(desk.ledger.query(f"SELECT * FROM {table}")) for table in tables)


def stored(desk: Any) -> str:
    """Every header and payload as it is stored, and every blob."""
    blobs = desk.ledger._blobs.values()
    return repr([(record.header, record.payload) for record in desk.ledger.read_all()]) + repr(list(blobs))


async def crash(ctx: Any, args: Any) -> None:
    def fail() -> None:
        raise OSError(f"no mail for {args['name']}")

    with pytest.raises(Exception, match=SECRET):
        await ctx.step("mail", fail, retry=Retry(attempts=2, first_s=0.0), breaker="post")
    raise ValueError(args["name"])


@pytest.mark.parametrize("code", [greet, crash])
def test_what_it_is_given_keeps_and_is_told_stands_nowhere_in_the_open(code: Any, caplog: Any) -> None:
    """Neither in a stored event, nor a view, a blob, or a line of the machine's log; whether it ends well or not."""
    caplog.set_level(logging.DEBUG)
    desk = desk_of(code)
    result = anyio.run(desk.resume)
    if code is greet:
        assert result.state == "parked"
        desk.engine.answer(desk.run, "which fjord?", f"the one of {SECRET}")
        result = anyio.run(desk.resume)
        assert result.value == [f"hello {SECRET}", f"the one of {SECRET}"]
    else:
        assert (result.state, SECRET in result.why, "traceback is not kept" in result.hint) == ("failed", True, True)
    assert SECRET in repr([record.event for record in desk.ledger.read(run_stream(desk.run))])
    assert (SECRET in stored(desk), SECRET in shown(desk), SECRET in caplog.text) == (False, False, False)
    desk.ledger.forget(WHO)
    assert SECRET not in repr([record.event for record in desk.ledger.read_all()])
    assert desk.ledger.compare_views() == []


def test_a_run_whose_past_was_forgotten_fails_and_says_so() -> None:
    """Its kept steps cannot be given back, nor its arguments; whatever is asked of it gets the same clear answer."""
    desk = desk_of()
    assert anyio.run(desk.resume).state == "parked"
    desk.ledger.forget(WHO)
    with pytest.raises(PastForgotten):
        desk.engine.answer(desk.run, "which fjord?", "none")
    with pytest.raises(PastForgotten):
        anyio.run(desk.engine.fork, desk.run, "greet")
    assert [step.name for step in desk.engine.steps(desk.run)] == ["greet"]
    result = anyio.run(desk.resume)
    assert (result.state, result.code, "forgotten" in result.why) == ("failed", "E213", True)
    assert anyio.run(desk.resume).state == "failed"


def test_a_kept_step_that_was_forgotten_is_never_given_back_as_something_else() -> None:
    """Although the arguments can be read: a step, an answer and a signal of a forgotten subject are errors."""

    async def code(ctx: Any, args: Any) -> Any:
        return [await ctx.step("a", lambda: 1), await ctx.wait_for("sign"), await ctx.ask("why?")]

    desk = engine_desk.Desk(code)
    words = [Signalled(run=desk.run, name="sign", value=SECRET), Answered(run=desk.run, question="why?", answer=SECRET)]
    desk.ledger.append([Draft(control_stream(desk.run), word, trace=desk.run, subject=WHO) for word in words])
    desk.ledger.forget(WHO)
    result = anyio.run(desk.resume)
    assert (result.state, result.code, "'sign'" in result.why) == ("failed", "E213", True)


def test_forgotten_in_the_middle_of_its_work_it_ends_without_a_word() -> None:
    """Nothing is kept for the subject any more, and that the run is over is recorded all the same."""
    desk = desk_of()

    async def code(ctx: Any, args: Any) -> Any:
        await ctx.step("one", lambda: args["name"])
        desk.ledger.forget(WHO)
        return await ctx.step("two", lambda: args["name"])

    result = anyio.run(desk.resume, code)
    assert (result.state, result.code) == ("failed", "L171")
    assert desk.states()[-1] == "failed"
    assert [event.name for event in desk.events(StepDone.type)] == ["one"]
    assert (SECRET in stored(desk), SECRET in shown(desk)) == (False, False)


def test_a_fork_is_about_the_same_subject() -> None:
    """What it copies is sealed again, and forgotten with the rest."""
    desk = desk_of()
    anyio.run(desk.resume)
    desk.engine.answer(desk.run, "which fjord?", SECRET)
    assert anyio.run(desk.resume).state == "done"
    desk.run = anyio.run(desk.engine.fork, desk.run, "ctx.ask")
    assert anyio.run(desk.resume).state == "parked"
    assert {record.subject for record in desk.ledger.read(QUEUE)} == {None, WHO}
    assert SECRET not in stored(desk)


def test_it_is_found_in_a_queue_of_any_length() -> None:
    """Its words stand in the log alone, and are looked up there by halves."""
    desk = engine_desk.Desk(greet)
    for number in range(40):
        about = WHO if number % 7 == 0 else None
        run = desk.engine.submit("kind", f"n{number}", {"name": f"n{number}"}, subject=about)
        assert desk.engine._task(run).args == {"name": f"n{number}"}
        assert desk.engine._task(run).title == f"n{number}"
