"""The one door: may this attempt do this, now? Every outside effect asks here first.

The door decides by names. It cannot see what a name leads to: callers ask with the resolved path of what they then
open (relative to a folder's handle, so that nothing is exchanged in between), and the sandbox binds no more than the
token has. Who asks comes from the caller's own books, never from the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from daybreak.clock import Clock
from daybreak.policy import capability, naming
from daybreak.policy.capability import LEEWAY, Token
from daybreak.policy.naming import PATH_ACTS, Act
from daybreak.policy.protected import DEFAULT, Protected
from daybreak.policy.refusal import NotAllowed, ProtectedAsked, TokenElsewhere, TokenExpired, TokenRevoked

if TYPE_CHECKING:
    from biscuit_auth import PublicKey

Revoked = Callable[[Sequence[str]], str | None]
"""Given a token's revocation ids: why it was revoked, or None."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants to do, in any spelling; the door makes it normal or refuses it."""

    act: Act
    what: str | PurePath
    run: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, until then. `what` is the name in its one spelling: open exactly that."""

    token: str
    """The token's label."""
    act: Act
    what: str
    run: str
    attempt: int
    until: datetime


class Door:
    """Decides from a token's text. Holds the public key only."""

    def __init__(
        self,
        public: PublicKey,
        clock: Clock,
        *,
        revoked: Revoked,
        protected: Protected = DEFAULT,
        refused: Callable[[Ask, NotAllowed], object] = lambda ask, error: None,
    ) -> None:
        """`refused` is told of every no before it is raised (`Journal.refused` writes it down); what it raises
        replaces the answer, which is a no all the same."""
        self._public = public
        self._clock = clock
        self._revoked = revoked
        self._protected = protected
        self._refused = refused

    def check(self, token: str, ask: Ask) -> Allowed:
        """Allowed, or NotAllowed (TokenForged, TokenExpired, TokenRevoked, TokenElsewhere, AskMalformed,
        ProtectedAsked, or itself where the token lacks what `missing` names)."""
        try:
            return self._decide(token, ask)
        except NotAllowed as error:
            self._refused(ask, error)
            raise

    def _decide(self, text: str, ask: Ask) -> Allowed:
        name = naming.normal(ask.act, ask.what)
        token = capability.read(text, self._public)
        if (token.run, token.attempt) != (ask.run, ask.attempt):
            raise TokenElsewhere(
                f"token {token.label} is for {token.run} attempt {token.attempt},"
                f" not for {ask.run!a:.120} attempt {ask.attempt!r:.20}",
                hint="each attempt has its own token; if a worker sent this one, look at where it has it from.",
                missing=f"a token of {ask.run} attempt {ask.attempt}",
            )
        self._check_time(token)
        if (why := self._revoked(token.revocations)) is not None:
            raise TokenRevoked(
                f"token {token.label} was revoked: {why or 'no reason given'}",
                hint="mint a new one if the attempt may go on.",
                missing="a token that is still good",
            )
        if ask.act in PATH_ACTS and (rule := self._protected.why(naming.exact(name))) is not None:
            raise ProtectedAsked(
                f"{ask.act} {naming.shown(name)} is refused: it is protected ({rule})",
                hint="nobody's token covers it. If it is harmless, add it to the exceptions of the protected list.",
                missing="nothing that a token could give",
            )
        self._check_covered(token, ask, name)
        return Allowed(token.label, ask.act, naming.exact(name), ask.run, ask.attempt, token.until)

    def _check_time(self, token: Token) -> None:
        now = self._clock.now()
        if now < token.issued - LEEWAY:
            raise TokenExpired(
                f"token {token.label} begins at {token.issued:%Y-%m-%d %H:%M:%SZ}, and it is {now:%Y-%m-%d %H:%M:%SZ}",
                hint="the clock was set back: put it right.",
                missing="time",
            )
        if now >= token.until:
            raise TokenExpired(
                f"token {token.label} ended at {token.until:%Y-%m-%d %H:%M:%SZ}",
                hint="mint a new one if the attempt may go on.",
                missing="time",
            )

    def _check_covered(self, token: Token, ask: Ask, name: str) -> None:
        if token.covers(ask.act, name):
            return
        missing = f"{ask.act} {naming.shown(name)}"
        lacking = next(place for place, block in enumerate(token.blocks) if not block.grant.covers(ask.act, name))
        granted = [naming.shown(other) for other in token.blocks[lacking].grant.names(ask.act)]
        has = f"has {ask.act} only for {', '.join(granted[:5])}" if granted else f"has no {ask.act} at all"
        where = f"token {token.label} (tier {token.tier})" if lacking == 0 else f"token {token.label}, as narrowed,"
        raise NotAllowed(
            f"{missing} is refused: {where} {has}{' and more' if len(granted) > 5 else ''}",
            hint="ask for what the task has, or give the task a tier and names that cover it.",
            missing=missing,
        )
