"""Reads the catalogue out of the sources: the classes of errors, and every place that makes one."""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daybreak.report.catalogue import listed
from daybreak.report.catalogue.entry import Entry, Told
from daybreak.report.catalogue.sources import (
    Call,
    Function,
    Module,
    Sources,
    arguments,
    defaults,
    last_name,
    method,
    parameters,
)
from daybreak.report.catalogue.wording import DEEP, Scope, Words, says

ROOT = ("daybreak.errors", "DaybreakError")
TOLD_MOST = 40
"""Ways to tell one code that are kept."""
PASSED_MOST = 8
"""Ways to tell what another error said that are kept."""
Read = tuple[ast.expr, Scope]
"""An expression and the scope in which it is read."""
_CODE = re.compile(r"[A-Z][0-9]{3}")


@dataclass(eq=False)
class ErrorClass:
    """A class of errors. One without a code of its own has that of the class above it."""

    module: Module
    node: ast.ClassDef
    above: ErrorClass | None
    code: str

    @property
    def key(self) -> tuple[str, str]:
        return self.module.name, self.node.name

    def chain(self) -> Iterator[ErrorClass]:
        """Itself and the classes above it."""
        one: ErrorClass | None = self
        while one is not None:
            yield one
            one = one.above


def gathered(folder: Path) -> list[Entry]:
    """The catalogue of the package in that folder, sorted by code."""
    return Gathering(Sources(folder)).entries()


class Gathering:
    """One reading of the sources."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.words = Words(sources)
        self.classes = self._classes()
        self.told: dict[str, dict[Told, None]] = defaultdict(dict)
        self.raised: dict[str, set[str]] = defaultdict(set)
        self.later: list[tuple[str, list[str], set[str]]] = []
        """Code, what it says itself, and the codes of the errors whose hint it passes on."""

    def entries(self) -> list[Entry]:
        for module in self.sources.modules.values():
            for call in module.calls:
                for made, through, scope in self._made(call):
                    self._tell(made, call, through, scope)
        self._pass_on()
        found = [self._entry(one) for one in self.classes.values() if one.above is None or one.code != one.above.code]
        found += listed.entries(self.sources, self.words)
        return sorted(found, key=lambda one: one.code)

    def _entry(self, one: ErrorClass) -> Entry:
        told = list(self.told[one.code])
        speaking = [each for each in told if says(each.message)]
        return Entry(
            code=one.code,
            name=one.node.name,
            within=tuple(dict.fromkeys(each.code for each in one.chain() if each.code not in (one.code, "X000"))),
            cause=cause(ast.get_docstring(one.node) or ""),
            raised=tuple(sorted(self.raised[one.code])),
            told=tuple((speaking or told)[:TOLD_MOST]),
        )

    # -- classes

    def _classes(self) -> dict[tuple[str, str], ErrorClass]:
        defined = {(module.name, node.name): (module, node) for module, node in self.sources.classes()}
        found: dict[tuple[str, str], ErrorClass | None] = {}

        def look(key: tuple[str, str]) -> ErrorClass | None:
            if key not in found:
                found[key] = None
                module, node = defined[key]
                above = next((one for base in node.bases if (one := up(module, base)) is not None), None)
                own = _own_code(node)
                if key == ROOT or above is not None:
                    found[key] = ErrorClass(module, node, above, own or (above.code if above else ""))
            return found[key]

        def up(module: Module, base: ast.expr) -> ErrorClass | None:
            there = self._defining(module, base)
            return look(there) if there in defined else None

        for key in defined:
            look(key)
        return {key: one for key, one in found.items() if one is not None}

    def _defining(self, module: Module, node: ast.expr) -> tuple[str, str]:
        """Module and name of the class that an expression names."""
        match node:
            case ast.Name(id=name):
                found = self.sources.found(module.name, name)
            case ast.Attribute(value=ast.Name(id=first), attr=name):
                source, there = module.imports.get(first, ("", ""))
                found = self.sources.found(f"{source}.{there}" if there else source, name)
            case _:
                found = None
        return (found[0].name, found[1]) if found else ("", "")

    # -- places that make an error

    def _made(self, call: Call) -> list[tuple[ErrorClass, Function | None, Scope]]:
        """The errors that a call makes, each with the class method that makes it and the scope in which it is read."""
        func = call.node.func
        scope = Scope.of(call)
        first = func.value if isinstance(func, ast.Attribute) else func
        direct = self.classes.get(self._defining(call.module, func))
        owner = direct or self.classes.get(self._defining(call.module, first))
        if owner is None and not any(one.arg == "hint" for one in call.node.keywords):
            return []  # what is told without a hint names its class
        making = None
        if direct is None and isinstance(func, ast.Attribute) and owner is not None:
            making = _making(owner, func.attr)
            if making is None:
                return []
        names = {one.id for one in (*call.node.args[:1], *_hints(call.node)) if isinstance(one, ast.Name)}
        if owner is not None:
            return [(owner, making, one) for one in self.words.variants(names, scope)]
        if not isinstance(first, ast.Name) or first.id in ("self", "cls", *call.module.functions):
            return []
        found: list[tuple[ErrorClass, Function | None, Scope]] = []
        for one in self.words.variants(names | {first.id}, scope):
            for each in self._meant(first, one):
                making = _making(each, func.attr) if isinstance(func, ast.Attribute) else None
                if making is not None or not isinstance(func, ast.Attribute):
                    found.append((each, making, one))
        return found

    def _meant(self, func: ast.Name, scope: Scope) -> list[ErrorClass]:
        """The errors that a variable may hold: what callers give for a parameter, or what was assigned."""
        found = {}
        for value, there in self.words.values(func, scope):
            named = self.classes.get(self._defining(there.module, value))
            if isinstance(value, ast.Name) and named is None:
                for one in self._meant(value, there) if there.depth < DEEP else ():
                    found[one.key] = one
                continue
            for node in [value] if named is not None else ast.walk(value):
                if isinstance(node, ast.Name | ast.Attribute):
                    error = self.classes.get(self._defining(there.module, node))
                    if error is not None:
                        found[error.key] = error
        return list(found.values())

    def _tell(self, made: ErrorClass, call: Call, through: Function | None, scope: Scope) -> None:
        self.raised[made.code].add(call.module.name)
        for message, hint in self._said(made, call.node, scope, through):
            if self._passed_on(made.code, message, hint):
                continue
            messages = self.words.texts(*message)
            hints = [""] if hint is None else [one for one in self.words.texts(*hint) if says(one)] or [""]
            for one, other in itertools.product(messages, hints):
                self.told[made.code][Told(_line(one), _line(other))] = None

    # -- errors that say what another one said

    def _passed_on(self, code: str, message: Read, hint: Read | None) -> bool:
        """Whether the hint is that of another error; then it is looked at when that one is known."""
        if hint is None:
            return False
        caught = self._caught(*hint)
        if caught:
            whole = isinstance(message[0], ast.Attribute) and message[0].attr == "message"
            texts = [] if whole else [one for one in self.words.texts(*message) if says(one)]
            self.later.append((code, texts, caught))
        return bool(caught)

    def _caught(self, node: ast.expr, scope: Scope) -> set[str]:
        """The codes that `error.hint` may be of: what was caught as `error`, or what a parameter has a sequence of."""
        if scope.function is None:
            return set()
        names = {
            one.value.id
            for one in ast.walk(node)
            if isinstance(one, ast.Attribute) and one.attr == "hint" and isinstance(one.value, ast.Name)
        }
        kinds: list[ast.expr] = []
        for one in ast.walk(scope.function):
            match one:
                case ast.ExceptHandler(name=str(name), type=ast.expr() as kind) if name in names:
                    if any(each is node for each in ast.walk(one)):
                        kinds.append(kind)
        if isinstance(node, ast.Call) and names:
            kinds += [one.annotation for one in parameters(scope.function) if one.annotation is not None]
        found = set()
        for kind in kinds:
            for part in ast.walk(kind):
                if isinstance(part, ast.Name | ast.Attribute):
                    error = self.classes.get(self._defining(scope.module, part))
                    if error is not None and error.above is not None:
                        found.add(error.code)
        return found

    def _pass_on(self) -> None:
        below: dict[str, list[str]] = defaultdict(list)
        for one in self.classes.values():
            for code in dict.fromkeys(each.code for each in one.chain()):
                below[code].append(one.code)
        for code, texts, caught in self.later:
            there = [told for kind in sorted(caught) for each in dict.fromkeys(below[kind]) for told in self.told[each]]
            if texts:
                there = [Told(_line(text), told.hint) for text in texts for told in there if told.hint]
            for told in there[:PASSED_MOST]:
                self.told[code].setdefault(told)

    def _said(
        self, made: ErrorClass, node: ast.Call, scope: Scope, through: Function | None
    ) -> list[tuple[Read, Read | None]]:
        """Message and hint, each with the scope in which it is read."""
        if through is not None:
            given = {name: (value, scope) for name, value in arguments(node, through).items()}
            inside = Scope(made.module, through, made.node, given, scope.depth + 1)
            calls = [one for one in ast.walk(through) if isinstance(one, ast.Call) and last_name(one.func) == "cls"]
            return [pair for one in calls for pair in self._said(made, one, inside, None)]
        default: ast.expr | None = None
        for one in made.chain():
            making = method(one.node, "__init__")
            if making is None or one.key == ROOT:
                continue
            if {"message", "hint"} <= {each.arg for each in parameters(making)}:
                default = defaults(making).get("hint")
                break
            given = {name: (value, scope) for name, value in arguments(node, making).items()}
            inside = Scope(one.module, making, one.node, given, scope.depth + 1)
            upwards = [each for each in ast.walk(making) if isinstance(each, ast.Call) and _is_super(each)]
            above = one.above or one
            return [pair for each in upwards for pair in self._said(above, each, inside, None)]
        told = {each.arg: each.value for each in node.keywords if each.arg}
        message = node.args[0] if node.args else told.get("message")
        hint = told.get("hint", default)
        if message is None or isinstance(message, ast.Starred):
            return []
        return [((message, scope), None if hint is None else (hint, scope))]


def cause(docstring: str) -> str:
    """The first paragraph, as one line."""
    return " ".join(docstring.split("\n\n")[0].split())


def _own_code(node: ast.ClassDef) -> str:
    for line in node.body:
        match line:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))) if _CODE.fullmatch(
                code
            ):
                return code
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.Constant(value=str(code))) if _CODE.fullmatch(
                code
            ):
                return code
    return ""


def _making(one: ErrorClass, name: str) -> Function | None:
    """The class method of that name."""
    return next((found for each in one.chain() if (found := method(each.node, name)) is not None), None)


def _hints(call: ast.Call) -> list[ast.expr]:
    return [one.value for one in call.keywords if one.arg == "hint"]


def _is_super(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"):
            return True
    return False


def _line(text: str) -> str:
    """On one line."""
    return " ".join(text.split())
