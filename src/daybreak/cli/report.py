"""`daybreak report`: what was done, what was shown, what needs a decision; every line with its evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.cli.runs import RunName


def report(
    run: RunName = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown document.")] = False,
    night: Annotated[
        bool, typer.Option("--night", help="On the newest night, or on the one that is named instead of a run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Report on RUN. Numbers behind # are places in the run's stream: `daybreak ledger show RUN` has them."""
    from daybreak import events, home
    from daybreak.home import marks
    from daybreak.report import marks as marking
    from daybreak.report import render
    from daybreak.report.run import collect

    if night:
        _of_night(run, as_json=as_json)
        return
    with home.opened(looking=True) as opened:
        picked = home.pick_run(opened, run)
        records = [*opened.records(picked), *opened.ledger.read(events.control_stream(picked))]
        seen = marks.look(opened)
    collected, last = collect(records), max(record.index for record in records)
    told = marking.lines(seen, last)
    if as_json:
        plain = {**collected.model_dump(mode="json"), "next_steps": collected.next_steps}
        faces.result_json({**plain, "marks": marking.as_json(seen, last)})
    elif markdown:
        faces.result(render.to_markdown(collected, told))
    else:
        render.to_terminal(collected, faces.console())
        for line in told:
            faces.result(line)


def _of_night(night: str | None, *, as_json: bool) -> None:
    """What a night did, from the ledger alone: also of one that is under way, and of one that died."""
    from daybreak import home
    from daybreak.home import marks, standing
    from daybreak.report import marks as marking
    from daybreak.report import night as nights

    with home.opened(looking=True) as opened:
        seen = marks.look(opened)
        told = nights.collect(opened.ledger, night)
        if not told.ended and standing.lock(opened, told.night).held:
            told = nights.collect(opened.ledger, told.night, alive=True)
    if as_json:
        faces.result_json({**nights.as_json(told), "marks": marking.as_json(seen)})
    else:
        faces.result(nights.as_text(told).rstrip("\n"))
        for line in marking.lines(seen):
            faces.result(line)
