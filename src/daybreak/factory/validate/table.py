"""The gate table of a project: what each check saw is worth so many points, and what that means as a whole.

Every row stands on one piece of evidence; a number without evidence is 0. The score is the mean of the rows by their
weights. Passed: the score reaches the threshold, each row reaches its own, no veto fell, and everybody that is required
could look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Outcome
from daybreak.factory.validate.planned import VETOES, Plan, Planned

PROTECTED = "protected"
"""Our own check: nothing was changed that judges the result."""
LINES_LEAST = 100
"""Findings are counted by lines; a smaller project counts as so long."""
POINTS_A_FINDING = 1000.0
"""One finding in every hundred lines costs ten points."""
THRESHOLDS = (60.0, 75.0)
"""What the first rounds of mending have to reach; the last ones the threshold itself."""
GAIN = 5.0
"""Points above the best so far that a round must bring which does not reach its threshold."""


class Row(BaseModel):
    """One check."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str
    outcome: Outcome
    score: float = Field(ge=0, le=100)
    threshold: float
    weight: float
    """In percent of all that count."""
    required: bool
    findings: int
    summary: str
    hint: str = ""


class Table(BaseModel):
    """A verdict with all that it is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    verdict: Literal["passed", "failed"]
    score: float = Field(ge=0, le=100)
    """Rounded down to a tenth."""
    threshold: float
    rows: tuple[Row, ...]
    reasons: tuple[str, ...] = ()
    """Why not; empty where it passed."""
    vetoes: int = 0
    """Rows that no score outweighs."""

    def shares(self) -> list[gate.Row]:
        """What each row adds to the score, as gates tell it."""
        return [
            gate.Row(
                kind=row.check,
                weight=row.weight,
                points=row.score * row.weight / 100,
                checks=(row.check,),
                failed=() if row.outcome == "passed" else (row.check,),
            )
            for row in self.rows
            if row.weight
        ]

    def better_than(self, other: Table) -> bool:
        """Fewer vetoes, or as many and a higher score."""
        return (-self.vetoes, self.score) > (-other.vetoes, other.score)


def decide(plan: Plan, evidence: Sequence[Evidence], threshold: float) -> Table:
    """From evidence only; what nobody looked at counts as nothing."""
    seen = {one.check: one for one in evidence}
    counting = [one for one in plan.checks if one.required or _could(seen.get(one.name))]
    whole = sum(one.weight for one in counting) or 1.0
    rows = [_row(one, seen.get(one.name), one.weight / whole * 100 if one in counting else 0.0) for one in plan.checks]
    score = int(sum(row.score * row.weight for row in rows) / 10 + 1e-6) / 10
    vetoes = [reason for one, row in zip(plan.checks, rows, strict=True) if (reason := _veto(one, row, seen))]
    protected = seen.get(PROTECTED)
    if protected is not None and protected.outcome != "passed":
        vetoes.append(f"{PROTECTED}: {protected.summary}")
    below = [reason for one, row in zip(plan.checks, rows, strict=True) if (reason := _below(one, row, vetoes))]
    reasons = [*vetoes, *below]
    if score < threshold:
        reasons.append(f"score {score:g} is below {threshold:g}")
    return Table(
        verdict="failed" if reasons else "passed",
        score=score,
        threshold=threshold,
        rows=tuple(rows),
        reasons=tuple(reasons),
        vetoes=len(vetoes),
    )


def _could(seen: Evidence | None) -> bool:
    return seen is not None and seen.outcome != "unusable"


def _row(planned: Planned, seen: Evidence | None, weight: float) -> Row:
    return Row(
        check=planned.name,
        outcome=outcome(planned, seen),
        score=points(planned, seen),
        threshold=planned.threshold,
        weight=weight,
        required=planned.required,
        findings=_findings(seen),
        summary=seen.summary if seen is not None else "nobody looked",
        hint=planned.hint,
    )


def outcome(planned: Planned, seen: Evidence | None) -> Outcome:
    """Of one check, by what its own score has to reach."""
    if not _could(seen):
        return "unusable"
    return "passed" if points(planned, seen) >= planned.threshold and _holds(planned, seen) else "failed"


def _holds(planned: Planned, seen: Evidence | None) -> bool:
    """Of tests and of what must be whole, the outcome itself; of all others the score says it."""
    assert seen is not None
    return seen.outcome == "passed" if planned.kind in VETOES else True


def _findings(seen: Evidence | None) -> int:
    if seen is None:
        return 0
    return int(seen.counts.get("findings", seen.counts.get("failed", 0)))


def points(planned: Planned, seen: Evidence | None) -> float:
    """0 to 100, rounded down to a tenth."""
    if seen is None or seen.outcome == "unusable":
        return 0.0
    return min(100.0, max(0.0, int(_points(planned, seen) * 10 + 1e-6) / 10))


def _points(planned: Planned, seen: Evidence) -> float:
    counts = seen.counts
    match planned.kind:
        case "tests":
            if "tests" not in counts:  # nobody counted; the exit status is all that is known
                return 100.0 if seen.outcome == "passed" else 0.0
            share = 100.0 * counts.get("passed", 0) / counts["tests"] if counts["tests"] else 0.0
            return share if seen.outcome == "passed" else min(share, 99.0)
        case "coverage":
            return counts.get("coverage", 0.0)
        case "documentation" if "share" in counts:
            return (0.7 * counts["share"] + 30.0) if counts.get("readme") else 0.7 * counts["share"]
        case "complexity" if counts.get("functions"):
            return 100.0 * (1 - counts.get("findings", 0) / counts["functions"])
        case "syntax" if counts.get("files"):
            return 100.0 * (1 - counts.get("findings", 0) / counts["files"])
    if "findings" not in counts:
        return 100.0 if seen.outcome == "passed" else 0.0
    return 100.0 - POINTS_A_FINDING * counts["findings"] / max(counts.get("lines", 0), LINES_LEAST)


def _veto(planned: Planned, row: Row, seen: dict[str, Evidence]) -> str:
    """A failure that no score outweighs; empty where there is none."""
    evidence = seen.get(planned.name)
    if row.outcome == "unusable" or evidence is None:
        return ""
    if planned.kind == "tests" and evidence.counts.get("tests") == 0:
        return f"{planned.name}: zero tests were executed"
    if planned.kind in VETOES and row.outcome == "failed":
        return f"{planned.name}: {evidence.summary}"
    return ""


def _below(planned: Planned, row: Row, vetoes: Sequence[str]) -> str:
    if row.outcome == "unusable":
        return f"{row.check} could not look: {row.summary}" if planned.required else ""
    if row.outcome == "failed" and not any(veto.startswith(f"{row.check}:") for veto in vetoes):
        return f"{row.check}: {row.score:g} of {row.threshold:g}: {row.summary}"
    return ""


def round_threshold(number: int, final: float) -> float:
    """What round `number` (from 1) of mending has to reach."""
    return min(THRESHOLDS[number - 1], final) if number <= len(THRESHOLDS) else final


def progressed(best: Table, found: Table, number: int) -> bool:
    """Is it worth going on from there? It passed, reached what its round has to reach and is better, or is better by
    enough."""
    if found.verdict == "passed":
        return True
    if not found.better_than(best):
        return False
    gained = found.score >= best.score + GAIN or found.vetoes < best.vetoes
    return gained or found.score >= round_threshold(number, found.threshold)
