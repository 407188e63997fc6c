"""Check `structure`: the files that every result has are there and are not empty."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daybreak.checks.evidence import Evidence, Mark

CHECK = "structure"
TESTS = "tests"


def look(tree: Path, workspace: str, *, name: str) -> Evidence:
    """pyproject.toml, README.md, the package `src/NAME`, at least one test file; regular files, not empty.

    Also: no special files, and no symbolic link that leads out of the tree.
    """
    package = name.replace("-", "_")
    marks = [
        Mark(message=problem, place=path)
        for path in ("pyproject.toml", "README.md", f"src/{package}/__init__.py")
        if (problem := _problem(tree / path, may_be_empty=path.endswith("__init__.py")))
    ]
    if not _code_below(tree / "src" / package):
        marks.append(Mark(message="no Python code", place=f"src/{package}"))
    if not [path for path in (tree / TESTS).rglob("test_*.py") if not _problem(path)]:
        marks.append(Mark(message="no test file with content (test_*.py)", place=TESTS))
    marks += _strange_files(tree)
    files = sum(len(names) for _, _, names in os.walk(tree))
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=f"{marks[0].place}: {marks[0].message}" if marks else f"{files} files, nothing missing",
        counts={"files": files},
        marks=tuple(marks),
    )


def look_at(
    tree: Path,
    workspace: str,
    *,
    language: str,
    project_files: Sequence[str],
    code: Sequence[str],
    tests: Sequence[str],
    silencing: int = 0,
    silencing_max: int = 0,
    others: Sequence[str] = (),
) -> Evidence:
    """The same of a result in any other language: README.md, one of `project_files` (none: not asked for), `code` and
    `tests` (paths) with something in them, no special files. `silencing`: comments that make checks look away, of which
    there may be `silencing_max`. `others`: languages that nobody looks at."""
    marks = [Mark(message=problem, place="README.md") for problem in [_problem(tree / "README.md")] if problem]
    if project_files and all(_problem(tree / name) for name in project_files):
        marks.append(Mark(message="is missing", place=" or ".join(project_files)))
    if not any(_problem(tree / path) is None for path in code):
        marks.append(Mark(message=f"there is no code in {language}"))
    if not any(_problem(tree / path) is None for path in tests):
        marks.append(Mark(message="there is no file with tests"))
    if silencing > silencing_max:
        marks.append(Mark(message=f"{silencing} comments make checks look away; {silencing_max} are allowed here"))
    marks += _strange_files(tree)
    files = sum(len(names) for _, _, names in os.walk(tree))
    unseen = f"; nobody looks at its {', '.join(others)}" if others else ""
    first = f"{marks[0].place}: {marks[0].message}".removeprefix(": ") if marks else ""
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=f"{first or f'{files} files, nothing missing'}{unseen}",
        counts={"files": files, "silencing": silencing},
        marks=tuple(marks),
    )


def _problem(path: Path, *, may_be_empty: bool = False) -> str | None:
    if not path.exists():
        return "is missing"
    if not path.is_file() or path.is_symlink():
        return "is not a regular file"
    return None if may_be_empty or path.read_bytes().strip() else "is empty"


def _code_below(package: Path) -> bool:
    return any(path.is_file() and path.read_bytes().strip() for path in package.rglob("*.py"))


def _strange_files(tree: Path) -> list[Mark]:
    root = Path(os.path.realpath(tree))
    marks = []
    for folder, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = Path(folder, name)
            place = path.relative_to(tree).as_posix()
            if path.is_symlink():
                target = Path(os.path.realpath(path))
                if target != root and root not in target.parents:
                    marks.append(Mark(message="is a link that leads out of the tree", place=place))
            elif not path.is_file() and not path.is_dir():
                marks.append(Mark(message="is neither file nor folder", place=place))
    return marks
