"""Check `syntax`: every Python file compiles, and few comments make other checks look away."""

from __future__ import annotations

import json
import math
import sys
import threading
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "syntax"
SILENCERS_PER_100_LINES_MAX = 1.0
SILENCERS_ALWAYS_ALLOWED = 3
PEEKING_MARKS_MAX = 100
_NEVER = ("noqa for the whole file", "mypy options")
_READING = str(Path(__file__).with_name("reading.py"))
_LONG_OUTPUT_BYTES = 20_000_000


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 60,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Compile every .py file in memory; nothing is written to `tree` and nothing of it runs.

    Silencing comments (`noqa`, `type: ignore`, `fmt: off`) may be 1 in 100 lines, 3 in any case; those that
    silence a whole file may not be at all. Nor may tests name what only looks into, or ends, the process that
    watches them (frames, the collector's lists, `os._exit`, /proc/self).
    """
    try:
        finished = process.run(
            [sys.executable, "-I", "-S", _READING, tree.absolute()],
            cwd=scratch,
            env=process.clean_environment(scratch),
            timeout_s=timeout_s,
            output_bytes_max=_LONG_OUTPUT_BYTES,
            cancelled=cancelled,
            sandbox=sandboxed.around(*sandboxed.homes(scratch), readable=[tree], require=require),
        )
    except HostError as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message)
    if not finished.ok:
        return Evidence(
            check=CHECK,
            workspace=workspace,
            outcome="unusable" if finished.cancelled else "failed",
            summary=f"the files cannot be read: {finished.ending}",
            output=transcripts.of(finished),
            duration_ms=finished.duration_ms,
        )
    found: dict[str, Any] = json.loads(finished.stdout)
    marks = [Mark(message=fault["message"], place=f"{fault['path']}:{fault['line']}") for fault in found["faults"]]
    if not found["files"]:
        marks.append(Mark(message="there is no Python file"))
    marks += _too_silent(found)
    marks += [
        Mark(message=f"tests must not use {what}: it reaches into the run that watches them", place=f"{path}:{line}")
        for path, line, what in found["peeking"][:PEEKING_MARKS_MAX]
    ]
    counts = {"files": found["files"], "lines": found["lines"]}
    counts |= {kind: len(places) for kind, places in found["silenced"].items()}
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=f"{marks[0].place} {marks[0].message}".strip() if marks else f"{found['files']} files compile",
        command="compile every .py file",
        counts=counts,
        marks=tuple(marks),
        duration_ms=finished.duration_ms,
    )


def silencers_allowed(lines: int) -> int:
    """How many comments of a kind may make checks look away in so many lines of code."""
    return max(SILENCERS_ALWAYS_ALLOWED, math.floor(lines * SILENCERS_PER_100_LINES_MAX / 100))


def _too_silent(found: dict[str, Any]) -> list[Mark]:
    silenced: dict[str, list[tuple[str, int]]] = found["silenced"]
    marks = [
        Mark(message=f"{kind} switches a check off", place=f"{path}:{line}")
        for kind in _NEVER
        for path, line in silenced[kind]
    ]
    allowed = silencers_allowed(found["lines"])
    for kind, places in silenced.items():
        if kind not in _NEVER and len(places) > allowed:
            path, line = places[0]
            marks.append(
                Mark(
                    message=f"{len(places)} comments `{kind}`; {allowed} are allowed here",
                    place=f"{path}:{line}",
                )
            )
    return marks
