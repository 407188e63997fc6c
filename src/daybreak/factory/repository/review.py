"""Reviewers of a change to something that existed: what they are given (the files with the change in them, and the
words), and what follows for a task on a repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daybreak import events
from daybreak.agents.protocol import Brief
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.engine import Context
from daybreak.factory.attempting import Working
from daybreak.factory.consensus.objecting import Objection
from daybreak.factory.office import Office
from daybreak.factory.phases import reviewersbrief
from daybreak.factory.phases.panel import Board, Panel, Subject
from daybreak.factory.phases.vetoing import Reviewed
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository.checkout import Checkouts
from daybreak.factory.repository.left import Left
from daybreak.factory.repository.task import KIND

PATCH_CHARS_MAX = 30_000
"""Of the change, in the brief."""
FORM = (
    "The folder holds the result. It is a git repository with one commit, what was there before: `git status` and "
    "`git diff` show what was done. Object to what was done, or is missing in it; not to what was there before."
)


def brief(
    name: str,
    title: str,
    asked: str,
    checks: Sequence[str],
    evidence: Sequence[Evidence],
    patch: bytes,
    template: str,
    raised: Sequence[Objection],
    file: str,
) -> Brief:
    """`asked` is what was to be done, `checks` what decides whether it is; `file`: what the answer is to be called."""
    return Brief(
        name=name,
        title=title,
        summary=asked,
        constraints=(FORM, *reviewersbrief.form(file)),
        checks=tuple(checks),
        findings=tuple(reviewersbrief.objected(raised)),
        recall=f"{reviewersbrief.table(evidence)}\n\nThe change:\n{_cut(patch)}",
        role=template,
    )


@dataclass(frozen=True)
class Made:
    """What an attempt left, with what checks saw of it."""

    number: int
    worker: str
    left: Left
    evidence: list[Evidence]
    decision: gate.Decision
    """By the checks alone."""


@dataclass
class Reviewer:
    """Of one run."""

    checkouts: Checkouts
    board: Board
    _passing: dict[str, Made] = field(default_factory=dict)
    """By workspace."""

    @classmethod
    def of(cls, checkouts: Checkouts, office: Office, attempts: Working) -> Reviewer:
        async def left_s(_: Context) -> float:
            return args.time_s

        args = checkouts.args
        panel = Panel(
            checkouts.site,
            office,
            attempts,
            KIND,
            args.workers,
            args.sandbox,
            frozenset(role.name for role in args.reviewers),
            left_s,
            rivals=lambda told, left: set(left),  # each attempt begins from the base
        )
        return cls(checkouts, Board(panel, args.reviewers))

    async def of_made(self, made: Made) -> Reviewed:
        """What reviewers say of a result that passes every check; nothing of another one."""
        args = self.checkouts.args
        if made.decision.verdict != "passed" or not args.reviewers:
            return Reviewed()
        workspace = made.left.workspace(args.commit)
        self._passing[workspace] = made
        patch = self.checkouts.ledger.get_blob(made.left.patch)
        name = Path(args.repository).name
        subject = Subject(
            made.number,
            made.worker,
            workspace,
            partial(opened, self.checkouts, made.left),
            partial(brief, name, args.title, args.prompt, args.checks, made.evidence, patch),
        )
        return await self.board.of(subject, ())

    async def overruled(self) -> Made | None:
        """A result that passes every check and that a person takes over what reviewers object to."""

        def taken(reason: str) -> events.GateDecided:
            assert self.board.asking is not None
            made = self._passing[self.board.asking.workspace]
            return self.decided(made, made.decision.model_copy(update={"reasons": (reason,)}))

        subject = await self.board.overruled(taken)
        return None if subject is None else self._passing[subject.workspace]

    def decided(self, made: Made, decision: gate.Decision, *, whole: bool = False) -> events.GateDecided:
        """For the ledger. `whole`: with what the score is made of."""
        return events.GateDecided(
            run=self.checkouts.run,
            attempt=made.number,
            workspace=made.left.workspace(self.checkouts.args.commit),
            verdict=decision.verdict,
            score=decision.score,
            reasons=list(decision.reasons),
            table=[row.model_dump(mode="json") for row in decision.table] if whole else [],
        )


@contextmanager
def opened(checkouts: Checkouts, left: Left, scratch: Path) -> Iterator[Path]:
    """A fresh copy of what was left, in a git folder of its own whose one commit is the base."""
    with checkouts.base(scratch) as workspace:
        repositorygit.give_own_history(workspace)
        checkouts.apply(workspace, left)
        yield workspace.path


def _cut(patch: bytes) -> str:
    text = patch.decode("utf-8", "replace")
    left_out = len(text) - PATCH_CHARS_MAX
    return text if left_out <= 0 else f"{text[:PATCH_CHARS_MAX]}\n[{left_out} characters of it are left out here]"
