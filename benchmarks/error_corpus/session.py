"""What a procedure does, counted: operations, failures, blind retries, and the time they would take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from daybreak.errors import DaybreakError

T = TypeVar("T")

BLIND_RETRIES = 3
"""How often a naive procedure repeats a failed step unchanged, waiting 1, 2, 4 s."""
TURN_S = 5.0
"""What each try costs beside its own time, for whoever looks at what came back and starts the next one. Modelled."""


@dataclass
class Session:
    """One procedure in one world. `folder` is all it may touch."""

    folder: Path
    looks: int = 0
    """Operations that only look: readings and checks before the work."""
    steps: int = 0
    """Operations that do work, each repeat counted."""
    failed: int = 0
    """Steps of work that were begun and failed."""
    refusals: int = 0
    """Looks that said no."""
    cycles: int = 0
    """Repeats of a failed step."""
    waited_s: float = 0.0
    """Of a virtual clock: nobody sleeps here."""
    measured_s: float = 0.0

    @property
    def operations(self) -> int:
        return self.looks + self.steps

    @property
    def turns(self) -> int:
        """One, and one for each time that something was started again."""
        return 1 + self.cycles

    @property
    def time_s(self) -> float:
        """Measured work, modelled waits and turns."""
        return self.measured_s + self.waited_s + TURN_S * self.turns

    def look(self, check: Callable[[], T]) -> T:
        """Look before the work."""
        self.looks += 1
        try:
            return self._timed(check)
        except DaybreakError:
            self.refusals += 1
            raise

    def step(self, work: Callable[[], T]) -> T:
        """Do one piece of the work."""
        self.steps += 1
        try:
            return self._timed(work)
        except Exception:
            self.failed += 1
            raise

    def stubborn(self, work: Callable[[], T], wait: Callable[[float], object] = lambda _seconds: None) -> T:
        """Do it, and when it fails do the same again, as a loop around `try` does. `wait` lets a world's time pass."""
        for cycle in range(BLIND_RETRIES):
            try:
                return self.step(work)
            except Exception:  # noqa: BLE001 - the naive way, which is what is measured
                self.cycles += 1
                self.waited_s += 2.0**cycle
                wait(2.0**cycle)
        return self.step(work)

    def _timed(self, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return call()
        finally:
            self.measured_s += time.perf_counter() - began
