"""How often somebody may try to sign in, and how fast they may ask. In memory, bounded, gone with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from daybreak.clock import Clock

KNOWN_MAX = 10_000
"""So many addresses or askers are remembered; the one that was silent longest is forgotten."""

FREE = 5
"""Wrong attempts of one address that cost nothing;"""
FREE_ALL = 100
"""and of all addresses together."""
FIRST_S = 1.0
"""Then the wait doubles from here"""
LONGEST_S = 900.0
"""to here."""
FORGET_S = 3600.0
"""Wrong attempts are forgotten after so long without another."""
EVERYONE = ""


@dataclass(slots=True)
class _Wrong:
    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Attempts:
    """Wrong attempts to sign in, by address and all together. A right one clears its own address only, so that whoever
    holds one token cannot guess at another with it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Wrong] = OrderedDict()
        self._guard = threading.Lock()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait; 0 if it may try now. The wait of everyone is short (`FREE_ALL` and then
        at most 10 s), so that nobody can lock others out."""
        now = self._clock.monotonic()
        with self._guard:
            own = max(0.0, self._of(address, now).until - now)
            everyone = max(0.0, self._of(EVERYONE, now).until - now)
        return max(own, min(everyone, 10.0))

    def wrong(self, address: str) -> None:
        now = self._clock.monotonic()
        with self._guard:
            for name, free in ((address, FREE), (EVERYONE, FREE_ALL)):
                found = self._of(name, now)
                found.count += 1
                found.last = now
                if found.count >= free:
                    found.until = now + min(FIRST_S * 2.0 ** min(found.count - free, 20), LONGEST_S)

    def right(self, address: str) -> None:
        with self._guard:
            self._known.pop(address, None)

    def _of(self, name: str, now: float) -> _Wrong:
        found = self._known.pop(name, None)
        if found is None or now - found.last > FORGET_S:
            found = _Wrong(last=now)
        self._known[name] = found
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found


class Buckets:
    """A bucket of requests for each asker: `burst` at once, `rate` again each second."""

    def __init__(self, clock: Clock, *, rate: float, burst: float) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, name: str) -> float:
        """0 where one was there; otherwise how many seconds until there is."""
        now = self._clock.monotonic()
        with self._guard:
            level, at = self._known.pop(name, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate)
            wait = 0.0 if level >= 1 else (1 - level) / self._rate
            self._known[name] = (level - 1 if level >= 1 else level, now)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return wait
