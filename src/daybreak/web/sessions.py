"""Browsers that are signed in, and the links that sign one in. In memory: they end with the server.

A session is found by a random id in a cookie; only the id's hash is kept here. It ends with the token that it was
opened with, and is refused at once when that is revoked.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daybreak import ids
from daybreak.clock import Clock
from daybreak.policy.bearer import USUAL, Bearer, Scope

MAX = 1_000
"""Sessions at once; the oldest goes."""
LINK_S = 600
"""A login link is good for so long, once."""
HERE = "this machine"
"""The label of a browser that came through a login link."""


@dataclass(frozen=True, slots=True)
class Session:
    label: str
    scopes: frozenset[Scope]
    until: datetime
    csrf: str = field(repr=False)
    """What unsafe requests must carry beside the cookie."""
    bearer: Bearer | None
    """The token that it was opened with; None behind a login link."""
    ends: float
    """The same on the clock that nobody sets back."""


class Sessions:
    def __init__(self, clock: Clock, entropy: ids.Entropy, *, hours: float) -> None:
        self._clock, self._entropy, self._life = clock, entropy, timedelta(hours=hours)
        self._known: OrderedDict[bytes, Session] = OrderedDict()
        self._links: dict[bytes, tuple[float, frozenset[Scope]]] = {}
        self._guard = threading.Lock()

    def begin(self, bearer: Bearer | None, scopes: frozenset[Scope] = USUAL) -> tuple[str, Session]:
        """The cookie's value, and the session."""
        now = self._clock.now()
        until = now + self._life
        if bearer is not None:
            until, scopes = min(until, bearer.until), bearer.scopes
        label = HERE if bearer is None else (bearer.name or bearer.label)
        ends = self._clock.monotonic() + (until - now).total_seconds()
        session = Session(label, scopes, until, self._random(), bearer, ends)
        name = self._random()
        with self._guard:
            self._known[_hash(name)] = session
            while len(self._known) > MAX:
                self._known.popitem(last=False)
        return name, session

    def find(self, name: str) -> Session | None:
        """The session of a cookie, unless it is over. The caller checks its token."""
        key = _hash(name)
        with self._guard:
            found = self._known.get(key)
            if found is not None and (found.until <= self._clock.now() or found.ends <= self._clock.monotonic()):
                del self._known[key]
                return None
        return found

    def end(self, name: str) -> None:
        with self._guard:
            self._known.pop(_hash(name), None)

    def link(self, scopes: frozenset[Scope] = USUAL) -> str:
        """A secret that signs one browser in, once, within `LINK_S`."""
        name = self._random()
        with self._guard:
            self._links[_hash(name)] = (self._clock.monotonic() + LINK_S, scopes)
        return name

    def follow(self, name: str) -> frozenset[Scope] | None:
        """Use up a link: what its browser may do; None where there is none of that name, or no longer."""
        with self._guard:
            found = self._links.pop(_hash(name), None)
        if found is None or found[0] <= self._clock.monotonic():
            return None
        return found[1]

    def _random(self) -> str:
        return self._entropy(32).hex()


def _hash(name: str) -> bytes:
    """What is looked up is a hash, so that the time of a look-up tells nothing about a name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
