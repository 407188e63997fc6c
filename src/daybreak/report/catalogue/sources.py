"""Our own sources, parsed: what each module defines and imports, and every call with the function that it stands in."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_TELLS = re.compile(r"hint|HINT|problems|refus|_MAX\b|code = \"|raise [A-Z_]\w*\(")


@dataclass(frozen=True, eq=False)
class Call:
    """A call and where it stands."""

    node: ast.Call
    module: Module
    function: Function | None
    owner: ast.ClassDef | None


@dataclass(eq=False)
class Module:
    """A module. Names are those of its top level, except for imports, which stand in functions too."""

    name: str
    """Such as `daybreak.host.locks`; a package has the name of its folder."""
    tree: ast.Module
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name to module and name there; the name is empty for a module itself."""
    calls: list[Call] = field(default_factory=list)


class Sources:
    """The modules below a folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the package, such as `src/daybreak`. What is written into projects (`templates`) is none
        of ours, and where no word of `_TELLS` stands nobody tells anything."""
        self.modules: dict[str, Module] = {}
        self.by_callee: dict[str, list[Call]] = defaultdict(list)
        """Last part of what is called, such as `add` of `problems.add(…)`, to the calls."""
        self.methods: dict[str, list[tuple[Function, Module, ast.ClassDef]]] = defaultdict(list)
        """Name to every method of that name."""
        for path in sorted(folder.rglob("*.py")):
            if "templates" in path.relative_to(folder).parts:
                continue
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text(encoding="utf-8")
            if path.name != "__init__.py" and _TELLS.search(text) is None:
                continue
            module = Module(name, ast.parse(text))
            _Reader(module).visit(module.tree)
            self.modules[name] = module
            for call in module.calls:
                self.by_callee[last_name(call.node.func)].append(call)
            for owner in module.classes.values():
                for one in owner.body:
                    if isinstance(one, Function):
                        self.methods[one.name].append((one, module, owner))

    def found(self, module: str, name: str, hops: int = 0) -> tuple[Module, str] | None:
        """The module that defines what `module` calls `name`, and its name there."""
        here = self.modules.get(module)
        if here is None or hops > 5:
            return None
        if name in here.classes or name in here.functions or name in here.values:
            return here, name
        if name in here.imports:
            source, there = here.imports[name]
            return self.found(source, there, hops + 1) if there else None
        return None

    def classes(self) -> Iterator[tuple[Module, ast.ClassDef]]:
        for module in self.modules.values():
            for node in module.classes.values():
                yield module, node


class _Reader(ast.NodeVisitor):
    def __init__(self, module: Module) -> None:
        self.module = module
        self.function: Function | None = None
        self.owner: ast.ClassDef | None = None

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self.module.imports[one.asname or one.name] = (one.name, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            source = node.module or ""
            self.module.imports.setdefault(one.asname or one.name, (source, one.name))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if self.function is None:
            self.module.classes.setdefault(node.name, node)
        before, self.owner = self.owner, node
        self.generic_visit(node)
        self.owner = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: Function) -> None:
        if self.function is None and self.owner is None:
            self.module.functions[node.name] = node
        before, self.function = self.function, node
        self.generic_visit(node)
        self.function = before

    def visit_Assign(self, node: ast.Assign) -> None:
        if self.function is None and self.owner is None and isinstance(node.targets[0], ast.Name):
            self.module.values[node.targets[0].id] = node.value
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.function is None and self.owner is None and isinstance(node.target, ast.Name) and node.value:
            self.module.values[node.target.id] = node.value
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.module.calls.append(Call(node, self.module, self.function, self.owner))
        self.generic_visit(node)


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c` and of `c`; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def method(owner: ast.ClassDef, name: str) -> Function | None:
    """That method, where the class itself has it."""
    for one in owner.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name:
            return one
    return None


def parameters(function: Function) -> list[ast.arg]:
    """All of them, in order, without `self` and `cls`."""
    told = function.args
    every = [*told.posonlyargs, *told.args, *told.kwonlyargs]
    return every[1:] if every and every[0].arg in ("self", "cls") else every


def defaults(function: Function) -> dict[str, ast.expr]:
    """Parameter to its default."""
    told = function.args
    positional = [*told.posonlyargs, *told.args]
    found = {one.arg: value for one, value in zip(reversed(positional), reversed(told.defaults), strict=False)}
    return found | {one.arg: value for one, value in zip(told.kwonlyargs, told.kw_defaults, strict=True) if value}


def arguments(call: ast.Call, function: Function) -> dict[str, ast.expr]:
    """Parameter to what the call gives for it."""
    names = [one.arg for one in parameters(function)]
    found: dict[str, ast.expr] = {}
    for name, value in zip(names, call.args, strict=False):
        if isinstance(value, ast.Starred):
            break
        found[name] = value
    return found | {one.arg: one.value for one in call.keywords if one.arg}
