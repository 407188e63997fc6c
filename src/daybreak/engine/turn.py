"""The turns of a night: look at everything once, start what can be started, and say how long to sleep."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

from anyio.abc import TaskGroup

from daybreak.engine.neighbours import Neighbours
from daybreak.engine.night import SeatLost
from daybreak.engine.outfit import Outfit
from daybreak.engine.picking import Pick
from daybreak.engine.place import LOCK, Place
from daybreak.engine.sharing import Sharing
from daybreak.errors import LedgerBusy
from daybreak.ledger.seats import Seats

LOOK_AHEAD = 2
"""Beside other nights it looks so many times further than it has workers, so that enough of it is its own."""

_log = logging.getLogger(__name__)
_NOT_ASKED_FOR = """SELECT run FROM view_runs WHERE run IN (SELECT value FROM json_each(?))
  AND state = 'paused' AND NOT answered"""


class Windows(Protocol):
    """What is needed of schedules; `engine.schedules.Schedules` is the real one."""

    def look(self, now: datetime) -> Sequence[object]: ...

    def wake_at(self, now: datetime) -> datetime | None: ...


class Turn:
    """`await take(…)`, sleep for `pause_s()` at most, again."""

    def __init__(self, outfit: Outfit, place: Place, schedules: Windows | None) -> None:
        self._engine = outfit.engine
        self._log = outfit.log
        self._clock = outfit.clock
        self._plan = outfit.plan
        self._sleep = outfit.sleep
        self._keeper = outfit.keeper
        self._seats = outfit.seats
        self._neighbours = outfit.neighbours
        self._waking = outfit.waking
        self._ending = outfit.ending
        self._alarms = outfit.alarms
        self._tell = outfit.tell
        self._crew = outfit.crew
        self._recovery = outfit.recovery
        self._place = place
        self._schedules = schedules
        self._sharing = Sharing()
        self.left: deque[str] = deque()
        """Runs that a crash left, to be gone on with."""
        self._look_at_s = self._recover_at_s = 0.0

    async def take(self, stack: ExitStack, group: TaskGroup) -> None:
        """Look at everything once, and start what can be started."""
        if self._ending.is_late():
            return self._ending.end("deadline")
        if alarm := self._alarms.look():
            return self._ending.end("incident", alarm)
        await self._look_around(stack)
        self._look_at_schedules()
        while self._crew.free > 0 and self.left:
            run = self.left.popleft()
            if run not in self._crew:
                self._crew.start(group, run)
        if self._crew.free > 0:
            for pick in self._picks(self._crew.free):
                self._crew.start(group, pick.run, in_turn=not (pick.cancel or pick.late))
        if not self._crew:
            self.find_left()
            if not self.left and not self._is_to_come():
                if self._crew.is_broke:
                    self._ending.end("budget")
                elif self._plan.once:
                    wake = self._engine.queue.wake_at(self._clock.now())
                    self._ending.end("empty", f"the next is due at {wake:%Y-%m-%d %H:%M} UTC" if wake else "")
        return None

    def _picks(self, free: int) -> Sequence[Pick]:
        """What to begin or to go on with, of what the nights of other homes leave to this one."""
        taken = {*self._crew, *self._crew.aside.runs()}
        now = self._clock.now()
        if self._neighbours is None:
            return self._engine.queue.next(now, taken=taken, most=free, night=self._tell.night)
        if broke := self._crew.broke:  # others may have tried them, too; whoever asked for them was told so
            taken |= {run for (run,) in self._log.query(_NOT_ASKED_FOR, (json.dumps(broke),))}
        place, number = self._neighbours.share()
        picks = self._engine.queue.next(now, taken=taken, most=LOOK_AHEAD * (free + 4) * number, night=self._tell.night)
        return self._sharing.mine(picks, free, place=place, nights=number, now_s=self._clock.monotonic())

    def _is_to_come(self) -> bool:
        """Will time alone let something go on before the end?"""
        if self._crew.aside.pending() or (self._keeper is not None and self._keeper.doubts()):
            return True
        if self._sharing.again_s(self._clock.monotonic()) is not None or self._recovery.doubts():
            return True
        wake = self._engine.queue.wake_at(self._clock.now())
        return wake is not None and (self._plan.until is None or wake < self._plan.until)

    def pause_s(self) -> float:
        """How long nothing will happen by itself."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        if self.left and self._crew.free > 0:
            return 0.001
        moments = [self._plan.until]
        if self._crew.free > 0:
            moments.append(self._engine.queue.wake_at(now))
        if self._schedules is not None:
            moments.append(self._schedules.wake_at(now))
        pauses = [(moment - now).total_seconds() for moment in moments if moment is not None]
        pauses += [self._plan.poll_s, self._recover_at_s - now_s]
        if self._crew or self._keeper is not None:
            pauses.append(self._look_at_s - now_s)
        pauses += [at_s - now_s for at_s in self._crew.aside.moments_s()]
        if self._crew.free > 0 and (again_s := self._sharing.again_s(now_s)) is not None:
            pauses.append(again_s)
        return max(0.001, min(pauses))

    async def _look_around(self, stack: ExitStack) -> None:
        """Stuck runs and stopped owners every few seconds, what a crash left every minute."""
        if self._keeper is not None:
            self._crew.beat(self._keeper.beat)
        if self._seats is not None:
            await self._look_at_myself(self._seats)
        now_s = self._clock.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + self._plan.look_s
            await self._crew.look()
            mine = {self._tell.night, *self._crew}
            if await self._recovery.look_at_owners(mine, [LOCK] if self._place.helper else []):
                self._recover_at_s = 0.0
        if now_s >= self._recover_at_s:
            self._recover_at_s = now_s + self._plan.recover_s
            if self._place.helper:
                self._place.succeed(stack)
            await self._recovery.close_dead()
            self.find_left()

    async def _look_at_myself(self, seats: Seats) -> None:
        """Was this process silent for so long that others took it for dead? Raises SeatLost where they closed the
        night."""
        if lapse_s := seats.lapse_s():
            # Appending brings the mirror up to date: what was taken meanwhile is seen below.
            text = f"this night was silent for {lapse_s:.0f} s; others may have taken its runs"
            await self._tell.note("takeover", 1, text)
        if lapse_s or self._clock.monotonic() >= self._look_at_s:  # else with each commit, of all that is under way
            await self._crew.look_lost()
        if told := self._recovery.was_closed():
            raise SeatLost(
                f"night {self._tell.night} was taken for dead by another home and closed: {told}",
                hint="nothing is lost: others go on with its runs; `daybreak night --join` works beside them again",
            )

    async def watch_neighbours(self, neighbours: Neighbours) -> None:
        """See at once when the time of a silent one is over."""
        while True:
            await self._sleep(neighbours.next_s(self._plan.look_s))
            if await neighbours.look():
                self._recover_at_s = 0.0
                self._waking.wake()

    def find_left(self) -> None:
        """Runs that say that they are under way, while their owner is dead."""
        self.left += self._recovery.left({*self._crew, *self.left, *self._crew.aside.runs()})

    def _look_at_schedules(self) -> None:
        if self._schedules is not None:
            try:
                self._schedules.look(self._clock.now())
            except LedgerBusy:
                _log.warning("the ledger is busy; schedules are looked at again")
