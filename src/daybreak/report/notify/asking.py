"""The door: may this channel be reached, with the secret that its address is?

A channel has a token of its own, which names its host and its secret, ends by itself and stands in the ledger. It is
minted when something is to be sent, and asked about before each message.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak import ids
from daybreak.clock import Clock
from daybreak.policy import rootkey
from daybreak.policy.door import Ask, Door
from daybreak.policy.grant import Grant
from daybreak.policy.journal import Journal, Log
from daybreak.policy.refusal import TokenExpired

if TYPE_CHECKING:
    from biscuit_auth import PrivateKey

LIFE = timedelta(hours=2)
ASKER = "notify"
"""Who asks, in place of a run."""


class Asking:
    """For one process; in one thread at a time."""

    def __init__(self, log: Log, keys: Path, clock: Clock, entropy: ids.Entropy = os.urandom) -> None:
        self._journal = Journal(log, clock, entropy=entropy, actor=ASKER)
        self._keys = keys
        self._clock = clock
        self._tokens: dict[tuple[str, tuple[str, ...]], str] = {}

    def may(self, channel: str, hosts: Sequence[str]) -> None:
        """May a message go to these (`name:port`) for that channel? Raises NotAllowed, GrantRefused, RootKeyExposed,
        RootKeyWrong."""
        key = (channel, tuple(hosts))
        if key in self._tokens:
            try:
                self._ask(self._tokens[key], channel, hosts)
            except TokenExpired:
                del self._tokens[key]
            else:
                return
        grant = Grant.of(connect=list(hosts), secret=[f"notify.{channel}"])
        token = self._journal.mint(self._root, run=ASKER, attempt=0, tier="trusted", grant=grant, lifetime=LIFE)
        self._tokens[key] = token
        self._ask(token, channel, hosts)

    def _ask(self, token: str, channel: str, hosts: Sequence[str]) -> None:
        self._door.check(token, Ask("secret", f"notify.{channel}", ASKER, 0))
        for host in hosts:
            self._door.check(token, Ask("connect", host, ASKER, 0))

    @cached_property
    def _root(self) -> PrivateKey:
        return rootkey.load_or_make(self._keys)

    @cached_property
    def _door(self) -> Door:
        from biscuit_auth import KeyPair

        return Door(
            KeyPair.from_private_key(self._root).public_key,
            self._clock,
            revoked=self._journal.revoked,
            # A refusal is written down with the message that it stopped. An incident of it would be another notice,
            # which is refused again.
        )
