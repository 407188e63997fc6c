"""Right programs in other words: one module of a right one, rewritten so that it does the same.

Each way of rewriting keeps the meaning by what Python promises, whatever the values are, and is used throughout the
module wherever it fits. So who refuses such a program refuses a right one.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
"""`a in b` is `not a not in b`; of `<` that is not so (NaN, sets)."""
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Rewritten:
    path: str
    way: str
    text: str


def rewritten(sources: Mapping[str, bytes], seed: int, most: int) -> list[Rewritten]:
    """At most `most` modules, each in one of the ways or in all of them, in an order that follows from the seed."""
    chance = random.Random(seed)
    ways: dict[str, tuple[Callable[[ast.Module], ast.Module], ...]] = {
        **{name: (way,) for name, way in WAYS.items()},
        "everything": tuple(WAYS.values()),
    }
    waiting = [(path, name) for path in sorted(sources) for name in ways]
    chance.shuffle(waiting)
    waiting.sort(key=lambda one: one[1] != "everything")
    half = [one for one in waiting if one[1] == "everything"][: most // 2]
    found: list[Rewritten] = []
    for path, name in [*half, *(one for one in waiting if one not in half)]:
        module = ast.parse(sources[path])
        before = ast.dump(module)
        for way in ways[name]:
            module = ast.fix_missing_locations(way(module))
        if ast.dump(module) != before and len(found) < most:
            try:
                text = ast.unparse(module) + "\n"
            except ValueError:  # an f-string that cannot be written any other way
                continue
            compile(text, path, "exec")
            found.append(Rewritten(path, name, text))
    return found


# -- renaming


def renamed(module: ast.Module) -> ast.Module:
    """Local variables under other names."""
    for function in [one for one in ast.walk(module) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]:
        inner = [one for one in ast.walk(function) if one is not function]
        if any(isinstance(one, (*_SCOPES, ast.Global, ast.Nonlocal)) for one in inner):
            continue
        called = {one.func.id for one in inner if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
        if called & {"locals", "vars", "eval", "exec", "dir", "super"}:
            continue
        parameters = {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
        stored = {one.id for one in inner if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        others = {one.name for one in inner if isinstance(one, ast.ExceptHandler | ast.MatchAs | ast.MatchStar)}
        others |= {one.rest for one in inner if isinstance(one, ast.MatchMapping)}
        for one in inner:
            if isinstance(one, ast.Name) and one.id in stored - parameters - others:
                one.id = f"the_{one.id}"
    return module


# -- order


def reordered(module: ast.Module) -> ast.Module:
    """Functions, and methods of classes, that follow each other, the last one first. Nothing runs them in between."""
    owners: list[ast.Module | ast.ClassDef] = [module]
    owners += [one for one in ast.walk(module) if isinstance(one, ast.ClassDef)]
    for owner in owners:
        found: list[ast.stmt] = []
        group: list[ast.stmt] = []
        for one in owner.body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and _stands_alone(one):
                group.insert(0, one)
            else:
                found += [*group, one]
                group = []
        names = [one.name for one in owner.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        if len(names) == len(set(names)):
            owner.body = [*found, *group]
    return module


def _stands_alone(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    defaults = [*function.args.defaults, *(one for one in function.args.kw_defaults if one is not None)]
    return not function.decorator_list and all(isinstance(one, ast.Constant) for one in defaults)


# -- statements and expressions


class _Turned(ast.NodeTransformer):
    """`if a: x else: y` as `if not a: y else: x`; the same of conditional expressions."""

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if not node.orelse or isinstance(node.orelse[0], ast.If):
            return node
        return ast.If(ast.UnaryOp(ast.Not(), node.test), node.orelse, node.body)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.orelse, node.body)


class _Unfolded(ast.NodeTransformer):
    """`return a if c else b` as a statement each; what is returned gets a name first."""

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        if isinstance(node.value, ast.IfExp):
            first = ast.If(node.value.test, [ast.Return(node.value.body)], [])
            return [first, ast.Return(node.value.orelse)]
        if isinstance(node.value, ast.Call | ast.BinOp | ast.JoinedStr | ast.ListComp | ast.DictComp):
            named = ast.Assign([ast.Name("what_is_returned", ast.Store())], node.value)
            return [named, ast.Return(ast.Name("what_is_returned", ast.Load()))]
        return node


class _OtherData(ast.NodeTransformer):
    """Lists and dictionaries made in another way; membership in tuples asked of lists."""

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        if any(isinstance(one, ast.Await | ast.NamedExpr) for one in ast.walk(node)):
            return node
        return ast.List([ast.Starred(ast.GeneratorExp(node.elt, node.generators), ast.Load())], ast.Load())

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self.generic_visit(node)
        if any(isinstance(one, ast.Await | ast.NamedExpr) for one in ast.walk(node)):
            return node
        pairs = ast.ListComp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)
        return ast.Dict([None], [ast.Call(ast.Name("dict", ast.Load()), [pairs], [])])

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        [last, *more] = node.comparators[::-1]
        if not more and isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(last, ast.Tuple) and last.elts:
            node.comparators = [ast.List(last.elts, ast.Load())]
        return node


class _Mirrored(ast.NodeTransformer):
    """`a == b` as `not a != b` would not hold for every class; `a is b` and `a in b` as their own negations do."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot | ast.In | ast.NotIn):
            return node
        other = copy.copy(node)
        other.ops = [_MIRRORED[type(node.ops[0])]()]
        return ast.UnaryOp(ast.Not(), other)


class _Spelled(ast.NodeTransformer):
    """f-strings through `format`, `not (a or b)` as `not a and not b`."""

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.BoolOp):
            other: ast.boolop = ast.And() if isinstance(node.operand.op, ast.Or) else ast.Or()
            return ast.BoolOp(other, [ast.UnaryOp(ast.Not(), one) for one in node.operand.values])
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        texts: list[str] = []
        values: list[ast.expr] = []
        for one in node.values:
            if isinstance(one, ast.Constant):
                texts.append(str(one.value).replace("{", "{{").replace("}", "}}"))
            elif isinstance(one, ast.FormattedValue) and one.format_spec is None:
                texts.append("{" + (f"!{chr(one.conversion)}" if one.conversion >= 0 else "") + "}")
                values.append(one.value)
            else:
                return node
        return ast.Call(ast.Attribute(ast.Constant("".join(texts)), "format", ast.Load()), values, [])


def _through(transformer: type[ast.NodeTransformer]) -> Callable[[ast.Module], ast.Module]:
    def way(module: ast.Module) -> ast.Module:
        changed: ast.Module = transformer().visit(module)
        return changed

    return way


WAYS: dict[str, Callable[[ast.Module], ast.Module]] = {
    "other names": renamed,
    "another order": reordered,
    "conditions turned": _through(_Turned),
    "returns unfolded": _through(_Unfolded),
    "other data": _through(_OtherData),
    "comparisons negated": _through(_Mirrored),
    "other spelling": _through(_Spelled),
}
