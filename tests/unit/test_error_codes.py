"""Codes of errors: each means one thing, for ever."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import daybreak

SOURCES = Path(daybreak.__file__).parent


@cache
def _codes() -> tuple[tuple[str, str], ...]:
    """Code and class of every class in the sources that has a code of its own."""
    found = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for line in node.body:
                    if isinstance(line, ast.Assign | ast.AnnAssign):
                        target = line.targets[0] if isinstance(line, ast.Assign) else line.target
                        value = line.value
                        if getattr(target, "id", "") == "code" and isinstance(value, ast.Constant) and value.value:
                            found.append((str(value.value), node.name))
    return tuple(found)


def test_no_two_errors_share_a_code() -> None:
    """A code in a log or a script names one kind of error."""
    # shows: F16
    counted = Counter(code for code, _ in _codes())
    shared = {code: [name for other, name in _codes() if other == code] for code, n in counted.items() if n > 1}
    assert shared == {}


def test_the_tree_shows_every_error_of_policy_and_engine() -> None:
    """Whoever handles errors finds them at the top of `errors`."""
    tree = (SOURCES / "errors.py").read_text().split('"""')[1]
    missing = [
        f"{code} {name}" for code, name in _codes() if code[0] in "EP" and code[1:] != "100" and code not in tree
    ]
    assert missing == []
