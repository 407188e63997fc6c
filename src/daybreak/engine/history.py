"""What a run's stream already holds: the outcomes that a replay is given, and where the run stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from daybreak.errors import EngineError, HistoryDiverged
from daybreak.events import (
    LeaseGranted,
    RunHeld,
    RunMoved,
    RunRolledBack,
    State,
    StepDone,
    StepFailed,
    StepIntended,
    StepTried,
)
from daybreak.ledger.record import Record

ASK = "ctx.ask"
RETURN = "ctx.return"
"""The name under which the value of the task itself is kept, in the commit that ends the run."""


class PastForgotten(EngineError):
    """What a run was given or has kept was forgotten with its subject: it cannot go on."""

    code = "E213"


class Identity(msgspec.Struct, frozen=True):
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


class Outcome(msgspec.Struct, frozen=True):
    index: int
    """Position in the ledger."""
    identity: Identity
    event: StepDone | StepFailed
    redacted: bool = False
    """What it says was forgotten with the run's subject."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A `once` step began, and nobody recorded how it ended."""

    index: int
    identity: Identity
    host: str
    """Where its owner ran."""
    seat: str = ""
    """That of its owner, where several homes share the ledger."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A step failed before and is to be tried again; the last word about it."""

    index: int
    identity: Identity
    event: StepTried


@dataclass
class History:
    """Of one run. `outcomes` and `intents` shrink as the replay uses them up."""

    run: str
    state: State = "queued"
    moved: RunMoved | None = None
    host: str = ""
    seat: str = ""
    """Of the last owner, where several homes share the ledger."""
    seq: int = -1
    """Of the last event in the run's stream."""
    returned: StepDone | None = None
    """What the task's own code returned, where the run is done."""
    outcomes: dict[str, deque[Outcome]] = field(default_factory=dict)
    """By branch, in the order in which they were recorded."""
    intents: dict[str, Intent] = field(default_factory=dict)
    """By branch: at most one, because a branch does one step at a time."""
    tried: dict[str, Tried] = field(default_factory=dict)
    """By branch: the last failed try of the step that it is at."""
    once: set[int] = field(default_factory=set)
    """Positions of the outcomes of `once` steps."""
    gen: int = 0
    """How often it was rolled back."""
    codes: list[str] = field(default_factory=list)
    """Fingerprints of the code that had it, without repeats in a row."""
    lease_at: str = ""
    """When the last owner took it."""
    last_at: str = ""
    """When its last event was recorded."""
    barren: int = 0
    """Owners in a row that had it and left nothing behind."""
    rolled_at: int = -1
    """Position of the last rollback; answers from before it are asked for again."""
    held_at: int = -1
    """Position of the last word that the log was restored from a copy, after which the run may have gone on."""
    signalled: dict[str, int] = field(default_factory=dict)
    """By name: position in the ledger of the last signal that was used."""
    answered: dict[str, int] = field(default_factory=dict)
    """By question: position in the ledger of the last answer that was used."""

    @classmethod
    def read(cls, run: str, records: Iterable[Record]) -> History:
        history = cls(run)
        for record in records:
            history.take(record)
        return history

    def next(self, asked: Identity) -> Outcome | None:
        """The kept outcome of the step that the code asks for; None where the branch has come to its end.

        Raises HistoryDiverged where the branch goes on with another step than that, PastForgotten where the outcome
        cannot be read any more.
        """
        kept = self.outcomes.get(asked.branch)
        if kept:
            if kept[0].identity != asked:
                raise diverged(self.run, held=str(kept[0].identity), asked=str(asked))
            if kept[0].redacted:
                raise past_forgotten(self.run, f"the outcome of {asked}")
            return kept.popleft()
        intent = self.intents.get(asked.branch)
        if intent and intent.identity != asked:
            raise diverged(self.run, held=f"the beginning of {intent.identity}", asked=str(asked))
        return None

    def next_try(self, asked: Identity) -> StepTried | None:
        """What is known of the last failed try of the step that begins now."""
        tried = self.tried.pop(asked.branch, None)
        return tried.event if tried is not None and tried.identity == asked else None

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
        for name in {*self.outcomes, *self.intents, *self.tried}:
            if name == branch or name.startswith(f"{branch}."):
                self.outcomes.pop(name, None)
                self.intents.pop(name, None)
                self.tried.pop(name, None)

    def take(self, record: Record) -> None:
        self.last_at, self.seq = record.ts, record.seq
        match record.event:
            case RunMoved() as moved:
                self.state, self.moved = moved.new, moved
                if moved.new not in ("leased", "running", "queued"):
                    self.barren = 0
            case RunHeld():
                self.held_at = record.index
            case LeaseGranted(host=host, seat=seat, code=code):
                self.host, self.seat, self.lease_at = host, seat, record.ts
                self.barren += 1
                if code and self.codes[-1:] != [code]:
                    self.codes.append(code)
            case StepDone(name=name) as done if name == RETURN:
                self.returned = done
            case StepDone() | StepFailed() as event:
                self._take_outcome(Outcome(record.index, _identity(event), event, record.redacted))
            case StepIntended() as event:
                self.intents[event.branch] = Intent(record.index, _identity(event), self.host, self.seat)
            case StepTried() as event:
                self.barren = 0
                self.intents.pop(event.branch, None)
                self.tried[event.branch] = Tried(record.index, _identity(event), event)
            case RunRolledBack() as back:
                self._roll_back(back.index)
                self.gen, self.rolled_at = record.gen, record.index
            case _:
                pass  # facts of the task's own

    def _take_outcome(self, outcome: Outcome) -> None:
        self.barren = 0
        branch = outcome.identity.branch
        if self.intents.pop(branch, None) is not None:
            self.once.add(outcome.index)
        self.tried.pop(branch, None)
        self.outcomes.setdefault(branch, deque()).append(outcome)

    def _roll_back(self, index: int) -> None:
        """Forget everything from that position on."""
        for branch, kept in list(self.outcomes.items()):
            self.outcomes[branch] = deque(outcome for outcome in kept if outcome.index < index)
        self.intents = {branch: intent for branch, intent in self.intents.items() if intent.index < index}
        self.tried = {branch: tried for branch, tried in self.tried.items() if tried.index < index}
        self.once = {place for place in self.once if place < index}
        self.returned = None


def _identity(event: StepDone | StepFailed | StepIntended | StepTried) -> Identity:
    return Identity(event.branch, event.name, event.nth, event.args)


def past_forgotten(run: str, what: str) -> PastForgotten:
    return PastForgotten(
        f"run {run} cannot go on: {what} was forgotten with the subject that it is about",
        hint="what it has done stays done; start a new run where there is still something to do",
    )


def diverged(run: str, *, held: str, asked: str) -> HistoryDiverged:
    return HistoryDiverged(
        f"run {run} does not fit its history: history holds {held}, the code asks for {asked}",
        hint="the task's code or its input changed since the run began: resume with the version it began "
        "with, or start a new run",
    )
