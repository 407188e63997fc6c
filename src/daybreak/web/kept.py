"""What is dear to make and asked for by many: made once, good while nothing is appended, and for a moment at most."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from daybreak.clock import Clock

GOOD_S = 1.0
"""Time alone changes what is told too: a run that waits for its hour, a lock that nobody holds any more."""
T = TypeVar("T")


class Kept:
    """By name. Whoever comes while it is made waits for it, instead of making it beside."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, tuple[int, float, Any]] = {}
        self._making: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def of(self, name: str, size: int, make: Callable[[], T]) -> T:
        """`size`: how many events there were before it is made. Raises what `make` raises; that is not kept."""
        with self._guard:
            making = self._making.setdefault(name, threading.Lock())
        with making:
            found = self._values.get(name)
            if found is not None and found[0] == size and self._clock.monotonic() - found[1] < GOOD_S:
                return cast(T, found[2])
            made = make()
            self._values[name] = (size, self._clock.monotonic(), made)
            return made
