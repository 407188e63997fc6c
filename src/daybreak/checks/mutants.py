"""Small wrong programs, made from a right one: each is the same source with one thing in one function changed.

A change replaces a stretch of bytes, so that everything else stays as it was written, and is told in words. Which ones
are made follows from the seed and the sources alone. Most are mistakes that people make: a limit that is one off, a
condition turned round, a statement or an exception left out, arguments in the wrong order. Some change nothing that
anybody could notice; no program can tell which.

`python -I -S mutants.py list|null` reads its order from standard input: a program of its own, because a hostile file
can exhaust or crash the parser. Imports nothing of ours.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import random
import sys
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

WORDS_MAX = 60
MODULE = ""
"""Name of what stands outside of every function."""
CONTROL = "control"
"""Kind of a change that changes nothing."""

_COMPARED: dict[type[ast.cmpop], tuple[str, str, str]] = {
    ast.Lt: ("<", "<=", ">="),
    ast.LtE: ("<=", "<", ">"),
    ast.Gt: (">", ">=", "<="),
    ast.GtE: (">=", ">", "<"),
    ast.Eq: ("==", "!=", "!="),
    ast.NotEq: ("!=", "==", "=="),
    ast.In: ("in", "not in", "not in"),
    ast.NotIn: ("not in", "in", "in"),
    ast.Is: ("is", "is not", "is not"),
    ast.IsNot: ("is not", "is", "is"),
}
"""How it is written, the neighbour, the opposite."""
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Assert, ast.Delete)
_QUIET = ("print", "log", "logger", "logging", "warnings")
"""What they are told is for people."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `apply` makes it."""

    path: str
    """Of the file, below the sources, with `/`."""
    function: str
    """`Shelf.add`; empty outside of functions."""
    line: int
    kind: str
    start: int
    end: int
    """Which bytes of the file are replaced."""
    text: str
    words: str
    """What changed: "`<` became `<=`"."""

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(
    sources: Mapping[str, bytes], seed: str, most: int, only: Mapping[str, Collection[str]] | None = None
) -> list[Mutant]:
    """At most `most`, of every function one before of any a second; `only`: by path, the functions that count.

    Files that cannot be parsed, or are not in UTF-8, give none. The same arguments give the same mutants.
    """
    waiting: list[list[Mutant]] = []
    for path in sorted(sources):
        by_function: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in of_source(path, sources[path]):
            if only is None or mutant.function in only.get(path, ()):
                by_function[mutant.function].append(mutant)
        waiting += [_mixed(found, f"{seed} {path} {name}") for name, found in sorted(by_function.items())]
    random.Random(hashlib.sha256(seed.encode()).digest()).shuffle(waiting)
    chosen: list[Mutant] = []
    while len(chosen) < most and any(waiting):
        for found in waiting:
            while found and len(chosen) < most:
                mutant = found.pop()
                if _parses(mutant.apply(sources[mutant.path])):
                    chosen.append(mutant)
                    break
    return chosen


def controls(
    sources: Mapping[str, bytes], seed: str, most: int, only: Mapping[str, Collection[str]] | None = None
) -> list[Mutant]:
    """Changes that change nothing: one more statement without effect in a function. Tests that fail on them look at
    the text of the program, or fail by chance."""
    draw = random.Random(f"{seed} controls")
    found = [
        mutant
        for path in sorted(sources)
        for mutant in _controls(path, sources[path], draw)
        if only is None or mutant.function in only.get(path, ())
    ]
    draw.shuffle(found)
    return found[:most]


def changed_functions(sources: Mapping[str, bytes], base: Mapping[str, bytes]) -> dict[str, set[str]]:
    """By path, the functions that are not in the base as they are now; what is outside of functions is `MODULE`."""
    found: dict[str, set[str]] = {}
    for path, source in sources.items():
        now, before = _functions_of(source), _functions_of(base.get(path, b""))
        names = {name for name, dumped in now.items() if before.get(name) != dumped}
        if names:
            found[path] = names
    return found


def null(source: bytes) -> bytes:
    """The module with every function doing nothing: `return None`. As it was where it cannot be read."""
    module = _parsed(source)
    if module is None:
        return source
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Return(ast.Constant(None))]
    return ast.unparse(ast.fix_missing_locations(module)).encode()


# -- reading


def _parsed(source: bytes) -> ast.Module | None:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        if encoding != "utf-8" or b"\r" in source:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None


def _parses(source: bytes) -> bool:
    return _parsed(source) is not None


def _functions_of(source: bytes) -> dict[str, str]:
    module = _parsed(source)
    if module is None:
        return {}
    found: dict[str, str] = defaultdict(str)
    outside: list[str] = []
    for name, node in _parts(module):
        if name == MODULE:
            outside.append(ast.dump(node))
        else:
            found[name] += ast.dump(node)
    found[MODULE] = "".join(outside)
    return dict(found)


def _parts(body: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """The functions and methods with their names, and every other statement under the name of the module."""
    for node in body.body:
        if isinstance(node, ast.ClassDef):
            yield from _parts(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{node.name}", node
        else:
            yield MODULE, node


def _mixed(found: list[Mutant], seed: str) -> list[Mutant]:
    """In an order that follows from the seed, the kinds taking turns; taken from the end."""
    draw = random.Random(hashlib.sha256(seed.encode()).digest())
    by_kind: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in found:
        by_kind[mutant.kind].append(mutant)
    kinds = sorted(by_kind)
    draw.shuffle(kinds)
    for one in by_kind.values():
        draw.shuffle(one)
    mixed: list[Mutant] = []
    while any(by_kind.values()):
        mixed += [by_kind[kind].pop() for kind in kinds if by_kind[kind]]
    return mixed[::-1]


def of_source(path: str, source: bytes) -> list[Mutant]:
    """Every change that is made of one module, each once."""
    module = _parsed(source)
    if module is None:
        return []
    finder = _Finder(path, source)
    for name, node in _parts(module):
        finder.function = name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                finder.block(node.body, docstring=True)
        elif not _declares_only(node):
            finder.statement(node, removable=False)
    return list({(one.start, one.end, one.text): one for one in finder.found}.values())


def _declares_only(node: ast.stmt) -> bool:
    """Imports, type checking, `if __name__ == ...`, dunder names, docstrings: nothing to get wrong there."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Expr | ast.Try):
        return True
    if isinstance(node, ast.If):
        names = {one.id for one in ast.walk(node.test) if isinstance(one, ast.Name)}
        return bool(names & {"TYPE_CHECKING", "__name__"})
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id.startswith("__") for target in node.targets)
    return False


class _Finder:
    """Walks statements and expressions; what can be changed goes into `found`."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.function = MODULE
        self.found: list[Mutant] = []
        self._starts = [0]
        for line in source.split(b"\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    # -- places

    def _span(self, node: ast.expr | ast.stmt | ast.ExceptHandler) -> tuple[int, int]:
        assert node.end_lineno is not None  # parsed from text
        assert node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def start(self, node: ast.stmt) -> int:
        """Where a statement begins, its decorators included."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        if decorators:
            return self.source.rfind(b"@", 0, min(self._span(one)[0] for one in decorators))
        return self._span(node)[0]

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self.source[start:end].decode("utf-8", "replace")

    def _put(self, kind: str, node: ast.expr | ast.stmt, text: str, words: str = "", line: int = 0) -> None:
        start, end = self._span(node)
        words = words or f"`{_short(self._text(node))}` became `{_short(text)}`"
        self.found.append(Mutant(self.path, self.function, line or node.lineno, kind, start, end, text, words))

    # -- statements

    def block(self, body: list[ast.stmt], *, docstring: bool = False) -> None:
        for number, node in enumerate(body):
            if docstring and number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            self.statement(node, removable=True)

    def statement(self, node: ast.stmt, *, removable: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.block(node.body, docstring=True)
            case ast.If() | ast.While():
                self._turned(node.test)
                self.expression(node.test)
                self.block(node.body)
                self.block(node.orelse)
            case ast.For() | ast.AsyncFor():
                self.expression(node.iter)
                self.block(node.body)
                self.block(node.orelse)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self.expression(item.context_expr)
                self.block(node.body)
            case ast.Try():
                self._try(node)
            case ast.Match():
                self.expression(node.subject)
                for one in node.cases:
                    self.block(one.body)
            case ast.Return():
                self._return(node)
            case ast.Raise():
                self._put("removed exception", node, "pass", f"`{_short(self._text(node))}` was left out")
            case ast.Expr():
                if isinstance(node.value, ast.Call) and not _is_quiet(node.value):
                    if removable:
                        self._put("removed statement", node, "pass", f"`{_short(self._text(node))}` was left out")
                    self.expression(node.value)
                elif isinstance(node.value, ast.Yield | ast.YieldFrom | ast.Await):
                    self.expression(node.value)
            case ast.Assign() | ast.AnnAssign():
                if node.value is not None:
                    self.expression(node.value)
            case ast.AugAssign():
                self._augmented(node, removable=removable)
            case ast.Delete() if removable:
                self._put("removed statement", node, "pass", f"`{_short(self._text(node))}` was left out")
            case ast.Break():
                self._put("loop", node, "continue")
            case ast.Continue():
                self._put("loop", node, "break")

    def _turned(self, test: ast.expr) -> None:
        text = self._text(test)
        if isinstance(test, ast.Compare) or "\n" in text:
            return  # turned round as a comparison
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return
        self._put("condition", test, f"(not ({text}))", f"the condition `{_short(text)}` was turned round")

    def _try(self, node: ast.Try) -> None:
        self.block(node.body)
        for handler in node.handlers:
            if handler.body and not (len(handler.body) == 1 and isinstance(handler.body[0], ast.Raise)):
                first = handler.body[0]
                if isinstance(first, (*_SIMPLE, ast.Pass, ast.Continue)) and first.lineno != handler.lineno:
                    caught = ast.unparse(handler.type) if handler.type is not None else "everything"
                    words = f"`except {_short(caught)}` no longer handles it"
                    self._put("removed handler", first, "raise", words, handler.lineno)
            self.block(handler.body)
        self.block(node.orelse)
        self.block(node.finalbody)

    def _return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        if not (isinstance(node.value, ast.Constant) and node.value.value in (None, True, False)):
            self._put("return value", node, "return None", f"`{_short(self._text(node))}` became `return None`")
        self.expression(node.value)

    def _augmented(self, node: ast.AugAssign, *, removable: bool) -> None:
        other = _COMPUTED.get(type(node.op))
        if other is not None and not _is_text(node.value):
            changed = ast.AugAssign(node.target, other(), node.value)
            self._put("arithmetic", node, ast.unparse(changed))
        if removable:
            self._put("removed statement", node, "pass", f"`{_short(self._text(node))}` was left out")
        self.expression(node.value)

    # -- expressions

    def expression(self, node: ast.expr) -> None:
        match node:
            case ast.JoinedStr() | ast.Lambda(body=ast.Constant()):
                return  # the places inside of an f-string are not known
            case ast.Compare():
                self._compare(node)
            case ast.BinOp():
                other = _COMPUTED.get(type(node.op))
                if other is not None and not _is_text(node.left) and not _is_text(node.right):
                    self._put("arithmetic", node, f"({ast.unparse(ast.BinOp(node.left, other(), node.right))})")
            case ast.BoolOp():
                self._boolean(node)
            case ast.UnaryOp(op=ast.Not()):
                self._put("boolean", node, f"({self._text(node.operand)})")
            case ast.IfExp():
                self._turned(node.test)
            case ast.Constant():
                self._constant(node)
            case ast.Call():
                self._call(node)
                if _is_quiet(node):
                    return
            case ast.Subscript(slice=ast.Slice() as part):
                for bound in (part.lower, part.upper):
                    if bound is not None and not isinstance(bound, ast.Constant):
                        self._put("off by one", bound, f"(({self._text(bound)}) + 1)")
        for child in ast.iter_child_nodes(node):
            self._child(child)

    def _child(self, child: ast.AST) -> None:
        if isinstance(child, ast.expr):
            self.expression(child)
        elif isinstance(child, ast.keyword):
            self.expression(child.value)
        elif isinstance(child, ast.comprehension):
            self.expression(child.iter)
            for condition in child.ifs:
                self._turned(condition)
                self.expression(condition)

    def _compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            written, neighbour, opposite = _COMPARED[type(operator)]
            between = (self._span(left)[1], self._span(right)[0])
            middle = self.source[between[0] : between[1]].decode("utf-8", "replace")
            for text, kind in ((neighbour, "boundary"), (opposite, "comparison")):
                at = middle.find(written)
                if at >= 0 and "#" not in middle and (kind == "boundary" or text != neighbour):
                    changed = f"{middle[:at]} {text} {middle[at + len(written) :]}"
                    said = f"`{written}` became `{text}` in `{_short(self._text(node))}`"
                    self.found.append(Mutant(self.path, self.function, right.lineno, kind, *between, changed, said))
            left = right

    def _boolean(self, node: ast.BoolOp) -> None:
        other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        said = f"`{words[0]}` became `{words[1]}` in `{_short(self._text(node))}`"
        self._put("boolean", node, f"({ast.unparse(ast.BoolOp(other, node.values))})", said)

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._put("constant", node, str(not value))
        elif isinstance(value, int) and abs(value) < 10**9:
            self._put("constant", node, str(value + 1))
        elif isinstance(value, float) and value == value and abs(value) < 1e9:
            self._put("constant", node, repr(value + 1))
        elif isinstance(value, str) and "\n" not in self._text(node):
            self._put("constant", node, repr(value + "x"))

    def _call(self, node: ast.Call) -> None:
        arguments = node.args
        plain = not any(isinstance(one, ast.Starred) for one in arguments)
        if plain and len(arguments) >= 2 and ast.dump(arguments[0]) != ast.dump(arguments[1]):
            start, end = self._span(arguments[0])[0], self._span(arguments[1])[1]
            first, second = self._text(arguments[0]), self._text(arguments[1])
            middle = self.source[self._span(arguments[0])[1] : self._span(arguments[1])[0]].decode("utf-8", "replace")
            said = f"the arguments `{_short(first)}` and `{_short(second)}` changed places"
            text = f"{second}{middle}{first}"
            self.found.append(Mutant(self.path, self.function, node.lineno, "arguments", start, end, text, said))
        if plain and isinstance(node.func, ast.Name) and node.func.id == "range" and arguments:
            stop = arguments[min(1, len(arguments) - 1)]
            if not isinstance(stop, ast.Constant):
                self._put("off by one", stop, f"({self._text(stop)} + 1)")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _is_quiet(node: ast.Call) -> bool:
    """Whether it tells people something: what it says is not what the program does."""
    function = node.func
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name) and function.id in _QUIET and function.id != "print"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WORDS_MAX else f"{line[: WORDS_MAX - 1]}…"


def _controls(path: str, source: bytes, draw: random.Random) -> Iterator[Mutant]:
    module = _parsed(source)
    if module is None:
        return
    place = _Finder(path, source)
    for name, node in _parts(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        if not body:
            continue
        first = body[0]
        start = place.start(first)
        indent = source[source.rfind(b"\n", 0, start) + 1 : start].decode()
        after = "; " if isinstance(first, _SIMPLE) else f"\n{indent}"
        if indent.strip() and after != "; ":
            continue  # not at the beginning of its line
        text = f"{draw.randrange(10_000, 100_000)} < {draw.randrange(10_000, 100_000)}{after}"
        said = "one more statement that does nothing"
        yield Mutant(path, name, first.lineno, CONTROL, start, start, text, said)


# -- as a program


def _read(folder: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one != "__pycache__")
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.endswith(".py") and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder).replace(os.sep, "/")] = file.read()
    return found


def listed(order: Mapping[str, object]) -> dict[str, object]:
    """What `list` prints: mutants and controls of the folder `src`, of what is not in `base` where there is one."""
    sources = _read(str(order["src"]))
    base = order.get("base")
    only: dict[str, set[str]] | None = changed_functions(sources, _read(str(base))) if base else None
    if not order.get("module"):
        only = {path: _names(only, path, source) - {MODULE} for path, source in sources.items()}
    seed, most = str(order["seed"]), int(str(order["most"]))
    return {
        "mutants": [asdict(one) for one in mutants(sources, seed, most, only)],
        "controls": [asdict(one) for one in controls(sources, seed, int(str(order["controls"])), only)],
        "unread": [path for path, source in sources.items() if _parsed(source) is None],
    }


def _names(only: Mapping[str, set[str]] | None, path: str, source: bytes) -> set[str]:
    return set(_functions_of(source)) if only is None else only.get(path, set())


def _make_null(folder: str, sources: Iterable[tuple[str, bytes]]) -> None:
    for path, source in sources:
        with open(os.path.join(folder, path), "wb") as file:
            file.write(null(source))


def main(verb: str) -> None:
    order = json.load(sys.stdin)
    if verb == "list":
        json.dump(listed(order), sys.stdout)
    else:
        _make_null(order["src"], _read(order["src"]).items())


if __name__ == "__main__":
    main(sys.argv[1])
