"""`daybreak merge`: verified branches go into one branch, one after the other, each verified again on the result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json, SandboxWanted

if TYPE_CHECKING:
    from daybreak.home import Home

EXAMPLES = (
    "Examples:  daybreak merge    daybreak merge --repo ../shop daybreak/run-0k3 daybreak/run-0k7    "
    "daybreak merge --into develop --check 'pytest -q' my-branch    daybreak merge --queue\n\n"
    "Safe to stop: `daybreak resume` goes on where it stopped. Exit status: 0 everything was merged, 1 something was "
    "left out, 2 wrong usage, 3 parked."
)


def merge(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BRANCH",
            help="In the order in which they are merged.",
            show_default="what tasks have delivered there",
        ),
    ] = None,
    repo: Annotated[
        Path,
        typer.Option("--repo", metavar="DIR", help="A git repository.", parser=arguments.path),
    ] = Path("."),
    into: Annotated[str, typer.Option("--into", metavar="BRANCH", help="The branch that they go into.")] = "main",
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            help="Shell text that must end with 0 on every merged result, beside the checks of the tasks. Repeatable.",
        ),
    ] = None,
    no_tasks: Annotated[
        bool,
        typer.Option("--no-tasks", help="Report conflicts only; otherwise each becomes a task for the same workers."),
    ] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Do not begin now: the night does it.")] = False,
    sandbox: SandboxWanted = "degraded",
    as_json: Json = False,
) -> None:
    """Merge branches into one, each only after its checks have passed on the merged result.

    Nothing happens in your working tree until a result is verified; if it has the branch checked out and holds
    uncommitted changes, nothing happens at all. What fails or conflicts is left out, with the reason.
    """
    from daybreak import home
    from daybreak.cli import supervise
    from daybreak.factory.merging import task

    with home.opened() as opened:
        asked = task.asked(
            opened.ledger,
            repo,
            names or (),
            into=into,
            checks=check or (),
            cwd=Path.cwd(),
            environment=os.environ,
            sandbox=sandbox,
            tasks=not no_tasks,
        )
        run = opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
        if queue:
            _queued(run, asked.title, as_json=as_json)
            return
        if as_json:
            raise typer.Exit(_quietly(opened, run))
        status = supervise.until_over(opened, run, as_json=False)
        result = outcome(opened, run)
        if result is not None:
            show(result)
        raise typer.Exit(_status(status, result))


def _quietly(opened: Home, run: str) -> int:
    """Do it, and print what became of every branch as one document."""
    import anyio

    ended = anyio.run(opened.engine.finish, run)
    result = outcome(opened, run)
    told = {"run": run, "state": ended.state, "why": ended.why, "code": ended.code, "question": ended.question}
    faces.result_json({**told, **(result or {})})
    known = {"done": faces.EXIT_VERIFIED, "parked": faces.EXIT_PARKED, "paused": faces.EXIT_INTERRUPTED}
    return _status(known.get(ended.state, faces.EXIT_FAILED), result)


def _status(status: int, result: dict[str, Any] | None) -> int:
    left_out = result is not None and bool(result["left_out"])
    return faces.EXIT_FAILED if status == faces.EXIT_VERIFIED and left_out else status


def _queued(run: str, title: str, *, as_json: bool) -> None:
    if as_json:
        faces.result_json({"run": run, "title": title})
    else:
        faces.result(run)
        faces.say(f"{title}: in the queue")


def outcome(opened: Home, run: str) -> dict[str, Any] | None:
    """What became of every branch of a merge; None where it is not over."""
    from daybreak import events
    from daybreak.factory.kinds.merge import OUTCOME

    for record in opened.ledger.read(events.run_stream(run)):
        if isinstance(record.event, events.StepDone) and record.event.name == OUTCOME:
            return dict(record.event.result)
    return None


def show(result: dict[str, Any]) -> None:
    """One line for each branch."""
    for one in result["merged"]:
        meaning = f", by meaning: {', '.join(one['by_meaning'][:5])}" if one["by_meaning"] else ""
        faces.result(f"merged    {one['branch']}  {one['commit'][:12]}{meaning}")
    for one in result["already"]:
        faces.result(f"already   {one['branch']}")
    for one in result["left_out"]:
        faces.result(f"left out  {one['branch']}: {one['why']}")
        if one.get("task"):
            faces.result(f"          its conflict is a task now: {one['task']}")
    if not any(result[name] for name in ("merged", "already", "left_out")):
        faces.result("nothing has been delivered that could be merged")
