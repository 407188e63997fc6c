"""What others have left, seen from one supervisor: runs of dead owners, owners that stopped, nights without an end.

A run is left where it says that it is under way, by an owner on this machine, while nobody holds its lock. An owner
has stopped where its promised beat stays away (see `keeper`). A night has died where nobody holds the lock of its name.
Of other homes that share the ledger nobody's lock can be seen: there an owner is dead once its seat was silent for a
whole lease (see `neighbours`). Without seats nothing is said of other machines.
"""

from __future__ import annotations

from collections.abc import Collection

from daybreak.engine import nights
from daybreak.engine.engine import Locks
from daybreak.engine.keeper import Keeper, Takeover
from daybreak.engine.log import Log
from daybreak.engine.neighbours import Neighbours
from daybreak.engine.picking import keys_of
from daybreak.engine.placement import HOME_KEY
from daybreak.engine.telling import Teller
from daybreak.engine.view import UNDER_WAY
from daybreak.events import NightEnded
from daybreak.ledger.seats import home_of, is_here

_STATES = ", ".join(f"'{state}'" for state in UNDER_WAY)
_UNDER_WAY = f"SELECT run, host, seat, keyed FROM view_runs WHERE state IN ({_STATES}) AND NOT restored ORDER BY place"


class Recovery:
    """See the module. Without a keeper no owner is ever taken for stopped."""

    def __init__(
        self, log: Log, locks: Locks, keeper: Keeper | None, tell: Teller, neighbours: Neighbours | None = None
    ) -> None:
        self._log = log
        self._locks = locks
        self._keeper = keeper
        self._tell = tell
        self._neighbours = neighbours

    def left(self, known: Collection[str]) -> list[str]:
        """Runs that a dead owner left, besides those that are known; the oldest first."""
        free = {run for run in self._active() if run not in known and self._locks.owner(run) is None}
        free |= {run for run in self._far() if run not in known}
        if not free:
            return []
        # An owner that came to its end between the two looks has said so by now.
        return [run for run, _, _, _ in self._log.query(_UNDER_WAY) if run in free]

    def doubts(self) -> bool:
        """Is there a run in another home whose owner may prove to be dead?"""
        if self._neighbours is None:
            return False
        rows = self._log.query(_UNDER_WAY)
        return any(
            seat and not self._is_here(seat, host) and self._neighbours.doubts(seat) for _, host, seat, _ in rows
        )

    async def look_at_owners(self, mine: Collection[str], besides: Collection[str] = ()) -> bool:
        """End owners that have stopped, and note it; was there one? `mine` are locks held here."""
        if self._keeper is None:
            return False
        nights_here = [row.night for row in nights.open_nights(self._log) if self._is_here(row.seat, row.host)]
        names = [*besides, *self._active(), *nights_here]
        taken = await self._keeper.look([name for name in names if name not in mine])
        for one in taken:
            await self.note(one)
        return bool(taken)

    async def close_dead(self) -> list[str]:
        """Write the end of nights that died, of this home or of one whose seat is silent; the newest first."""
        closed = []
        for row in nights.open_nights(self._log):
            if row.night == self._tell.night:
                continue
            if self._is_here(row.seat, row.host):
                dead = self._locks.owner(row.night) is None
                text = f"its supervisor (process {row.pid}) ended without a word"
            else:
                dead = self._is_dead(row.seat)
                text = f"its supervisor (process {row.pid} on {row.host}) was silent for a whole lease"
            if dead and await self._tell.end(NightEnded(night=row.night, why="died", text=text)):
                closed.append(row.night)
        return closed

    def was_closed(self) -> str:
        """What others said of this night's end, where they took it for dead; empty where nobody did."""
        ended = "SELECT text FROM view_nights WHERE night = ? AND ended <> ''"
        return next((str(text) for (text,) in self._log.query(ended, (self._tell.night,))), "")

    async def note(self, one: Takeover) -> None:
        """Raises what the ledger raises."""
        run = one.name if one.name.startswith("run-") else ""
        level = 2 if one.ended is None else 1
        await self._tell.note("takeover", level, one.words, run=run, lock=one.name, pid=one.owner.pid)

    def _active(self) -> list[str]:
        """Runs that say that they are under way in this home."""
        return [run for run, host, seat, _ in self._log.query(_UNDER_WAY) if self._is_here(seat, host)]

    def _far(self) -> list[str]:
        """Runs under way in other homes whose owners are dead, less those that can only be done there."""
        if self._neighbours is None:
            return []
        rows = self._log.query(_UNDER_WAY)
        mine = HOME_KEY + home_of(self._neighbours.me)
        return [
            run
            for run, host, seat, keyed in rows
            if not self._is_here(seat, host)
            and self._is_dead(seat)
            and not any(key.startswith(HOME_KEY) and key != mine for key in keys_of(keyed))
        ]

    def _is_here(self, seat: str, host: str) -> bool:
        return is_here(seat, host, "" if self._neighbours is None else self._neighbours.me, self._locks.me.host)

    def _is_dead(self, seat: str) -> bool:
        return self._neighbours is not None and seat != "" and self._neighbours.dead(seat)
