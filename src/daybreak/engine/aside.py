"""Runs that a supervisor leaves alone for a while, because going on with them came to nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from daybreak.clock import Clock

FIRST_S = 1.0
TRIES_MAX = 5
"""After so many in a row nobody waits for it any more; it is tried again all the same."""
QUICK_S = 1.0
"""A run that comes back sooner has done nothing."""
QUICK_MAX = 3
"""So often in a row that is nothing unusual."""


@dataclass
class _Put:
    until_s: float
    times: int


class Aside:
    """Each time in a row twice as long, from 1 s on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._put: dict[str, _Put] = {}
        self._resting: set[str] = set()
        """Those whose time is not over, as far as anybody has looked: the others only count for the next time."""
        self._ends: list[tuple[float, str]] = []
        """Of those, the next one first."""
        self._quick: dict[str, int] = {}

    def put(self, run: str, *, most_s: float) -> float:
        """Leave it alone; for how long."""
        times = self._put[run].times + 1 if run in self._put else 1
        rest_s = min(most_s, FIRST_S * 2.0 ** min(times - 1, 30))
        self._leave(run, rest_s, times)
        return rest_s

    def _leave(self, run: str, rest_s: float, times: int) -> None:
        put = self._put[run] = _Put(self._clock.monotonic() + rest_s, times)
        self._resting.add(run)
        heappush(self._ends, (put.until_s, run))

    def _now(self) -> Iterable[_Put]:
        """Those that are left alone now. Each look costs what is left, not what ever was: coordinators that reach for
        the same tasks leave thousands aside for a moment."""
        now_s = self._clock.monotonic()
        while self._ends and self._ends[0][0] <= now_s:
            _, run = heappop(self._ends)
            if run not in self._put or self._put[run].until_s <= now_s:
                self._resting.discard(run)
        return [self._put[run] for run in self._resting]

    def came_back(self, run: str, *, after_s: float) -> None:
        """It was gone on with, and gave its worker back; one that only does that, again and again, is left alone."""
        quick = self._quick.get(run, 0) + 1 if after_s < QUICK_S else 0
        if quick:
            self._quick[run] = quick
        else:
            self._quick.pop(run, None)
        if quick > QUICK_MAX:
            self._leave(run, min(60.0, 2.0 ** (quick - QUICK_MAX - 1)), quick - QUICK_MAX)
        else:
            self._put.pop(run, None)
            self._resting.discard(run)

    def runs(self) -> set[str]:
        """Those to leave alone now."""
        self._now()
        return set(self._resting)

    def pending(self) -> bool:
        """Is there one that is worth waiting for?"""
        return any(put.times <= TRIES_MAX for put in self._now())

    def moments_s(self) -> Iterable[float]:
        """When each is looked at again, by the monotonic clock."""
        return [put.until_s for put in self._now()]
