"""Looking at one state of a project with one planned check: evidence, whatever happens."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from daybreak.checks import complexity, documentation, measured, security
from daybreak.checks.evidence import Evidence
from daybreak.factory.repository import venvs
from daybreak.factory.validate import commands, pythontests, pythontools, scripts
from daybreak.factory.validate.guards import Guards, Looked, coverage_evidence
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.running import Room


@dataclass(frozen=True)
class Subject:
    """What is looked at, beside where."""

    workspace: str
    """Names the state: 64 hex digits."""
    code: tuple[str, ...]
    """Paths of its code."""
    complexity_max: int
    before: Guards | None = None
    """Of the state that it comes from; None for the first one."""
    free: tuple[str, ...] = ()
    """Files with tests that may have changed."""
    weigh: bool = False
    """A worker has made it."""
    measure: bool = True
    """Somebody wants the coverage of the tests, which makes them slower."""

    @property
    def python(self) -> list[str]:
        """Code in Python that is no test."""
        return [path for path in self.code if path.endswith(".py") and not measured.is_test(path)]


def look(check: Planned, room: Room, subject: Subject) -> Looked:
    """Evidence of the check, and of what comes with it. Raises HostError and OSError where it could not look: see
    `unusable`."""
    looked = _look(check, room, subject)
    return Looked(tuple(_with_lines(one, room, subject) for one in looked.evidence), looked.guards)


def _with_lines(seen: Evidence, room: Room, subject: Subject) -> Evidence:
    """Findings are judged by how many lines they are found in."""
    if "findings" not in seen.counts or "lines" in seen.counts:
        return seen
    return seen.model_copy(update={"counts": {**seen.counts, "lines": pythontools.lines(room.files, subject.code)}})


def absent(check: Planned, subject: Subject) -> Looked:
    """Of a check whose program is not there, as was seen when it was planned."""
    return unusable(check, subject, f"{check.missing} ({check.hint})" if check.hint else check.missing)


def unusable(check: Planned, subject: Subject, why: str) -> Looked:
    """Of a look that could not be had, which never passes."""
    seen = Evidence(
        check=check.name,
        workspace=subject.workspace,
        outcome="unusable",
        summary=" ".join(why.split())[:1000],
        command=check.command[:1000],
    )
    beside = coverage_evidence(check.language, None, subject.workspace, check.command)
    return Looked((seen, beside) if check.kind == "tests" else (seen,))


def _look(check: Planned, room: Room, subject: Subject) -> Looked:
    if check.how == "pytest":
        return pythontests.look(
            check,
            room,
            subject.workspace,
            [path for path in subject.code if path.endswith(".py")],
            before=subject.before,
            free=subject.free,
            weigh=subject.weigh,
            measure=subject.measure,
        )
    if check.how == "command":
        return commands.look(check, room, subject.workspace, before=subject.before)
    room.scratch.mkdir(parents=True, exist_ok=True)
    seen = _with_tool(check, room, subject)
    return Looked((seen.model_copy(update={"check": check.name}),))


def _with_tool(check: Planned, room: Room, subject: Subject) -> Evidence:
    name, code = subject.workspace, subject.code
    require, cancelled = room.require, room.cancelled
    match check.how:
        case "ruff":
            return pythontools.lint(check, room, name, code)
        case "format":
            return pythontools.formatted(check, room, name, code)
        case "mypy":
            return pythontools.types(check, room, name, code)
        case "syntax":
            return scripts.python(check, room, name, code)
        case "node":
            return scripts.javascript(check, room, name, code)
        case "security":
            bandit, readable = _bandit(room)
            return security.look(
                room.files, name, scratch=room.scratch, bandit=bandit, readable=readable, files=subject.python,
                require=require, timeout_s=room.limit_s, cancelled=cancelled,
            )  # fmt: skip
        case "complexity":
            return complexity.look(
                room.files, name, scratch=room.scratch, most=subject.complexity_max, files=subject.python,
                require=require, timeout_s=room.limit_s, cancelled=cancelled,
            )  # fmt: skip
        case "documentation":
            return documentation.look(
                room.files, name, scratch=room.scratch, share=check.threshold, files=subject.python,
                require=require, timeout_s=room.limit_s, cancelled=cancelled,
            )  # fmt: skip
    raise AssertionError(f"{check.how} is no way of looking")


def _bandit(room: Room) -> tuple[list[str], list[Path]]:
    if not room.around.has_module("bandit"):
        return [], []
    python = room.around.python if room.around.environments else sys.executable
    return [python, "-I", "-m", "bandit"], venvs.readable(room.around.environments)
