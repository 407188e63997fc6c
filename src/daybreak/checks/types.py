"""Check `types`: mypy in strict mode, by our configuration; what the tree configures is not read."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

from daybreak.checks import cage, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "types"
MARKS_MAX = 200
_FINDING = re.compile(r"(?P<place>[^:\n]+(?::\d+)?): error: (?P<message>.*)")


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    cache: Path,
    require: Strength = cage.WANTED,
    timeout_s: float = 180,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """`mypy --strict` over `src`. `cache` is a folder outside the tree, kept between calls: the types of
    libraries are read once. Comments that switch mypy off for a file are found by the check `syntax`."""
    if not any((tree / "src").rglob("*.py")):
        return Evidence(check=CHECK, workspace=workspace, outcome="failed", summary="there is no Python code in src")
    cache.mkdir(parents=True, exist_ok=True)
    options = [
        "--strict",
        "--config-file=",
        "--no-error-summary",
        "--no-color-output",
        "--hide-error-context",
    ]
    options += ["--explicit-package-bases", "--namespace-packages", "--warn-unused-ignores"]
    try:
        finished = process.run(
            [sys.executable, "-I", "-m", "mypy", *options, "--cache-dir", cache.absolute(), "src"],
            cwd=tree,
            env=process.clean_environment(scratch, MYPYPATH="src"),
            timeout_s=timeout_s,
            output_bytes_max=5_000_000,
            cancelled=cancelled,
            sandbox=cage.around(scratch, cache, readable=[tree], require=require),
        )
    except HostError as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message)
    printed = transcripts.text(finished.stdout)
    marks = [
        Mark(message=found["message"], place=found["place"])
        for line in printed.splitlines()
        if (found := _FINDING.match(line))
    ]
    could_look = finished.ok or (finished.exit_code == 1 and bool(marks)) or (finished.exit_code == 2 and bool(marks))
    if not could_look or finished.ended_by_us:
        outcome, summary = "unusable", f"mypy could not look: {finished.ending}"
    elif marks or not finished.ok:
        outcome, summary = "failed", f"{len(marks)} findings"
    else:
        outcome, summary = "passed", "no findings"
    return Evidence.model_validate(
        {
            "check": CHECK,
            "workspace": workspace,
            "outcome": outcome,
            "summary": summary,
            "command": "mypy --strict src",
            "counts": {"findings": len(marks)},
            "marks": marks[:MARKS_MAX],
            "output": transcripts.of(finished),
            "duration_ms": finished.duration_ms,
        }
    )
