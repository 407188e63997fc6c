"""A state of a project with what was seen of it, and what a worker is told of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from daybreak.agents.protocol import Finding
from daybreak.checks.evidence import Evidence
from daybreak.factory import brief as briefs
from daybreak.factory.validate.guards import Guards
from daybreak.factory.validate.table import PROTECTED, Table

FINDINGS_CHARS_MAX = 20_000


@dataclass(frozen=True)
class State:
    """A state of the project, and what was seen of it."""

    commit: str
    table: Table
    evidence: tuple[Evidence, ...]
    guards: dict[str, Guards] = field(default_factory=dict)
    """By check."""
    objected: bool = False
    """It passes every check, and reviewers object to it."""

    @property
    def passes_checks(self) -> bool:
        return self.objected or self.table.verdict == "passed"

    @property
    def acceptable(self) -> bool:
        """Nothing that is protected was changed, and no test that passed is worse."""
        return all(
            one.counts.get("regressions", 0) == 0 and (one.check != PROTECTED or one.outcome == "passed")
            for one in self.evidence
        )

    def better_than(self, other: State) -> bool:
        """Acceptable, and it passes every check where the other does not, or its table is better."""
        if not self.acceptable:
            return False
        if (self.objected or other.objected) and self.passes_checks != other.passes_checks:
            return self.passes_checks
        return self.table.better_than(other.table)

    def judged(self) -> State:
        """With what makes it unacceptable as a reason, so that its verdict is no `passed`."""
        if self.acceptable or self.table.verdict != "passed":
            return self
        worse = [one.summary for one in self.evidence if one.counts.get("regressions", 0)]
        return replace(self, table=self.table.model_copy(update={"verdict": "failed", "reasons": tuple(worse)}))

    def rejected(self) -> list[Finding]:
        """Why it was not taken, which a worker made."""
        found = [one for one in self.evidence if one.check == PROTECTED or one.counts.get("regressions", 0)]
        return [
            Finding(check=one.check, message=f"the attempt before was not taken: {one.summary}")
            for one in found
            if one.outcome != "passed"
        ]

    def findings(self, rejected: Sequence[Finding]) -> list[Finding]:
        """What is to be mended, the weightiest first, after what was wrong with the attempt before."""
        below = {row.check for row in self.table.rows if row.outcome == "failed"}
        failed = (one for one in self.evidence if one.outcome == "failed")
        order = sorted(failed, key=lambda one: one.check not in below)
        kept: list[Finding] = []
        chars = 0
        for one in [*rejected, *briefs.findings(order, frozenset())]:
            chars += len(one.message)
            if chars > FINDINGS_CHARS_MAX and kept:
                break
            kept.append(one)
        return kept
