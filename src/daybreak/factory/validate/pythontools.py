"""ruff and mypy on a project as it wants them: by its own configuration where it has one, mildly where it has none.

Protected files keep a worker from changing that configuration. The project's own versions of the tools go before ours.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from daybreak.checks import transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.security import dashed
from daybreak.factory.validate.guards import MARKS_MAX
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.running import Room
from daybreak.host.process import Finished

_FINDING = re.compile(r"(?P<place>[^:\n]+:\d+)(?::\d+)?: error: (?P<message>.*?)(?:  \[(?P<code>[a-z-]+)\])?$")
_NOT_INSTALLED = frozenset({"import-not-found", "import-untyped", "import"})
_AFTER_THAT = frozenset({"no-any-return", "untyped-decorator", "unused-ignore", "no-any-unimported"})
"""What mypy also says where an import is missing, and would not say otherwise."""
_NAMED = re.compile(r'named "([^"]+)"|for "([^"]+)"')
_UNCONFIGURED = ("--isolated", "--line-length", "100", "--select", "E4,E7,E9,F")
"""Errors rather than tastes. Named, because what ruff looks for by itself grows with its versions: since 0.16 it is
hundreds of rules, the order of imports among them."""
_LINES = "lines"


def ruff(room: Room) -> list[str]:
    """The command: the project's own, else ours."""
    for venv in room.around.environments:
        if (venv / "bin" / "ruff").is_file():
            return [str(venv / "bin" / "ruff")]
    return [sys.executable, "-I", "-m", "ruff"]


def configuration(check: Planned) -> list[str]:
    """Options that keep ruff from configuration above the project, where it has none of its own."""
    return [] if check.configured else list(_UNCONFIGURED)


def lint(check: Planned, room: Room, workspace: str, code: Sequence[str]) -> Evidence:
    """`ruff check` of the project's Python files; a file that its configuration leaves out is left out."""
    finished = _run(["check", "--output-format", "json", *configuration(check)], room, code)
    return _told(check, finished, _of_ruff(finished, room.files), workspace, room, code)


def formatted(check: Planned, room: Room, workspace: str, code: Sequence[str]) -> Evidence:
    """`ruff format --check`."""
    finished = _run(["format", "--check", "--output-format", "json"], room, code)
    return _told(check, finished, _of_ruff(finished, room.files), workspace, room, code)


def _run(words: Sequence[str], room: Room, code: Sequence[str]) -> Finished:
    files = [path for path in code if path.endswith((".py", ".pyi"))]
    return room.tool([*ruff(room), *words, "--no-cache", "--force-exclude", *_paths(files)], room.scratch / "own")


def _paths(files: Sequence[str]) -> list[str]:
    """Names for a command line; the whole folder where they are too many for one."""
    return dashed(files) if files and sum(map(len, files)) < 100_000 else ["."]


def _of_ruff(finished: Finished, tree: Path) -> list[Mark] | None:
    """None where it could not look (it says 2 also for a file that it cannot read)."""
    if finished.ended_by_us or finished.exit_code not in (0, 1, 2):
        return None
    try:
        told: list[dict[str, Any]] = json.loads(finished.stdout or b"[]")
        found = [
            Mark(
                message=f"{one['code']}: {one['message']}",
                place=f"{str(one['filename']).removeprefix(f'{tree.resolve()}/')}:{int(one['location']['row'])}",
            )
            for one in told
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if finished.exit_code == 2 and not found else found


def types(check: Planned, room: Room, workspace: str, code: Sequence[str]) -> Evidence:
    """mypy by the project's configuration. What is not installed here is told apart and is no finding."""
    own = room.scratch / "own"
    configured = check.configured
    words = ["--no-error-summary", "--no-color-output", "--hide-error-context", "--show-error-codes", "--no-pretty"]
    words += ["--show-traceback", "--no-incremental", f"--cache-dir={own}"]
    if not configured:
        words += ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases", "--namespace-packages"]
    venvs = room.around.environments
    with_mypy = [venv / "bin" / "mypy" for venv in venvs if (venv / "bin" / "mypy").is_file()]
    if with_mypy:
        program: list[str] = [room.around.python, "-I", "-m", "mypy"]
    else:
        program = [sys.executable, "-I", "-m", "mypy", *(["--python-executable", room.around.python] if venvs else [])]
    targets = [] if configured and _names_files(room.files) else _targets(code)
    roots = {"MYPYPATH": "src"} if not configured and (room.files / "src").is_dir() else {}
    finished = room.tool([*program, *words, *targets], own, **roots)
    return _told(check, finished, _of_mypy(finished), workspace, room, code)


def _names_files(tree: Path) -> bool:
    """Does the project's configuration say what is to be looked at?"""
    for name in ("mypy.ini", ".mypy.ini", "pyproject.toml", "setup.cfg"):
        path = tree / name
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes().decode("utf-8", "replace")
            _, marked, rest = text.partition("[tool.mypy]" if name == "pyproject.toml" else "[mypy]")
            if marked:
                return re.search(r"^(files|packages|modules)\s*=", rest.split("\n[")[0], re.MULTILINE) is not None
    return False


def _targets(code: Sequence[str]) -> list[str]:
    """`src`, or packages and modules at the top: not everything, since tests have modules of the same name."""
    python = [path for path in code if path.endswith((".py", ".pyi"))]
    if any(path.startswith("src/") for path in python):
        return ["src"]
    found = {path.split("/")[0] for path in python if PurePosixPath(path).name == "__init__.py" and "/" in path}
    packages = sorted(found - {"tests", "test", "docs", "examples"})
    modules = [path for path in python if "/" not in path and path not in ("setup.py", "conftest.py")]
    return dashed([*packages, *modules]) or ["."]


def _of_mypy(finished: Finished) -> tuple[list[Mark], list[str]] | None:
    printed = transcripts.text(finished.stdout)
    found = [one for line in printed.splitlines() if (one := _FINDING.match(line))]
    missing = sorted({_module(one["message"]) for one in found if one["code"] in _NOT_INSTALLED})
    marks = [
        Mark(message=f"{one['message']} [{one['code'] or 'error'}]", place=one["place"])
        for one in found
        if one["code"] not in _NOT_INSTALLED and not (missing and _follows(one))
    ]
    could = finished.ok or (finished.exit_code in (1, 2) and bool(found))
    return (marks, missing) if could and not finished.ended_by_us else None


def _follows(one: re.Match[str]) -> bool:
    return one["code"] in _AFTER_THAT or (one["code"] == "misc" and 'has type "Any"' in one["message"])


def _module(message: str) -> str:
    named = _NAMED.search(message)
    return (named[1] or named[2]).split(".")[0] if named else message[:60]


def _told(
    check: Planned,
    finished: Finished,
    seen: list[Mark] | tuple[list[Mark], list[str]] | None,
    workspace: str,
    room: Room,
    code: Sequence[str],
) -> Evidence:
    if seen is None:
        return Evidence(
            check=check.name,
            workspace=workspace,
            outcome="unusable",
            summary=f"{check.command} could not look: {finished.ending}: {_last(finished)}"[:1000],
            command=check.command,
            output=transcripts.of(finished),
            duration_ms=finished.duration_ms,
        )
    marks, missing = seen if isinstance(seen, tuple) else (seen, [])
    words = counted(len(marks))
    if missing:
        words += f"; not installed here, so not looked into: {', '.join(missing[:10])}"
    return Evidence(
        check=check.name,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=words,
        command=check.command,
        counts={"findings": len(marks), _LINES: lines(room.files, code), "not_installed": len(missing)},
        marks=tuple(marks[:MARKS_MAX]),
        output="" if not marks else transcripts.cut(transcripts.text(finished.stdout), 8_000),
        duration_ms=finished.duration_ms,
    )


def counted(findings: int) -> str:
    return "no findings" if not findings else f"{findings} finding{'s' if findings > 1 else ''}"


def _last(finished: Finished) -> str:
    printed = transcripts.text(finished.stderr if finished.stderr.strip() else finished.stdout).strip().splitlines()
    return printed[-1][:300] if printed else "nothing was printed"


def lines(tree: Path, code: Sequence[str]) -> int:
    """Of all code; what cannot be read counts nothing."""
    found = 0
    for path in code:
        file = tree / path
        if file.is_file() and not file.is_symlink():
            found += file.read_bytes().count(b"\n") + 1
    return found
