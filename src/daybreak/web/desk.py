"""What every handler works with: the open home, the clock, the settings, who is signed in, and the live stream.

In a page or an API resource:

    from daybreak.web.desk import Here          # Annotated[Desk, Depends(desk_of)]

    @router.get("/thing")
    def thing(desk: Here, asker: Looker) -> …:  # a plain `def` runs in a worker thread: the ledger may block there
        rows = desk.home.ledger.query("SELECT …")

Handlers that are `async def` must not touch the ledger (use `anyio.to_thread.run_sync`). The ledger is open for the
life of the process and may be written beside a night in another process; what that process appends is seen at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from daybreak import ids
from daybreak.clock import Clock, SystemClock
from daybreak.settings import Web
from daybreak.web.kept import Kept

if TYPE_CHECKING:
    from biscuit_auth import PublicKey

    from daybreak.home import Home
    from daybreak.web.limits import Attempts, Buckets
    from daybreak.web.live import Hub
    from daybreak.web.sessions import Sessions
    from daybreak.web.tokens import Tokens


@dataclass
class Desk:
    """One for each process that serves. Make it with `desk.opened`."""

    home: Home
    clock: Clock
    rule: Web
    """`[web]` of daybreak.toml."""
    hub: Hub
    sessions: Sessions
    tokens: Tokens
    attempts: Attempts
    """Of signing in."""
    buckets: Buckets
    """How fast each asker may ask."""
    hosts: frozenset[str] = frozenset()
    """Names that the Host header may have, beside those of loopback; without ports."""
    secure: bool = False
    """Served under TLS: cookies say so."""
    folders: tuple[Path, ...] = ()
    """Where work that is handed over may lie; the first is what relative paths count from."""
    public: bool = False
    """Bound elsewhere than on loopback."""
    entropy: ids.Entropy = field(default=os.urandom)
    kept: Kept = field(init=False)

    def __post_init__(self) -> None:
        self.kept = Kept(self.clock)


def make(home: Home, public: PublicKey, *, clock: Clock | None = None, entropy: ids.Entropy = os.urandom) -> Desk:
    """A desk over an open home; its hub is not started yet (`app.make` does that when serving begins)."""
    from daybreak.policy.journal import Journal
    from daybreak.web.limits import Attempts, Buckets
    from daybreak.web.live import Hub
    from daybreak.web.sessions import Sessions
    from daybreak.web.tokens import Tokens

    clock = clock or SystemClock()
    rule = home.settings.web
    journal = Journal(home.ledger, clock, actor="api")
    return Desk(
        home=home,
        clock=clock,
        rule=rule,
        hub=Hub(home.ledger),
        sessions=Sessions(clock, entropy, hours=rule.session_hours),
        tokens=Tokens(public, clock, journal.revoked),
        attempts=Attempts(clock),
        buckets=Buckets(clock, rate=rule.requests_per_s, burst=rule.burst),
        entropy=entropy,
        folders=(Path.cwd(),),
    )


def desk_of(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


async def _here(request: Request) -> Desk:
    return desk_of(request)


Here = Annotated[Desk, Depends(_here)]
"""The desk, as a handler's argument."""
