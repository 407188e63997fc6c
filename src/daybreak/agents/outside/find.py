"""The host's half: is the plug-in there and whole, and what must be readable where it runs. Nothing of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daybreak.agents.found import Budget, Found, resolved, too_wide
from daybreak.agents.outside.plugin import Plugin, roots
from daybreak.agents.outside.worker import Options
from daybreak.errors import DaybreakError
from daybreak.settings import Settings, Worker


def find(name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found:
    """See `agents.found`. `missing` says what is wrong with the plug-in, and what to do."""
    try:
        options = Options.of(worker)
        plugin = options.examined(worker.program)
    except DaybreakError as problem:
        return Found(missing=f"{name}: {problem.message}: {problem.hint}")
    given, missing = resolved(name, worker, environment)
    return Found(
        missing=missing,
        version=plugin.distribution.rpartition(" ")[2],
        program=options.python,
        readable=_readable(plugin, options),
        environment=given,
        budget=_budget(worker),
    )


def _readable(plugin: Plugin, options: Options) -> tuple[Path, ...]:
    """The plug-in itself (the file, folder or package that was named, and nothing around it, which may be private), the
    folders that it asks for, and its interpreter."""
    own = plugin.folder or plugin.file
    if plugin.module:
        inside = plugin.module.count(".") + (plugin.file.name == "__init__.py")
        own = plugin.file.parents[inside - 1] if inside else plugin.file
    folders = [own, *(Path(one) for one in options.path)]
    if options.python:
        folders += _interpreter(Path(options.python))
    return tuple(dict.fromkeys(folder for folder in folders if folder.exists()))


def _interpreter(python: Path) -> list[Path]:
    """What it needs to run; of a place that holds much more, its program and libraries alone."""
    found: list[Path] = []
    for root in roots(python):
        found += [root] if not too_wide(root) else [root / "lib"] if root != Path("/") else []
    return [*found, python.resolve()]


def _budget(worker: Worker) -> Budget:
    """It is pointed at the gateway by variables, and has no other way out unless it was given one."""
    if worker.network or worker.environment:
        return "soft"
    return "hard" if worker.provider else "none"
