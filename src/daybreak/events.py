"""Every fact the ledger may hold.

Each class is one kind of event: frozen, typed, with a stable `type`. The payload in the ledger is the JSON of
its fields. Fields are only ever added, with a default; a change of meaning is a new class with a new `type`.
Streams: `queue` (tasks), `keys` (the ledger about itself), `run:<id>` (written by the run's owner only,
fenced by its epoch), `control:<id>` (everybody else about that run).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

State = Literal[
    "queued", "leased", "running", "waiting", "verifying", "paused", "parked", "done", "failed", "cancelled"
]
FINAL: frozenset[State] = frozenset({"done", "failed", "cancelled"})

QUEUE = "queue"
KEYS = "keys"


def run_stream(run: str) -> str:
    return f"run:{run}"


def control_stream(run: str) -> str:
    return f"control:{run}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. Subclasses set `type`, which is what the ledger's header holds."""

    type: ClassVar[str] = ""


# -- the ledger about itself


class LedgerCreated(Event, frozen=True, kw_only=True):
    """The first event of every ledger."""

    type: ClassVar[str] = "ledger.created"
    origin: str
    """The name in its signed heads."""
    public_key: str
    """Verification key, as a C2SP note verifier key."""


# -- tasks and runs


class TaskAdded(Event, frozen=True, kw_only=True):
    """Somebody asked for something."""

    type: ClassVar[str] = "task.added"
    task: str
    run: str
    kind: str
    title: str
    args: dict[str, Any]


class LeaseGranted(Event, frozen=True, kw_only=True):
    """A new owner has the run. Its header's epoch is one more than the last; older epochs are refused from here on."""

    type: ClassVar[str] = "lease.granted"
    run: str
    owner: str
    """A random token."""
    host: str
    pid: int


class RunMoved(Event, frozen=True, kw_only=True):
    """A run went from one state to another."""

    type: ClassVar[str] = "run.moved"
    run: str
    old: State
    new: State
    why: str = ""
    code: str = ""
    """The error's code where `new` is failed."""
    hint: str = ""
    question: str = ""
    """What a person must decide, where `new` is parked."""


class StepDone(Event, frozen=True, kw_only=True):
    """A step's result, kept: it is never computed again."""

    type: ClassVar[str] = "step.done"
    run: str
    branch: str
    """Path of concurrent children, `` for the root, `0.2` for the third child of the first."""
    name: str
    nth: int
    """0 for the first use of the name in that branch."""
    args: str
    """SHA-256 of the arguments as canonical JSON."""
    result: Any
    duration_ms: int = 0


class StepFailed(Event, frozen=True, kw_only=True):
    """A step raised; the run's code saw the error and a replay will see the same."""

    type: ClassVar[str] = "step.failed"
    run: str
    branch: str
    name: str
    nth: int
    args: str
    code: str
    message: str
    hint: str = ""
    duration_ms: int = 0


class StepIntended(Event, frozen=True, kw_only=True):
    """A `once` step is about to act outside. Without a later outcome its effect is ambiguous."""

    type: ClassVar[str] = "step.intended"
    run: str
    branch: str
    name: str
    nth: int
    args: str
    key: str
    """The stable idempotency key that the outside was given."""


class CancelAsked(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "cancel.asked"
    run: str
    why: str = ""


class Answered(Event, frozen=True, kw_only=True):
    """A person answered the question that a run was parked with."""

    type: ClassVar[str] = "question.answered"
    run: str
    question: str
    answer: Any


# -- a build


class PlanMade(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "plan.made"
    run: str
    plan: dict[str, Any]


class ExampleProved(Event, frozen=True, kw_only=True):
    """An acceptance example was run on nothing and on null programs."""

    type: ClassVar[str] = "example.proved"
    run: str
    example: str
    proves: bool
    why: str = ""
    """Where it proves nothing: what it passed on."""


class AttemptClaimed(Event, frozen=True, kw_only=True):
    """A worker's own word at the end of an attempt; not a verdict."""

    type: ClassVar[str] = "attempt.claimed"
    run: str
    attempt: int
    worker: str
    outcome: str
    summary: str
    workspace: str
    """SHA-256 of the tree it left."""
    not_built: list[str] = []


class CheckLooked(Event, frozen=True, kw_only=True):
    """Evidence."""

    type: ClassVar[str] = "check.looked"
    run: str
    attempt: int
    held_out: bool
    evidence: dict[str, Any]


class GateDecided(Event, frozen=True, kw_only=True):
    """A verdict, from evidence only."""

    type: ClassVar[str] = "gate.decided"
    run: str
    attempt: int
    workspace: str
    verdict: Literal["passed", "failed", "parked"]
    score: float
    """0 to 100, from the weights and the evidence named."""
    reasons: list[str] = []


class Delivered(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "delivered"
    run: str
    output: str
    workspace: str
    manifest: str
    """SHA-256 of the manifest file."""


def _all(base: type[Event]) -> dict[str, type[Event]]:
    return {kind.type: kind for kind in base.__subclasses__()}


BY_TYPE: dict[str, type[Event]] = _all(Event)
"""Every event class by its `type`."""
