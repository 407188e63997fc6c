"""What an expression of the sources says, as text: `f"there is no {name}"` says `there is no <name>`."""

from __future__ import annotations

import ast
import itertools
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from daybreak.report.catalogue.filling import filled
from daybreak.report.catalogue.sources import (
    Call,
    Function,
    Module,
    Sources,
    arguments,
    defaults,
    last_name,
    parameters,
)
from daybreak.report.catalogue.within import within

MOST = 8
"""Ways to say one thing that are followed."""
DEEP = 6
"""Calls that are followed backwards, to what a parameter was given, or forwards, to what a function returns."""
ALONE = re.compile(r"(?:<[^<>]*>|[\s:;,.()'\"`])*")
"""A text in which nothing is said: only what is filled in."""

_TELLING = {"what", "why", "reason", "how", "fault", "told", "wrong", "text", "said", "which", "words", "message"}
"""Names of variables that hold a part of the sentence, and not the name of a thing."""
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Scope:
    """Where an expression stands, and what is known of the names there."""

    module: Module
    function: Function | None = None
    owner: ast.ClassDef | None = None
    bound: Mapping[str, tuple[ast.expr, Scope]] = field(default_factory=dict)
    depth: int = 0

    @classmethod
    def of(cls, call: Call) -> Scope:
        return cls(call.module, call.function, call.owner)


class Words:
    """Says expressions."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def texts(self, node: ast.expr, scope: Scope) -> list[str]:
        """Every way in which it may read, `MOST` at most; what is not known is filled in: `<name>`."""
        return list(itertools.islice(dict.fromkeys(self._texts(node, scope)), MOST))

    def _texts(self, node: ast.expr, scope: Scope) -> Iterable[str]:
        match node:
            case ast.Constant(value=None | bool()):
                return [filled(node)]
            case ast.Constant(value=value):
                return [str(value)]
            case ast.JoinedStr(values=parts):
                return _product([self._part(one, scope) for one in parts])
            case ast.BinOp(left=left, op=ast.Add(), right=right) if self._number(node, scope) is None:
                return _product([self.texts(left, scope), self.texts(right, scope)])
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._texts(body, scope), *self._texts(orelse, scope)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return _saying([text for one in values for text in self._texts(one, scope)]) or [filled(node)]
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if scope.function and (
                kind := within(scope.function).narrowed.get(name)
            ):
                return _saying(self._field(kind, attr, scope)) or [filled(node)]
            case ast.Name(id=name) if (
                scope.function and (gone := within(scope.function).gone_through.get(name)) is not None
            ):
                return _saying(self.items(gone, scope)) or [filled(node)]
            case ast.Name() | ast.Attribute():
                found = [self._texts(value, there) for value, there in self.values(node, scope)]
                return _saying(itertools.chain(*found)) or [filled(node)]
            case ast.Subscript(value=value, slice=ast.Slice()):
                return self._texts(value, scope)
            case ast.Subscript(value=value, slice=ast.Constant(value=int(at))):
                return _saying(self.element(value, at, scope)) or [filled(node)]
            case ast.Subscript(value=value):
                return _saying(self._of_table(value, scope)) or [filled(node)]
            case ast.Call():
                return _saying(self._called(node, scope)) or [filled(node)]
        number = self._number(node, scope)
        return [filled(node)] if number is None else [str(number)]

    def _part(self, node: ast.expr, scope: Scope) -> list[str]:
        """Of a text with things filled in."""
        if not isinstance(node, ast.FormattedValue):
            return self.texts(node, scope)
        value = node.value
        number = self._number(value, scope)
        if number is not None:
            return [_formatted(number, node)]
        match value:
            case ast.Constant() | ast.IfExp() | ast.JoinedStr():
                return self.texts(value, scope)
            case ast.Name(id=name) if (
                name.isupper() or name.lstrip("_").isupper() or name in _TELLING or name in scope.bound
            ):
                return self.texts(value, scope)
            case ast.Attribute(attr=name) if name.lstrip("_").isupper():
                return self.texts(value, scope)
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(comma)), attr="join"), args=[one]):
                words = self._listed(one, scope)
                return [comma.join(words)] if words else _saying(self.items(one, scope)) or [filled(one)]
            case ast.Call(func=ast.Name(id=name)) if name in _TELLING or name.lstrip("_") in _TELLING:
                return self.texts(value, scope)
        return [filled(value)]

    def _called(self, node: ast.Call, scope: Scope) -> list[str]:
        """What a call returns, where that is text which stands in the sources."""
        match node.func:
            case ast.Attribute(value=ast.Constant(value=str(comma)), attr="join"):
                words = self._listed(node.args[0], scope)
                return [comma.join(words)] if words else self.items(node.args[0], scope)
            case ast.Attribute(value=value, attr="get"):
                told = self._of_table(value, scope)
                return told + [text for one in node.args[1:] for text in self.texts(one, scope)]
            case ast.Attribute(value=value, attr="replace" | "strip" | "rstrip" | "lstrip" | "removesuffix"):
                return self.texts(value, scope)
            case ast.Name(id="str" | "cut" | "shown" | "named" | "_cut" | "_shown") if node.args:
                return self.texts(node.args[0], scope)
        found = self._inside(node, scope)
        if found is None or not isinstance(found[0].returns, ast.Name) or found[0].returns.id != "str":
            return []
        return [text for one in within(found[0]).returned for text in self.texts(one, found[1])]

    def _inside(self, node: ast.Call, scope: Scope) -> tuple[Function, Scope] | None:
        """The function of ours that is called, and the scope within it."""
        found = self.callee(node, scope)
        if found is None or scope.depth >= DEEP:
            return None
        function, module, owner = found
        given = {name: (value, scope) for name, value in arguments(node, function).items()}
        return function, Scope(module, function, owner, given, scope.depth + 1)

    def element(self, node: ast.expr, at: int, scope: Scope) -> list[str]:
        """What stands at that place of a pair that a function of ours returns."""
        if isinstance(node, ast.Name):
            return [text for value, there in self.values(node, scope) for text in self.element(value, at, there)]
        if isinstance(node, ast.Tuple):
            return self.texts(node.elts[at], scope) if at < len(node.elts) else []
        if isinstance(node, ast.IfExp):
            return self.element(node.body, at, scope) + self.element(node.orelse, at, scope)
        if not isinstance(node, ast.Call) or (found := self._inside(node, scope)) is None:
            return []
        return [text for one in within(found[0]).returned for text in self.element(one, at, found[1])]

    def items(self, node: ast.expr, scope: Scope) -> list[str]:
        """What may stand in a list that is made in this function or by one that it calls: any one of it."""
        match node:
            case ast.Name(id=name) if scope.function is not None:
                added = [
                    text for one in within(scope.function).appended.get(name, ()) for text in self.texts(one, scope)
                ]
                return added + [text for one, there in self.values(node, scope) for text in self.items(one, there)]
            case ast.List(elts=[ast.Constant() | ast.JoinedStr() as one, *rest]):
                after = "" if not rest else f" {filled(rest[0])}"
                return [text + after for text in self.texts(one, scope)]
            case ast.Call(func=ast.Name(id="list" | "sorted" | "tuple"), args=[one, *_]):
                return self.items(one, scope)
            case ast.Call(func=ast.Name(id="map"), args=[_, one]):
                return self.items(one, scope)
            case ast.IfExp(body=body, orelse=orelse):
                return self.items(body, scope) + self.items(orelse, scope)
            case ast.Subscript(value=value, slice=ast.Slice()):
                return self.items(value, scope)
            case ast.Call() if (found := self._inside(node, scope)) is not None:
                function, inside = found
                given = within(function).yielded
                made = [text for one in given for text in self.texts(one, inside)]
                return made + [text for one in within(function).returned for text in self.items(one, inside)]
        return []

    def _field(self, kind: str, name: str, scope: Scope) -> list[str]:
        """What is put into a field of a class of ours, wherever one is made."""
        found = []
        for call in self._sources.by_callee.get(kind, ()):
            owner = call.module.classes.get(kind)
            names = [] if owner is None else [last_name(one.target) for one in owner.body if _is_field(one)]
            given = dict(zip(names, call.node.args, strict=False)) | {one.arg: one.value for one in call.node.keywords}
            if name in given:
                found += self.texts(given[name], replace(Scope.of(call), depth=scope.depth + 1))
        return found

    def callee(self, node: ast.Call, scope: Scope) -> tuple[Function, Module, ast.ClassDef | None] | None:
        """The function of ours that is called."""
        match node.func:
            case ast.Name(id=name):
                found = self._sources.found(scope.module.name, name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner is not None:
                for one in scope.owner.body:
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name:
                        return one, scope.module, scope.owner
                return None
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                source, there = scope.module.imports.get(module, ("", ""))
                found = self._sources.found(f"{source}.{there}" if there else source, name)
            case ast.Attribute(attr=name):
                found = None
            case _:
                return None
        if found is None or found[1] not in found[0].functions:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            return self._sources.methods[called][0] if self._alone(called) else None
        return found[0].functions[found[1]], found[0], None

    def values(self, node: ast.expr, scope: Scope) -> list[tuple[ast.expr, Scope]]:
        """What a name or attribute may stand for, each with its scope: what was assigned, what callers give, a constant
        of a module or of the class."""
        match node:
            case ast.Name(id=name):
                return self._of_name(name, scope)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner is not None:
                return [
                    (value, replace(scope, function=None, bound={}))
                    for value in within(scope.owner).assigned.get(name, ())
                ]
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in scope.module.imports:
                source, there = scope.module.imports[module]
                return self._of_module(f"{source}.{there}" if there else source, name)
        return []

    def _of_name(self, name: str, scope: Scope) -> list[tuple[ast.expr, Scope]]:
        if name in scope.bound:
            return [scope.bound[name]]
        if scope.depth >= DEEP:
            return []
        deeper = replace(scope, depth=scope.depth + 1)
        if scope.function is not None:
            found = [(value, deeper) for value in within(scope.function).assigned.get(name, ())]
            if found:
                return found
            if name in [one.arg for one in parameters(scope.function)]:
                return self._given(name, scope)
        return self._of_module(scope.module.name, name)

    def _of_module(self, module: str, name: str) -> list[tuple[ast.expr, Scope]]:
        found = self._sources.found(module, name)
        if found is None or found[1] not in found[0].values:
            return []
        return [(found[0].values[found[1]], Scope(found[0]))]

    def _given(self, name: str, scope: Scope) -> list[tuple[ast.expr, Scope]]:
        """What the callers of this function give for a parameter."""
        assert scope.function is not None
        found = []
        for call in self.callers(scope):
            given = arguments(call.node, scope.function).get(name)
            if given is not None:
                found.append((given, replace(Scope.of(call), depth=scope.depth + 1)))
        default = defaults(scope.function).get(name)
        if default is not None and not (isinstance(default, ast.Constant) and default.value in (None, "")):
            found.append((default, Scope(scope.module)))
        return found

    def callers(self, scope: Scope) -> list[Call]:
        """Calls of the function of this scope: by its name, or of a method by that of `self` or of another object in
        the same module."""
        assert scope.function is not None
        name = scope.function.name
        if name == "__init__" and scope.owner is not None:
            name = scope.owner.name
        found = []
        for call in self._sources.by_callee.get(name, ()):
            here = call.module is scope.module or (scope.owner is not None and self._alone(name))
            if not here and scope.owner is None:
                first = call.node.func.value if isinstance(call.node.func, ast.Attribute) else call.node.func
                source, there = call.module.imports.get(last_name(first), ("", ""))
                here = scope.module.name in (source, f"{source}.{there}")
            if here and call.function is not scope.function:
                found.append(call)
        return found

    def variants(self, names: set[str], scope: Scope) -> list[Scope]:
        """The scope once for each caller of its function that gives these names, and once for each pair that they are
        assigned from together: so that no message is told with the hint of another one."""
        if scope.function is None or not names:
            return [scope]
        for known, value in within(scope.function).pairs:
            if len(names & set(known)) < 2:
                continue
            made = [dict(zip(known, each, strict=False)) for each in self._pairs(value, scope)]
            if made:
                return [replace(scope, bound={**scope.bound, **each}) for each in made]
        if not names & {one.arg for one in parameters(scope.function)}:
            return [scope]
        found = []
        for call in self.callers(scope):
            there = replace(Scope.of(call), depth=scope.depth + 1)
            given = arguments(call.node, scope.function)
            missing = {name: one for name, one in defaults(scope.function).items() if name not in given}
            bound = {name: (value, there) for name, value in given.items()}
            bound |= {name: (value, Scope(scope.module)) for name, value in missing.items() if name in names}
            found.append(replace(scope, bound={**scope.bound, **bound}))
        return found or [scope]

    def _pairs(self, node: ast.expr, scope: Scope) -> list[list[tuple[ast.expr, Scope]]]:
        """Tuples that an expression may be, each as its elements."""
        match node:
            case ast.Tuple(elts=items):
                return [[(one, scope) for one in items]]
            case ast.IfExp(body=body, orelse=orelse):
                return self._pairs(body, scope) + self._pairs(orelse, scope)
            case ast.Call() if (found := self._inside(node, scope)) is not None:
                return [pair for one in within(found[0]).returned for pair in self._pairs(one, found[1])]
        return []

    def _alone(self, name: str) -> bool:
        return len(self._sources.methods.get(name, [])) == 1

    def _of_table(self, node: ast.expr, scope: Scope) -> list[str]:
        """Every value of a dictionary that stands in the sources."""
        for value, there in [(node, scope), *self.values(node, scope)]:
            if isinstance(value, ast.Dict):
                return [text for one in value.values for text in self.texts(one, there)]
        return []

    def _listed(self, node: ast.expr, scope: Scope) -> list[str]:
        """The words of a list, set or dictionary that stands in the sources."""
        match node:
            case ast.Call(func=ast.Name(id="sorted"), args=[one, *_]):
                return sorted(self._listed(one, scope))
            case ast.Call(func=ast.Name(id="frozenset" | "tuple" | "list" | "set"), args=[one]):
                return self._listed(one, scope)
            case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
                if not all(isinstance(one, ast.Constant) for one in items):
                    return []
                return [str(one.value) for one in items if isinstance(one, ast.Constant)]
            case ast.Dict(keys=keys):
                return [str(one.value) for one in keys if isinstance(one, ast.Constant)]
            case (
                ast.Call(func=ast.Name(id="get_args"), args=[one])
                | ast.Subscript(value=ast.Name(id="Literal"), slice=one)
            ):
                return self._listed(one, scope)
            case ast.Name(id=name) if name.lstrip("_").isupper():
                found = self.values(node, scope)
                return self._listed(*found[0]) if found else []
        return []

    def _number(self, node: ast.expr, scope: Scope) -> int | float | None:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return value
            case ast.Name(id=name) | ast.Attribute(attr=name) if name.lstrip("_").isupper():
                found = self.values(node, scope)
                return self._number(*found[0]) if len(found) == 1 else None
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                first, second = self._number(left, scope), self._number(right, scope)
                if first is None or second is None:
                    return None
                result: int | float = _ARITHMETIC[type(op)](first, second)
                return result
        return None


def says(text: str) -> bool:
    """Whether there are words in it besides what is filled in."""
    return ALONE.fullmatch(text) is None


def _saying(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if says(text)]


def _product(parts: list[list[str]]) -> list[str]:
    return ["".join(one) for one in itertools.islice(itertools.product(*parts), MOST)]


def _formatted(number: int | float, node: ast.FormattedValue) -> str:
    match node.format_spec:
        case ast.JoinedStr(values=[ast.Constant(value=str(form))]):
            return format(number, form)
    return str(number)


def _is_field(statement: ast.stmt) -> TypeGuard[ast.AnnAssign]:
    return isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
