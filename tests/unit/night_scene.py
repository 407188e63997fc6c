"""A night on a virtual clock: one ledger in memory, one machine, tasks that are plain functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from daybreak.engine import VIEWS, Engine, Placement
from daybreak.engine.night import Hooks, NightResult, Plan
from daybreak.engine.nights import NIGHTS, STREAM
from daybreak.engine.schedule_view import SCHEDULES as _SCHEDULES
from daybreak.engine.supervisor import Supervisor
from daybreak.events import NightBegan, NightEnded, NightNoted
from daybreak.host.locks import Beat, Owner
from daybreak.host.owners import Ended, OwnerStays
from daybreak.policy import journal
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

_NAMES = {view.name for view in VIEWS}
ALL_VIEWS = (*VIEWS, *(view for view in (NIGHTS, _SCHEDULES, *journal.VIEWS) if view.name not in _NAMES))


class BeatingLocks(MemoryLocks):
    """Locks of one pretended machine on which owners promise to beat."""

    def __init__(self, host: str = "here") -> None:
        super().__init__(host)
        self.beats: dict[str, int] = {}
        self.foreign: dict[str, Owner] = {}
        """Locks of another process: they stay held until that is ended."""
        self.ended: list[str] = []
        self.stays = False

    def beat(self, name: str) -> bool:
        if name in self._held and name not in self.foreign:
            self.beats[name] = self.beats.get(name, 0) + 1
            return True
        return False

    def beat_of(self, name: str) -> Beat | None:
        if name in self.foreign:
            return Beat(self.foreign[name], self.beats.get(name, 0))
        return Beat(replace(self.me, beats=True), self.beats.get(name, 0)) if name in self._held else None

    def owner(self, name: str) -> Owner | None:
        return self.foreign.get(name) or super().owner(name)

    async def end_owner_async(self, name: str) -> Ended | None:
        if self.stays:
            raise OwnerStays("it cannot be ended", hint="look there")
        self.ended.append(name)
        owner = self.foreign[name]
        for other in [lock for lock, who in self.foreign.items() if who.pid == owner.pid]:
            del self.foreign[other]
            self._held.discard(other)
        return Ended(owner, 0)

    def stop_owner(self, *names: str, pid: int = 77, beats: bool = True) -> None:
        """Another process holds these."""
        for name in names:
            self._held.add(name)
            self.foreign[name] = Owner(pid, self.me.host, "2026-03-01T21:00:00.000000Z", beats)


Code = Callable[[Any, Any], Awaitable[Any]]


class Scene:
    """Tasks are kinds by name; `night` runs one night from beginning to end on the virtual clock."""

    def __init__(self, *, locks: MemoryLocks | None = None, **kinds: Code) -> None:
        self.mock = MockClock(autojump_threshold=0)
        self.clock = FakeClock(DAWN, elapsed=self.mock.current_time)
        self.random = Random(0)
        self.ledger = MemoryLedger(clock=self.clock, views=ALL_VIEWS, entropy=self.random.randbytes)
        self.locks = locks or MemoryLocks()
        self.kinds: Mapping[str, Code] = kinds
        self.engine = self.another_engine()
        self.supervisors: list[Supervisor] = []

    def another_engine(self, locks: MemoryLocks | None = None) -> Engine:
        return Engine(self.ledger, self.kinds, locks or self.locks, self.clock, self.random.randbytes, sleep=trio.sleep)

    def add(self, kind: str, count: int = 1, **placement: Any) -> list[str]:
        return [
            self.engine.submit(kind, f"{kind} {number}", {"n": number}, Placement(**placement))
            for number in range(count)
        ]

    def supervisor(self, plan: Plan | None = None, **changes: Any) -> Supervisor:
        """A supervisor with an engine of its own, as another process has."""
        made = Supervisor(
            changes.get("engine") or self.another_engine(),
            changes.get("log") or self.ledger,
            self.clock,
            self.random.randbytes,
            changes.get("locks") or self.locks,
            plan or Plan(once=True),
            trio.sleep,
            changes.get("schedules"),
            changes.get("hooks") or Hooks(),
        )
        self.supervisors.append(made)
        return made

    def night(self, plan: Plan | None = None, **changes: Any) -> NightResult:
        result: NightResult = self.run(self.supervisor(plan, **changes).work)
        return result

    def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        return trio.run(function, clock=self.mock)

    def after(self, **span: float) -> Any:
        return self.clock.now() + timedelta(**span)

    def state(self, run: str) -> str:
        return str(self.ledger.query("SELECT state FROM view_runs WHERE run = ?", (run,))[0][0])

    def states(self) -> dict[str, int]:
        return dict(self.ledger.query("SELECT state, count(*) FROM view_runs GROUP BY state"))

    def began(self) -> list[NightBegan]:
        return [one.event for one in self.ledger.read(STREAM) if isinstance(one.event, NightBegan)]

    def ended(self) -> list[NightEnded]:
        return [one.event for one in self.ledger.read(STREAM) if isinstance(one.event, NightEnded)]

    def noted(self, what: str = "") -> list[NightNoted]:
        notes = [one.event for one in self.ledger.read(STREAM) if isinstance(one.event, NightNoted)]
        return [note for note in notes if not what or note.what == what]
