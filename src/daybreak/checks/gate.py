"""Decides from evidence, and from nothing else.

Score: each kind of check contributes its weight times the share of it that held; the sum is given in percent
of the weights of all kinds that were required or seen. Some failures no score can outweigh: vetoes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daybreak.checks.evidence import Evidence
from daybreak.errors import CheckError

EXAMPLE = "example"
VETOES = frozenset({EXAMPLE, "tests", "install", "syntax"})
"""Kinds of check that must pass, whatever the score."""
REQUIRED = ("structure", "syntax", "install", "lint", "types", "tests")
"""Checks without whose evidence nothing passes."""


class MixedEvidence(CheckError):
    """Evidence about different workspaces, or two pieces of one check, cannot be weighed together."""

    code = "C121"


@dataclass(frozen=True, slots=True)
class Weights:
    """What each kind of check is worth, in any unit; only the ratios count. 0 leaves a kind out of the score.

    The defaults: what a user asked to see counts half, the project's own tests a fifth, the rest is about how
    well others can work with the result.
    """

    example: float = 50
    tests: float = 20
    types: float = 10
    lint: float = 8
    install: float = 5
    structure: float = 4
    syntax: float = 3

    def of(self, kind: str) -> float:
        """The weight of a kind; of one that is not named here 0."""
        weight: float = asdict(self).get(kind, 0)
        if weight < 0:
            raise ValueError(f"the weight of {kind} is {weight}; weights are 0 or more")
        return weight


class Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    verdict: Literal["passed", "failed"]
    score: float = Field(ge=0, le=100)
    """Rounded down to a tenth, so that 100 means all."""
    reasons: tuple[str, ...] = ()
    """Why not; empty where it passed."""


def decide(
    evidence: Sequence[Evidence],
    *,
    weights: Weights | None = None,
    threshold: float = 85,
    vetoes: Collection[str] = VETOES,
    required: Collection[str] = REQUIRED,
) -> Decision:
    """Passed where all required evidence is there, no veto fell and the score reaches `threshold`.

    `required` names checks as evidence does (`tests`, `example:<id>`); `vetoes` names kinds (`example` for
    all examples). `unusable` counts like `failed`. Raises MixedEvidence.
    """
    _refuse_mixed(evidence)
    seen = {one.check: one for one in evidence}
    reasons = [f"{check}: nobody looked" for check in required if check not in seen]
    for one in evidence:
        if one.outcome != "passed" and _kind(one.check) in vetoes:
            reasons.append(f"{one.check} {_words(one)}")
        if _kind(one.check) == "tests" and one.outcome == "passed" and one.counts.get("tests", 0) < 1:
            reasons.append("tests: no test was executed")
    score = _score(seen, required, weights or Weights())
    if score < threshold:
        unmet = [f"{one.check} {_words(one)}" for one in evidence if one.outcome != "passed"]
        reasons.append(f"score {score:g} is below {threshold:g}")
        reasons += [reason for reason in unmet if reason not in reasons]
    return Decision(verdict="failed" if reasons else "passed", score=score, reasons=tuple(reasons))


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


def _score(seen: dict[str, Evidence], required: Iterable[str], weights: Weights) -> float:
    by_kind: dict[str, list[float]] = {}
    for check in {*seen, *required}:
        held = seen.get(check)
        by_kind.setdefault(_kind(check), []).append(1.0 if held is not None and held.outcome == "passed" else 0.0)
    whole = sum(weights.of(kind) for kind in by_kind)
    if whole == 0:
        return 0.0
    reached = sum(weights.of(kind) * sum(shares) / len(shares) for kind, shares in by_kind.items())
    return int(reached / whole * 1000 + 1e-9) / 10
