"""Standalone or integrated: is there an orchestrator of somebody else here, and why we think so. Loads none of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.agents.outside.examine import examine
from daybreak.agents.outside.plugin import GROUP, Plugin, entry_points, from_entry_point
from daybreak.errors import DaybreakError
from daybreak.settings import FILE, Settings


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An orchestrator, as far as one can see without loading it."""

    name: str
    """Of the worker; for one that is installed and no worker has, the name of its entry point."""
    where: str
    """Its file, or its distribution."""
    problem: str = ""
    """Empty: it can be asked. Else a sentence."""
    worker: bool = True
    """A worker of the configuration uses it."""
    ordered: bool = False
    """That worker is in the order, so it will be asked."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    name: Literal["standalone", "integrated"]
    why: str
    """A sentence."""
    found: tuple[Seen, ...] = ()


def mode(settings: Settings, environment: Mapping[str, str]) -> Mode:
    """Integrated where the order has an outside orchestrator that is whole. Reads metadata and source; imports nothing.

    `environment` is the host's own, for what a worker needs of it."""
    workers = _workers(settings, environment)
    used = {one.where for one in workers}
    found = (*workers, *(one for one in installed() if one.where not in used))
    asked = [one for one in workers if one.ordered]
    whole = [one for one in asked if not one.problem]
    if whole:
        told = ", ".join(f"{one.name} ({one.where})" for one in whole)
        return Mode(name="integrated", why=f"the order has {told}", found=found)
    return Mode(name="standalone", why=_why_alone(settings, asked, found), found=found)


def installed() -> tuple[Seen, ...]:
    """The plug-ins of our entry-point group in this environment, whole and broken, by name."""
    search = [one for one in sys.path if one]
    seen = []
    for point in entry_points(search):
        where = f"{point.dist.metadata['Name']} {point.dist.version}" if point.dist else point.value
        try:
            plugin = from_entry_point(point, search)
            examine(plugin)
            seen.append(Seen(name=point.name, where=_where(plugin), worker=False))
        except DaybreakError as problem:
            seen.append(Seen(name=point.name, where=where, problem=problem.message, worker=False))
    return tuple(seen)


def _workers(settings: Settings, environment: Mapping[str, str]) -> tuple[Seen, ...]:
    from daybreak.agents.outside.find import find
    from daybreak.agents.outside.worker import Options

    seen = []
    for name, worker in settings.workers.items():
        if worker.kind != "outside":
            continue
        ordered = name in settings.order
        problem = find(name, worker, settings, environment).missing
        where = worker.program or GROUP
        if not problem:
            where = _where(Options.of(worker).examined(worker.program))
        seen.append(Seen(name=name, where=where, problem=problem, ordered=ordered))
    return tuple(seen)


def _where(plugin: Plugin) -> str:
    return plugin.distribution or plugin.module or str(plugin.file)


def _why_alone(settings: Settings, asked: list[Seen], found: tuple[Seen, ...]) -> str:
    file = Path(settings.path).name if settings.path else FILE
    if asked:
        return "; ".join(f"{one.name} cannot be asked: {one.problem}" for one in asked)
    if idle := [one.name for one in found if one.worker]:
        return f"{', '.join(idle)} is not in the order of {file}"
    if idle := [one.name for one in found if not one.problem]:
        hint = f'[workers.NAME] with kind = "outside" and program = "{idle[0]}"'
        return f"{', '.join(idle)} is installed, and no worker of {file} uses it ({hint})"
    if found:
        return "; ".join(f"the plug-in {one.name} cannot be used: {one.problem}" for one in found)
    return f'no plug-in of the group {GROUP} is installed, and no worker of kind "outside" is in {file}'
