"""What a function does with its names: what it assigns to each, goes through, returns. Looked through once each."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache


@dataclass
class Within:
    """What a function, or the body of a class, does with names."""

    assigned: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    appended: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    """To a list of that name."""
    gone_through: dict[str, ast.expr] = field(default_factory=dict)
    """The list that a variable goes through."""
    narrowed: dict[str, str] = field(default_factory=dict)
    """The class that a variable is asked to be of: `isinstance(decision, Enough)`."""
    returned: list[ast.expr] = field(default_factory=list)
    yielded: list[ast.expr] = field(default_factory=list)
    pairs: list[tuple[list[str], ast.expr]] = field(default_factory=list)
    """Names that are assigned together, and what they are assigned."""


@cache
def within(place: ast.AST) -> Within:
    found = Within()
    for node in ast.walk(place):
        match node:
            case ast.Assign(targets=[target], value=value):
                for name, one in _matched(target, value):
                    found.assigned[name].append(one)
                if isinstance(target, ast.Tuple):
                    names = [one.id if isinstance(one, ast.Name) else "" for one in target.elts]
                    found.pairs.append((names, value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.assigned[name].append(value)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                found.assigned[name].append(value)
            case ast.For(target=ast.Name(id=name), iter=several):
                found.gone_through.setdefault(name, several)
            case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), ast.Name(id=kind)]):
                found.narrowed.setdefault(name, kind)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[one]):
                found.appended[name].append(one)
            case ast.Return(value=ast.expr() as value):
                found.returned.append(value)
            case ast.Yield(value=ast.expr() as value):
                found.yielded.append(value)
    return found


def _matched(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Names to what is assigned to each."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
            for one, its in zip(names, values, strict=True):
                yield from _matched(one, its)
        case ast.Tuple(elts=names), ast.Call():
            for at, one in enumerate(names):
                if isinstance(one, ast.Name):
                    yield one.id, ast.Subscript(value=value, slice=ast.Constant(value=at))
        case ast.Tuple(), ast.IfExp(body=body, orelse=orelse):
            yield from _matched(target, body)
            yield from _matched(target, orelse)
