"""What the tests of one state hold the next one to, and what looking at a state gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from daybreak.checks.evidence import Evidence
from daybreak.host.process import Finished
from daybreak.settings import ProjectLanguage

MARKS_MAX = 100
MESSAGE_CHARS_MAX = 4_000


class Guards(BaseModel):
    """Tests that passed: none of them may fail or vanish."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    passed: tuple[str, ...] = ()
    """By name, where the runner tells names."""
    tricks: tuple[str, ...] = ()
    """How the project itself changes the way its tests are run."""
    count: int = 0


@dataclass(frozen=True)
class Looked:
    """Evidence of a check, and of what comes beside it."""

    evidence: tuple[Evidence, ...]
    guards: Guards = field(default_factory=Guards)


def out_of_time(finished: Finished, limit_s: float) -> str:
    """What somebody can do whose tests are not at their end in time; empty where time was not over."""
    if not finished.timed_out:
        return ""
    return (
        f"in {limit_s:g} s they were not at their end: [validate] in daybreak.toml gives them longer (check_s), and "
        "its commands name those that are to be run"
    )


def coverage_evidence(language: ProjectLanguage, percent: float | None, workspace: str, command: str) -> Evidence:
    """Of what the tests ran, measured while they did."""
    return Evidence(
        check=f"coverage:{language}",
        workspace=workspace,
        outcome="unusable" if percent is None else "passed",
        summary="it could not be measured" if percent is None else f"the tests run {percent:g} % of the lines",
        command=f"{command}, measured",
        counts={} if percent is None else {"coverage": percent},
    )
