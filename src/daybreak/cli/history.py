"""`daybreak steps`, `fork`, `rollback`, `retry`, `cancel`, `answer`, `signal`: a run's past, and words to a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.home import Home

Run = Annotated[str, typer.Argument(help="A run, or the beginning of its name.")]
Again = Annotated[
    bool, typer.Option("--again", help="Consent to a second time of `once` steps that had happened behind that place.")
]


class AnswerMissing(UsageError):
    """The run waits for no answer, or none was given."""

    code = "U172"


def steps(run: Annotated[str | None, typer.Argument(help="A run.", show_default="the newest one")] = None,
          as_json: Json = False) -> None:  # fmt: skip
    """List what RUN has kept, step by step: the names that `fork` and `rollback` take."""
    from dataclasses import asdict

    from daybreak import home

    with home.opened() as opened:
        kept = opened.engine.steps(home.pick_run(opened, run))
    if as_json:
        faces.result_json([asdict(one) for one in kept])
        return
    if not kept:
        faces.say("it has kept nothing yet")
    for one in kept:
        sort = "failed" if one.failed else "once" if one.once else "kept"
        faces.result(f"{faces.moment(one.at)}  {sort:6}  {one.duration_ms / 1000:8.2f} s  {one.key}")


def fork(
    run: Run,
    before: Annotated[str, typer.Option("--from", help="The first step that the new run does itself.")],
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Begin a new run with what RUN had kept before a step. RUN stays as it is."""
    from daybreak import home

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        new = _asking(again, lambda consent: anyio.run(_fork, opened, picked, before, consent))
    if as_json:
        faces.result_json({"run": new, "source": picked, "before": before})
        return
    faces.result(new)
    faces.say(f"it stands in the queue: `daybreak resume {new}` goes on with it now")


def rollback(
    run: Run,
    before: Annotated[str, typer.Option("--to", help="The first step that no longer counts.")],
    again: Again = False,
    why: Annotated[str, typer.Option("--why", help="For the log.")] = "",
    as_json: Json = False,
) -> None:
    """Take RUN back to before a step of its own. Nothing is deleted: the log keeps both generations."""
    from daybreak import home

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        cut = _asking(again, lambda consent: anyio.run(_roll_back, opened, picked, before, consent, why))
    if as_json:
        faces.result_json({"run": picked, "before": cut.key, "index": cut.index})
        return
    faces.result(f"{picked} goes on before {cut.key}")
    faces.say(f"it stands in the queue: `daybreak resume {picked}` goes on with it now")


def retry(
    run: Run,
    step: Annotated[str | None, typer.Argument(help="A step.", show_default="the one that it failed with")] = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Try a failed RUN again from the step that it failed with, or from STEP."""
    from daybreak import home

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        if step is None:
            opened.engine.queue.retry(picked)
        else:
            _asking(again, lambda consent: anyio.run(_roll_back, opened, picked, step, consent, "tried again"))
    if as_json:
        faces.result_json({"run": picked, "step": step})
        return
    faces.say(f"it stands in the queue: `daybreak resume {picked}` goes on with it now")


def cancel(
    run: Run, why: Annotated[str, typer.Option("--why", help="For the log.")] = "", as_json: Json = False
) -> None:
    """Cancel RUN. One that is under way stops before its next step. What it has done outside stays done."""
    from daybreak import home
    from daybreak.cli.queue import check_text

    check_text("--why", why, empty=True)
    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        opened.engine.queue.cancel(picked, why)
        state = _settled(opened, picked)
    if as_json:
        faces.result_json({"run": picked, "state": state})
        return
    faces.result(f"{picked}: {state}" + ("" if state == "cancelled" else "; it stops before its next step"))


def answer(
    run: Run,
    words: Annotated[str | None, typer.Argument(help="The answer; JSON if it can be read as that.")] = None,
    as_json: Json = False,
) -> None:
    """Answer the question that RUN is parked with; without WORDS, show it."""
    from daybreak import home
    from daybreak.cli.queue import check_text

    if words is not None:
        check_text("WORDS", words)
    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        ((state, question, why),) = opened.ledger.query(
            "SELECT state, question, why FROM view_runs WHERE run = ?", (picked,)
        )
        if state != "parked":
            raise AnswerMissing(f"run {picked} is {state} and asks nothing", hint="`daybreak runs` shows which ones do")
        if words is not None:
            opened.engine.answer(picked, question, _read(words))
    if as_json:
        faces.result_json({"run": picked, "question": question, "why": why, "answered": words is not None})
        return
    faces.result(question)
    if words is None:
        faces.say(why)
        faces.say(f"answer it: `daybreak answer {picked} WORDS`")
    else:
        faces.say(f"answered; the night goes on with it, or `daybreak resume {picked}` does now")


def signal(
    run: Run,
    name: Annotated[str, typer.Argument(help="What the run waits for.")],
    value: Annotated[str | None, typer.Argument(help="Goes with it; JSON if it can be read as that.")] = None,
    as_json: Json = False,
) -> None:
    """Tell RUN that something it waits for has happened."""
    from daybreak import home

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        opened.engine.signal(picked, name, None if value is None else _read(value))
    if as_json:
        faces.result_json({"run": picked, "signal": name})


async def _fork(home: Home, run: str, before: str, again: bool) -> str:
    return await home.engine.fork(run, before, again=again)


async def _roll_back(home: Home, run: str, before: str, again: bool, why: str) -> Any:
    return await home.engine.roll_back(run, before, again=again, why=why)


def _asking(again: bool, do: Callable[[bool], Any]) -> Any:
    """Do it; where that would repeat what must happen once, ask whoever sits there."""
    from daybreak.engine.past import OnceDone

    try:
        return do(again)
    except OnceDone as refused:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        faces.say(refused.message)
        if not typer.confirm("may it happen again?", err=True):
            raise
        return do(True)


def _settled(home: Home, run: str) -> str:
    """End a cancelled run that nobody works at, here and now; its state."""
    from daybreak.errors import RunBusy

    async def settle() -> str:
        try:
            return (await home.engine.supervise(run)).state
        except RunBusy:
            return "under way"

    return anyio.run(settle)


def _read(words: str) -> Any:
    try:
        return json.loads(words)
    except ValueError:
        return words
