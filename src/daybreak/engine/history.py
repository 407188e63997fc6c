"""What a run's stream already holds: the outcomes that a replay is given, and where the run stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from daybreak.errors import HistoryDiverged
from daybreak.events import LeaseGranted, RunHeld, RunMoved, State, StepDone, StepFailed, StepIntended
from daybreak.ledger.record import Record

ASK = "ctx.ask"
RETURN = "ctx.return"
"""The name under which the value of the task itself is kept, in the commit that ends the run."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which step: its branch, name, use of the name in that branch from 0, and SHA-256 of its arguments."""

    branch: str
    name: str
    nth: int
    args: str

    def __str__(self) -> str:
        use = f" (use {self.nth + 1})" if self.nth else ""
        where = f" in branch {self.branch}" if self.branch else ""
        return f"step {self.name!r}{use}{where} with arguments {self.args[:12]}…"

    @property
    def key(self) -> str:
        """The ledger's idempotency key: one outcome for each place in the code."""
        return f"{self.branch}/{self.name}/{self.nth}"


@dataclass(frozen=True, slots=True)
class Outcome:
    index: int
    """Position in the ledger."""
    identity: Identity
    event: StepDone | StepFailed


@dataclass(frozen=True, slots=True)
class Intent:
    """A `once` step began, and nobody recorded how it ended."""

    index: int
    identity: Identity
    host: str
    """Where its owner ran."""


@dataclass
class History:
    """Of one run. `outcomes` and `intents` shrink as the replay uses them up."""

    run: str
    state: State = "queued"
    moved: RunMoved | None = None
    host: str = ""
    returned: StepDone | None = None
    """What the task's own code returned, where the run is done."""
    outcomes: dict[str, deque[Outcome]] = field(default_factory=dict)
    """By branch, in the order in which they were recorded."""
    intents: dict[str, Intent] = field(default_factory=dict)
    """By branch: at most one, because a branch does one step at a time."""
    held_at: int = -1
    """Position of the last word that the log was restored from a copy, after which the run may have gone on."""
    answered: dict[str, int] = field(default_factory=dict)
    """By question: position in the ledger of the last answer that was used."""

    @classmethod
    def read(cls, run: str, records: Iterable[Record]) -> History:
        history = cls(run)
        for record in records:
            history._take(record)
        return history

    def next(self, asked: Identity) -> Outcome | None:
        """The kept outcome of the step that the code asks for; None where the branch has come to its end.

        Raises HistoryDiverged where the branch goes on with another step than that.
        """
        kept = self.outcomes.get(asked.branch)
        if kept:
            if kept[0].identity != asked:
                raise diverged(self.run, held=str(kept[0].identity), asked=str(asked))
            return kept.popleft()
        intent = self.intents.get(asked.branch)
        if intent and intent.identity != asked:
            raise diverged(self.run, held=f"the beginning of {intent.identity}", asked=str(asked))
        return None

    def leftover(self, branch: str) -> Identity | None:
        """The first thing in a branch that the replay has not used."""
        if kept := self.outcomes.get(branch):
            return kept[0].identity
        intent = self.intents.get(branch)
        return intent.identity if intent else None

    def branches(self) -> list[str]:
        """Branches that hold something unused, in order."""
        return sorted({branch for branch in (*self.outcomes, *self.intents) if self.leftover(branch)})

    def abandon(self, branch: str) -> None:
        """Forget what a branch and those below it hold: it was cancelled, so nobody will ask for it."""
        for name in {*self.outcomes, *self.intents}:
            if name == branch or name.startswith(f"{branch}."):
                self.outcomes.pop(name, None)
                self.intents.pop(name, None)

    def _take(self, record: Record) -> None:
        match record.event:
            case RunMoved() as moved:
                self.state, self.moved = moved.new, moved
            case RunHeld():
                self.held_at = record.index
            case LeaseGranted(host=host):
                self.host = host
            case StepDone(name=name) as done if name == RETURN:
                self.returned = done
            case StepDone() | StepFailed() as event:
                identity = _identity(event)
                self.intents.pop(identity.branch, None)
                self.outcomes.setdefault(identity.branch, deque()).append(Outcome(record.index, identity, event))
            case StepIntended() as event:
                self.intents[event.branch] = Intent(record.index, _identity(event), self.host)
            case _:
                pass  # facts of the task's own


def _identity(event: StepDone | StepFailed | StepIntended) -> Identity:
    return Identity(event.branch, event.name, event.nth, event.args)


def diverged(run: str, *, held: str, asked: str) -> HistoryDiverged:
    return HistoryDiverged(
        f"run {run} does not fit its history: history holds {held}, the code asks for {asked}",
        hint="the task's code or its input changed since the run began: resume with the version it began "
        "with, or start a new run",
    )
