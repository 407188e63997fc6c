"""`daybreak build`: the main job."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from daybreak.cli import arguments
from daybreak.cli.arguments import Assume, FromPhase, Json, Plain, SandboxWanted, Workers
from daybreak.errors import UsageError

EXAMPLES = (
    "Examples:  daybreak build spec.md    daybreak build spec.md --output out/shop --json\n\n"
    'daybreak build --requirement "keep the books that I lent, and to whom"\n\n'
    "daybreak build spec.md --from-phase testing    daybreak build spec.md --paradigm tournament --candidates 3\n\n"
    "Safe to stop: `daybreak resume` goes on where it stopped. Exit status: 0 verified and delivered, 1 failed, "
    "2 wrong usage or specification, 3 parked."
)


def build(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The specification: .md, .yaml, .toml or .json.",
            show_default=False,
            parser=arguments.path,
            metavar="[FILE]",
        ),
    ] = None,
    requirement: Annotated[
        str | None,
        typer.Option(
            "--requirement", help="Instead of FILE: have the specification drafted from this.", metavar="TEXT"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to deliver to.",
            show_default="./NAME",
            parser=arguments.path,
            metavar="DIR",
        ),
    ] = None,
    worker: Workers = None,
    sandbox: SandboxWanted = "degraded",
    assume: Assume = False,
    accept_unshown: Annotated[
        bool,
        typer.Option("--accept-unshown", help="Deliver although an acceptance example is missing for a MUST."),
    ] = False,
    skeleton: Annotated[
        bool,
        typer.Option("--skeleton", help="Where nobody could build it, deliver a skeleton that says NOT BUILT."),
    ] = False,
    phases: Annotated[
        str | None,
        typer.Option("--phases", help="Go through these only: testing,deployment.", show_default="all", metavar="LIST"),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--max-phase-iterations",
            min=1,
            max=100,
            help="Attempts of one role in one phase.",
            show_default="as the specification's budget says",
        ),
    ] = None,
    from_phase: FromPhase = None,
    paradigm: Annotated[
        str | None,
        typer.Option(
            "--paradigm",
            help="sequential; parallel or chain: in parts; tournament: the best of several; consensus: what most do; "
            "auto: chosen from the plan.",
            show_default="what the specification or daybreak.toml says, else auto",
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            min=2,
            max=16,
            help="How many, in a tournament or for a consensus.",
            show_default="what daybreak.toml says, else 3",
        ),
    ] = None,
    plain: Plain = False,
    as_json: Json = False,
) -> None:
    """Build FILE into a working, verified project: plan, work, check, deliver, report."""
    if (file is None) == (requirement is None):
        raise NothingToBuild("name a FILE, or say what is wanted with --requirement", hint="daybreak build spec.md")
    looking = _look_at_the_machine()
    from daybreak import home
    from daybreak.cli import plan, supervise
    from daybreak.factory import deliver, task
    from daybreak.factory import plan as plans

    told = home.settings()
    rules: dict[str, Any] = {
        "output": output,
        "workers": worker or (),
        "settings": told,
        "sandbox": sandbox,
        "assume": assume,
        "accept_unshown": accept_unshown,
        "skeleton": skeleton,
        "only": [name.strip() for name in phases.split(",")] if phases is not None else (),
        "iterations": iterations or 0,
        "paradigm": paradigm or "",
        "candidates": candidates or 0,
        "cwd": Path.cwd(),
    }
    if requirement is not None:
        if from_phase is not None:
            raise NothingBuiltYet(
                "what is drafted now has never been built, so nothing can be taken over",
                hint="build the draft (`daybreak report` shows it) by its file, with --from-phase",
            )
        wanted = task.drafted(requirement, **rules)
        looking.join()
        with home.opened(asking=True) as opened:
            run = task.submit_draft(wanted, opened.engine, opened.ledger)
            raise typer.Exit(supervise.until_over(opened, run, plain=plain, as_json=as_json))
    assert file is not None
    asked = task.make(file, begin=from_phase or "", **rules)
    deliver.check_target(asked.output)
    looking.join()
    if from_phase is not None:
        with home.opened() as opened:
            asked = task.taking_over(asked, opened.ledger)
    made = task.planned(asked, home.places(), told, os.environ)
    if not as_json:
        plan.show(made, stderr=True)
    plans.refuse_shortages(made)
    with home.opened(asking=True) as opened:
        run = task.submit(asked, opened.engine, opened.ledger)
        raise typer.Exit(supervise.until_over(opened, run, plain=plain, as_json=as_json))


class NothingToBuild(UsageError):
    """Neither a specification nor a requirement, or both."""

    code = "U234"


class NothingBuiltYet(UsageError):
    """A build from a requirement cannot begin at a later phase."""

    code = "U235"


def _look_at_the_machine() -> threading.Thread:
    """What the sandbox can do here is tried out by starting programs: that goes on beside the imports."""
    from daybreak.host import sandbox

    looking = threading.Thread(target=sandbox.detect, name="detect", daemon=True)
    looking.start()
    return looking
