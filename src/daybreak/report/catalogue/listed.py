"""Codes that are no classes: problems within a file, which an error lists with their lines.

A module that knows such problems has them in a table `CODES`, code to what it stands for. They are made by calls that
give a code of it, a message and a remedy one after the other.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator

from daybreak.report.catalogue.entry import Entry, Told
from daybreak.report.catalogue.sources import Call, Module, Sources, arguments, defaults, last_name, method, parameters
from daybreak.report.catalogue.wording import Scope, Words, says

TABLE = "CODES"
_CODE = re.compile(r"[A-Z][0-9]{3}")
Pair = tuple[str, ast.expr, ast.expr]
"""Code, message, remedy."""


def entries(sources: Sources, words: Words) -> list[Entry]:
    """An entry for every code of every table."""
    tables = {module.name: _table(module) for module in sources.modules.values() if TABLE in module.values}
    told: dict[str, dict[Told, None]] = defaultdict(dict)
    raised: dict[str, set[str]] = defaultdict(set)
    known = {code for table in tables.values() for code in table}
    for module in sources.modules.values():
        for call in module.calls:
            for code, message, remedy in _pairs(call, known):
                raised[code].add(module.name)
                scope = Scope.of(call)
                if isinstance(message, ast.Starred):
                    both = [words.element(message.value, at, scope) for at in (0, 1)]
                    pairs = list(zip(*both, strict=False))
                else:
                    pairs = list(itertools.product(words.texts(message, scope), words.texts(remedy, scope)))
                for one, other in pairs:
                    if says(one):
                        told[code][Told(one, other if says(other) else "")] = None
    found = []
    for name, table in tables.items():
        above = _listing(sources.modules[name])
        for code, meaning in table.items():
            cause = f"{meaning[0].upper()}{meaning[1:]}."
            found.append(Entry(code, "", above, cause, tuple(sorted(raised[code])), tuple(told[code])))
    return found


def _table(module: Module) -> dict[str, str]:
    value = module.values[TABLE]
    if not isinstance(value, ast.Dict):
        return {}
    found = {}
    for one, other in zip(value.keys, value.values, strict=True):
        match one, other:
            case ast.Constant(value=str(code)), ast.Constant(value=str(meaning)) if _CODE.fullmatch(code):
                found[code] = meaning
    return found


def _listing(module: Module) -> tuple[str, ...]:
    """The code of the error of the same module that lists the problems."""
    for node in module.classes.values():
        for line in node.body:
            match line:
                case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                    return (code,)
    return ()


def _pairs(call: Call, known: set[str]) -> Iterator[Pair]:
    """What a call says under which code."""
    given = call.node.args
    at = next((n for n, one in enumerate(given) if isinstance(one, ast.Constant) and one.value in known), None)
    if at is not None:
        code = given[at]
        assert isinstance(code, ast.Constant)
        assert isinstance(code.value, str)
        after = given[at + 1 :]
        if after and isinstance(after[0], ast.Starred):
            yield code.value, after[0], after[0]
        elif at == len(given) - 1 and at >= 2:
            yield code.value, given[at - 2], given[at - 1]
        elif at == 0 and len(given) == 4:
            yield code.value, given[2], given[3]
        elif at + 2 < len(given):
            yield code.value, given[at + 1], given[at + 2]
        return
    function = _called(call)
    if function is None:
        return
    default = defaults(function).get("code")
    if isinstance(default, ast.Constant) and default.value in known:
        told = arguments(call.node, function)
        if "code" not in told and {"message", "remedy"} <= set(told):
            yield default.value, told["message"], told["remedy"]


def _called(call: Call) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """A function of the same module, or a method of one of its classes, that takes a code."""
    name = last_name(call.node.func)
    if name in call.module.functions:
        return call.module.functions[name]
    owner = call.module.classes.get(name)
    if owner is not None:
        return method(owner, "__init__")
    classes = ([call.owner] if call.owner is not None else []) + list(call.module.classes.values())
    for one in classes:
        found = method(one, name)
        if found is not None and "code" in [each.arg for each in parameters(found)]:
            return found
    return None
