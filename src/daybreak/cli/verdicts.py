"""`daybreak accept`, `reject`, `undo`: what a person says of a result. The work is done in `factory.verdicts`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import ArgumentWrong, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daybreak.factory.verdicts import Accepted, Undone
    from daybreak.home import Home

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.")]


def accept(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Runs, or the beginnings of their names.")
    ] = None,
    night: Annotated[
        bool,
        typer.Option("--night", help="All that the newest night verified, and of which nobody said anything else."),
    ] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Also where nothing verified the result; that is recorded with it.")
    ] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="For the log, and for whoever asks.")] = "",
    as_json: Json = False,
) -> None:
    """Accept what runs brought. Only a verified result is accepted; twice is once."""
    from daybreak import home
    from daybreak.factory import verdicts

    if bool(runs) == night or (night and (unverified or note)):
        raise ArgumentWrong(
            "name the runs to accept, or say --night alone", hint="`daybreak runs` lists them; see `daybreak accept -h`"
        )
    with home.opened() as opened:
        if night:
            told = verdicts.accept_night(opened.ledger, _of_night(opened), actor=who())
        else:
            picked = dict.fromkeys(home.pick_run(opened, run) for run in runs or ())
            told = [
                verdicts.accept(opened.ledger, run, actor=who(), unverified=unverified, note=note) for run in picked
            ]
    if as_json:
        faces.result_json([asdict(one) for one in told])
        return
    for one in told:
        faces.result(_accepted(one))
        if one.again:
            faces.say(f"{one.again} is still to do it again: `daybreak cancel {one.again}` takes it out")
    if not told:
        faces.say("that night had no runs")


def _of_night(opened: Home) -> list[str]:
    from daybreak.report import night

    return night.runs_of(opened.ledger)


def _accepted(one: Accepted) -> str:
    if not one.accepted:
        return f"left out {one.run}: {one.why_not}"
    before = "" if one.changed else " (it was already)"
    unverified = f" although {one.unverified}" if one.unverified else ""
    return f"accepted {one.run}{unverified}{before}, by {one.about}"


def reject(
    run: Run,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="What is wrong with it, in a sentence.")],
    no_task: Annotated[
        bool, typer.Option("--no-task", help="Keep the lesson alone; do not have it done again.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Keep the reason although it looks like an instruction to machines.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Reject what RUN brought. The reason becomes a lesson, and the same task again in the queue, with the reason and
    what was delivered for whoever works at it. What was delivered stays: see `daybreak undo`."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.factory import verdicts

    with home.opened() as opened:
        told = verdicts.reject(
            opened.ledger,
            home.pick_run(opened, run),
            because,
            actor=who(),
            clock=SystemClock(),
            entropy=os.urandom,
            locks=opened.places.locks,
            task=not no_task,
            anyway=anyway,
        )
    if as_json:
        faces.result_json(asdict(told))
        return
    faces.result(f"rejected {told.run}: {told.because}" + ("" if told.changed else " (it was already)"))
    if told.lesson:
        faces.result(f"  lesson {told.lesson}")
    if told.task:
        faces.result(f"  again as {told.task}: the night does it, or `daybreak resume {told.task}` now")
    if told.alone:
        faces.result(f"  {told.alone}")


def undo(
    run: Run,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    into: Annotated[
        str, typer.Option("--into", metavar="BRANCH", help="Where it was merged into several: the one to revert in.")
    ] = "",
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help="Shell text that must end with 0 after a revert of a merge. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take back what RUN delivered, unless somebody changed it since. Nothing is deleted: it says where everything is.

    What was merged becomes a task that reverts it, verified like any merge; say it again when that is over. Exit
    status: 0 undone, 3 a task must revert it first, 1 refused."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.factory import verdicts

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        around: dict[str, Any] = {
            "places": opened.places,
            "clock": SystemClock(),
            "entropy": os.urandom,
            "environment": os.environ,
            "into": into,
            "checks": tuple(check or ()),
        }
        if dry_run:
            told = verdicts.plan(opened.ledger, picked, **around)
        else:
            told = verdicts.undo(opened.ledger, picked, actor=who(), **around)
    if as_json:
        faces.result_json({**asdict(told), "waits": told.waits, "dry_run": dry_run})
    else:
        _show(told, dry_run=dry_run)
    if told.waits:
        raise typer.Exit(faces.EXIT_PARKED)


def _show(told: Undone, *, dry_run: bool) -> None:
    if told.undone:
        faces.result(f"undone {told.run}" + ("" if told.changed else " (it was already)"))
    else:
        faces.result(f"would undo {told.run}:" if dry_run else f"not undone yet: {told.run}")
    for part in told.parts:
        kept = f"; it can be got back from {part.kept}" if part.kept else ""
        faces.result(f"  {part.what}: {part.done}{kept}")
    _list("not undone, because it is outside", told.remains)
    for waits in told.waits:
        faces.say(f"`daybreak resume {waits}` reverts it now; then `daybreak undo {told.run}` once more")


def _list(head: str, lines: Sequence[str]) -> None:
    for line in lines:
        faces.result(f"  {head}: {line}")


def who() -> str:
    """The person at this terminal, for the log."""
    import pwd

    try:
        return f"person {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"person {os.getuid()}"
