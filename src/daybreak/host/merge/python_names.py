"""Whether merged Python still means what both sides relied on, as far as names tell.

Looked for: names that are bound nowhere any more; names that are now bound twice; what runs before it is defined; a
removed method, or a function with a changed signature, that the other side has come to call; keys that stand twice;
classes whose order of fields counts, in which both added some; members of an enumeration that became equal.
What is wrong on a side already is that side's business.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from daybreak.host.merge.outcome import Conflict

_ALWAYS = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__package__", "__spec__", "__path__", "__annotations__", "__class__",
    "__loader__", "__module__", "__qualname__", "__dict__", "__builtins__", "__debug__",
}  # fmt: skip
_ORDERED_DECORATORS = {"dataclass", "define", "frozen", "mutable", "s", "attrs"}
_ORDERED_BASES = {"NamedTuple", "Struct"}
_ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}


@dataclass(frozen=True)
class Version:
    """One version of a module, looked at."""

    text: str
    tree: ast.Module

    @cached_property
    def unresolved(self) -> frozenset[str]:
        """Names that are read as globals and bound nowhere at the top; empty where everything may be imported."""
        if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(self.tree)):
            return frozenset()
        table = symtable.symtable(self.text, "merged", "exec")
        bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
        bound |= {name for node in ast.walk(self.tree) if isinstance(node, ast.Global) for name in node.names}
        return frozenset(_globals_read(table)) - bound - _ALWAYS

    @cached_property
    def words(self) -> Counter[str]:
        """How often each name is read, imports and definitions aside."""
        found: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found[node.value] += 1  # an annotation in quotes, or `__all__`
            elif isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef):
                found.update(_quoted_names(node.returns if hasattr(node, "returns") else node.annotation))
        return found

    @cached_property
    def calls(self) -> dict[str, Counter[str]]:
        """The last part of a name → the calls of it, each as it is written."""
        found: dict[str, Counter[str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                found.setdefault(name, Counter())[ast.unparse(node)] += 1
        return found

    @cached_property
    def kept_in_self(self) -> frozenset[str]:
        """Attributes that methods set on `self` or `cls`."""
        return frozenset(
            node.attr
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        )

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Name at the top → what kind of statement binds it, the last one."""
        return {name: type(node).__name__ for node in self.tree.body for name in _bound(node)}

    @cached_property
    def scopes(self) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """Function → the names that are its own, and those that it reads from the module."""
        found = {}
        pending = [("", symtable.symtable(self.text, "merged", "exec"))]
        while pending:
            path, table = pending.pop()
            for child in table.get_children():
                below = f"{path}.{child.get_name()}"
                pending.append((below, child))
                if child.get_type() == "function":
                    symbols = child.get_symbols()
                    own = frozenset(one.get_name() for one in symbols if one.is_local() or one.is_free())
                    read = frozenset(one.get_name() for one in symbols if one.is_global() and one.is_referenced())
                    found[below] = own, read
        return found

    @cached_property
    def attributes(self) -> Counter[str]:
        return Counter(node.attr for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))

    @cached_property
    def bindings(self) -> Counter[tuple[str, str]]:
        """(scope, name) → how often it is bound there, at the top and in classes; accessors and overloads aside."""
        found: Counter[tuple[str, str]] = Counter()
        for scope, body in self._scopes():
            for node in body:
                found.update((scope, name) for name in _bound(node))
        return found

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
        """Qualified name → definition."""
        return {
            f"{scope}.{node.name}" if scope else node.name: node
            for scope, body in self._scopes()
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @cached_property
    def definitions(self) -> frozenset[str]:
        return frozenset(f"{scope}.{name}" if scope else name for scope, name in self.bindings)

    def _scopes(self) -> Iterator[tuple[str, list[ast.stmt]]]:
        pending: list[tuple[str, list[ast.stmt]]] = [("", self.tree.body)]
        while pending:
            scope, body = pending.pop()
            yield scope, body
            for node in body:
                if isinstance(node, ast.ClassDef):
                    pending.append((f"{scope}.{node.name}" if scope else node.name, node.body))

    @cached_property
    def too_early(self) -> frozenset[tuple[str, str]]:
        """(who, name): what reads a name of this module while it is imported, before that is bound."""
        first: dict[str, int] = {}
        for index, node in enumerate(self.tree.body):
            for name in _bound(node):
                first.setdefault(name, index)
        return frozenset(
            (next(iter(_bound(node)), type(node).__name__), name)
            for index, node in enumerate(self.tree.body)
            for name in _read_at_once(node)
            if first.get(name, -1) > index
        )

    @cached_property
    def doubled(self) -> Counter[str]:
        """Constant keys and elements that stand more than once in one literal."""
        found: Counter[str] = Counter()
        for node in ast.walk(self.tree):
            elements: list[Any] = node.keys if isinstance(node, ast.Dict) else []
            if isinstance(node, ast.List | ast.Tuple | ast.Set) and all(
                isinstance(one, ast.Constant) and isinstance(one.value, str) for one in node.elts
            ):
                elements = list(node.elts)
            counts = Counter(ast.dump(one) for one in elements if isinstance(one, ast.Constant))
            for one in elements:
                if isinstance(one, ast.Constant) and counts[ast.dump(one)] > 1:
                    found[repr(one.value)] += 1
        return found


def _quoted_names(annotation: ast.AST | None) -> list[str]:
    """Names in an annotation in quotes, such as `"Order | None"`; plain names are counted elsewhere."""
    found = []
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isidentifier():
            try:
                inside = ast.parse(node.value, mode="eval")
            except (SyntaxError, ValueError):
                continue
            found += [one.id for one in ast.walk(inside) if isinstance(one, ast.Name)]
    return found


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _globals_read(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals_read(child)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [] if any(_is_variant(one) for one in node.decorator_list) else [node.name]
    if isinstance(node, ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import):
        return [
            alias.asname or alias.name.split(".")[0] for alias in node.names if alias.asname or "." not in alias.name
        ]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [
            one.id
            for target in node.targets
            for one in ast.walk(target)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        ]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _is_variant(decorator: ast.expr) -> bool:
    """Of a setter, an overload, a registered variant: it binds a name that is bound already."""
    text = ast.unparse(decorator)
    return text.split(".")[-1].split("(")[0] in ("setter", "deleter", "getter", "overload", "register")


def _read_at_once(node: ast.stmt) -> Iterator[str]:
    """Names that a statement reads when it runs: not those in the bodies of functions."""
    pending: list[ast.AST] = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load):
            yield one.id
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [*one.decorator_list, *one.args.defaults, *(d for d in one.args.kw_defaults if d is not None)]
        elif isinstance(one, ast.AnnAssign):
            pending += [one.value] if one.value is not None else []
        elif not isinstance(one, ast.Lambda):
            pending += ast.iter_child_nodes(one)


@dataclass
class Names:
    """The three versions, and what is looked for in the fourth."""

    base_text: str
    ours_text: str
    theirs_text: str
    notes: list[str] = field(default_factory=list)

    @property
    def steps_down(self) -> tuple[str, ...]:
        return tuple(self.notes)

    @cached_property
    def _sides(self) -> tuple[Version, Version, Version] | None:
        try:
            return tuple(Version(text, ast.parse(text)) for text in (self.base_text, self.ours_text, self.theirs_text))  # type: ignore[return-value]
        except (SyntaxError, ValueError, RecursionError) as error:
            self.notes.append(f"names were not checked: this Python does not read the code ({error})")
            return None

    def used_more(self, side: str, name: str) -> bool:
        """Whether a side reads a name more often than the base does."""
        if self._sides is None:
            return True
        base, ours, theirs = self._sides
        return (ours if side == "ours" else theirs).words[name] > base.words[name]

    def check(self, path: str, text: str) -> list[Conflict]:
        """What is wrong with the merged text and was not wrong with a side."""
        if self._sides is None:
            return []
        base, ours, theirs = self._sides
        try:
            merged = Version(text, ast.parse(text))
        except (SyntaxError, ValueError) as error:
            return [_meaning(path, "the merged file", f"it does not parse: {error}")]
        found = [
            *_lost(base, ours, theirs, merged),
            *_unbound(base, ours, theirs, merged),
            *_now_global(ours, theirs, merged),
            *_rebound(base, ours, theirs, merged),
            *_bound_twice(ours, theirs, merged),
            *_early(ours, theirs, merged),
            *_removed(base, ours, theirs, merged),
            *_signatures(base, ours, theirs, merged),
            *_twice_in_literals(ours, theirs, merged),
            *_ordered_classes(base, ours, theirs),
            *_equal_members(ours, theirs, merged),
        ]
        first = dict(reversed(found))
        return [_meaning(path, where, first[where]) for where in dict.fromkeys(where for where, _ in found)]


Found = Iterator[tuple[str, str]]


def _meaning(path: str, where: str, what: str) -> Conflict:
    return Conflict(path, where, "meaning", None, None, None, what)


def _lost(base: Version, ours: Version, theirs: Version, merged: Version) -> Found:
    for name in sorted((ours.definitions | theirs.definitions) - base.definitions - merged.definitions):
        yield name, "one side added it and it is not in the merged file"


def _unbound(base: Version, ours: Version, theirs: Version, merged: Version) -> Found:
    gone = "one side removed or renamed it, the other uses it: use the new name, or keep the old one"
    missing = merged.unresolved - ours.unresolved - theirs.unresolved
    for side in (ours, theirs):
        left = {name for name in base.kinds if name not in side.kinds and name not in merged.kinds}
        missing |= {name for name in left if merged.words[name] > side.words[name]}
    for name in sorted(missing):
        yield name, gone


def _now_global(ours: Version, theirs: Version, merged: Version) -> Found:
    """A function's own name that has become one of the module's, because its binding went."""
    for path, (_, read) in merged.scopes.items():
        sides = [side.scopes[path] for side in (ours, theirs) if path in side.scopes]
        for name in sorted(read):
            if any(name in own for own, _ in sides) and not any(name in other for _, other in sides):
                yield f"{path[1:]}, {name}", "one side removed where it is bound, the other uses it"


def _rebound(base: Version, ours: Version, theirs: Version, merged: Version) -> Found:
    """`import datetime` that became `from datetime import datetime` on one side, and is used on the other."""
    for side, other in ((ours, theirs), (theirs, ours)):
        for name, kind in base.kinds.items():
            changed = name in side.kinds and side.kinds[name] != kind and other.kinds.get(name) == kind
            if changed and merged.words[name] > side.words[name]:
                yield name, "one side made something else of it, the other has come to use it"


def _bound_twice(ours: Version, theirs: Version, merged: Version) -> Found:
    for (scope, name), count in merged.bindings.items():
        if count > 1 and count > max(ours.bindings[scope, name], theirs.bindings[scope, name]):
            yield f"{scope}.{name}" if scope else name, "both sides bind it, to different things: rename one"


def _early(ours: Version, theirs: Version, merged: Version) -> Found:
    for who, name in sorted(merged.too_early - ours.too_early - theirs.too_early):
        yield who, f"it now stands before {name}, which it needs: write the right order"


def _removed(base: Version, ours: Version, theirs: Version, merged: Version) -> Found:
    """Methods, attributes of classes and of objects: names that are reached through a dot."""
    told = "one side removed or renamed it, the other has come to use it"
    for side in (ours, theirs):
        new = {name.rsplit(".", 1)[-1] for name in side.definitions - base.definitions}
        gone = {name for name in base.definitions - side.definitions if "." in name}
        for name in sorted(gone):
            last = name.rsplit(".", 1)[-1]
            if last not in new and merged.attributes[last] > side.attributes[last]:
                yield name, told
        known = {name.rsplit(".", 1)[-1] for name in merged.definitions | gone}
        for name in sorted(base.kept_in_self - side.kept_in_self - merged.kept_in_self - known):
            if merged.attributes[name] > side.attributes[name]:
                yield f"self.{name}", told


def _signatures(base: Version, ours: Version, theirs: Version, merged: Version) -> Found:
    """A call that one side wrote, of a function whose signature the other changed."""
    none: Counter[str] = Counter()
    for side in (ours, theirs):
        for name, function in base.functions.items():
            now = side.functions.get(name)
            if now is None or _accepts(function, now):
                continue
            last = name.rsplit(".", 1)[-1]
            last = name.split(".")[-2] if last == "__init__" and "." in name else last
            uses = merged.words[last] + merged.attributes[last] > side.words[last] + side.attributes[last]
            if uses or merged.calls.get(last, none) - side.calls.get(last, none):
                yield name, "one side changed how it is called, the other added a use of it: check that use"


_CALLED_DIFFERENTLY = {
    "property",
    "cached_property",
    "staticmethod",
    "classmethod",
    "contextmanager",
    "asynccontextmanager",
}


def _manner(function: Any) -> tuple[object, ...]:
    """What a caller has to know besides the parameters."""
    decorators = {ast.unparse(one).split("(")[0].split(".")[-1] for one in function.decorator_list}
    inner = [one for one in ast.walk(function) if isinstance(one, ast.Yield | ast.YieldFrom)]
    return type(function), bool(inner), frozenset(decorators & _CALLED_DIFFERENTLY)


def _accepts(before: Any, now: Any) -> bool:
    """Whether every call that fitted before fits now."""
    if _manner(before) != _manner(now):
        return False
    old, new = before.args, now.args
    positional, wider = [*old.posonlyargs, *old.args], [*new.posonlyargs, *new.args]
    if [arg.arg for arg in positional] != [arg.arg for arg in wider[: len(positional)]]:
        return False
    if len(new.posonlyargs) > len(old.posonlyargs):
        return False
    required = len(wider) - len(new.defaults)
    if required > len(positional) - len(old.defaults):
        return False
    named = {arg.arg for arg in new.kwonlyargs} | {arg.arg for arg in new.args}
    if not {arg.arg for arg in old.kwonlyargs} <= named and new.kwarg is None:
        return False
    old_names = {arg.arg for arg in (*old.kwonlyargs, *positional)}
    missing = [arg.arg for arg, default in zip(new.kwonlyargs, new.kw_defaults, strict=True) if default is None]
    if any(name not in old_names for name in missing):
        return False
    return not (old.vararg and not new.vararg) and not (old.kwarg and not new.kwarg)


def _twice_in_literals(ours: Version, theirs: Version, merged: Version) -> Found:
    for value, count in merged.doubled.items():
        if count > ours.doubled[value] + theirs.doubled[value]:
            yield value, "it now stands twice in one list or map: both sides added it"


def _ordered_classes(base: Version, ours: Version, theirs: Version) -> Found:
    """Where fields are filled by position, or values counted, two added fields have two possible orders."""
    for name, node in base.classes.items():
        sides = [version.classes.get(name) for version in (ours, theirs)]
        if None in sides or not (_is_ordered(node) or _counts(sides)):
            continue
        added = [_fields(side) - _fields(node) for side in sides]
        if added[0] - added[1] and added[1] - added[0]:
            yield f"class {name}", "both added fields, and their order counts: write the right order"


def _is_ordered(node: ast.ClassDef) -> bool:
    for decorator in node.decorator_list:
        text = ast.unparse(decorator)
        if text.split("(")[0].split(".")[-1] in _ORDERED_DECORATORS and "kw_only=True" not in text:
            return True
    return any(ast.unparse(base).split(".")[-1] in _ORDERED_BASES for base in node.bases) and not any(
        keyword.arg == "kw_only" for keyword in node.keywords
    )


def _counts(sides: list[ast.ClassDef | None]) -> bool:
    return any(side is not None and "auto()" in ast.unparse(side) and _is_enum(side) for side in sides)


def _is_enum(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] in _ENUMS for base in node.bases)


def _fields(node: ast.ClassDef | None) -> set[str]:
    body = node.body if node is not None else []
    return {name for one in body if isinstance(one, ast.Assign | ast.AnnAssign) for name in _bound(one)}


def _equal_members(ours: Version, theirs: Version, merged: Version) -> Found:
    for name, node in merged.classes.items():
        if _is_enum(node):
            equal = _equal(node)
            before = max((_equal(version.classes.get(name)) for version in (ours, theirs)), default=0)
            if equal > before:
                yield f"class {name}", "two members now have one value: give one another"


def _equal(node: ast.ClassDef | None) -> int:
    values = [
        ast.dump(one.value)
        for one in (node.body if node is not None else [])
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
    ]
    return len(values) - len(set(values))
