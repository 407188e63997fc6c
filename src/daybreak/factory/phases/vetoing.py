"""What follows from what reviewers object to: a gate that does not hold, and who mends what.

Pure. Nothing here makes a decision better than the checks have made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daybreak import events
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.consensus.objecting import Objection
from daybreak.factory.phases.phase import IMPLEMENTER, REVIEW, Role

REASONS_MAX = 10
SHOWN_CHARS_MAX = 400
"""Of one objection, in a gate's reasons and in a question."""


@dataclass(frozen=True)
class Review:
    """What one reviewing role has said of one workspace."""

    role: Role
    worker: str
    vetoes: tuple[Objection, ...] = ()


@dataclass(frozen=True)
class Reviewed:
    """What all of them have said of it. `mends`: for each objection that stands, the role that can mend it."""

    reviews: tuple[Review, ...] = ()
    mends: tuple[tuple[str, Objection], ...] = ()
    raised: int = 0
    """Objections of the phase so far, these included."""
    evidence: tuple[Evidence, ...] = ()
    """One piece for each role that something is to be mended by."""

    def looked(self, run: str, number: int) -> list[events.Event]:
        """For the ledger, with the number of the attempt that was reviewed."""
        return [
            events.CheckLooked(run=run, attempt=number, held_out=False, evidence=seen.model_dump(mode="json"))
            for seen in self.evidence
        ]

    def weighed(self, decision: gate.Decision) -> gate.Decision:
        """The same where nobody objects; otherwise failed, whatever the score. It never becomes better."""
        if not self.mends:
            return decision
        share = (self.raised - len(self.mends)) / self.raised
        names = tuple(seen.check for seen in self.evidence)
        rows = [one.model_copy(update={"weight": one.weight / 2, "points": one.points / 2}) for one in decision.table]
        rows.append(gate.Row(kind=REVIEW, weight=50, points=50 * share, checks=names, failed=names))
        rows.sort(key=lambda row: (-row.weight, row.kind))
        told = [
            f"{review.role.name} {review.worker} objects: {one.words[:SHOWN_CHARS_MAX]}"
            for review in self.reviews
            for one in review.vetoes
        ]
        if len(told) > REASONS_MAX:
            told = [*told[:REASONS_MAX], f"and {len(told) - REASONS_MAX} more objections"]
        return gate.Decision(
            verdict="failed",
            score=min(decision.score, int(sum(row.points for row in rows) * 10 + 1e-6) / 10),
            reasons=(*decision.reasons, *told),
            table=tuple(rows),
        )


def mender(roles: Sequence[Role], file: str) -> str:
    """The role that mends what is wrong in that file: the first whose own it is; otherwise the implementer's, and where
    there is none of that name, that of the first who may write it, or of the first."""
    owner = next((role for role in roles if role.writes and role.may_write(file)), None)
    usual = next((role for role in roles if role.name == IMPLEMENTER), None)
    found = (
        owner or usual or next((role for role in roles if role.may_write(file)), None) or (roles[0] if roles else None)
    )
    return found.name if found is not None else IMPLEMENTER


def evidence_of(workspace: str, mends: Sequence[tuple[str, Objection]]) -> list[Evidence]:
    by_role: dict[str, list[Objection]] = {}
    for role, one in mends:
        by_role.setdefault(role, []).append(one)
    return [
        Evidence(
            check=f"{REVIEW}:{role}",
            workspace=workspace,
            outcome="failed",
            summary=f"{len(found)} objection{'s' if len(found) > 1 else ''} of reviewers",
            marks=tuple(Mark(message=one.words.removeprefix(f"{one.place}: "), place=one.place) for one in found),
        )
        for role, found in by_role.items()
    ]
