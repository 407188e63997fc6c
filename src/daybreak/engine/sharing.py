"""Which of the next runs of a queue one of several nights takes, so that they do not all reach for the same one.

Each night looks further than it has workers, and takes those that fall to it by their names, which no mirror that is
behind sees otherwise. What falls to another and is still there a moment later is anybody's, so that a night that is
full, or hangs, holds nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from daybreak.engine.picking import Pick

PATIENCE_S = 0.5
"""So long a run is left to the night whose turn it is by one that has workers free and nothing of its own."""
LONG_S = 15.0
"""So long by one that has: with a long queue, all would reach for what each has only not come to."""


def turn(run: str, nights: int) -> int:
    """To which of so many nights a run falls."""
    return crc32(run.encode()) % nights


class Sharing:
    def __init__(self) -> None:
        self._left: dict[str, float] = {}
        """Run → when it was first left to another, by the monotonic clock."""

    def mine(self, picks: Sequence[Pick], free: int, *, place: int, nights: int, now_s: float) -> list[Pick]:
        """Up to `free` of them, in their order; `place` is this night's, from 0 on."""
        if nights <= 1:
            self._left.clear()
            return list(picks[:free])
        left = {pick.run: self._left.get(pick.run, now_s) for pick in picks}

        def is_mine(pick: Pick) -> bool:
            own = turn(pick.run, nights) == place or pick.cancel or pick.late
            return own or now_s - left[pick.run] >= LONG_S

        first = [pick for pick in picks if is_mine(pick)]
        rest = [pick for pick in picks if not is_mine(pick) and now_s - left[pick.run] >= PATIENCE_S]
        chosen = [*first, *rest][:free]
        self._left = {run: since_s for run, since_s in left.items() if run not in {pick.run for pick in chosen}}
        return chosen

    def again_s(self, now_s: float) -> float | None:
        """When something that was left to another is anybody's; None where nothing was."""
        since_s = min(self._left.values(), default=None)
        return None if since_s is None else max(0.0, since_s + PATIENCE_S - now_s)
