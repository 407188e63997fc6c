"""Incidents: what happened that the threat model speaks of, how bad it is, and what is to be done.

Level 1 is logged. Level 2 pauses the task with a question. Level 3 stops the night and alerts. `response` is a pure
function; whoever drives the night carries it out. Several incidents of level 1 of one kind in one run within a window
are one of level 2: a worker that keeps trying is not mistaken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from daybreak.policy.refusal import (
    NotAllowed,
    ProtectedAsked,
    TokenElsewhere,
    TokenExpired,
    TokenForged,
    TokenRevoked,
)

Level = Literal[1, 2, 3]

Kind = Literal[
    "capability_refused",
    "protected_asked",
    "injection_marked",
    "remains_left",
    "cluster_exposed",
    "holder_ended",
    "injection_refused",
    "token_misused",
    "token_forged",
    "budget_overrun",
    "sandbox_escape_tried",
    "sandbox_escaped",
    "key_exposed",
    "ledger_tampered",
    "views_unrepaired",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad a kind is, and what a person is asked or told."""

    level: Level
    means: str


RULES: dict[Kind, Rule] = {
    "capability_refused": Rule(1, "a worker asked for what its token does not have"),
    "protected_asked": Rule(1, "a worker asked for a protected path"),
    "injection_marked": Rule(1, "untrusted text in a brief looks like instructions"),
    "remains_left": Rule(1, "a program left something that could not be removed"),
    "cluster_exposed": Rule(1, "attempts went to a cluster on a network that asks for no token"),
    "holder_ended": Rule(1, "a process stood still with the lock of the ledger in Postgres, and was cut off"),
    "injection_refused": Rule(2, "text that looks like instructions was to meet private data and a way out"),
    "token_misused": Rule(2, "a worker showed a token of another attempt, or a revoked one"),
    "token_forged": Rule(2, "a worker showed a token that this machine did not make"),
    "budget_overrun": Rule(2, "more was spent than was reserved"),
    "sandbox_escape_tried": Rule(2, "a program tried to leave the sandbox and was stopped"),
    "views_unrepaired": Rule(2, "views do not say what the events say, and could not be made again"),
    "sandbox_escaped": Rule(3, "a program was seen outside of the sandbox"),
    "key_exposed": Rule(3, "others may read a key"),
    "ledger_tampered": Rule(3, "the ledger is not what was signed"),
}

REPEATS = 5
"""So many of level 1, of one kind, in one run …"""
WINDOW = timedelta(minutes=10)
"""… within this time are level 2."""


@dataclass(frozen=True, slots=True)
class Incident:
    kind: Kind
    level: Level
    what: str
    run: str = ""
    """Empty where it concerns no run."""
    attempt: int = 0
    repeated: int = 1


@dataclass(frozen=True, slots=True)
class Response:
    """What to do. Everything that is true is done, in this order; logging has been done already."""

    pause_task: bool
    stop_night: bool
    alert: bool
    question: str
    """For a paused task: what a person must decide. Empty otherwise."""
    message: str
    """For log, report and alert."""


def response(incident: Incident) -> Response:
    """What an incident calls for. One of level 2 that concerns no run has no task to pause: it alerts."""
    means = RULES[incident.kind].means
    where = f" in {incident.run} attempt {incident.attempt}" if incident.run else ""
    often = f", {incident.repeated} times within {WINDOW.seconds // 60} minutes" if incident.repeated > 1 else ""
    message = f"incident of level {incident.level}{where}: {means}{often}: {incident.what}"
    pause = incident.level == 2 and bool(incident.run)
    question = f"{message}. Go on with this task?" if pause else ""
    return Response(
        pause_task=pause,
        stop_night=incident.level == 3,
        alert=incident.level == 3 or (incident.level == 2 and not incident.run),
        question=question,
        message=message,
    )


def rated(kind: Kind, what: str, *, run: str, attempt: int, now: datetime, earlier: Iterable[datetime]) -> Incident:
    """The incident with its level. `earlier`: when others of this kind happened in this run, in any order."""
    repeated = 1 + sum(now - WINDOW < moment <= now for moment in earlier)
    level = RULES[kind].level
    if level == 1 and repeated >= REPEATS:
        level = 2
    return Incident(kind, level, what, run, attempt, repeated)


def of_refusal(error: NotAllowed) -> Kind | None:
    """The kind of incident that a refusal of the door is; None for what happens to honest workers."""
    if isinstance(error, TokenForged):
        return "token_forged"
    if isinstance(error, TokenElsewhere | TokenRevoked):
        return "token_misused"
    if isinstance(error, ProtectedAsked):
        return "protected_asked"
    if isinstance(error, TokenExpired):
        return None
    return "capability_refused"


def known(kind: str) -> Kind | None:
    """The kind of that name; None for one of a newer version."""
    return kind if kind in RULES else None
