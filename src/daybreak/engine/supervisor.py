"""A night: takes what may begin or go on from the queue, gives it to workers, recovers, watches, and ends cleanly.

One supervisor for each state folder: it holds the lock `supervisor`, and each night one of its own name besides, by
which others see whether it lives. Helpers work from the same queue without the first; leases keep everybody apart.
Where several homes share the ledger, each has a supervisor of its own, and they see one another by their seats.
Its parts: the `place` it takes, its `beginning`, its `turn`s, and its `closing` once there is an `ending`.

Crash windows: nothing in here is needed to recover. What a supervisor that died had under way is recognised by its free
locks and taken over by the next one, at its start and every minute; a night without an end is closed as `died`. The
closing event is the last word; where even that fails, the next night writes it.

Time comes from the clock and sleep that are given, so that a whole night runs on a virtual clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import anyio
from anyio.abc import TaskGroup

from daybreak import ids
from daybreak.clock import Clock
from daybreak.engine import trail
from daybreak.engine.beginning import Beginning
from daybreak.engine.closing import Closing
from daybreak.engine.engine import Engine, Locks
from daybreak.engine.keeper import Takeover
from daybreak.engine.log import Log
from daybreak.engine.night import (
    Found,
    Hooks,
    NightResult,
    PingKind,
    Plan,
    Status,
    SupervisorBusy,
)
from daybreak.engine.outfit import Outfit
from daybreak.engine.place import LOCK, Place
from daybreak.engine.surroundings import Sleep
from daybreak.engine.turn import Turn, Windows
from daybreak.errors import DaybreakError
from daybreak.ids import Entropy
from daybreak.ledger.seats import Seats

__all__ = ["LOCK", "Found", "Hooks", "NightResult", "Plan", "Status", "Supervisor", "SupervisorBusy", "Windows"]


class Supervisor:
    """One night. `await work()` once; `stop()` from the same event loop ends it."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        clock: Clock,
        entropy: Entropy,
        locks: Locks,
        plan: Plan,
        sleep: Sleep = anyio.sleep,
        schedules: Windows | None = None,
        hooks: Hooks | None = None,
        taken: Sequence[Takeover] = (),
        seats: Seats | None = None,
    ) -> None:
        """The ledger must have been opened with `engine.VIEWS` and `nights.NIGHTS`; with the views of policy's journal
        an incident of level 3 ends the night. `locks` are those of the engine, `sleep` agrees with `clock`. `taken`:
        owners that were ended before the ledger could be opened; the night notes them. `seats`: those of the engine,
        where several homes share the ledger."""
        outfit = Outfit(engine, log, clock, locks, plan, sleep=sleep, hooks=hooks or Hooks(), seats=seats)
        self._engine = engine
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._locks = locks
        self._plan = plan
        self._sleep = sleep
        self._hooks = outfit.hooks
        self._taken = taken
        self._keeper = outfit.keeper
        self._seats = seats
        self._neighbours = outfit.neighbours
        self._waking = outfit.waking
        self._ending = outfit.ending
        self._tell = outfit.tell
        self._crew = outfit.crew
        self._place = Place(outfit)
        self._beginning = Beginning(outfit, self._place)
        self._turn = Turn(outfit, self._place, schedules)
        self._closing = Closing(outfit)
        self.night = ""
        """Its name, once it has begun."""

    async def work(self) -> NightResult:
        """Work until the night's end, which is recorded. Raises SupervisorBusy before anything happens, and what the
        ledger raised where that ended the night, after everything was cleaned up."""
        with ExitStack() as stack:
            before = [*self._taken]
            if not await self._place.take(stack, before):
                return self._result({}, {})
            self.night = self._tell.night = ids.new("night", self._clock.now(), self._entropy)
            if not await self._place.sit(self.night):
                self.night = ""
                return self._result({}, {})
            stack.enter_context(self._locks.hold(self.night))
            stack.enter_context(trail.on_night(self.night))
            await self._beginning.begin(before)
            stack.callback(self._waking.listen(self._log))
            async with anyio.create_task_group() as group:
                hooks, beating = self._hooks, self._keeper is not None
                if beating or hooks.beat is not None or hooks.ping is not None:
                    group.start_soon(self._beat_always, group)
                if self._seats is not None and self._neighbours is not None:
                    group.start_soon(self._feed_always, self._seats)
                    group.start_soon(self._turn.watch_neighbours, self._neighbours)
                await self._until_the_end(stack, group)
                result = self._result(*await self._closing.close())
                if self._crew and self._hooks.abandon is not None:
                    await self._hooks.abandon(sorted(self._crew))
                group.cancel_scope.cancel("the night is over")
        if self._ending.failure is not None:
            raise self._ending.failure
        return result

    def stop(self, *, hasty: bool = False) -> None:
        """End the night: nothing more is picked, runs under way get `grace_s`; hasty: they are cancelled now, and what
        is being put away at its end is left."""
        self._ending.stop(hasty=hasty)

    async def _until_the_end(self, stack: ExitStack, group: TaskGroup) -> None:
        """Work, and let what is under way come to rest. Raises nothing that happens to the night."""
        try:
            self._ping(group, "begin")
            await self._tell.ask("preflight", self._hooks.preflight)
            self._turn.find_left()
            if self._turn.left:
                if self._neighbours is None or not self._neighbours.nights():  # those of others are under way
                    await self._engine.forget_probes()
                await self._tell.note(
                    "recovery", 0, f"{len(self._turn.left)} runs that a crash left", runs=list(self._turn.left)
                )
            while self._ending.why is None:
                self._waking.reset()
                await self._turn.take(stack, group)
                if self._ending.why is None:
                    await self._waking.wait(self._turn.pause_s())
        except Exception as problem:  # noqa: BLE001 - the night ends with it, cleanly
            self._ending.fail(problem)
        try:
            await self._closing.wind_down()
        except Exception as problem:  # noqa: BLE001 - as above
            self._ending.fail(problem)

    def _result(self, counts: dict[str, int], used: dict[str, int]) -> NightResult:
        return NightResult(
            night=self.night,
            why=self._ending.why or "stopped",
            counts=counts,
            used=used,
            began=self._beginning.began,
            ended=self._clock.now(),
            text=self._ending.text(counts),
            went_before=self._beginning.went_before,
        )

    # -- beside the work

    async def _feed_always(self, seats: Seats) -> None:
        """Beside the hooks, which may take long: only a loop that stands still is silent."""
        while True:
            seats.feed()
            await self._sleep(self._plan.beat_s)

    async def _beat_always(self, group: TaskGroup) -> None:
        """Beat for all locks, say how it stands, and ping, for as long as the night lasts."""
        ping_at_s = self._clock.monotonic() + self._plan.ping_s
        while True:
            if self._keeper is not None:
                try:
                    self._keeper.beat([LOCK, self.night, *self._crew])
                except DaybreakError as problem:
                    await self._tell.complain("beat", problem)
            await self._tell.do("beat", self._hooks.beat, self._status())
            if self._clock.monotonic() >= ping_at_s:
                ping_at_s = self._clock.monotonic() + self._plan.ping_s
                self._ping(group, "alive")
            await self._sleep(self._plan.beat_s)

    def _status(self) -> Status:
        return Status(
            night=self.night,
            began=self._beginning.began,
            until=self._plan.until,
            workers=self._plan.workers,
            helper=self._place.helper,
            ending=self._ending.why or "",
            runs=self._crew.since,
        )

    def _ping(self, group: TaskGroup, kind: PingKind) -> None:
        """Beside the night's work, which it never holds up."""
        if self._hooks.ping is not None:
            group.start_soon(self._tell.do, "ping", self._hooks.ping, kind)
