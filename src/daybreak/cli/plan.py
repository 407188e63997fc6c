"""`daybreak plan`: what a build would do, and nothing done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.cli import faces
from daybreak.cli.arguments import Assume, FromPhase, Json, SandboxWanted, SpecFile, Workers

if TYPE_CHECKING:
    from daybreak.factory.plan import Plan

EXAMPLES = (
    "Examples:  daybreak plan spec.md    daybreak plan spec.md --json    daybreak plan spec.md --from-phase testing"
)


def plan(
    file: SpecFile,
    worker: Workers = None,
    sandbox: SandboxWanted = "degraded",
    assume: Assume = False,
    from_phase: FromPhase = None,
    as_json: Json = False,
) -> None:
    """Show what would be built from FILE, by whom, in which order, within which limits."""
    from daybreak import home
    from daybreak.factory import task

    told = home.settings()
    asked = task.make(
        file,
        output=None,
        workers=worker or (),
        settings=told,
        sandbox=sandbox,
        assume=assume,
        accept_unshown=False,
        begin=from_phase or "",
        cwd=Path.cwd(),
    )
    if from_phase is not None:
        with home.opened() as opened:
            asked = task.taking_over(asked, opened.ledger)
    made = task.planned(asked, home.places(), told, os.environ)
    if as_json:
        faces.result_json(made.model_dump(mode="json"))
    else:
        show(made)


def show(made: Plan, *, stderr: bool = False) -> None:
    """Print the plan as people read it."""
    from rich.markup import escape
    from rich.table import Table

    from daybreak.report import needed

    screen = faces.console(stderr=stderr)
    guess = " (estimated)" if made.complexity_estimated else ""
    screen.print(f"[bold]{escape(made.title)}[/] ({made.name}): {made.complexity}{guess}, {made.paradigm}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    limits = made.limits
    rows = [
        (
            "builds",
            f"{made.worker}: {', '.join(made.entities) or 'nothing'} with {', '.join(made.interfaces)}",
        ),
        *_asked(made),
        *_shared(made),
        ("shown by", f"{len(made.shown_by)} acceptance examples, {made.held_out} of them held out"),
        ("checks", ", ".join(s.name.removeprefix("check ") for s in made.steps if _is_project_check(s.name))),
        *([("phases", " → ".join(made.phases))] if made.phases else []),
        ("gate", f"score {_thresholds(made)} of 100, coverage {made.coverage} %, every example passes"),
        (
            "limits",
            f"{limits.time_s} s, {limits.attempts} attempts, {limits.money_usd} USD, {limits.tokens} tokens",
        ),
        ("sandbox", made.machine.sandbox_words),
        *([("needs", ", ".join(needs))] if (needs := needed.words(made.needs.model_dump())) else []),
        ("about", f"{sum(step.weight_s for step in made.steps) / max(1, made.machine.cores):.0f} s of work"),
        *(("not shown", f"{id}: no acceptance example names it") for id in made.not_shown),
        *(("question", question) for question in made.questions),
        *(("assumed", assumption) for assumption in made.assumptions),
        *(("too little", shortage) for shortage in made.shortages),
    ]
    for name, value in rows:
        table.add_row(name, escape(value))
    screen.print(table)


def _thresholds(made: Plan) -> str:
    """60, then 75, then 85: by iteration."""
    return ", then ".join(map(str, made.thresholds or (made.threshold,)))


def _shared(made: Plan) -> Iterator[tuple[str, str]]:
    """How workers share it and why, and what is there already."""
    count = f" of {made.candidates}" if made.candidates else ""
    yield "paradigm", f"{made.paradigm}{count}: {made.paradigm_why}" if made.paradigm_why else made.paradigm
    if made.taken is not None:
        what = f", the result by {made.taken.worker} ({made.taken.workspace[:12]})" if made.taken.workspace else ""
        yield "taken over", f"{', '.join(made.taken.phases)} from run {made.taken.run}{what}"


def _asked(made: Plan) -> Iterator[tuple[str, str]]:
    """Nothing where there is nobody but the embedded builder."""
    if all(one.kind == "builder" and not one.missing for one in made.asked):
        return
    for place, one in enumerate(made.asked, 1):
        what = one.name if one.name == one.kind else f"{one.name} ({one.kind})"
        yield "asks" if place == 1 else "", f"{place}. {what}: {one.missing or _BUDGETS[one.budget]}"


_BUDGETS = {
    "hard": "within the budget, which the gateway sees to",
    "soft": "its budget is soft: it can spend past the gateway, or nobody knows its price",
    "none": "spends nothing",
}


def _is_project_check(name: str) -> bool:
    return name.startswith("check ") and not name.startswith("check example:")
