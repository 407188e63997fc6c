"""The words of a night: what it is told, what it tells, and what others do for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from daybreak.errors import EngineError, UsageError
from daybreak.host.locks import Owner
from daybreak.policy.budget import Limit

WORKERS_MAX = 1000

Why = Literal["empty", "deadline", "budget", "stopped", "incident", "failed", "died"]
IfBusy = Literal["refuse", "wait", "help"]
PingKind = Literal["begin", "alive", "end"]


class SupervisorBusy(EngineError):
    """Another supervisor works on this state folder."""

    code = "E221"

    def __init__(self, message: str, *, hint: str, owner: Owner | None) -> None:
        super().__init__(message, hint=hint)
        self.owner = owner


class OtherHomeBusy(SupervisorBusy):
    """A night of another home is at work on the same ledger, and this one was not told to join it."""

    code = "E262"


class SeatLost(EngineError):
    """Others took this night for dead, because it was silent for too long, and have ended it."""

    code = "E263"


class NightMisplanned(UsageError):
    """A night that cannot be."""

    code = "U182"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a night goes. All times in seconds. Raises NightMisplanned."""

    workers: int = 4
    """Runs at once, 1 to 1000."""
    until: datetime | None = None
    """When it ends; None: when a person, the budget or, with `once`, the queue ends it."""
    budget: Limit | None = None
    """The most that it and the nights that it goes on with may use."""
    once: bool = False
    """It ends when nothing is left to do before `until`."""
    if_busy: IfBusy = "refuse"
    """Where another supervisor is at work: an error, wait for its end, or work beside it from the same queue."""
    join: bool = False
    """Work beside nights of other homes that share the ledger, and share the budget of theirs."""
    stuck_s: float = 1800.0
    """A run that makes no progress for so long is ended and parked."""
    run_limit_s: float | None = None
    """The most that a run may keep its worker."""
    grace_s: float = 30.0
    """How long runs under way get to reach the end of their step when the night ends."""
    leave_s: float = 10.0
    """How long runs that were cancelled after that get to be gone."""
    poll_s: float = 1.0
    """How soon it sees what other processes have appended."""
    lease_s: float = 60.0
    """An owner that has promised to beat and is silent for so long has stopped."""
    recover_s: float = 60.0
    """How often it looks for runs that a crash has left."""
    ping_s: float = 300.0
    """How often it tells the outside that it lives."""

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= WORKERS_MAX:
            raise NightMisplanned(f"{self.workers!r:.80} workers", hint=f"1 to {WORKERS_MAX}")
        if self.until is not None and self.until.tzinfo is None:
            raise NightMisplanned(f"{self.until!r:.80} has no time zone", hint="give it one")
        for name in ("stuck_s", "run_limit_s", "grace_s", "leave_s", "poll_s", "lease_s", "recover_s", "ping_s"):
            value = getattr(self, name)
            if value is not None and not (value > 0 or (name == "grace_s" and value == 0)):
                raise NightMisplanned(f"{name}={value!r:.80}", hint="it must be more than nothing")

    @property
    def look_s(self) -> float:
        """How often silence of owners and of runs is looked at."""
        limits = [self.lease_s / 6, self.stuck_s / 6, (self.run_limit_s or self.stuck_s) / 6, max(30.0, self.poll_s)]
        return min(limits)

    @property
    def beat_s(self) -> float:
        return min(5.0, self.lease_s / 6)


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a hook found."""

    level: int
    """0 for the record, 1 worth a look, 2 somebody must act."""
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """A night as it is now; volatile."""

    night: str
    began: datetime
    until: datetime | None
    workers: int
    helper: bool
    """It works beside another supervisor of the same home."""
    ending: str
    """Why it is coming to its end; empty while it is not."""
    runs: Mapping[str, datetime]
    """Under way → since when it has its worker."""


@dataclass(frozen=True, slots=True)
class NightResult:
    """How a night went."""

    night: str
    """Empty where it was stopped before it began."""
    why: Why
    counts: Mapping[str, int]
    """Runs that it brought to each state."""
    used: Mapping[str, int]
    """Fields of `policy.budget.Amounts`; empty without a budget."""
    began: datetime
    ended: datetime
    text: str
    went_before: str = ""


Finds = Callable[[], Awaitable[Sequence[Found]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What others do for a night; all optional. One that fails, or takes longer than `limit_s`, is noted, and the night
    goes on."""

    preflight: Finds | None = None
    """Before the first run."""
    reconcile: Finds | None = None
    """After the last run: do the views say what the events say?"""
    snapshot: Finds | None = None
    """After that."""
    beat: Callable[[Status], Awaitable[None]] | None = None
    """Every few seconds."""
    ping: Callable[[PingKind], Awaitable[None]] | None = None
    """At the begin, every few minutes, and at the end if the night did not fail."""
    report: Callable[[str], Awaitable[None]] | None = None
    """After its closing event; is given its name."""
    abandon: Callable[[Sequence[str]], Awaitable[None]] | None = None
    """Runs have not ended although they were cancelled (a thread that hangs), and everything is recorded: end the
    process. Without it, the night waits for them."""
    limit_s: float = 3600.0
