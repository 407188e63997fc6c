"""`daybreak doctor`: where things are, what this machine has, what is wrong with either, and what can be done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.factory.health import Finding, Repaired

EXAMPLES = "Examples:  daybreak doctor    daybreak doctor --fix    daybreak doctor --json"


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what is safe, and tell what was done. Nothing of yours is touched.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at disk, log, locks, processes, workspaces, unfinished changes, tools, keys, clock and sandbox.

    Looking changes nothing. Exit status 1: something is wrong that was not repaired.
    """
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.factory import health

    where = home.places()
    findings = health.examine(
        where, SystemClock(), home.views(), roots=_roots(), settings=home.settings, environment=os.environ
    )
    repaired = health.repair(findings) if fix else []
    if as_json:
        faces.result_json([_plain(finding, repaired) for finding in findings])
    else:
        _print(findings, repaired)
    mended = [one.finding for one in repaired if not one.failed]
    wrong = [one for one in findings if one.level == "bad" and not any(one is other for other in mended)]
    raise typer.Exit(faces.EXIT_FAILED if wrong else 0)


def _roots() -> list[Path]:
    """The folder that the user is in, where there is one."""
    try:
        return [Path.cwd()]
    except OSError:
        return []


def _plain(finding: Finding, repaired: list[Repaired]) -> dict[str, Any]:
    done = next((one for one in repaired if one.finding is finding), None)
    return {
        "name": finding.name,
        "level": finding.level,
        "text": finding.text,
        "hint": finding.hint,
        "fixable": finding.fix is not None,
        "repaired": done.done if done is not None and not done.failed else None,
        "not_repaired": done.failed if done is not None and done.failed else None,
    }


def _print(findings: list[Finding], repaired: list[Repaired]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from daybreak.report.shown import shown

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    signs = {"good": "[green]ok[/]", "note": "[yellow]--[/]", "bad": "[red]!![/]"}
    for finding in findings:
        done = next((one for one in repaired if one.finding is finding), None)
        lines, sign = [finding.text], signs[finding.level]
        if done is not None and not done.failed:
            sign = "[green]++[/]"
            lines.append(f"repaired: {done.done}")
        elif done is not None:
            lines.append(f"not repaired: {done.failed}")
        elif finding.hint:
            lines.append(finding.hint)
        table.add_row(sign, finding.name, escape(shown("\n  ".join(lines))))
    faces.console().print(table)
    fixable = sum(1 for one in findings if one.fix is not None)
    if fixable and not repaired:
        faces.say(f"`daybreak doctor --fix` can repair {fixable} of these")
