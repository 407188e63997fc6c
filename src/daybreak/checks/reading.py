"""Reads every Python file of a tree without running any: `python -I -S reading.py TREE`, JSON to stdout.

A program of its own, because a hostile file can exhaust or crash the parser. Gives
`{"files": N, "lines": N, "faults": [{"path", "line", "message"}], "silenced": {KIND: [[path, line], ...]}}`,
where `silenced` are comments that make tools look away, and `"peeking": [[path, line, what], ...]`: places in tests
with words that are needed to look into the process that watches the tests, or to end it. It imports nothing of ours.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import sys
import tokenize
import warnings

SILENCERS = {
    "noqa": re.compile(r"#\s*noqa\b", re.IGNORECASE),
    "noqa for the whole file": re.compile(r"#\s*(ruff|flake8)\s*:\s*(noqa|disable|file-ignore)", re.IGNORECASE),
    "type: ignore": re.compile(r"#\s*type:\s*ignore\b"),
    "mypy options": re.compile(r"#\s*mypy:\s*\S"),
    "fmt: off": re.compile(r"#\s*(fmt|yapf)\s*:\s*(off|skip)|#\s*isort\s*:\s*(off|skip)"),
}


PEEKING = {
    *("_getframe", "_current_frames", "currentframe", "f_back", "f_locals", "tb_frame", "_exit"),
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents"),
}
"""Names; with a dot before them: only where that module is imported."""
PEEKING_PATH = "/proc/self"


def main(tree: str) -> None:
    found: dict[str, object] = {"files": 0, "lines": 0}
    faults: list[dict[str, object]] = []
    silenced: dict[str, list[tuple[str, int]]] = {kind: [] for kind in SILENCERS}
    peeking: list[tuple[str, int, str]] = []
    files = lines = 0
    for path in python_files(tree):
        files += 1
        with open(os.path.join(tree, path), "rb") as file:
            source = file.read()
        lines += sum(1 for line in source.splitlines() if line.strip())
        if fault := read(path, source):
            faults.append(fault)
        else:
            for kind, line in silencers(source):
                silenced[kind].append((path, line))
            if path.split(os.sep)[0] == "tests" or os.path.basename(path) == "conftest.py":
                peeking += [(path, line, what) for line, what in peeks(source)]
    found = {"files": files, "lines": lines, "faults": faults, "silenced": silenced, "peeking": peeking}
    sys.stdout.write(json.dumps(found))


def python_files(tree: str) -> list[str]:
    found = []
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".py", ".pyi")) and os.path.isfile(path) and not os.path.islink(path):
                found.append(os.path.relpath(path, tree))
    return sorted(found)


def read(path: str, source: bytes) -> dict[str, object] | None:
    """What keeps a file from being Python. Compiles it, which finds more than parsing; runs nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return {"path": path, "line": error.lineno or 0, "message": error.msg}
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return {"path": path, "line": 0, "message": str(error) or type(error).__name__}
    return None


def silencers(source: bytes) -> list[tuple[str, int]]:
    found = []
    try:
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            if token.type == tokenize.COMMENT:
                for kind, pattern in SILENCERS.items():
                    if pattern.search(token.string):
                        found.append((kind, token.start[0]))
                        break
    except (tokenize.TokenError, SyntaxError):
        return found
    return found


def peeks(source: bytes) -> list[tuple[int, str]]:
    """Line and word of everything in `PEEKING`, as a name, as an attribute, imported or as a whole string."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [(0, "something that cannot be looked through")]
    nodes = list(ast.walk(module))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    words = {
        word.rpartition(".")[2]: word
        for word in PEEKING
        if not word.rpartition(".")[0] or word.rpartition(".")[0] in imported
    }
    found = []
    for node in nodes:
        for said in _said(node):
            if said in words:
                found.append((getattr(node, "lineno", 0), words[said]))
            elif isinstance(node, ast.Constant) and PEEKING_PATH in said:
                found.append((node.lineno, PEEKING_PATH))
    return sorted(found)


def _said(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.ImportFrom):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return [node.value.decode("latin-1")]
        return [node.value] if isinstance(node.value, str) else []
    return []


if __name__ == "__main__":
    main(sys.argv[1])
