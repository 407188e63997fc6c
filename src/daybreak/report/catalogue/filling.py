"""What stands for a thing that is known only when it happens: `<path>` for `{self.path}`."""

from __future__ import annotations

import ast

from daybreak.report.catalogue.sources import last_name

_WORDS = {
    **dict.fromkeys(
        ["error", "problem", "reason", "strerror", "refused", "failed", "absent", "wrong", "cause", "spent", "fault"],
        "why",
    ),
    **dict.fromkeys(["ran", "stdout", "stderr", "output", "finished"], "what it said"),
    "ending": "how it ended",
    "given": "what was given",
    "self": "value",
}
"""Names of variables that say little, and what is written for them."""
_OWNERS = {"name", "text", "value", "message", "id", "words", "label", "title", "hint", "summary"}
"""Attributes that are named for what has them: `target.name` is `<target>`."""


def filled(node: ast.expr) -> str:
    """What stands for something that is known only when it happens: `<path>`."""
    name = _name(node).strip("_").replace("_", " ").lower()
    return f"<{_WORDS.get(name, name or '…')}>"


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            return name
        case ast.Attribute(attr="__name__"):
            return "type"
        case ast.Attribute(value=value, attr=name):
            return _name(value) if name in _OWNERS else name
        case ast.Call(func=ast.Name(id="len" | "sum" | "int" | "round")):
            return "number"
        case ast.Call(func=ast.Attribute(value=ast.Constant()), args=[one, *_]):
            return _name(one)
        case ast.Call(func=ast.Name(id="map"), args=[_, one]):
            return _name(one)
        case ast.Call(func=ast.Attribute(value=value, attr="lstrip" | "rstrip" | "strip" | "get" | "removeprefix")):
            return _name(value)
        case ast.Call(args=[one, *_]):
            return _name(one) or last_name(node.func)
        case ast.Call(func=ast.Attribute(value=value, attr=name)):
            return _name(value) or name
        case ast.Call(func=func):
            return last_name(func)
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=value) | ast.FormattedValue(value=value) | ast.Await(value=value):
            return _name(value)
        case ast.Starred(value=value) | ast.NamedExpr(value=value) | ast.UnaryOp(operand=value):
            return _name(value)
        case ast.GeneratorExp(generators=[one, *_]) | ast.ListComp(generators=[one, *_]):
            return _name(one.iter)
        case ast.BinOp(left=left, right=right):
            return _name(left) or _name(right)
        case ast.IfExp(body=body, orelse=orelse):
            return _name(body) or _name(orelse)
        case ast.BoolOp(values=[one, *_]):
            return _name(one)
    return ""
