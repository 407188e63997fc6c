"""Other processes that share the ledger, as one night sees them: who lives, who has been silent for a whole lease.

The server's clock says how long somebody is silent. That alone takes nobody for dead: this process must have seen the
silence itself, look by look, for most of a lease, each look counting for a while at most. So neither a clock of the
server that jumps, nor an outage of it, nor a sleep of this machine makes others look dead. No clocks of two hosts are
ever compared.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from daybreak.clock import Clock
from daybreak.engine.keeper import Stopwatch
from daybreak.errors import LedgerError
from daybreak.ledger.seats import Seats, Sitter, beat_s, home_of

_log = logging.getLogger(__name__)
SEEN_SHARE = 2 / 3
"""So much of a lease this process must have seen by its own clock."""


@dataclass
class _Seen:
    sitter: Sitter
    silent: Stopwatch
    alive: bool
    """It has beaten since it was first looked at."""


class Neighbours:
    """See the module. `look_s` is about how often `look` is called."""

    def __init__(self, seats: Seats, clock: Clock, *, lease_s: float, look_s: float) -> None:
        self._seats = seats
        self._clock = clock
        self._lease_s = lease_s
        self._gap_max_s = look_s * 2
        self._seen: dict[str, _Seen] = {}
        self._missing: dict[str, Stopwatch] = {}
        """Seats that were asked for and are not there."""
        self._dead: set[str] = set()
        self._told = False

    @property
    def me(self) -> str:
        return self._seats.me

    async def look(self) -> bool:
        """Has anybody died since the last look? Where nobody can be asked, nobody has."""
        try:
            sitters = await self._seats.others()
        except LedgerError as problem:
            if not self._told:
                _log.warning("nobody can say which other homes live: %s", problem.message)
            self._told = True
            return False
        self._told = False
        for gone in self._seen.keys() - {one.seat for one in sitters}:
            del self._seen[gone]
        for one in sitters:
            self._look_at(one)
        for watch in self._missing.values():
            watch.look()
        dead = {seat for seat in (*self._seen, *self._missing) if self._is_dead(seat)}
        fresh = dead - self._dead
        self._dead = dead
        return bool(fresh)

    def dead(self, seat: str) -> bool:
        """Has it been silent for a whole lease? One that was never heard of is watched from now on."""
        if seat not in self._seen and seat not in self._missing:
            self._missing[seat] = Stopwatch(self._clock, self._gap_max_s)
        return self._is_dead(seat)

    def doubts(self, seat: str) -> bool:
        """Has it not beaten since it was first looked at, or lately, and may it prove to be dead?"""
        if self.dead(seat):
            return False
        seen = self._seen.get(seat)
        return seen is None or not seen.alive or seen.sitter.silent_s > 2 * beat_s(seen.sitter.lease_s)

    def nights(self) -> Sequence[Sitter]:
        """Of other homes, under way; the oldest first."""
        home = home_of(self.me)
        return [
            seen.sitter
            for seat, seen in self._seen.items()
            if seen.sitter.night and home_of(seat) != home and seen.sitter.lives and seat not in self._dead
        ]

    def share(self) -> tuple[int, int]:
        """Which of how many nights, of all homes and their helpers, this one is: from 0 on."""
        living = [seat for seat, seen in self._seen.items() if seen.sitter.night and seen.sitter.lives]
        return sum(seat < self.me for seat in living), len(living) + 1

    def next_s(self, most_s: float) -> float:
        """How long until the next look may find somebody dead."""
        waits = [
            max(self._limit_s(seen.sitter) - seen.sitter.silent_s, SEEN_SHARE * self._lease_s - seen.silent.passed_s)
            for seat, seen in self._seen.items()
            if seat not in self._dead and seen.silent.passed_s > 0
        ]
        return max(0.05, min([most_s, *waits]))

    def _look_at(self, one: Sitter) -> None:
        self._missing.pop(one.seat, None)
        seen = self._seen.get(one.seat)
        if seen is None or seen.sitter.beat != one.beat:
            self._seen[one.seat] = _Seen(one, Stopwatch(self._clock, self._gap_max_s), alive=seen is not None)
        else:
            seen.sitter = one
            seen.silent.look()

    def _is_dead(self, seat: str) -> bool:
        if (seen := self._seen.get(seat)) is not None:
            limit_s = self._limit_s(seen.sitter)
            return seen.sitter.silent_s >= limit_s and seen.silent.passed_s >= SEEN_SHARE * limit_s
        watch = self._missing.get(seat)
        return watch is not None and watch.passed_s >= self._lease_s

    def _limit_s(self, one: Sitter) -> float:
        return max(self._lease_s, one.lease_s)
