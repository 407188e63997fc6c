"""Check `complexity`: no function of the Python code (tests aside) has more ways through it than it may."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from daybreak.checks import measured, sandboxed
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host.sandbox import Strength

CHECK = "complexity"
MOST = 10
MARKS_MAX = 100


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    most: int = MOST,
    files: Sequence[str] | None = None,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 120,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """McCabe's measure of every function in `files` (paths; default: all that are no tests), the worst first.

    Passed where none is above `most`. Counts: `functions`, `findings`, `lines`, `highest`."""
    command = f"count the ways through every function; more than {most} are too many"
    try:
        seen = measured.measure(
            tree,
            measured.python_files(tree) if files is None else files,
            scratch=scratch,
            require=require,
            timeout_s=timeout_s,
            cancelled=cancelled,
        )
    except (HostError, measured.NotMeasured) as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message, command=command)
    over = sorted((one for one in seen.functions if one[3] > most), key=lambda one: (-one[3], one[0], one[1]))
    highest = max((one[3] for one in seen.functions), default=0)
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if over else "passed",
        summary=f"{len(over)} of {len(seen.functions)} functions have more than {most} ways through them"
        if over
        else f"{len(seen.functions)} functions, at most {highest} ways through one",
        command=command,
        counts={
            "functions": len(seen.functions),
            "findings": len(over),
            "lines": seen.lines,
            "highest": highest,
        },
        marks=tuple(
            Mark(message=f"{name} has {ways} ways through it, {most} may be: split it", place=f"{path}:{line}")
            for path, line, name, ways in over[:MARKS_MAX]
        ),
        duration_ms=seen.duration_ms,
    )
