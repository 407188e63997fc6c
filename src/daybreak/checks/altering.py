"""Alters the program in a copy: `python -I -S altering.py working|broken SRC`, before anything of it has run there.

Every function and method below SRC gets one more statement at its beginning, a comparison of sums. In a `broken`
copy it raises NameError, in a `working` one it does nothing; apart from their digits they are the same text, so that
which one it is has to be worked out. Signatures, decorators, docstrings and all that stands outside of functions stay
as they are, and so do the times of files. What is made of declarations only (constants, data classes) stays whole.

A program of its own, because a hostile file can exhaust or crash the parser. Imports nothing of ours.
"""

from __future__ import annotations

import ast
import io
import os
import random
import sys
import tokenize
import warnings

_ONE_LINERS = (
    *(ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Assert, ast.Delete, ast.Pass),
    *(ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Break, ast.Continue),
)
"""Statements before which another one may stand in the same line."""
_EDGE = 10_000


def main(kind: str, folder: str) -> None:
    draw = random.SystemRandom()
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if name.endswith(".py") and os.path.isfile(path) and not os.path.islink(path):
                _alter_file(path, kind == "broken", draw)


def _alter_file(path: str, broken: bool, draw: random.Random) -> None:
    with open(path, "rb") as file:
        source = file.read()
    times = os.stat(path)
    changed = altered(source, broken=broken, draw=draw)
    if changed != source:
        mode = times.st_mode & 0o7777
        os.chmod(path, mode | 0o200)
        with open(path, "wb") as file:
            file.write(changed)
        os.chmod(path, mode)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def altered(source: bytes, *, broken: bool, draw: random.Random) -> bytes:
    """The module with a guard in each function that stands in no other; as it was where it cannot be read."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = io.TextIOWrapper(io.BytesIO(source), encoding).read()  # all line ends become \n
        module = _parsed(text)
        lines = text.split("\n")
        for function in sorted(outer_functions(module), key=lambda function: function.lineno, reverse=True):
            _put_guard(lines, function, guard(broken, draw))
        changed = "\n".join(lines)
        _parsed(changed)
        return changed.encode("utf-8" if encoding == "utf-8-sig" else encoding)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return source


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def outer_functions(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    waiting = [node]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(child)
            else:
                waiting.append(child)
    return found


def guard(broken: bool, draw: random.Random) -> str:
    """A statement that raises NameError, or does nothing. Every number in it has five digits."""
    while True:
        one, two, modulus = (draw.randrange(_EDGE, 10 * _EDGE) for _ in range(3))
        value = one * two % modulus
        if 2 * _EDGE <= value < 8 * _EDGE:
            break
    bound = draw.randrange(_EDGE, value + 1) if broken else draw.randrange(value + 1, 10 * _EDGE)
    return f"{one} * {two} % {modulus} < {bound} or _{draw.randrange(16**8):08x}"


def _put_guard(lines: list[str], function: ast.FunctionDef | ast.AsyncFunctionDef, text: str) -> None:
    """Before the first statement behind the docstring, or behind the docstring where nothing else is there."""
    body = function.body
    has_docstring = ast.get_docstring(function, clean=False) is not None
    if has_docstring and len(body) == 1:
        end = body[0]
        assert end.end_lineno is not None  # parsed from text
        assert end.end_col_offset is not None
        before, after = _cut(lines[end.end_lineno - 1], end.end_col_offset)
        lines[end.end_lineno - 1] = f"{before}; {text}{after}"
        return
    first = body[1] if has_docstring else body[0]
    decorators = getattr(first, "decorator_list", [])
    number = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    before, after = _cut(lines[number], first.col_offset)
    if isinstance(first, _ONE_LINERS):
        lines[number] = f"{before}{text}; {after}"
    else:
        lines.insert(number, f"{before}{text}")


def _cut(line: str, column: int) -> tuple[str, str]:
    """A line before and from a column, which the parser counts in bytes of UTF-8."""
    raw = line.encode()
    return raw[:column].decode(), raw[column:].decode()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
