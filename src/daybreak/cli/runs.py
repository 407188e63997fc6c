"""`daybreak runs`, `show`, `resume`: what was run here, one run's story, and going on."""

from __future__ import annotations

from typing import Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json, Plain

RunName = Annotated[
    str | None, typer.Argument(help="A run, or the beginning of its name.", show_default="the newest one")
]


def runs(as_json: Json = False) -> None:
    """List every run, the newest first, with its state, and what people said of its result."""
    from dataclasses import asdict

    from daybreak import home
    from daybreak.engine import verdicts

    with home.opened() as opened:
        rows = home.rows(opened)
        said = verdicts.all_of(opened.ledger)
    if as_json:
        judged = {run: asdict(one) for run, one in said.items()}
        faces.result_json([{**row._asdict(), "verdict": judged.get(row.run)} for row in rows])
        return
    if not rows:
        faces.say("nothing has been run yet: start with `daybreak build SPEC`")
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("run", "state", *(["verdict"] if said else []), "title", "created", "why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        why = escape(row.question or row.why)
        verdict = [escape(said[row.run].word) if row.run in said else ""] if said else []
        table.add_row(row.run, row.shown_state, *verdict, escape(row.title), faces.moment(row.created), why)
    faces.console().print(table)


def show(
    run: RunName = None,
    as_json: Json = False,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="With the output that each check saw, not only its summary.")
    ] = False,
) -> None:
    """Show RUN: its plan, what workers claimed, and what every check saw."""
    from daybreak import events, home
    from daybreak.report import render
    from daybreak.report.run import collect

    with home.opened() as opened:
        picked = home.pick_run(opened, run)
        report = collect([*opened.records(picked), *opened.ledger.read(events.control_stream(picked))])
    if as_json:
        faces.result_json({**report.model_dump(mode="json"), "next_steps": report.next_steps})
        return
    render.to_terminal(report, faces.console())
    if transcript:
        for line in report.checks:
            faces.result(f"\n== {line.what} ({line.event}): {line.command}\n{line.output}")


def resume(
    run: RunName = None,
    answer: Annotated[str | None, typer.Option("--answer", help="Answer the question it is parked with.")] = None,
    accept_unshown: Annotated[
        bool,
        typer.Option("--accept-unshown", help="Answer yes to delivering with a MUST that nothing shows."),
    ] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", help="A new limit, such as `5usd 2h`, for one that has used up its own.")
    ] = None,
    plain: Plain = False,
    as_json: Json = False,
) -> None:
    """Go on with RUN where it stopped. Steps that were kept are not done again."""
    from daybreak import home
    from daybreak.cli import supervise

    with home.opened(asking=True) as opened:
        picked = home.pick_unfinished(opened, run)
        if budget is not None:
            home.raise_budget(opened, picked, budget)
        if accept_unshown or answer is not None:
            opened.engine.answer(picked.run, picked.question, "yes" if answer is None else answer)
        if picked.held:
            opened.engine.queue.resume(picked.run)
        raise typer.Exit(supervise.until_over(opened, picked.run, plain=plain, as_json=as_json))
