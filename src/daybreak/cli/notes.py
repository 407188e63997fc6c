"""`daybreak notes check|stale|history|verified`: Markdown notes that say how far they can be trusted."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json

if TYPE_CHECKING:
    from daybreak.memory.notes import Note, Problem

app = typer.Typer(help="Check notes, list those to be verified again, show their history.", no_args_is_help=True)

Where = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH]...",
        parser=arguments.path,
        help="Folders or files; README.md, index.md and hidden ones are no notes.",
        show_default="notes",
    ),
]
NoteFile = Annotated[Path, typer.Argument(metavar="FILE", parser=arguments.path, help="The note.")]
DAYS_MAX = 36_500


def _today() -> date:
    from daybreak.clock import SystemClock

    return SystemClock().now().date()


def _places(where: list[Path] | None) -> list[Path]:
    return where or [Path("notes")]


@app.command(
    "check", epilog="Examples:  daybreak notes check    daybreak notes check docs/notes    (a pre-commit hook)"
)
def check(where: Where = None, as_json: Json = False) -> None:
    """Check the front matter of every note, and that `version` rose where the text changed since the last commit.

    Exit status 1 where something is wrong, each as FILE:LINE: what.
    """
    from daybreak.memory import notes

    report = notes.check(_places(where), _today())
    if as_json:
        problems = [_problem(one) for one in report.problems]
        faces.result_json({"notes": len(report.notes), "problems": problems, "uncompared": report.uncompared})
    else:
        for one in report.problems:
            faces.result(str(one))
        for why in report.uncompared:
            faces.say(f"versions were not compared with a commit: {why}")
        faces.say(f"notes that are right: {len(report.notes)}; problems: {len(report.problems)}")
    if report.problems:
        raise typer.Exit(faces.EXIT_FAILED)


def _problem(one: Problem) -> dict[str, Any]:
    return {"path": str(one.path), "line": one.line, "text": one.text}


@app.command("stale", epilog="Examples:  daybreak notes stale    daybreak notes stale docs/notes --days 90 --json")
def stale(
    where: Where = None,
    days: Annotated[
        int,
        typer.Option(
            "--days",
            metavar="DAYS",
            parser=arguments.whole(1, DAYS_MAX),
            help="How long a note of confidence 1 is good once it was verified; one of 0.5 half as long.",
        ),
    ] = 180,
    as_json: Json = False,
) -> None:
    """List notes to be held against the world again, the longest overdue first."""
    from daybreak.memory import notes

    report = notes.check(_places(where), _today())
    found = notes.stale(report.notes, _today(), days=days)
    if as_json:
        rows = [{**_plain(one.note), "since": one.since.isoformat(), "why": one.why} for one in found]
        faces.result_json({"stale": rows, "problems": [_problem(one) for one in report.problems]})
        return
    for one in found:
        faces.result(f"{one.note.path}: {one.note.title}\n    {one.why}")
    if report.problems:
        faces.say(f"{len(report.problems)} problems keep notes out of this list: `daybreak notes check` shows them")
    if not found:
        faces.say(f"none of {len(report.notes)} notes is stale")


def _plain(note: Note) -> dict[str, Any]:
    return {
        "path": str(note.path),
        "title": note.title,
        "version": note.version_text,
        "updated": note.updated.isoformat(),
        "verified_on": note.verified_on.isoformat(),
        "confidence": note.confidence,
    }


@app.command("history", epilog="Example:  daybreak notes history notes/search.md")
def history(file: NoteFile, as_json: Json = False) -> None:
    """Show the commits that changed FILE, the newest first, with the version and confidence that it had then."""
    from daybreak.memory import notehistory, notes

    rows = []
    for one in notehistory.changes(notes.find_one(file)):
        then = None if one.text is None else notes.parse(file, one.text.decode("utf-8", "replace"))[0]
        rows.append((one, then))
    if as_json:
        faces.result_json(
            [
                {
                    "commit": one.commit,
                    "when": one.when,
                    "author": one.author,
                    "subject": one.subject,
                    "version": then.version_text if then else None,
                    "confidence": then.confidence if then else None,
                }
                for one, then in rows
            ]
        )
        return
    if not rows:
        faces.say(f"no commit has {file}")
    for one, then in rows:
        state = f"version {then.version_text}  confidence {then.confidence:g}" if then else "not a right note then"
        faces.result(f"{one.commit[:12]}  {one.when[:10]}  {state}  {one.author}: {one.subject}")


@app.command("verified", epilog="Example:  daybreak notes verified notes/search.md --right")
def verified(
    file: NoteFile,
    right: Annotated[
        bool | None,
        typer.Option("--right/--wrong", help="What it says is so, or is not.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say that somebody held FILE against the world: its confidence rises (and its date is today), or falls."""
    from daybreak.memory import notes

    if right is None:
        raise ArgumentWrong("nobody said what was found", hint="--right if it is so, --wrong if it is not")
    note = notes.verified(file, right=right, today=_today())
    if as_json:
        faces.result_json(_plain(note))
    else:
        faces.result(f"{note.path}: confidence {note.confidence:g}, verified on {note.verified_on}")
