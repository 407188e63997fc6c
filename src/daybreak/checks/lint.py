"""Check `lint`: ruff's rules and format, by our configuration; what the tree configures is not read."""

from __future__ import annotations

import json
import re
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "lint"
RULES = "E,F,W,I,B,UP,C4,SIM,PIE,RET,BLE"
IGNORED = "E501,RET505,SIM108"
"""Line length is the formatter's business (it cannot cut texts); the others are matters of taste."""
LINE_LENGTH, LINE_LENGTH_MIN, LINE_LENGTH_MAX = 88, 79, 120
MARKS_MAX = 200


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 60,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Run `ruff check` and `ruff format --check` over the whole tree, also over what it would leave out.

    From the project's own configuration only the line length is taken, within 79 to 120, because the format
    depends on it; rules and exclusions are ours. How many `noqa` may stand is the check `syntax`'s part.
    """
    common = ["--isolated", "--no-cache", "--no-respect-gitignore", "--target-version", "py311"]
    common += ["--line-length", str(line_length(tree)), "--config", "exclude=[]"]
    rules = ["--select", RULES, "--ignore", IGNORED, "--output-format", "json"]
    try:
        environment = process.clean_environment(scratch)
        box = sandboxed.around(*sandboxed.homes(scratch), readable=[tree], require=require)
        checked, formatted = (
            process.run(
                [sys.executable, "-I", "-m", "ruff", *arguments, *common, "."],
                cwd=tree,
                env=environment,
                timeout_s=timeout_s,
                output_bytes_max=50_000_000,
                cancelled=cancelled,
                sandbox=box,
            )
            for arguments in (["check", *rules], ["format", "--check", "--output-format", "json"])
        )
    except HostError as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message)
    duration_ms = checked.duration_ms + formatted.duration_ms
    findings, unformatted = _read(checked, tree), _read(formatted, tree)
    if findings is None or unformatted is None:
        broken = checked if findings is None else formatted
        return Evidence(
            check=CHECK,
            workspace=workspace,
            outcome="unusable",
            summary=f"ruff could not look: {broken.ending}",
            output=transcripts.of(broken),
            duration_ms=duration_ms,
        )
    marks = list(dict.fromkeys([*findings, *unformatted]))  # both name a file that cannot be read
    clean = not marks and checked.ok and formatted.ok
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="passed" if clean else "failed",
        summary="no findings" if clean else f"{len(marks)} findings",
        command=f"ruff check --isolated --select {RULES} --ignore {IGNORED}; ruff format --check",
        counts={"findings": len(findings), "misformatted": len(unformatted)},
        marks=tuple(marks[:MARKS_MAX]),
        duration_ms=duration_ms,
    )


def line_length(tree: Path) -> int:
    """The project's own, where it is one; 88 otherwise."""
    try:
        read = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
        length = read.get("tool", {}).get("ruff", {}).get("line-length", LINE_LENGTH)
    except (OSError, ValueError, AttributeError):
        return LINE_LENGTH  # what is wrong with pyproject.toml is told by other checks
    if type(length) is not int:
        return LINE_LENGTH
    return length if LINE_LENGTH_MIN <= length <= LINE_LENGTH_MAX else LINE_LENGTH


def _read(finished: process.Finished, tree: Path) -> list[Mark] | None:
    """What ruff found; None where it could not look (it says 2 also for a file that it cannot read)."""
    if finished.ended_by_us or finished.exit_code not in (0, 1, 2):
        return None
    try:
        found: list[dict[str, Any]] = json.loads(finished.stdout or b"[]")
    except ValueError:
        return None
    if finished.exit_code == 2 and not found:
        return None
    root = re.escape(str(tree.resolve()))
    return [
        Mark(
            message=f"{one['code']}: {one['message']}",
            place=f"{re.sub(rf'^{root}/', '', one['filename'])}:{one['location']['row']}",
        )
        for one in found
    ]
