"""Runs that a supervisor leaves alone for a while, because going on with them came to nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
        self._quick: dict[str, int] = {}

    def put(self, run: str, *, most_s: float) -> float:
        """Leave it alone; for how long."""
        times = self._put[run].times + 1 if run in self._put else 1
        rest_s = min(most_s, FIRST_S * 2.0 ** min(times - 1, 30))
        self._put[run] = _Put(self._clock.monotonic() + rest_s, times)
        return rest_s

    def came_back(self, run: str, *, after_s: float) -> None:
        """It was gone on with, and gave its worker back; one that only does that, again and again, is left alone."""
        quick = self._quick.get(run, 0) + 1 if after_s < QUICK_S else 0
        if quick:
            self._quick[run] = quick
        else:
            self._quick.pop(run, None)
        if quick > QUICK_MAX:
            self._put[run] = _Put(
                self._clock.monotonic() + min(60.0, 2.0 ** (quick - QUICK_MAX - 1)), quick - QUICK_MAX
            )
        else:
            self._put.pop(run, None)

    def runs(self) -> set[str]:
        """Those to leave alone now."""
        now_s = self._clock.monotonic()
        return {run for run, put in self._put.items() if put.until_s > now_s}

    def pending(self) -> bool:
        """Is there one that is worth waiting for?"""
        now_s = self._clock.monotonic()
        return any(put.until_s > now_s and put.times <= TRIES_MAX for put in self._put.values())

    def moments_s(self) -> Iterable[float]:
        """When each is looked at again, by the monotonic clock."""
        now_s = self._clock.monotonic()
        return [put.until_s for put in self._put.values() if put.until_s > now_s]
