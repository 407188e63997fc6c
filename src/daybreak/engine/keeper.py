"""Keeps a supervisor's locks beating, and sees by its own clock which other owners have stopped.

Silence is added up look by look, each look counting for a while at most: a machine that slept for hours, or a clock
that jumped, makes nobody look dead. An owner is only ever ended where it had promised to beat (see `host.locks`), so
that a person who goes on with one run by hand is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import anyio

from daybreak.clock import Clock
from daybreak.engine.surroundings import Sleep
from daybreak.errors import HostError
from daybreak.host.locks import Beat, Owner
from daybreak.host.owners import Ended


@runtime_checkable
class BeatingLocks(Protocol):
    """What is needed of locks; `host.locks.FileLocks` is the real one."""

    def beat(self, name: str) -> bool: ...

    def beat_of(self, name: str) -> Beat | None: ...

    async def end_owner_async(self, name: str) -> Ended | None: ...


class Stopwatch:
    """Adds up time between looks; a gap counts for `gap_max_s` at most, because the machine may have slept."""

    def __init__(self, clock: Clock, gap_max_s: float) -> None:
        self._clock = clock
        self._gap_max_s = gap_max_s
        self._last_s = clock.monotonic()
        self.passed_s = 0.0

    def look(self) -> float:
        """The time added up so far; time that no look could have counted is left out."""
        now_s = self._clock.monotonic()
        self.passed_s += max(0.0, min(now_s - self._last_s, self._gap_max_s))
        self._last_s = now_s
        return self.passed_s

    def at_most(self, seconds: float) -> None:
        """It is known to be no more than this."""
        self.passed_s = min(self.passed_s, max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class Takeover:
    """An owner had stopped."""

    name: str
    """Of the lock by which that was seen."""
    owner: Owner
    ended: Ended | None
    """None where it could not be ended, and keeps what it has."""
    why_not: str = ""

    @property
    def words(self) -> str:
        if self.ended is None:
            return f"{self.owner} has stopped and holds {self.name}, but {self.why_not}"
        below = f" and {self.ended.children} processes below it" if self.ended.children else ""
        return f"{self.owner} had stopped and held {self.name}; it was ended{below}"


@dataclass
class _Seen:
    beat: Beat
    silent: Stopwatch
    alive: bool = False
    """It has beaten since it was first looked at."""
    refused: bool = False


class Keeper:
    """See the module. `look_s` is how often `look` is called."""

    def __init__(self, locks: BeatingLocks, clock: Clock, *, lease_s: float, look_s: float) -> None:
        self._locks = locks
        self._clock = clock
        self._lease_s = lease_s
        self._gap_max_s = look_s * 2
        self._seen: dict[str, _Seen] = {}

    def beat(self, names: Iterable[str]) -> set[str]:
        """Beat for those of them that are held here; which those are. Raises HostError."""
        return {name for name in names if self._locks.beat(name)}

    async def look(self, names: Collection[str]) -> list[Takeover]:
        """Look at locks that others hold; end the owners of those that have stopped. A refusal is told once."""
        for gone in self._seen.keys() - set(names):
            del self._seen[gone]
        told: list[Takeover] = []
        for name in names:
            seen = self._look_at(name)
            if seen is None or seen.refused or seen.silent.passed_s < self._lease_s:
                continue
            if told and any(seen.beat.owner.pid == one.owner.pid for one in told):
                continue  # the same owner; the next look sees whether it is gone
            told.append(await self._end(name, seen))
        return told

    def doubts(self) -> bool:
        """Is there an owner that has not beaten since the look before the last, and may prove to have stopped?"""
        return any(
            not seen.refused and (not seen.alive or seen.silent.passed_s > self._gap_max_s / 2)
            for seen in self._seen.values()
        )

    def _look_at(self, name: str) -> _Seen | None:
        beat = self._locks.beat_of(name)
        if beat is None or not beat.owner.beats:
            self._seen.pop(name, None)
            return None
        seen = self._seen.get(name)
        if seen is None or seen.beat != beat:
            self._seen[name] = _Seen(beat, Stopwatch(self._clock, self._gap_max_s), alive=seen is not None)
            return None
        seen.silent.look()
        return seen

    async def _end(self, name: str, seen: _Seen) -> Takeover:
        try:
            ended = await self._locks.end_owner_async(name)
        except HostError as problem:
            seen.refused = True
            return Takeover(name, seen.beat.owner, None, f"{problem.message} ({problem.hint})")
        self._seen.pop(name, None)
        return Takeover(name, seen.beat.owner, ended)


async def end_silent(
    locks: BeatingLocks, name: str, clock: Clock, *, lease_s: float, sleep: Sleep = anyio.sleep
) -> Takeover | None:
    """Watch the owner of a lock until it beats, is gone, or has been silent for a whole lease and is ended.

    For before a ledger is opened: an owner that was stopped in the middle of a commit holds the database, so that
    nobody else can open it. Returns None where nobody stands still, soon after a living one's next beat. Raises
    HostError.
    """
    look_s = min(1.0, lease_s / 6)
    keeper = Keeper(locks, clock, lease_s=lease_s, look_s=look_s)
    seen = locks.beat_of(name)
    while seen is not None and seen.owner.beats and locks.beat_of(name) == seen:
        if told := await keeper.look([name]):
            return told[0]
        await sleep(look_s)
    return None
