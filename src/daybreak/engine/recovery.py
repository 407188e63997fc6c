"""What others have left, seen from one supervisor: runs of dead owners, owners that stopped, nights without an end.

A run is left where it says that it is under way, by an owner on this machine, while nobody holds its lock. An owner
has stopped where its promised beat stays away (see `keeper`). A night has died where nobody holds the lock of its name.
Of other machines nothing is said: whether their owners live cannot be seen from here.
"""

from __future__ import annotations

from collections.abc import Collection

from daybreak.engine import nights
from daybreak.engine.engine import Locks
from daybreak.engine.keeper import Keeper, Takeover
from daybreak.engine.log import Log
from daybreak.engine.telling import Teller
from daybreak.engine.view import UNDER_WAY
from daybreak.events import NightEnded

_STATES = ", ".join(f"'{state}'" for state in UNDER_WAY)
_UNDER_WAY = f"SELECT run FROM view_runs WHERE state IN ({_STATES}) AND host = ? AND NOT restored ORDER BY place"


class Recovery:
    """See the module. Without a keeper no owner is ever taken for stopped."""

    def __init__(self, log: Log, locks: Locks, keeper: Keeper | None, tell: Teller) -> None:
        self._log = log
        self._locks = locks
        self._keeper = keeper
        self._tell = tell

    def left(self, known: Collection[str]) -> list[str]:
        """Runs that a dead owner left, besides those that are known; the oldest first."""
        free = {run for run in self._active() if run not in known and self._locks.owner(run) is None}
        if not free:
            return []
        # An owner that came to its end between the two looks has said so by now.
        return [run for run in self._active() if run in free]

    async def look_at_owners(self, mine: Collection[str], besides: Collection[str] = ()) -> bool:
        """End owners that have stopped, and note it; was there one? `mine` are locks held here."""
        if self._keeper is None:
            return False
        names = [*besides, *self._active(), *(row.night for row in nights.open_nights(self._log))]
        taken = await self._keeper.look([name for name in names if name not in mine])
        for one in taken:
            await self.note(one)
        return bool(taken)

    async def close_dead(self) -> list[str]:
        """Write the end of nights of this machine that died; the newest first."""
        closed = []
        for row in nights.open_nights(self._log):
            mine = row.night == self._tell.night or row.host != self._locks.me.host
            if not mine and self._locks.owner(row.night) is None:
                text = f"its supervisor (process {row.pid}) ended without a word"
                if await self._tell.end(NightEnded(night=row.night, why="died", text=text)):
                    closed.append(row.night)
        return closed

    async def note(self, one: Takeover) -> None:
        """Raises what the ledger raises."""
        run = one.name if one.name.startswith("run-") else ""
        level = 2 if one.ended is None else 1
        await self._tell.note("takeover", level, one.words, run=run, lock=one.name, pid=one.owner.pid)

    def _active(self) -> list[str]:
        return [str(run) for (run,) in self._log.query(_UNDER_WAY, (self._locks.me.host,))]
