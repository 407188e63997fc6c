"""A check of a project as it was planned: what runs, what it counts, and what it lacks on this machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from daybreak.settings import CheckKind, ProjectLanguage

How = Literal[
    "pytest", "ruff", "format", "mypy", "security", "syntax", "complexity", "documentation", "node", "command", "beside"
]
"""`command` is shell text, `beside` comes with the run of the tests, all others are one tool that is known."""
Reading = Literal["", "node", "go", "cargo", "maven", "gradle", "any", "eslint", "findings", "output"]
"""How the output of a command is read: as tests of that runner (`any`: of whichever it seems to be), as findings (lines
that name a place), as output of which every line is a finding; not at all where only the exit status counts."""
WEIGHTS: dict[CheckKind, float] = {
    "tests": 35,
    "types": 15,
    "lint": 12,
    "security": 10,
    "coverage": 10,
    "build": 8,
    "syntax": 6,
    "format": 4,
    "complexity": 4,
    "documentation": 4,
}
"""What each kind counts; only the ratios matter, and only of the kinds that a project has."""
THRESHOLDS: dict[CheckKind, float] = {
    "tests": 100,
    "syntax": 100,
    "build": 100,
    "types": 85,
    "lint": 85,
    "format": 85,
    "security": 85,
    "complexity": 75,
    "coverage": 50,
    "documentation": 30,
}
"""What each must reach by itself. A tool that the project itself has configured must find nothing at all: 100."""
VETOES = frozenset({"tests", "syntax", "build"})
"""Kinds that no score outweighs."""


class Planned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str
    """`tests:python`, as evidence names it."""
    kind: CheckKind
    language: ProjectLanguage
    how: How
    command: str
    """What runs, for people; for `command` and `pytest` the very text."""
    reading: Reading = ""
    weight: float
    threshold: float
    configured: bool = False
    """The project itself says how it wants this checked."""
    required: bool = True
    """Without its evidence the gate does not pass."""
    missing: str = ""
    """Why it cannot look here; empty where it can."""
    hint: str = ""
    """What mends that."""


class Plan(BaseModel):
    """What a project is and how it is looked at. Kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    languages: tuple[ProjectLanguage, ...]
    others: tuple[str, ...] = ()
    checks: tuple[Planned, ...]
    fixers: tuple[str, ...] = ()
    """Names of `fixers.FIXERS`, and shell text of the settings behind `: `."""
    notes: tuple[str, ...] = ()
    """What people should know: what was left out, and why."""

    def check(self, name: str) -> Planned:
        return next(one for one in self.checks if one.name == name)
