"""A clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

DAWN = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
"""An evening, on which every test begins unless it says otherwise."""


class FakeClock:
    """Stands still until `advance`, or follows `elapsed` (for example `trio.current_time`) if that is given.

    Time of day and monotonic time move together, so a test of a clock that jumps sets `start`.
    """

    def __init__(self, start: datetime = DAWN, elapsed: Callable[[], float] | None = None) -> None:
        """`start` is the time of day at the moment of creation. Raises ValueError where it is naive."""
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone")
        self.start = start
        self._advanced_s = 0.0
        self._elapsed = elapsed
        self._began_s = elapsed() if elapsed else 0.0
        self._last: tuple[datetime, float, datetime] | None = None
        """The last answer, with what it came from: most questions come at the same moment."""

    def now(self) -> datetime:
        passed_s, last = self.monotonic(), self._last
        if last is not None and last[1] == passed_s and last[0] is self.start:
            return last[2]
        now = self.start + timedelta(seconds=passed_s)
        self._last = (self.start, passed_s, now)
        return now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        if self._elapsed is None:
            return self._advanced_s
        return self._elapsed() - self._began_s + self._advanced_s

    def advance(self, seconds: float) -> None:
        """Time passes at once. Raises ValueError for less than nothing."""
        if seconds < 0:
            raise ValueError(f"time does not go back ({seconds} s)")
        self._advanced_s += seconds

    async def sleep(self, seconds: float) -> None:
        """For code that sleeps by itself alone: time passes at once. Side by side, follow trio's MockClock."""
        import anyio.lowlevel

        self.advance(max(0.0, seconds))
        await anyio.lowlevel.checkpoint()
