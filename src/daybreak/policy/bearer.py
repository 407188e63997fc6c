"""What a person's token lets its holder do through the API, the dashboard or another assistant: a set of scopes.

Such a token is a capability token like a worker's (`daybreak token mint --api look,answer --for 12h`): its act is
`api`, its names are scopes. It can be narrowed offline, it ends, and it can be revoked. It opens none of the worker's
doors, and no worker's token opens these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from daybreak.errors import PolicyError
from daybreak.policy import capability
from daybreak.policy.capability import LEEWAY
from daybreak.policy.naming import SCOPES, Scope
from daybreak.policy.refusal import TokenElsewhere, TokenExpired, TokenRevoked

if TYPE_CHECKING:
    from biscuit_auth import PublicKey

__all__ = ["ALL", "MEANS", "SCOPES", "USUAL", "Bearer", "Scope", "ScopeMissing", "admit", "check"]

TIER = "api"
"""The tier of such tokens."""

RUN = "api."
"""Where a worker's token names its run, this one names whom it is for, behind this."""

MEANS: dict[Scope, str] = {
    "look": "see how everything stands, without the words of workers",
    "evidence": "read logs, transcripts, diffs, and the payload of events",
    "hand-over": "put tasks into the queue",
    "steer": "move, pause, resume, cancel, retry, signal, fork and roll back runs; schedules; notes",
    "answer": "answer parked questions",
    "verdict": "accept and reject results",
    "undo": "take back what was delivered",
    "incidents": "see and close incidents",
    "held-out": "see held-out examples, which a worker must never see",
    "admin": "everything that is left: breakers, tokens, the whole ledger's verification",
}
"""What each scope is for, in a line."""

ALL: frozenset[Scope] = frozenset(SCOPES)
USUAL: frozenset[Scope] = ALL - {"held-out", "admin"}
"""What a person's browser on this machine has."""


class ScopeMissing(PolicyError):
    """The token does not have the scope that this needs."""

    code = "P310"

    @classmethod
    def of(cls, scope: Scope, who: str) -> ScopeMissing:
        """`who`: of whom it is told."""
        return cls(
            f"this needs the scope {scope} ({MEANS[scope]}), which {who} does not have",
            hint=f"whoever owns this home can mint a token with it: `daybreak token mint --api {scope}`",
        )


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token, as it says itself; its signatures were verified."""

    label: str
    """The token's label: `tok-…`."""
    name: str
    """Whom it was minted for."""
    scopes: frozenset[Scope]
    """Those that every block of the token allows."""
    issued: datetime
    until: datetime
    revocations: tuple[str, ...]


def admit(text: str, public: PublicKey) -> Bearer:
    """Read a token. Its time and whether it was revoked are for `check`. Raises TokenForged; TokenElsewhere for a
    worker's token."""
    token = capability.read(text, public)
    if token.tier != TIER or not token.run.startswith(RUN):
        raise TokenElsewhere(
            f"token {token.label} is a worker's, for {token.run} attempt {token.attempt}",
            hint="mint one with `daybreak token mint --api look --for 12h`.",
            missing="a token for the API",
        )
    scopes = frozenset(scope for scope in SCOPES if token.covers("api", scope))
    return Bearer(token.label, token.run[len(RUN) :], scopes, token.issued, token.until, token.revocations)


def check(bearer: Bearer, now: datetime, revoked: Callable[[Sequence[str]], str | None]) -> None:
    """Is it good at this moment? Raises TokenExpired, TokenRevoked."""
    if not bearer.issued - LEEWAY <= now < bearer.until:
        raise TokenExpired(
            f"token {bearer.label} is good from {bearer.issued:%Y-%m-%d %H:%MZ} to {bearer.until:%Y-%m-%d %H:%MZ}",
            hint="mint a new one with `daybreak token mint --api …`.",
            missing="time",
        )
    if (why := revoked(bearer.revocations)) is not None:
        raise TokenRevoked(
            f"token {bearer.label} was revoked: {why or 'no reason given'}",
            hint="mint a new one if its holder may go on.",
            missing="a token that is still good",
        )
