"""One thing that was looked at, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from daybreak.errors import DaybreakError

Level = Literal["good", "note", "bad"]
"""good: as it should be. note: worth knowing. bad: something will not work, or is not safe, until it is repaired."""

Fix = Callable[[], str]
"""Repairs it and says what it did, and what was before. Raises DaybreakError and OSError. Touches what is ours only."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`hint` says what a person can do; `fix` does it, where that is safe."""

    name: str
    level: Level
    text: str
    hint: str = ""
    fix: Fix | None = field(default=None, compare=False, repr=False)


def trouble(name: str, problem: Exception) -> Finding:
    """Something could not be looked at, or what was looked at is broken."""
    if isinstance(problem, DaybreakError):
        return Finding(name, "bad", f"{problem.code} {problem.message}", problem.hint)
    if isinstance(problem, OSError):
        where = f" ({problem.filename})" if problem.filename else ""
        text = f"could not be looked at: {problem.strerror or problem}{where}"
        return Finding(name, "bad", text, "check the permissions and the disk")
    return Finding(
        name, "bad", f"could not be looked at: {type(problem).__name__}: {problem}", "an error in Daybreak: report it"
    )
