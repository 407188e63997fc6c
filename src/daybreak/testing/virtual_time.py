"""Trio's event loop on a clock that jumps, in an order that follows from a seed.

Needs trio, which is a development dependency: import this module where it is used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import trio
from trio._core import _run as scheduler

_HOOK = "_ALLOW_DETERMINISTIC_SCHEDULING"
"""Made for hypothesis, which wants the same order again as we do. Where a newer trio has it no more, `run` says so."""


class JumpingClock(trio.abc.Clock):
    """Stands still while anything happens, and jumps to the next deadline when nothing does.

    What `trio.testing.MockClock` does with a threshold of 0, for a third of the cost: that one waits for nothing in a
    turn of the loop of its own before it jumps. The loop asks for a time to sleep only where no task can run.
    What a thread does meanwhile takes no time, here as there.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        """It has begun already."""

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == inf:  # nothing will happen by itself: wait for a thread
            return deadline
        self._now_s = max(self._now_s, deadline)
        return 0.0


def run(seed: int, clock: JumpingClock, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """`function(*args)` in an event loop of its own; the same seed gives the same order of everything."""
    before = getattr(scheduler, _HOOK)
    setattr(scheduler, _HOOK, True)
    scheduler._r.seed(seed)
    try:
        trio.run(function, *args, clock=clock)
    finally:
        setattr(scheduler, _HOOK, before)
