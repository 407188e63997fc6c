"""Check `security`: patterns in Python code that attackers look for, found by bandit, or by ruff's port of its rules.

Only findings of medium and high severity count: the low ones (a bare `assert`, the import of `subprocess`) say where
to look and not that something is wrong; they are counted apart. Tests are left out.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daybreak.checks import measured, sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "security"
MARKS_MAX = 200
ARGUMENTS_CHARS_MAX = 100_000
LOW = frozenset(
    {
        *("S101", "S105", "S106", "S107", "S110", "S112", "S303", "S311", "S603", "S606", "S607"),
        *("S403", "S404", "S405", "S406", "S407", "S408", "S409", "S410", "S411", "S412", "S413", "S415"),
    }
)
"""Rules of ruff that bandit gives low severity, or too little certainty to count."""
_OUTPUT_BYTES_MAX = 50_000_000


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    bandit: Sequence[str] = (),
    readable: Sequence[Path] = (),
    files: Sequence[str] | None = None,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 180,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Look at `files` (paths; default: all Python files that are no tests) with the command `bandit`, without one with
    ruff's rules `S`, by our configuration and not the tree's. `readable`: what bandit's program needs to be read.

    Counts: `findings` (medium and high), `low`, `files`."""
    listed = measured.python_files(tree) if files is None else list(files)
    if not listed:
        return Evidence(check=CHECK, workspace=workspace, outcome="passed", summary="there is no Python to look at")
    try:
        argv, command = _command(listed, bandit)
        finished = process.run(
            argv,
            cwd=tree,
            env=process.clean_environment(scratch),
            timeout_s=timeout_s,
            output_bytes_max=_OUTPUT_BYTES_MAX,
            cancelled=cancelled,
            sandbox=sandboxed.around(*sandboxed.homes(scratch), readable=[tree, *readable], require=require),
        )
    except HostError as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message)
    found = None if finished.ended_by_us or finished.exit_code not in (0, 1) else _found(finished.stdout, tree, bandit)
    if found is None:
        return Evidence(
            check=CHECK,
            workspace=workspace,
            outcome="unusable",
            summary=f"{command.split()[0]} could not look: {finished.ending}",
            command=command,
            output=transcripts.of(finished),
            duration_ms=finished.duration_ms,
        )
    if _is_long(listed):  # the whole folder was looked at
        wanted = frozenset(listed)
        found = [one for one in found if one is None or one.place.rpartition(":")[0] in wanted]
    low = sum(one is None for one in found)
    marks = [one for one in found if one is not None]
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=(f"{len(marks)} findings" if marks else "no findings") + (f", {low} of low severity" if low else ""),
        command=command,
        counts={"findings": len(marks), "low": low, "files": len(listed)},
        marks=tuple(marks[:MARKS_MAX]),
        duration_ms=finished.duration_ms,
    )


def _is_long(files: Sequence[str]) -> bool:
    """Do they not fit on a command line?"""
    return sum(map(len, files)) > ARGUMENTS_CHARS_MAX


def _command(files: Sequence[str], bandit: Sequence[str]) -> tuple[list[str], str]:
    if _is_long(files):
        files = ["--recursive", "."] if bandit else ["."]
    elif bandit:
        files = dashed(files)
    if bandit:
        return [*bandit, "--format", "json", "--quiet", "--exit-zero", *files], "bandit (medium and high)"
    words = ["check", "--isolated", "--no-cache", "--no-respect-gitignore", "--select", "S", "--output-format", "json"]
    named = "ruff check --isolated --select S (medium and high)"
    return [sys.executable, "-I", "-m", "ruff", *words, "--exit-zero", *dashed(files)], named


def dashed(files: Sequence[str]) -> list[str]:
    """Names that no program takes for options."""
    return [name if not name.startswith("-") else f"./{name}" for name in files]


def _found(printed: bytes, tree: Path, bandit: Sequence[str]) -> list[Mark | None] | None:
    """Findings, None for each of low severity; None at all where it is no report."""
    try:
        told: Any = json.loads(printed or b"[]")
        return [_of_bandit(one) for one in told["results"]] if bandit else [_of_ruff(one, tree) for one in told]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _of_bandit(one: dict[str, Any]) -> Mark | None:
    if one["issue_severity"] not in ("MEDIUM", "HIGH"):
        return None
    place = f"{str(one['filename']).removeprefix('./')}:{int(one['line_number'])}"
    return Mark(message=f"{one['test_id']} ({one['issue_severity'].lower()}): {one['issue_text']}", place=place)


def _of_ruff(one: dict[str, Any], tree: Path) -> Mark | None:
    code = str(one["code"])
    if not code.startswith("S") or code in LOW:  # a file that cannot be parsed is the check of syntax's part
        return None
    path = str(one["filename"]).removeprefix(f"{tree.resolve()}/")
    return Mark(message=f"{code}: {one['message']}", place=f"{path}:{int(one['location']['row'])}")
