"""A Python body as a list of things with names: imports, functions, classes, assignments, other statements.

Comments and blank lines above a statement are part of it, as libcst reads them. Keys tell which statement of one
version is which of another; they hold no position, so what moved is still the same.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import libcst as cst

What = Literal["doc", "import", "from", "function", "class", "assignment", "typing", "main", "statement"]
Key = tuple[str, ...]

_RENAMED_LIKENESS = 0.8
_CHANGED_LIKENESS = 0.6
_PAIRS_MAX = 2_000
"""Where more is gone and new than that, nothing is taken for renamed."""
_EMPTY = cst.Module([])


@dataclass(frozen=True)
class Item:
    """One statement of a body."""

    key: Key
    what: What
    name: str
    """What it binds, or the module that it imports from."""
    node: Any
    """A libcst statement."""
    core: str
    """Its code without what stands above it, as if it stood at the left margin."""

    @property
    def lead(self) -> tuple[str, ...]:
        """The comments above it."""
        return tuple(line.comment.value for line in self.node.leading_lines if line.comment is not None)


def code(node: cst.CSTNode) -> str:
    return _EMPTY.code_for_node(node)


def bare(element: Any) -> str:
    """The code of an element of a list, without its comma."""
    return code(element.with_changes(comma=cst.MaybeSentinel.DEFAULT))


def items(body: Sequence[Any]) -> list[Item]:
    """The statements of a body with keys that are unique in it."""
    found = [_item(node, index == 0) for index, node in enumerate(body)]
    counts = Counter(item.key for item in found)
    several = {key for key, count in counts.items() if count > 1}
    seen: Counter[Key] = Counter()
    result = []
    for item in found:
        key = (*item.key, item.core) if item.key in several else item.key
        seen[key] += 1
        result.append(replace(item, key=key if seen[key] == 1 else (*key, str(seen[key]))))
    return result


def _item(node: Any, first: bool) -> Item:
    what, name, more = _described(node, first)
    core = code(node.with_changes(leading_lines=()))
    key = (what, core) if what == "statement" else (what, name, *more)
    return Item(key, what, name, node, core)


def _described(node: Any, first: bool) -> tuple[What, str, Key]:
    if isinstance(node, cst.FunctionDef):
        return "function", node.name.value, _accessor(node)
    if isinstance(node, cst.ClassDef):
        return "class", node.name.value, ()
    if isinstance(node, cst.If):
        test = code(node.test).replace('"', "'")
        if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING") and node.orelse is None:
            return "typing", test, ()
        if test == "__name__ == '__main__'" and node.orelse is None:
            return "main", "__main__", ()
    if isinstance(node, cst.SimpleStatementLine) and len(node.body) == 1:
        return _described_small(node.body[0], first)
    return "statement", "", ()


def _accessor(node: cst.FunctionDef) -> Key:
    """Setters share the name of their property; overloads and registered variants that of their function."""
    for decorator in node.decorators:
        text = code(decorator.decorator)
        if text.split(".")[-1] in ("setter", "deleter", "getter"):
            return (text.split(".")[-1],)
        if text in ("overload", "typing.overload") or ".register" in text:
            return (code(node.params),)
    return ()


def _described_small(small: Any, first: bool) -> tuple[What, str, Key]:
    if first and isinstance(small, cst.Expr) and isinstance(small.value, cst.SimpleString | cst.ConcatenatedString):
        return "doc", "", ()
    if isinstance(small, cst.Import):
        return (
            "import",
            ", ".join(code(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for alias in small.names),
            (),
        )
    if isinstance(small, cst.ImportFrom):
        module = "." * len(small.relative) + (code(small.module) if small.module is not None else "")
        return "from", module, ("*",) if isinstance(small.names, cst.ImportStar) else ()
    if isinstance(small, cst.Assign) and len(small.targets) == 1:
        return "assignment", code(small.targets[0].target), ()
    if isinstance(small, cst.AnnAssign):
        return "assignment", code(small.target), ()
    if isinstance(small, cst.TypeAlias):
        return "assignment", small.name.value, ()
    return "statement", "", ()


# -- which is which


def paired(base: Sequence[Item], side: list[Item]) -> list[Item]:
    """The side's items with the keys of the base where they are the same thing under another name or text."""
    known, there = {item.key for item in base}, {item.key for item in side}
    gone = [item for item in base if item.key not in there]
    new = [item for item in side if item.key not in known]
    renamed: dict[Key, Key] = {}
    if len(gone) * len(new) > _PAIRS_MAX:
        return side
    for old in gone:
        best = max(((_likeness(old, item), index) for index, item in enumerate(new)), default=(0.0, -1))
        least = _CHANGED_LIKENESS if old.what == "statement" else _RENAMED_LIKENESS
        if best[0] >= least:
            renamed[new.pop(best[1]).key] = old.key
    return [replace(item, key=renamed.get(item.key, item.key)) for item in side]


def _likeness(old: Item, new: Item) -> float:
    if old.what != new.what or old.what not in ("function", "class", "statement"):
        return 0.0
    if type(old.node) is not type(new.node):
        return 0.0
    one, other = _nameless(old), _nameless(new)
    if old.what == "statement":
        matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
        return matcher.ratio() if matcher.real_quick_ratio() > _CHANGED_LIKENESS else 0.0
    if len(one.splitlines()) < 2:
        return 0.0
    return difflib.SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio()


def _nameless(item: Item) -> str:
    return (
        code(item.node.with_changes(leading_lines=(), name=cst.Name("_")))
        if item.name and hasattr(item.node, "name")
        else item.core
    )
