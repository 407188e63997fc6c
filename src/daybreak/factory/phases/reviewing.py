"""Reviewers of a build: workers that look at a result which would pass its gate, and can only object.

Asked when every check has had its say; where the gate would fail anyway, nobody is asked. An objection with a place and
a reason makes the gate fail and is the finding of the role that can mend it. An answer that is none, or that comes from
nobody, changes nothing and is recorded as that. A reviewer sees what was asked, the files, and what checks saw; never
what an implementer said, and never an example that is held out.

While objections stand, half of the score is the share of those raised in the phase that are mended. So a rework that
mends some has got further, one that is objected to for the same reason has not, and a reviewer that always finds
something else is outrun by the gain that a rework must bring: no reviewer can keep a build from ending.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daybreak import events
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.factory.phases import reviewersbrief
from daybreak.factory.phases.filling import Filling, Tried
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.panel import Board, Panel, Subject
from daybreak.factory.phases.phase import Phase, Role
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.site import Site
from daybreak.host import tree
from daybreak.ledger import Ledger


@dataclass(frozen=True)
class _Passing:
    """A result as the checks alone have it."""

    judged: Judged
    iteration: int


@dataclass
class Reviewing:
    """Of one run; what it knows comes back from the ledger after a crash."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    filling: Filling
    panel: Panel = field(init=False)
    _boards: dict[str, Board] = field(default_factory=dict)
    """By phase."""
    _passing: dict[tuple[str, str], _Passing] = field(default_factory=dict)
    """By phase and workspace."""
    _number: int = 0
    """Of the attempt whose result is reviewed now."""

    def __post_init__(self) -> None:
        order = self.order
        self.panel = Panel(
            self.site,
            order.office,
            self.filling.attempts,
            order.kind,
            order.workers,
            order.sandbox,
            frozenset(role.name for phase in order.phases.phases for role in phase.reviewers),
            self.filling.left_s,
            self.filling.courses,
            self._rivals,
        )

    async def of(
        self,
        phase: Phase,
        iteration: int,
        made: Tried,
        evidence: Sequence[Evidence],
        decision: gate.Decision,
        roles: Sequence[Role],
    ) -> Reviewed:
        """What the phase's reviewers say of a result that the gate would decide about as in `decision`; nothing where
        it would fail. `roles` are those that can mend something."""
        if decision.verdict != "passed" or not phase.reviewers:
            return Reviewed()
        board = self._boards.setdefault(phase.name, Board(self.panel, phase.reviewers, phase.name))
        self._passing[phase.name, made.workspace] = _Passing(Judged(made, list(evidence), decision), iteration)
        self._number = made.number
        subject = Subject(
            made.number,
            made.worker,
            made.workspace,
            partial(self._opened, made),
            lambda template, raised, file: reviewersbrief.make(self.order, template, evidence, raised, file),
        )
        return await board.of(subject, roles)

    async def overruled(self, phase: Phase) -> Judged | None:
        """A result that passes every check and that a person takes over a reviewer's objections; None where there is
        none such, or the person does not want it. Parks with the question."""
        board = self._boards.get(phase.name)
        if board is None or board.asking is None:
            return None
        passing = self._passing[phase.name, board.asking.workspace]

        def taken(reason: str) -> events.GateDecided:
            judged, steps = passing.judged, self.order.spec.quality.thresholds
            return events.GateDecided(
                run=self.site.ctx.run,
                attempt=judged.made.number,
                workspace=judged.made.workspace,
                verdict="passed",
                score=judged.decision.score,
                reasons=[reason],
                phase=phase.name,
                iteration=passing.iteration,
                threshold=float(steps[min(passing.iteration, len(steps)) - 1]),
                table=[row.model_dump(mode="json") for row in judged.decision.table],
            )

        return passing.judged if await board.overruled(taken) is not None else None

    @contextmanager
    def _opened(self, made: Tried, scratch: Path) -> Iterator[Path]:
        folder = scratch / "workspace"
        tree.unpack(self.ledger.get_blob(made.tree), folder, made.workspace)
        yield folder

    def _rivals(self, told: Sequence[events.Event], left: Mapping[int, str]) -> set[int]:
        """The other candidates."""
        if self.order.phases.paradigm not in ("tournament", "consensus"):
            return set()
        judged = [one for one in told if isinstance(one, events.GateDecided) and one.attempt in left]
        first = {one.attempt: one.score for one in judged if one.iteration == 1 and one.phase == judged[0].phase}
        best = max(first, key=lambda one: (first[one], -one), default=0)
        return set(first) - {self._number if self._number in first else best}
