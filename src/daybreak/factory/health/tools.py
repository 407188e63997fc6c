"""Programs that are run and not imported, SQLite, and how far programs can be kept in their place here."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daybreak.factory.health.finding import Finding, trouble

if TYPE_CHECKING:
    from daybreak.host.programs import Platform, Program
    from daybreak.host.sandbox import Machine, Mode


@dataclass(frozen=True)
class Need:
    """A program that something of ours runs. `module`: it is run as a module of this Python."""

    program: str
    why: str
    needed: bool = False
    """Without it nothing works; otherwise it is only worth knowing that it is missing."""
    module: bool = False


NEEDS = (
    Need("pytest", "runs a project's tests", needed=True, module=True),
    Need("ruff", "formats and lints", needed=True, module=True),
    Need("mypy", "checks types", needed=True, module=True),
    Need("sh", "console examples run in it", needed=True),
    Need("git>=2.30", "worktrees for attempts in repositories, and merging of text"),
    Need("strace>=5", "only Daybreak's own crash tests use it"),
)
"""Everything that is not imported but run, in the order it is shown; but bubblewrap, which the sandbox looks for."""


def look() -> list[Finding]:
    """Asked anew each time, side by side: who looks wants to know how it is now."""
    from concurrent.futures import ThreadPoolExecutor

    from daybreak.host.programs import Platform

    here = Platform.this()
    with ThreadPoolExecutor(len(NEEDS)) as pool:
        looked = list(pool.map(lambda need: _look_for(need, here), NEEDS))
    return [
        Finding("python", "good", f"{sys.version.split()[0]} at {sys.executable}"),
        _sqlite(),
        *looked,
        _bubblewrap(None, here),
    ]


def _sqlite() -> Finding:
    import apsw

    from daybreak.errors import LedgerForeign
    from daybreak.ledger import database

    try:
        database.check_sqlite()
    except LedgerForeign as error:
        return trouble("sqlite", error)
    return Finding("sqlite", "good", apsw.sqlite_lib_version())


def _bubblewrap(machine: Machine | None, here: Platform) -> Finding:
    """The one that the sandbox uses, or why it uses none: what lies on PATH is not asked."""
    from daybreak.host.programs import Program, ProgramUnfit, find
    from daybreak.host.sandbox import detect
    from daybreak.host.sandbox.machine import BWRAP_PATH

    machine, program = machine or detect(), Program.of("bwrap>=0")
    if machine.bwrap:
        try:
            found = find(program, platform=here, at=Path(machine.bwrap), cache=None)
        except ProgramUnfit as error:
            return Finding("bwrap", "note", error.message, error.hint)
        return Finding("bwrap", "good", f"{found.path}, version {found.version}")
    if machine.bwrap_why != "not installed":
        return Finding("bwrap", "note", f"not used: {machine.bwrap_why}", "without it there are fewer layers")
    detail = f"not installed: looked for in {BWRAP_PATH.replace(':', ', ')}; without it there are fewer layers"
    try:
        shadow = find(Program("bwrap"), platform=here, cache=None)
        detail += f"; {shadow.path} on PATH is never used, because whoever sets PATH would choose the jailer"
        hint = _how_to_install(program, here)
    except ProgramUnfit as error:
        hint = error.hint
    return Finding("bwrap", "note", detail, hint)


def _how_to_install(program: Program, here: Platform) -> str:
    """As for one that is on no PATH."""
    from daybreak.host.programs import ProgramUnfit, find

    try:
        find(program, platform=replace(here, path=""), cache=None)
    except ProgramUnfit as error:
        return error.hint
    raise AssertionError("a program was found on an empty PATH")


def _look_for(need: Need, here: Platform) -> Finding:
    """In a version that fits?"""
    from daybreak.host.programs import Program, ProgramAbsent, ProgramUnfit, find

    program = Program.of(need.program)
    if need.module:
        arguments = ("-P", "-m", program.name, "--version")
        program = replace(program, versions=_required(program.name), version_arguments=arguments)
    missing: Literal["bad", "note"] = "bad" if need.needed else "note"
    try:
        found = find(program, platform=here, at=Path(sys.executable) if need.module else None, cache=None)
    except ProgramAbsent as error:
        return Finding(program.name, missing, f"missing: {need.why}", error.hint)
    except ProgramUnfit as error:
        remedy = "install Daybreak again: it comes with it" if need.module else error.hint
        return Finding(program.name, missing, error.message, remedy)
    wanted = f", wanted {program.versions}" if program.versions else ""
    if need.module:
        return Finding(program.name, "good", f"{program.name} {found.version}{wanted}")
    version = f", version {found.version}" if found.version else ""
    return Finding(program.name, "good", f"{found.path}{version}{wanted}")


def _required(distribution: str) -> str:
    """The range that our own packaging asks for."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires("daybreak") or ()]
    except PackageNotFoundError:
        return ">=0"  # a checkout that is not installed
    return next((str(one.specifier) for one in wanted if one.name == distribution and not one.marker), "") or ">=0"


def sandbox(mode: Mode | None = None) -> Finding:
    """How far programs can be kept in their place here."""
    from daybreak.host.sandbox import detect

    mode = mode or detect().mode()
    missing = f"; missing: {', '.join(mode.missing)}" if mode.missing else ""
    detail = f"{mode.strength}: {', '.join(mode.layers)}{missing}"
    if mode.strength == "full":
        return Finding("sandbox", "good", detail)
    open_ones = f"not covered: {', '.join(mode.not_covered)}" if mode.not_covered else ""
    return Finding("sandbox", "note", detail, open_ones)
