"""Reviewers of what was mended: asked where every check holds, they can only object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from daybreak import events
from daybreak.checks import gate
from daybreak.engine import Context
from daybreak.factory.attempting import Working
from daybreak.factory.office import Office
from daybreak.factory.phases.panel import Board, Panel, Subject
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import review
from daybreak.factory.validate.job import Job
from daybreak.factory.validate.state import State
from daybreak.factory.validate.task import KIND

ASKED = "Mend what the checks found in this project, without changing what it does otherwise."
FIXERS = "fixers"
"""Who made what no worker made."""


@dataclass
class Reviewer:
    """Of one run."""

    job: Job
    board: Board
    _passing: dict[str, State] = field(default_factory=dict)
    """By workspace, as the checks alone have it."""

    @classmethod
    def of(cls, job: Job, office: Office, attempts: Working) -> Reviewer:
        async def left_s(_: Context) -> float:
            return job.args.time_s

        args = job.args
        names = frozenset(role.name for role in args.reviewers)
        panel = Panel(job.site, office, attempts, KIND, args.workers, args.sandbox, names, left_s)
        return cls(job, Board(panel, args.reviewers))

    async def of_state(self, state: State, number: int, worker: str) -> tuple[State, Reviewed]:
        """The same where nobody objects; otherwise one that does not pass, whatever its checks say. Only what passes
        and was changed is reviewed. `number`: of the attempt that made it, 0 for what fixers made."""
        job = self.job
        if (
            not job.args.reviewers
            or state.table.verdict != "passed"
            or not state.acceptable
            or state.commit == job.base
        ):
            return state, Reviewed()
        job.need(state.commit)
        workspace, patch = job.tree(state.commit), job.states.difference(job.base, state.commit)
        self._passing[workspace] = state
        checks = [f"{one.kind}: {one.command}" for one in job.plan.checks if not one.missing and one.how != "beside"]
        title = f"Repair {job.name}"
        told = partial(review.brief, job.name, title, ASKED, checks, state.evidence, patch)
        subject = Subject(number, worker, workspace, partial(self._opened, state.commit, patch), told)
        reviewed = await self.board.of(subject, ())
        return (_objected(state, reviewed) if reviewed.mends else state), reviewed

    async def overruled(self) -> State | None:
        """A state that passes every check and that a person takes over what reviewers object to."""

        def taken(reason: str) -> events.GateDecided:
            subject = self.board.asking
            assert subject is not None
            table = self._passing[subject.workspace].table
            return events.GateDecided(
                run=self.job.ctx.run,
                attempt=subject.number,
                workspace=subject.workspace,
                verdict="passed",
                score=table.score,
                reasons=[reason],
                threshold=table.threshold,
                table=[row.model_dump(mode="json") for row in table.shares()],
            )

        subject = await self.board.overruled(taken)
        return None if subject is None else self._passing[subject.workspace]

    @contextmanager
    def _opened(self, commit: str, patch: bytes, scratch: Path) -> Iterator[Path]:
        """A fresh copy of the state, in a git folder of its own whose one commit is what was found."""
        job = self.job
        job.need(job.base)
        workspace = job.workspaces(scratch).from_git(job.states.repository, job.base, history=False)
        try:
            repositorygit.give_own_history(workspace)
            repositorygit.apply(workspace, patch)
            yield workspace.path
        finally:
            workspace.discard("lost")


def _objected(state: State, reviewed: Reviewed) -> State:
    table = state.table
    decision = gate.Decision(
        verdict=table.verdict, score=table.score, reasons=table.reasons, table=tuple(table.shares())
    )
    weighed = reviewed.weighed(decision)
    update = {"verdict": weighed.verdict, "score": weighed.score, "reasons": weighed.reasons}
    return replace(
        state,
        table=table.model_copy(update=update),
        evidence=(*state.evidence, *reviewed.evidence),
        objected=True,
    )
