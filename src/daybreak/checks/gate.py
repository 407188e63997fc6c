"""Decides from evidence, and from nothing else.

Score: each kind of check contributes its weight times the share of it that held; the sum is given in percent
of the weights of all kinds that were required or seen. Some failures no score can outweigh: vetoes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daybreak.checks.evidence import Evidence
from daybreak.errors import CheckError

EXAMPLE = "example"
VETOES = frozenset({EXAMPLE, "tests", "install", "syntax"})
"""Kinds of check that must pass, whatever the score."""
REQUIRED = ("structure", "syntax", "install", "lint", "types", "tests")
"""Checks without whose evidence nothing passes."""
SCORED_ONLY = frozenset({"mutation"})
"""Kinds of check whose being unable to look costs their weight and no more: how far a sample gets depends on how busy a
machine is."""


class MixedEvidence(CheckError):
    """Evidence about different workspaces, or two pieces of one check, cannot be weighed together."""

    code = "C121"


WEIGHTS: Mapping[str, float] = {
    "example": 50,
    "tests": 20,
    "types": 10,
    "lint": 8,
    "security": 5,
    "install": 5,
    "structure": 4,
    "deployment": 4,
    "coverage": 4,
    "syntax": 3,
    "build": 3,
    "format": 2,
    "mutation": 6,
    "complexity": 2,
    "documentation": 2,
    "traceability": 2,
    "requirements": 1,
    "design": 1,
}
"""What each kind of check is worth, in any unit; only the ratios count, and only of the kinds that a gate asks for.

What a user asked to see counts half, the project's own tests a fifth, the rest is about how well others can work with
the result. A kind that is not named here counts nothing: it can only veto."""


class WeightsWrong(CheckError):
    """Weights that no score can be made of."""

    code = "C122"


class Row(BaseModel):
    """What one kind of check adds to the score."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: str
    weight: float
    """In percent of all weights of the table."""
    points: float
    """Of `weight`, by the share of its checks that passed."""
    checks: tuple[str, ...]
    """Those that were asked for or seen; evidence of each is in the ledger under that name."""
    failed: tuple[str, ...] = ()
    """Those of them that did not pass, or that nobody looked at."""
    unseen: tuple[str, ...] = ()
    """Those that could not look, and that the gate does without: they count nothing, and are no marks for anybody."""


class Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    verdict: Literal["passed", "failed"]
    score: float = Field(ge=0, le=100)
    """Rounded down to a tenth, so that 100 means all."""
    reasons: tuple[str, ...] = ()
    """Why not; empty where it passed."""
    table: tuple[Row, ...] = ()
    """What the score is made of, the weightiest first."""


def decide(
    evidence: Sequence[Evidence],
    *,
    weights: Mapping[str, float] = WEIGHTS,
    threshold: float = 85,
    vetoes: Collection[str] = VETOES,
    required: Collection[str] = REQUIRED,
    spared: Collection[str] = (),
) -> Decision:
    """Passed where all required evidence is there, no veto fell and the score reaches `threshold`.

    `required` names checks as evidence does (`tests`, `example:<id>`); `vetoes` names kinds (`example` for
    all examples). `unusable` counts like `failed`, and of a check that is required no score outweighs it: what nobody
    could look at is not known to be well. `spared` names checks that may be unable to look: then they count nothing.
    Raises MixedEvidence, WeightsWrong.
    """
    _refuse_mixed(evidence)
    seen = {one.check: one for one in evidence}
    reasons = [f"{check}: nobody looked" for check in required if check not in seen]
    unseen = {one.check for one in evidence if one.outcome == "unusable" and one.check in spared}
    for one in evidence:
        if one.check in unseen:
            continue
        could_not = one.outcome == "unusable" and one.check in required and _kind(one.check) not in SCORED_ONLY
        if one.outcome != "passed" and (_kind(one.check) in vetoes or could_not):
            reasons.append(f"{one.check} {_words(one)}")
        if _kind(one.check) == "tests" and one.outcome == "passed" and one.counts.get("tests", 0) < 1:
            reasons.append("tests: no test was executed")
    table = _table(seen, required, weights, unseen)
    score = int(sum(row.points for row in table) * 10 + 1e-6) / 10
    if score < threshold:
        unmet = [
            f"{one.check} {_words(one)}" for one in evidence if one.outcome != "passed" and one.check not in unseen
        ]
        reasons.append(f"score {score:g} is below {threshold:g}")
        reasons += [reason for reason in unmet if reason not in reasons]
    return Decision(verdict="failed" if reasons else "passed", score=score, reasons=tuple(reasons), table=table)


def _words(one: Evidence) -> str:
    return f"{'could not look' if one.outcome == 'unusable' else 'failed'}: {one.summary}"


def _refuse_mixed(evidence: Sequence[Evidence]) -> None:
    workspaces = sorted({one.workspace for one in evidence})
    if len(workspaces) > 1:
        raise MixedEvidence(
            f"evidence about {len(workspaces)} workspaces: {', '.join(hash[:12] for hash in workspaces)}",
            hint="look at one workspace with every check, then decide",
        )
    checks = [one.check for one in evidence]
    if twice := sorted({check for check in checks if checks.count(check) > 1}):
        raise MixedEvidence(
            f"two pieces of evidence for {', '.join(twice)}", hint="keep one piece of evidence for each check"
        )


def _kind(check: str) -> str:
    return check.partition(":")[0]


def _table(
    seen: Mapping[str, Evidence], required: Iterable[str], weights: Mapping[str, float], unseen: Collection[str]
) -> tuple[Row, ...]:
    by_kind: dict[str, list[str]] = {}
    for check in sorted({*seen, *required}):
        by_kind.setdefault(_kind(check), []).append(check)
    for kind in by_kind:
        if not 0 <= weights.get(kind, 0) < float("inf"):
            raise WeightsWrong(f"the weight of {kind} is {weights[kind]}", hint="weights are 0 or more")
    counting = {kind: [one for one in checks if one not in unseen] for kind, checks in by_kind.items()}
    whole = sum(weights.get(kind, 0) for kind, checks in counting.items() if checks) or 1.0
    rows = []
    for kind, checks in by_kind.items():
        looked = counting[kind]
        failed = tuple(check for check in looked if check not in seen or seen[check].outcome != "passed")
        weight = weights.get(kind, 0) / whole * 100 if looked else 0.0
        points = weight * (len(looked) - len(failed)) / len(looked) if looked else 0.0
        left_out = tuple(one for one in checks if one in unseen)
        rows.append(Row(kind=kind, weight=weight, points=points, checks=tuple(checks), failed=failed, unseen=left_out))
    return tuple(sorted(rows, key=lambda row: (-row.weight, row.kind)))
