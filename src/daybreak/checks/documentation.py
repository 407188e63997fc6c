"""Check `documentation`: there is a README, and what is public in the Python code says what it is for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from daybreak.checks import measured, sandboxed
from daybreak.checks.evidence import Evidence, Mark
from daybreak.errors import HostError
from daybreak.host.sandbox import Strength

CHECK = "documentation"
READMES = frozenset({"readme", "readme.md", "readme.rst", "readme.txt", "readme.adoc", "readme.org", "readme.markdown"})
README_BYTES_MIN = 40
SHARE = 30.0
"""Percent of what is public; more is better, less is called undocumented."""
MARKS_MAX = 100


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    share: float = SHARE,
    files: Sequence[str] | None = None,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 120,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Modules, classes and functions of `files` (paths; default: all Python files that are no tests) whose names begin
    with no underscore. Passed with a README of more than a title and at least `share` percent with a docstring.

    Counts: `public`, `documented`, `share` (percent; 100 where nothing is public), `readme` (0 or 1)."""
    command = "look for a README, count the docstrings of what is public"
    listed = measured.python_files(tree) if files is None else list(files)
    try:
        seen = (
            measured.measure(tree, listed, scratch=scratch, require=require, timeout_s=timeout_s, cancelled=cancelled)
            if listed
            else None
        )
    except (HostError, measured.NotMeasured) as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=error.message, command=command)
    readme = has_readme(tree)
    public = seen.public if seen is not None else 0
    missing = seen.undocumented if seen is not None else ()
    documented = public - len(missing)
    reached = int(documented * 1000 / public) / 10 if public else 100.0
    marks = [] if readme else [Mark(message="there is no README that says what this is")]
    if reached < share:
        marks += [Mark(message=f"{name} has no docstring", place=f"{path}:{line}") for path, line, name in missing]
    words = f"{documented} of {public} public names have a docstring" if public else "no public Python"
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="failed" if marks else "passed",
        summary=f"{words}, {'a' if readme else 'no'} README",
        command=command,
        counts={"public": public, "documented": documented, "share": reached, "readme": float(readme)},
        marks=tuple(marks[:MARKS_MAX]),
        duration_ms=seen.duration_ms if seen is not None else 0,
    )


def has_readme(tree: Path) -> bool:
    """Is there an ordinary file of that name at the top, with more in it than a title?"""
    named = (path for path in tree.iterdir() if path.name.lower() in READMES)
    return any(path.is_file() and not path.is_symlink() and path.stat().st_size >= README_BYTES_MIN for path in named)
