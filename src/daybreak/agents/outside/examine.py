"""A plug-in is looked at before it is loaded: is there something, does it compile, does it export what it should, is it
made for this version? By reading its source only; not a line of it runs here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from daybreak.agents.outside.plugin import Plugin
from daybreak.errors import WorkerError
from daybreak.version import __version__

SOURCE_BYTES_MAX = 4_000_000
VERSION_NAME = "DAYBREAK"
"""`DAYBREAK = ">=0.1,<1"` in a plug-in says for which versions of ours it is made."""
ADAPTERS = ("auto", "callable", "langgraph", "crewai")
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_USED_AS = ("__call__", "kickoff", "crew", "invoke", "ainvoke", "compile")
"""A class needs one of these, or bases that may have them."""
_ASKED = "`def {}(brief, workspace)`, a LangGraph graph or a CrewAI crew"


class PluginBroken(WorkerError):
    """Its source is empty, cannot be read, or does not compile."""

    code = "W182"


class PluginExports(WorkerError):
    """It does not export what is to be used, or not in a form that could be used."""

    code = "W183"


class PluginVersion(WorkerError):
    """It is made for another version."""

    code = "W184"


def examine(plugin: Plugin, adapter: str = "auto", *, to_input: str = "") -> str:
    """The range of versions that it declares; empty: none. `to_input` names a function that makes its input.

    What an import or a call makes cannot be seen from here; it is looked at again where it is loaded.
    Raises PluginBroken, PluginExports, PluginVersion."""
    if adapter not in ADAPTERS:
        raise PluginExports(f"options.adapter is {adapter!r:.80}", hint=f"it is one of {', '.join(ADAPTERS)}")
    tree = _tree(plugin)
    bound = dict(_bindings(tree.body))
    for name in filter(None, (plugin.object, to_input)):
        _check_export(plugin, name, bound, adapter if name == plugin.object else "callable")
    declared = _declared(plugin, bound.get(VERSION_NAME))
    for told in filter(None, (declared, *_required(plugin))):
        _check_version(plugin, told)
    return declared


def _tree(plugin: Plugin) -> ast.Module:
    hint = f"mend {plugin.file}, or take this worker out of the order"
    try:
        with plugin.file.open("rb") as file:
            source = file.read(SOURCE_BYTES_MAX + 1)
    except OSError as problem:
        raise PluginBroken(f"{plugin.name}: {plugin.file} cannot be read: {problem.strerror}", hint=hint) from problem
    if len(source) > SOURCE_BYTES_MAX:
        raise PluginBroken(f"{plugin.name}: {plugin.file} is over {SOURCE_BYTES_MAX} bytes", hint=hint)
    try:
        tree = ast.parse(source, str(plugin.file))
        compile(tree, str(plugin.file), "exec", dont_inherit=True)  # finds what parsing does not: `return` outside
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise PluginBroken(f"{plugin.name} does not compile: {problem}", hint=hint) from problem
    body = tree.body
    if not body or (len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
        raise PluginBroken(f"{plugin.name}: {plugin.file} is empty", hint=hint)
    return tree


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """The names that a module's body binds, also inside `if`, `try`, `with` and loops; `*`: more than can be seen."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield ("*" if statement.name == "__getattr__" else statement.name), statement
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name in (one for one in ast.walk(target) if isinstance(one, ast.Name)):
                        yield name.id, value if target is name else name
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    yield alias.asname or alias.name.partition(".")[0], statement
            case _:
                for part in ("body", "orelse", "finalbody"):
                    yield from _bindings(getattr(statement, part, []))
                for handler in getattr(statement, "handlers", []):
                    yield from _bindings(handler.body)


def _check_export(plugin: Plugin, name: str, bound: dict[str, ast.AST], adapter: str) -> None:
    first, _, rest = name.partition(".")
    found = bound.get(first)
    if found is None:
        if "*" in bound:
            return
        shown = ", ".join(sorted(one for one in bound if not one.startswith("_"))[:8]) or "nothing"
        raise PluginExports(
            f"{plugin.name} exports no {first!r:.80} (it has {shown})", hint=f"give it {_ASKED.format(first)}"
        )
    if rest:
        return
    wrong = _unusable(found, adapter)
    if wrong:
        raise PluginExports(f"{plugin.name}: {first} {wrong}", hint=f"make it {_ASKED.format(first)}")


def _unusable(found: ast.AST, adapter: str) -> str:
    """Why what is bound cannot be used; empty where it can, or nobody knows."""
    if isinstance(found, _Function):
        if adapter in ("langgraph", "crewai"):
            return _misfit(found, 0, "makes the graph or crew, so it takes no arguments")
        return _misfit(found, 2, "must take a brief and a workspace")
    if isinstance(found, ast.ClassDef):
        methods = {one.name: one for one in found.body if isinstance(one, _Function)}
        if "__call__" in methods:
            return _misfit(methods["__call__"], 3, "must take a brief and a workspace")
        usable = bool(found.bases or found.decorator_list) or any(name in methods for name in _USED_AS)
        return "" if usable else "is a class that cannot be called or kicked off"
    literal = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.ListComp, ast.DictComp)
    if isinstance(found, ast.Lambda):
        return _misfit(found, 2, "must take a brief and a workspace")
    return "is a plain value" if isinstance(found, literal) else ""


def _misfit(function: _Function | ast.Lambda, given: int, what: str) -> str:
    """Why `given` positional arguments do not fit its signature; empty where they do."""
    if not isinstance(function, ast.Lambda) and function.decorator_list:
        return ""  # a decorator may change the signature
    told = function.args
    most = len(told.posonlyargs) + len(told.args)
    least = most - len(told.defaults)
    wanted = [one.arg for one, default in zip(told.kwonlyargs, told.kw_defaults, strict=True) if default is None]
    if least <= given and (most >= given or told.vararg) and not wanted:
        return ""
    return f"{what}; it is `({ast.unparse(told)})`"


def _declared(plugin: Plugin, found: ast.AST | None) -> str:
    if found is None:
        return ""
    if isinstance(found, ast.Constant) and isinstance(found.value, str):
        return found.value
    raise PluginVersion(
        f"{plugin.name}: {VERSION_NAME} is no text that can be read without loading it",
        hint=f'write it out: {VERSION_NAME} = ">=0.1,<1"',
    )


def _required(plugin: Plugin) -> Iterator[str]:
    """What its distribution asks of ours."""
    from packaging.requirements import InvalidRequirement, Requirement

    for told in plugin.requires:
        if not told.lower().startswith("daybreak"):
            continue
        try:
            requirement = Requirement(told)
        except InvalidRequirement as problem:
            raise PluginVersion(
                f"{plugin.name} requires {told!r:.80}, which nobody can read", hint="install another version of it"
            ) from problem
        if requirement.name.lower() == "daybreak":
            yield str(requirement.specifier)


def _check_version(plugin: Plugin, told: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(told).contains(__version__, prereleases=True)
    except InvalidSpecifier as problem:
        raise PluginVersion(
            f"{plugin.name} declares {told!r:.80}, which is no range of versions", hint='write it like ">=0.1,<1"'
        ) from problem
    if not fits:
        raise PluginVersion(
            f"{plugin.name} is made for daybreak {told}, and this is {__version__}",
            hint="install a version of it that fits, or take it out of the order",
        )
