"""What a check saw. Evidence names the workspace it is about by hash, so it cannot be carried to another."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["passed", "failed", "unusable"]
"""`unusable`: the check could not look (program missing, time out before start); never counts as passed."""


class Mark(BaseModel):
    """One thing wrong, with the place where it was seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    message: str
    place: str = ""
    """`path:line` in the workspace, or the heading and line of the acceptance example."""


class Evidence(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str
    """Which check looked: `syntax`, `structure`, `lint`, `types`, `tests`, `example:<id>`."""
    workspace: str
    """SHA-256 of the tree that was seen, 64 hex digits."""
    outcome: Outcome
    summary: str
    """One line for people: `41 passed, coverage 93 %`."""
    command: str = ""
    """What ran, so that anybody can run it again."""
    counts: dict[str, float] = {}
    """Measured numbers by name, such as `tests`, `failed`, `coverage`."""
    marks: tuple[Mark, ...] = ()
    requirements: tuple[str, ...] = ()
    """Requirements that this evidence speaks for."""
    output: str = ""
    """The transcript, cut in the middle where it was long (the cut says how much is left out)."""
    duration_ms: int = 0
