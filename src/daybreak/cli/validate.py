"""`daybreak validate`: a project that exists is looked at, and mended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json, SandboxWanted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from daybreak.home import Home
    from daybreak.ledger import Record
    from daybreak.settings import Validate

EXAMPLES = (
    "Examples:  daybreak validate .    daybreak validate ../shop --fix    "
    "daybreak validate . --fix --patch mended.patch    daybreak validate . --fix --in-place --worker codex\n\n"
    "The project's programs run in the sandbox, on a copy, without a network. Safe to stop: `daybreak resume` goes on "
    "where it stopped. Exit status: 0 the gate passed, 1 it did not, 2 wrong usage, 3 parked."
)


def validate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder of a project.", show_default=False, parser=arguments.path),
    ],
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mend what the checks find: fixers first, then workers. Gives a new branch."),
    ] = False,
    patch: Annotated[
        Path | None,
        typer.Option(
            "--patch",
            metavar="FILE",
            help="With --fix: write a patch instead of a branch.",
            parser=arguments.path,
            show_default=False,
        ),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="With --fix: change the files in DIR, all or none.")
    ] = False,
    even_if_dirty: Annotated[
        bool,
        typer.Option("--even-if-dirty", help="With --in-place: although something is not committed, which is kept."),
    ] = False,
    worker: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            help="With --fix: who mends what fixers cannot: a worker of daybreak.toml, FILE.py:object of your own, or "
            "an installed module:object. Repeatable: asked in that order.",
            show_default="the order in daybreak.toml",
        ),
    ] = None,
    attempts: Annotated[
        int,
        typer.Option(
            "--attempts",
            metavar="N",
            help="With --fix: how often workers may try; 0: fixers only.",
            parser=arguments.whole(0, 100),
        ),
    ] = 3,
    needs: arguments.Needs = None,
    sandbox: SandboxWanted = "degraded",
    as_json: Json = False,
) -> None:
    """Look at a project that exists: languages, tests, coverage, types, lint, security, complexity, documentation.

    Prints one table in which every number has its evidence in the ledger. `[validate]` in daybreak.toml names commands,
    thresholds and weights.
    """
    from daybreak import home
    from daybreak.cli import supervise
    from daybreak.factory.validate import task

    told, path = _told(Path.cwd() / folder)
    asked = task.asked(
        folder,
        cwd=Path.cwd(),
        environment=os.environ,
        validate=told,
        validate_path=path,
        fix=fix,
        patch=patch,
        in_place=in_place,
        even_if_dirty=even_if_dirty,
        workers=worker or (),
        settings=home.settings() if fix else None,
        attempts=attempts,
        sandbox=sandbox,
        needs=needs or (),
    )
    with home.opened() as opened:
        run = opened.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
        status = supervise.until_over(opened, run, as_json=as_json)
        if not as_json:
            show(opened, run)
        raise typer.Exit(status)


def _told(folder: Path) -> tuple[Validate, str]:
    """`[validate]` as it applies to that folder, and where it was read. Nothing else of the file is obeyed, so nobody
    needs to trust it: what it names runs in the sandbox, and the table shows what it asks for."""
    from daybreak import home, settings

    found = settings.find(os.environ, folder.resolve(), home.places().settings)
    read = settings.read(found)
    said = "validation" in read.model_fields_set
    return read.validation, read.path if said else ""


def show(opened: Home, run: str) -> None:
    """The gate table of a run that has looked at something: what was seen, what it is worth, and where that stands."""
    console = faces.console()
    for part in tables(opened.records(run)):
        console.print(part)


def tables(records: Iterable[Record]) -> list[RenderableType]:
    """Of the last gate, with the positions of its evidence; nothing where there was none."""
    from rich.table import Table
    from rich.text import Text

    from daybreak import events
    from daybreak.factory.validate import table as gates

    places: dict[str, str] = {}
    best: tuple[gates.Table, dict[str, str]] | None = None
    notes: list[str] = []
    for record in records:
        match record.event:
            case events.PlanMade():
                notes = [str(one) for one in record.event.plan.get("notes", ())]
            case events.CheckLooked():
                places[str(record.event.evidence["check"])] = f"#{record.seq}"
            case events.StepDone(name="gate", result={"rows": list()}):
                found = gates.Table.model_validate(record.event.result)
                if best is None or found.better_than(best[0]):
                    best = found, dict(places)
    if best is None:
        return []
    seen, where = best
    shown = Table(
        title="Gate", title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for name in ("check", "outcome", "score", "needs", "weight", "findings", "what was seen", "evidence"):
        shown.add_column(name, header_style="dim", overflow="fold", justify="right" if name in _NUMBERS else "left")
    for row in seen.rows:
        colour = {"passed": "green", "failed": "red"}.get(row.outcome, "red" if row.required else "yellow")
        words = row.summary + ("" if row.required else " (not required)")
        shown.add_row(
            Text(row.check), Text(row.outcome, style=colour), f"{row.score:g}", f"{row.threshold:g}",
            f"{row.weight:.0f} %", str(row.findings), Text(words), where.get(row.check, ""),
        )  # fmt: skip
    total = Text(f"{seen.verdict}: score {seen.score:g} of {seen.threshold:g}", style=_COLOURS[seen.verdict])
    return [shown, total, *(Text(f"note: {note}", style="dim") for note in notes)]


_NUMBERS = frozenset({"score", "needs", "weight", "findings"})
_COLOURS = {"passed": "bold green", "failed": "bold red"}
