"""Figures about the Python files of a tree, taken by `measuring` in the sandbox, for the checks that judge them."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed
from daybreak.errors import CheckError
from daybreak.host import process
from daybreak.host.sandbox import Strength

MEASURING = str(Path(__file__).with_name("measuring.py"))
OUTPUT_BYTES_MAX = 50_000_000
_TEST = re.compile(r"(^|/)(tests?|testing|conftest\.py|test_[^/]*\.py|[^/]*_test\.py)(/|$)")


class NotMeasured(CheckError):
    """The files could not be read through: a time limit, a crash of the parser."""

    code = "C186"


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    files: int
    lines: int
    """That are not blank."""
    functions: tuple[tuple[str, int, str, int], ...]
    """Path, line, name and complexity of each."""
    public: int
    undocumented: tuple[tuple[str, int, str], ...]
    """Path, line and name."""
    unread: tuple[str, ...]
    """Files that are no Python."""
    duration_ms: int


def python_files(tree: Path) -> list[str]:
    """Paths of the ordinary Python files that are no tests, sorted; a file that no line can name is left out."""
    found = (path for path in tree.rglob("*.py") if path.is_file() and not path.is_symlink())
    named = (path.relative_to(tree).as_posix() for path in found)
    return sorted(path for path in named if "\n" not in path and not is_test(path))


def is_test(path: str) -> bool:
    """Does a path, relative with `/`, lie where tests do?"""
    return _TEST.search(path) is not None


def measure(
    tree: Path,
    files: Sequence[str],
    *,
    scratch: Path,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 120,
    cancelled: threading.Event | None = None,
) -> Figures:
    """Raises NotMeasured, and what starting a program in a sandbox raises."""
    finished = process.run(
        [sys.executable, "-I", "-S", MEASURING, tree],
        cwd=scratch,
        env=process.clean_environment(scratch),
        timeout_s=timeout_s,
        stdin="\n".join(files).encode("utf-8", "surrogateescape"),
        output_bytes_max=OUTPUT_BYTES_MAX,
        cancelled=cancelled,
        sandbox=sandboxed.around(*sandboxed.homes(scratch), readable=[tree], require=require),
    )
    if not finished.ok:
        raise NotMeasured(
            f"the Python files cannot be measured: {finished.ending}", hint="look for a very large or deeply nested one"
        )
    told: dict[str, Any] = json.loads(finished.stdout)
    return Figures(
        told["files"],
        told["lines"],
        tuple((path, line, name, ways) for path, line, name, ways in told["functions"]),
        told["public"],
        tuple((path, line, name) for path, line, name in told["undocumented"]),
        tuple(told["unread"]),
        finished.duration_ms,
    )
