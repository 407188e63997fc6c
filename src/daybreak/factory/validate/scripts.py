"""Does every file parse? Asked of each language's own parser, in a program of its own: a hostile file can crash one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.validate.guards import MARKS_MAX
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.running import Room
from daybreak.host import process

_PARSING = Path(__file__).parent / "plugin"


def python(check: Planned, room: Room, workspace: str, code: Sequence[str]) -> Evidence:
    """Compile every file with the project's own Python; nothing of them runs."""
    files = [path for path in code if path.endswith((".py", ".pyi"))]
    program: list[str | Path] = [room.around.python, "-I", "-S", _PARSING / "parse_python.py", room.files]
    return _parsed(check, room, workspace, files, program)


def javascript(check: Planned, room: Room, workspace: str, code: Sequence[str]) -> Evidence:
    """Parse every file as a script or as a module. TypeScript is tsc's part, and JSX nobody's."""
    files = [path for path in code if path.endswith((".js", ".mjs", ".cjs"))]
    program: list[str | Path] = [
        "node",
        "--experimental-vm-modules",
        "--no-warnings",
        _PARSING / "parse_javascript.mjs",
        room.files,
    ]
    return _parsed(check, room, workspace, files, program)


def _parsed(
    check: Planned, room: Room, workspace: str, files: Sequence[str], program: Sequence[str | Path]
) -> Evidence:
    place = room.scratch
    finished = process.run(
        program,
        cwd=room.files,
        env=room.environment(check.language, place),
        timeout_s=room.limit_s,
        stdin="\n".join(path for path in files if "\n" not in path).encode("utf-8", "surrogateescape"),
        output_bytes_max=20_000_000,
        cancelled=room.cancelled,
        sandbox=room.box(check.language, *sandboxed.homes(place), readable=(room.files,)),
    )
    try:
        faults: list[dict[str, Any]] = json.loads(finished.stdout) if finished.ok else []
        marks = [Mark(message=str(one["message"]), place=f"{one['path']}:{int(one['line'])}") for one in faults]
    except (ValueError, KeyError, TypeError, RecursionError):
        marks = []
    outcome = "failed" if marks or not finished.ok else "passed"
    if finished.cancelled:
        outcome = "unusable"
    summary = f"{len(files)} files parse"
    if marks:
        summary = f"{len(marks)} of {len(files)} files do not parse: {marks[0].place} {marks[0].message}"
    elif not finished.ok:
        summary = f"the files cannot be read: {finished.ending}"
    return Evidence.model_validate(
        {
            "check": check.name,
            "workspace": workspace,
            "outcome": outcome,
            "summary": summary[:1000],
            "command": check.command,
            "counts": {"files": len(files), "findings": len(marks)},
            "marks": tuple(marks[:MARKS_MAX]),
            "output": "" if finished.ok else transcripts.of(finished),
            "duration_ms": finished.duration_ms,
        }
    )
