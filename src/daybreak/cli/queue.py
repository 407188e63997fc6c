"""`daybreak queue list|move|pause|resume`: what waits, why, and in what order. Words to one run are commands of their
own: `daybreak answer|cancel|retry`.

Each is one event in the log; a supervisor that runs at the same time sees it at its next look.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces, history
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.errors import UsageError
from daybreak.home import queueing
from daybreak.home.moments import MomentWrong as MomentWrong
from daybreak.home.moments import moment_of as moment_of

if TYPE_CHECKING:
    from daybreak.engine.queue import Queue, Row

TEXT_MAX = 1_000
"""Characters of a reason or an answer."""
PRIORITY_MAX = 1_000

app = typer.Typer(help="Look at the queue and change what stands in it.", no_args_is_help=True)


class RunUnclear(UsageError):
    """No run that is not over, or several, begin like that."""

    code = "U166"


RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.")]
RunOrAll = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.", show_default="the queue")
]
Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help="All of a project instead of one run.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="For the log, and for whoever asks.")]


@app.command("list", epilog="Examples:  daybreak queue list    daybreak queue list --project shop --json")
def list_(project: Project = None, as_json: Json = False) -> None:
    """List every run that is not over: what is under way, what comes next, and what the others wait for."""
    with queueing.queue() as (queue, clock):
        rows = [row for row in queue.listing(clock.now()) if project is None or row.project == project]
        paused = queue.paused()
    if as_json:
        pauses = [{"project": name, "since": since, "why": why} for name, (since, why) in paused.items()]
        faces.result_json({"runs": [asdict(row) for row in rows], "paused": pauses})
        return
    for name, (since, why) in paused.items():
        what = f"project {name}" if name else "the queue"
        faces.say(f"{what} is paused since {faces.moment(since)}{f': {why}' if why else ''}")
    if not rows:
        faces.say("the queue is empty")
        return
    _show(rows)


def _show(rows: list[Row]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from daybreak.report.shown import shown

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    projects = any(row.project for row in rows)
    for column in ("next", "run", "state", *(["project"] if projects else []), "title", "why", "until"):
        table.add_column(column, overflow="fold")
    for row in rows:
        place = "" if row.position is None else str(row.position)
        until = faces.moment(row.until) if row.until else ""
        texts = [place, row.run, row.state, *([row.project] if projects else []), row.title, row.why, until]
        table.add_row(*(escape(shown(text)) for text in texts))
    faces.console().print(table)


@app.command(
    "move",
    epilog="Examples:  daybreak queue move run-0k3 --priority 10    daybreak queue move run-0k3 --not-before 22:00",
)
def move(
    run: RunName,
    priority: Annotated[
        int | None,
        typer.Option(
            "--priority",
            metavar="N",
            help="Within its project the higher one goes first; usually 0.",
            parser=arguments.whole(-PRIORITY_MAX, PRIORITY_MAX),
        ),
    ] = None,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="TIME", help="It does not begin or go on before: 22:00, +2h.")
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline", metavar="TIME", help="Where it has not begun by then, you are asked; `never` for none."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give RUN another place in the queue. What you leave out stays as it is."""
    if priority is None and not_before is None and deadline is None:
        raise ArgumentWrong("nothing was said to change", hint="give --priority, --not-before or --deadline")
    with queueing.queue() as (queue, clock):
        picked, now = _pick(queue, run), clock.now()
        begin = None if not_before is None else moment_of(not_before, now)
        end = None if deadline is None or deadline == "never" else moment_of(deadline, now)
        queue.move(picked, priority=priority, not_before=begin, deadline=end, no_deadline=deadline == "never")
    _told("moved", picked, as_json)


@app.command("pause", epilog="Examples:  daybreak queue pause    daybreak queue pause --project shop --why sale")
def pause(run: RunOrAll = None, project: Project = None, why: Why = "", as_json: Json = False) -> None:
    """Hold RUN before its next step; or pick nothing more of a project, or nothing at all."""
    check_text("--why", why, empty=True)
    with queueing.queue() as (queue, _):
        picked, named = _one_of(queue, run, project)
        changed = queue.pause(picked, project=named, why=why)
    _told("paused", picked or named, as_json, changed)


@app.command("resume", epilog="Examples:  daybreak queue resume run-0k3    daybreak queue resume --project shop")
def resume(run: RunOrAll = None, project: Project = None, as_json: Json = False) -> None:
    """Let go on what was paused: RUN, a project, or the queue. The next night picks it up."""
    with queueing.queue() as (queue, _):
        picked, named = _one_of(queue, run, project)
        changed = queue.resume(picked, project=named)
    _told("resumed", picked or named, as_json, changed)


def _one_of(queue: Queue, run: str | None, project: str | None) -> tuple[str | None, str]:
    """A run or a project; neither is the whole queue. Raises ArgumentWrong, RunUnclear."""
    if run is not None and project is not None:
        raise ArgumentWrong("a run and a project were named", hint="name one of the two")
    if project == "":
        raise ArgumentWrong("an empty project was named", hint="leave --project out for the whole queue")
    return (None if run is None else _pick(queue, run)), project or ""


def _pick(queue: Queue, given: str) -> str:
    """The run of that name, or the only one that is not over and begins like that. Raises RunUnclear."""
    matches = queue.named(given) if given.strip() else []
    if len(matches) == 1:
        return matches[0]
    what = "no run that is not over begins" if not matches else f"{len(matches)} runs begin"
    raise RunUnclear(f"{what} with {arguments.cut(given)}", hint="`daybreak queue list` names them")


def check_text(what: str, text: str, *, empty: bool = False) -> None:
    """Raises ArgumentWrong for what no event could keep."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentWrong(f"{what} {arguments.cut(text)} is not UTF-8", hint="write it in other words") from error
    if len(text) > TEXT_MAX or "\0" in text or not (empty or text.strip()):
        raise ArgumentWrong(f"{what} {arguments.cut(text)} cannot be taken", hint=f"1 to {TEXT_MAX} characters")


def _told(what: str, of: str, as_json: bool, changed: bool = True) -> None:
    told: dict[str, Any] = {what: of or "queue", "changed": changed}
    if as_json:
        faces.result_json(told)
    else:
        faces.result(f"{what} {of or 'the queue'}" if changed else f"{of or 'the queue'}: nothing to change")


app.command("cancel", epilog="daybreak queue cancel 3f2a   (the same as `daybreak cancel 3f2a`)")(history.cancel)
app.command("retry", epilog="daybreak queue retry 3f2a   (the same as `daybreak retry 3f2a`)")(history.retry)
