"""Reads bearer tokens: signatures once, time and revocation at every request."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from daybreak.clock import Clock
from daybreak.policy import bearer
from daybreak.policy.bearer import Bearer

if TYPE_CHECKING:
    from biscuit_auth import PublicKey

KEPT = 256
"""Tokens whose signatures need not be verified again. Kept under the hash of their text, never the text."""


class Tokens:
    def __init__(self, public: PublicKey, clock: Clock, revoked: Callable[[Sequence[str]], str | None]) -> None:
        self._public, self._clock, self._revoked = public, clock, revoked
        self._kept: OrderedDict[bytes, Bearer] = OrderedDict()
        self._guard = threading.Lock()

    def admit(self, text: str) -> Bearer:
        """Who holds this token, good at this moment. Blocks on the ledger. Raises NotAllowed."""
        key = _key(text)
        with self._guard:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        if found is None:
            found = bearer.admit(text, self._public)
            with self._guard:
                self._kept[key] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        self.check(found)
        return found

    def knows(self, text: str) -> bool:
        """Were this token's signatures verified not long ago?"""
        with self._guard:
            return _key(text) in self._kept

    def check(self, found: Bearer) -> None:
        """Raises TokenExpired, TokenRevoked."""
        bearer.check(found, self._clock.now(), self._revoked)

    def admit_known(self, text: str) -> Bearer:
        """As `admit`, of a token that was admitted a moment ago: does not block. Raises TokenForged."""
        with self._guard:
            found = self._kept.get(_key(text))
        return found or bearer.admit(text, self._public)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
