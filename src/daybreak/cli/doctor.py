"""`daybreak doctor`: where things are, what this machine has, and what is wrong with either."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.config import Places
from daybreak.errors import DaybreakError


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `bad` makes the exit status 1; `note` is worth knowing."""

    what: str
    verdict: Literal["good", "note", "bad"]
    detail: str
    remedy: str = ""


def doctor(as_json: Json = False) -> None:
    """Show where state lives and look at this machine: tools, space, permissions, the ledger, unfinished runs."""
    from daybreak.cli import home

    where = home.places()
    findings = [*_places(where), *_tools(), *_machine(where), *_ledger(where)]
    if as_json:
        faces.result_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    raise typer.Exit(faces.EXIT_FAILED if any(finding.verdict == "bad" for finding in findings) else 0)


def _places(where: Places) -> list[Finding]:
    found = [Finding("places", "note", where.why)]
    for name in ("ledger", "keys", "witness", "workspaces", "locks", "cache"):
        folder: Path = getattr(where, name)
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        if _writable(existing):
            found.append(Finding(name, "good", str(folder)))
        else:
            remedy = f"make {existing} writable for you, or set DAYBREAK_HOME to a folder of yours"
            found.append(Finding(name, "bad", f"{folder} cannot be written", remedy))
    return found


def _writable(folder: Path) -> bool:
    import os

    return os.access(folder, os.W_OK | os.X_OK)


def _tools() -> list[Finding]:
    import apsw

    found = [
        Finding("python", "good", f"{sys.version.split()[0]} at {sys.executable}"),
        Finding("sqlite", "good", apsw.sqlite_lib_version()),
    ]
    for module in ("pytest", "ruff", "mypy"):
        ran = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            found.append(Finding(module, "good", (ran.stdout or ran.stderr).strip().splitlines()[0]))
        else:
            found.append(Finding(module, "bad", "does not start", "install Daybreak again: it comes with it"))
    for program, why in (("sh", "console examples run in it"), ("git", "not needed yet")):
        path = shutil.which(program)
        missing: Literal["bad", "note"] = "bad" if program == "sh" else "note"
        found.append(Finding(program, "good", path) if path else Finding(program, missing, f"missing: {why}"))
    return found


def _machine(where: Places) -> list[Finding]:
    from daybreak.factory import machine

    measured = machine.measure(where.ledger)
    short = measured.shortages()
    memory = measured.memory_bytes_free
    detail = f"{measured.cores} cores, {measured.disk_bytes_free // 2**20} MiB of disk free"
    detail += f", {memory // 2**20} MiB of memory free" if memory is not None else ""
    return [
        Finding("machine", "good", detail),
        *(Finding("machine", "bad", lack, "make room") for lack in short),
    ]


def _ledger(where: Places) -> list[Finding]:
    from daybreak.cli import home

    if not where.ledger.exists():
        return [Finding("log", "note", "none yet; the first build makes it")]
    try:
        with home.opened() as opened:
            unfinished = [row for row in home.rows(opened) if row.resumable]
            size = opened.ledger.head().size
    except DaybreakError as error:
        return [Finding("log", "bad", f"{error.code} {error.message}", error.hint)]
    found = [Finding("log", "good", f"{size} events; agrees with its key and with the newest head known outside")]
    for row in unfinished:
        found.append(Finding("run", "note", f"{row.run} is {row.shown_state}", f"daybreak resume {row.run}"))
    return found


def _print(findings: list[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    signs = {"good": "[green]ok[/]", "note": "[yellow]--[/]", "bad": "[red]!![/]"}
    for finding in findings:
        remedy = f"\n  {finding.remedy}" if finding.remedy else ""
        table.add_row(signs[finding.verdict], finding.what, escape(finding.detail + remedy))
    faces.console().print(table)
