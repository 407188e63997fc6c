"""Whose promised beats stay away is seen by one's own clock, and ended; nobody else is."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from daybreak.engine.keeper import Keeper, Takeover, end_silent
from daybreak.host.locks import Beat, Owner
from daybreak.host.owners import Ended, OwnerStays
from daybreak.testing.clock import DAWN, FakeClock

LEASE_S = 60.0
LOOK_S = 10.0


@dataclass
class Locks:
    """One lock, held by somebody else, who beats while time passes or does not."""

    beats: bool = True
    alive: bool = False
    stays: bool = False
    held: bool = True
    ended: int = 0
    beat_ns: int = 0
    clock: FakeClock = field(default_factory=lambda: FakeClock(DAWN))

    def beat(self, name: str) -> bool:
        return False

    def beat_of(self, name: str) -> Beat | None:
        owner = Owner(77, "here", "2026-03-01T21:00:00.000000Z", self.beats)
        return Beat(owner, self.beat_ns) if self.held else None

    async def end_owner_async(self, name: str) -> Ended | None:
        if self.stays:
            raise OwnerStays("it cannot be ended", hint="look there")
        self.ended += 1
        self.held = False
        return Ended(Owner(77, "here", "2026-03-01T21:00:00.000000Z", self.beats), 0)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.beat_ns += self.alive


def silent(locks: Locks) -> Takeover | None:
    async def look() -> Takeover | None:
        return await end_silent(locks, "supervisor", locks.clock, lease_s=LEASE_S, sleep=locks.sleep)

    return anyio.run(look)


def test_a_silent_owner_is_ended_after_a_whole_lease() -> None:
    """One that had promised to beat and does not is ended, and not a moment earlier."""
    # shows: N5
    locks = Locks()
    began_s = locks.clock.monotonic()
    taken = silent(locks)
    assert taken is not None
    assert taken.ended is not None
    assert locks.clock.monotonic() - began_s >= LEASE_S


@pytest.mark.parametrize(
    "locks", [Locks(alive=True), Locks(beats=False), Locks(held=False)], ids=["living", "never beat", "free"]
)
def test_nobody_else_is_ended(locks: Locks) -> None:
    """An owner that beats, one that never promised to, and nobody: the watch is over within a look."""
    # shows: N5
    began_s = locks.clock.monotonic()
    assert silent(locks) is None
    assert locks.ended == 0
    assert locks.clock.monotonic() - began_s <= LOOK_S


def test_an_owner_that_cannot_be_ended_is_told_of() -> None:
    """The watch ends with the reason, and the owner keeps what it has."""
    # shows: N5
    taken = silent(Locks(stays=True))
    assert taken is not None
    assert taken.ended is None
    assert "cannot be ended" in taken.why_not


def test_an_owner_is_doubted_until_it_has_beaten() -> None:
    """At the first look nobody knows whether it lives; a beat shows it, and silence brings the doubt back."""
    # shows: N5
    locks = Locks()
    keeper = Keeper(locks, locks.clock, lease_s=LEASE_S, look_s=LOOK_S)

    def doubts(*, alive: bool) -> bool:
        locks.alive = alive
        anyio.run(locks.sleep, LOOK_S)
        assert anyio.run(keeper.look, ["run-1"]) == []
        return keeper.doubts()

    assert not keeper.doubts()
    assert [doubts(alive=alive) for alive in (True, True, False, False, True)] == [True, False, False, True, False]
    locks.held = False
    assert not doubts(alive=False)
