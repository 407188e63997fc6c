"""Measures Python files without running any: `python -I -S measuring.py TREE`, paths on standard input, one a line.

A program of its own, because a hostile file can exhaust or crash the parser. Gives JSON on standard output:
`{"files": N, "lines": N, "functions": [[path, line, name, complexity], ...], "public": N, "undocumented": [[path, line,
name], ...], "unread": [path, ...]}`. The complexity of a function is McCabe's: one, and one for each way to branch
(functions inside of it are counted by themselves). Public is a module, class or function whose name, and the names
around it, begin with no underscore; functions inside of functions are nobody's public. It imports nothing of ours.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import warnings

BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def main(tree: str) -> None:
    found: dict[str, list[object]] = {"functions": [], "undocumented": [], "unread": []}
    files = lines = public = 0
    for path in sys.stdin.read().split("\n"):
        if not path:
            continue
        with open(os.path.join(tree, path), "rb") as file:
            source = file.read()
        module = parsed(source)
        if module is None:
            found["unread"].append(path)
            continue
        files += 1
        lines += sum(1 for line in source.splitlines() if line.strip())
        found["functions"] += [[path, node.lineno, name, complexity(node)] for name, node in functions(module)]
        named = list(documentable(path, module))
        public += len(named)
        found["undocumented"] += [[path, line, name] for name, line, node in named if not ast.get_docstring(node)]
    sys.stdout.write(json.dumps({"files": files, "lines": lines, "public": public, **found}))


def parsed(source: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None  # the check of syntax tells it


def functions(module: ast.Module) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with the names of what is around it, in order of lines."""
    found = []
    pending: list[tuple[str, ast.AST]] = [("", module)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            inside = prefix
            if isinstance(child, FUNCTIONS):
                found.append((f"{prefix}{child.name}", child))
                inside = f"{prefix}{child.name}."
            elif isinstance(child, ast.ClassDef):
                inside = f"{prefix}{child.name}."
            pending.append((inside, child))
    return sorted(found, key=lambda one: one[1].lineno)


def complexity(function: ast.AST) -> int:
    ways = 1
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        if isinstance(node, BRANCHES):
            ways += 1
        elif isinstance(node, ast.BoolOp):
            ways += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            ways += 1 + len(node.ifs)
        elif isinstance(node, ast.Match):
            ways += len(node.cases)
        pending += ast.iter_child_nodes(node)
    return ways


def documentable(path: str, module: ast.Module) -> list[tuple[str, int, Documented]]:
    """What a reader would look up: name, line and node."""
    found: list[tuple[str, int, Documented]] = []
    if any(part.startswith("_") and part != "__init__.py" for part in path.split("/")):
        return found
    if module.body:
        found.append((path, 1, module))
    pending: list[tuple[str, ast.Module | ast.ClassDef]] = [("", module)]
    while pending:
        prefix, around = pending.pop()
        for node in around.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
                found.append((f"{prefix}{node.name}", node.lineno, node))
                if isinstance(node, ast.ClassDef):
                    pending.append((f"{prefix}{node.name}.", node))
    return found


if __name__ == "__main__":
    main(sys.argv[1])
