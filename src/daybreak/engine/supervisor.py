"""A night: takes what may begin or go on from the queue, gives it to workers, recovers, watches, and ends cleanly.

One supervisor for each state folder: it holds the lock `supervisor`, and each night one of its own name besides, by
which others see whether it lives. Helpers work from the same queue without the first; leases keep everybody apart.
Where several homes share the ledger, each has a supervisor of its own, and they see one another by their seats.

Crash windows: nothing in here is needed to recover. What a supervisor that died had under way is recognised by its free
locks and taken over by the next one, at its start and every minute; a night without an end is closed as `died`. The
closing event is the last word; where even that fails, the next night writes it.

Time comes from the clock and sleep that are given, so that a whole night runs on a virtual clock.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from daybreak import ids
from daybreak.clock import Clock, stamp
from daybreak.engine import nights, trail
from daybreak.engine.crew import Crew
from daybreak.engine.engine import Engine, Locks
from daybreak.engine.keeper import BeatingLocks, Keeper, Takeover
from daybreak.engine.log import Log
from daybreak.engine.neighbours import Neighbours
from daybreak.engine.night import (
    Found,
    Hooks,
    NightResult,
    OtherHomeBusy,
    PingKind,
    Plan,
    SeatLost,
    Status,
    SupervisorBusy,
    Why,
)
from daybreak.engine.picking import Pick
from daybreak.engine.recovery import Recovery
from daybreak.engine.sharing import Sharing
from daybreak.engine.surroundings import Sleep
from daybreak.engine.telling import Teller, said
from daybreak.engine.waking import Waking
from daybreak.errors import DaybreakError, HostError, LedgerBusy
from daybreak.events import POLICY, NightBegan, NightEnded
from daybreak.host.locks import LockHeld
from daybreak.ids import Entropy
from daybreak.ledger.seats import Seats
from daybreak.policy.accounts import Accounts

__all__ = ["LOCK", "Found", "Hooks", "NightResult", "Plan", "Status", "Supervisor", "SupervisorBusy"]

LOCK = "supervisor"
"""Name of the lock of the one supervisor."""
LOOK_AHEAD = 2
"""Beside other nights it looks so many times further than it has workers, so that enough of it is its own."""
ELDERS_S = 20.0
"""So long a night that joins waits to read of one that sat before it."""

_log = logging.getLogger(__name__)
_ALARMS = "SELECT incident, kind, what FROM view_incidents WHERE level >= 3"
_NOT_ASKED_FOR = """SELECT run FROM view_runs WHERE run IN (SELECT value FROM json_each(?))
  AND state = 'paused' AND NOT answered"""
_WORDS: dict[Why, str] = {
    "empty": "nothing more is ready",
    "deadline": "the night's time is over",
    "budget": "the night's budget is used up",
    "stopped": "the night was stopped",
    "incident": "an incident of level 3 stopped the night",
    "failed": "the night failed",
    "died": "the night died",
}


class Windows(Protocol):
    """What is needed of schedules; `engine.schedules.Schedules` is the real one."""

    def look(self, now: datetime) -> Sequence[object]: ...

    def wake_at(self, now: datetime) -> datetime | None: ...


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
        self._engine = engine
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._locks = locks
        self._plan = plan
        self._sleep = sleep
        self._schedules = schedules
        self._hooks = hooks or Hooks()
        self._taken = taken
        self._accounts = Accounts(log)
        self._keeper: Keeper | None = None
        if isinstance(locks, BeatingLocks):
            self._keeper = Keeper(locks, clock, lease_s=plan.lease_s, look_s=plan.look_s)
        self._seats = seats
        self._neighbours: Neighbours | None = None
        if seats is not None:
            self._neighbours = Neighbours(seats, clock, lease_s=plan.lease_s, look_s=plan.look_s)
        self._sharing = Sharing()
        self.night = ""
        """Its name, once it has begun."""
        self._began = clock.now()
        self._went_before = ""
        self._helper = False
        self._ending: Why | None = None
        self._ending_text = ""
        self._hasty = False
        self._failure: Exception | None = None
        self._left: deque[str] = deque()
        """Runs that a crash left, to be gone on with."""
        self._known_alarms: set[str] | None = set()
        self._look_at_s = self._recover_at_s = 0.0
        self._waking = Waking(sleep)
        self._tell = Teller(log, self._hooks, self._fail)
        self._crew = Crew(engine, clock, plan, self._tell, wake=self._waking.wake, fail=self._fail)
        self._recovery = Recovery(log, locks, self._keeper, self._tell, self._neighbours)
        self._closing: anyio.CancelScope | None = None

    async def work(self) -> NightResult:
        """Work until the night's end, which is recorded. Raises SupervisorBusy before anything happens, and what the
        ledger raised where that ended the night, after everything was cleaned up."""
        with ExitStack() as stack:
            before = [*self._taken]
            if not await self._take_place(stack, before):
                return self._result({}, {})
            self.night = self._tell.night = ids.new("night", self._clock.now(), self._entropy)
            if not await self._take_seat():
                self.night = ""
                return self._result({}, {})
            stack.enter_context(self._locks.hold(self.night))
            stack.enter_context(trail.on_night(self.night))
            await self._begin_beside(before)
            stack.callback(self._waking.listen(self._log))
            async with anyio.create_task_group() as group:
                hooks, beating = self._hooks, self._keeper is not None
                if beating or hooks.beat is not None or hooks.ping is not None:
                    group.start_soon(self._beat_always, group)
                if self._seats is not None and self._neighbours is not None:
                    group.start_soon(self._feed_always, self._seats)
                    group.start_soon(self._watch_neighbours, self._neighbours)
                await self._until_the_end(stack, group)
                result = await self._close()
                if self._crew and self._hooks.abandon is not None:
                    await self._hooks.abandon(sorted(self._crew))
                group.cancel_scope.cancel("the night is over")
        if self._failure is not None:
            raise self._failure
        return result

    def stop(self, *, hasty: bool = False) -> None:
        """End the night: nothing more is picked, runs under way get `grace_s`; hasty: they are cancelled now, and what
        is being put away at its end is left."""
        self._end("stopped")
        if hasty:
            self._hasty = True
            if self._closing is not None:
                self._closing.cancel("in haste")
        self._waking.wake()

    # -- the begin

    async def _take_place(self, stack: ExitStack, taken: list[Takeover]) -> bool:
        """Become the supervisor, or a helper; False where it was stopped while it waited."""
        while self._ending is None:
            try:
                stack.enter_context(self._locks.hold(LOCK))
            except LockHeld as held:
                if self._plan.if_busy == "help":
                    self._helper = True
                    return True
                if self._plan.if_busy == "refuse" or self._is_late():
                    raise self._busy(held) from held
            else:
                return True
            self._waking.reset()
            if self._keeper is not None:
                for one in await self._keeper.look([LOCK]):
                    taken.append(one)
                    _log.warning("%s", one.words)
            await self._waking.wait(min(1.0, self._plan.look_s))
        return False

    async def _take_seat(self) -> bool:
        """Be seen by other homes; False where the night was stopped while it waited for theirs."""
        seats, plan = self._seats, self._plan
        if seats is None:
            return True
        while self._ending is None:
            others = await seats.sit(night=self.night, lease_s=plan.lease_s, alone=not plan.join)
            if not others:
                assert self._neighbours is not None, "there are seats"
                await self._neighbours.look()
                return True
            if plan.if_busy != "wait" or self._is_late():
                late = " and was so when this night's time was over" if plan.if_busy == "wait" else ""
                raise OtherHomeBusy(
                    f"another home's night is at work on this ledger{late}: {'; '.join(map(str, others))}"[:500],
                    hint="--join works beside it and shares its budget; --if-busy wait waits for its end; "
                    "`daybreak status` shows what it does",
                    owner=None,
                )
            await self._waking.wait(min(1.0, plan.look_s))
            self._waking.reset()
        return False

    def _busy(self, held: LockHeld) -> SupervisorBusy:
        late = " and was so when this night's time was over" if self._plan.if_busy == "wait" else ""
        return SupervisorBusy(
            f"another supervisor is at work here{late}: {held.owner or 'it has not yet written its name'}",
            hint="`daybreak status` shows what it does; --if-busy wait waits for its end, help works beside it; "
            "`daybreak unlock` ends one that hangs",
            owner=held.owner,
        )

    async def _begin_beside(self, taken: list[Takeover]) -> None:
        """A helper's first words wait for whoever holds the ledger: that one is watched meanwhile, since it may have
        stopped in the middle of a commit."""
        if not self._helper or self._keeper is None:
            return await self._begin(taken)
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, self._keeper, taken)
            try:
                await self._begin(taken)
            except Exception as problem:  # noqa: BLE001 - raised below as it is, and not in a group
                failure = problem
            group.cancel_scope.cancel("the night has begun")
        if failure is not None:
            raise failure
        return None

    async def _watch(self, keeper: Keeper, taken: list[Takeover]) -> None:
        """Touches no ledger. What cannot be looked at is left to the night's first look around, which says so."""
        while True:
            try:
                seen = await keeper.look([LOCK])
            except HostError as problem:
                _log.warning("the supervisor's lock cannot be looked at: %s", problem.message)
                return
            for one in seen:
                taken.append(one)
                _log.warning("%s", one.words)
            await self._sleep(self._plan.look_s)

    async def _begin(self, taken: Sequence[Takeover]) -> None:
        dead = await self._recovery.close_dead()
        self._began = self._clock.now()
        if not self._helper:
            self._went_before = nights.gone_before(self._log, self._began) or next(iter(dead), "")
        plan, me = self._plan, self._locks.me
        unheard = await self._hear_of_elders()
        began = NightBegan(
            night=self.night,
            host=me.host,
            pid=me.pid,
            workers=plan.workers,
            until=stamp(plan.until) if plan.until is not None else "",
            budget=plan.budget.by_name if plan.budget is not None else {},
            once=plan.once,
            went_before=self._went_before,
            seat="" if self._seats is None else self._seats.me,
            joined=self._joined(),
        )
        await self._tell.append(nights.STREAM, began)
        self._crew.account = nights.account_of(self._log, self.night) if plan.budget or began.joined else ""
        if plan.budget is not None:
            (row,) = nights.nights(self._log, named=self.night)
            if opened := self._accounts.open(self._crew.account, plan.budget, nights.above_of(self._log, row)):
                await self._tell.append(POLICY, opened)
        for one in taken:
            await self._recovery.note(one)
        if unheard:
            text = f"{', '.join(unheard)} sat here before and has not begun; its budget is not shared"
            await self._tell.note("alert", 1, text)
        if self._log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_incidents'"):
            self._known_alarms = {name for name, _, _ in self._log.query(_ALARMS)}
        else:
            self._known_alarms = None

    async def _hear_of_elders(self) -> list[str]:
        """Of several nights that begin at the same moment a younger one waits until it has read of those that sat
        before it, whose budget it shares. Those that did not begin in time."""
        if not self._plan.join or self._neighbours is None:
            return []
        ends_s = self._clock.monotonic() + ELDERS_S
        while True:
            names = [one.night for one in self._neighbours.nights() if one.elder]
            unheard = [name for name in names if not nights.nights(self._log, named=name)]
            if not unheard or self._ending is not None or self._clock.monotonic() >= ends_s:
                return unheard
            await self._sleep(0.1)
            await self._neighbours.look()

    def _joined(self) -> str:
        """The night whose budget is shared: the oldest of other homes that is under way, or else the one that died
        and that this one goes on with, which may have shared another's."""
        if not self._plan.join or self._neighbours is None:
            return ""
        names = {one.night for one in self._neighbours.nights()}
        living = [row.night for row in reversed(nights.open_nights(self._log)) if row.night in names]
        return next(iter(living), self._went_before)

    # -- the work

    async def _until_the_end(self, stack: ExitStack, group: TaskGroup) -> None:
        """Work, and let what is under way come to rest. Raises nothing that happens to the night."""
        try:
            self._ping(group, "begin")
            await self._tell.ask("preflight", self._hooks.preflight)
            self._find_left()
            if self._left:
                if self._neighbours is None or not self._neighbours.nights():  # those of others are under way
                    await self._engine.forget_probes()
                await self._tell.note("recovery", 0, f"{len(self._left)} runs that a crash left", runs=list(self._left))
            while self._ending is None:
                self._waking.reset()
                await self._turn(stack, group)
                if self._ending is None:
                    await self._waking.wait(self._pause_s())
        except Exception as problem:  # noqa: BLE001 - the night ends with it, cleanly
            self._fail(problem)
        try:
            await self._wind_down()
        except Exception as problem:  # noqa: BLE001 - as above
            self._fail(problem)

    async def _turn(self, stack: ExitStack, group: TaskGroup) -> None:
        """Look at everything once, and start what can be started."""
        if self._is_late():
            return self._end("deadline")
        if alarm := self._alarm():
            return self._end("incident", alarm)
        await self._look_around(stack)
        self._look_at_schedules()
        while self._crew.free > 0 and self._left:
            run = self._left.popleft()
            if run not in self._crew:
                self._crew.start(group, run)
        if self._crew.free > 0:
            for pick in self._picks(self._crew.free):
                self._crew.start(group, pick.run, in_turn=not (pick.cancel or pick.late))
        if not self._crew:
            self._find_left()
            if not self._left and not self._is_to_come():
                if self._crew.is_broke:
                    self._end("budget")
                elif self._plan.once:
                    wake = self._engine.queue.wake_at(self._clock.now())
                    self._end("empty", f"the next is due at {wake:%Y-%m-%d %H:%M} UTC" if wake else "")
        return None

    def _picks(self, free: int) -> Sequence[Pick]:
        """What to begin or to go on with, of what the nights of other homes leave to this one."""
        taken = {*self._crew, *self._crew.aside.runs()}
        now = self._clock.now()
        if self._neighbours is None:
            return self._engine.queue.next(now, taken=taken, most=free, night=self.night)
        if broke := self._crew.broke:  # others may have tried them, too; whoever asked for them was told so
            taken |= {run for (run,) in self._log.query(_NOT_ASKED_FOR, (json.dumps(broke),))}
        place, number = self._neighbours.share()
        picks = self._engine.queue.next(now, taken=taken, most=LOOK_AHEAD * (free + 4) * number, night=self.night)
        return self._sharing.mine(picks, free, place=place, nights=number, now_s=self._clock.monotonic())

    def _is_to_come(self) -> bool:
        """Will time alone let something go on before the end?"""
        if self._crew.aside.pending() or (self._keeper is not None and self._keeper.doubts()):
            return True
        if self._sharing.again_s(self._clock.monotonic()) is not None or self._recovery.doubts():
            return True
        wake = self._engine.queue.wake_at(self._clock.now())
        return wake is not None and (self._plan.until is None or wake < self._plan.until)

    # -- looking around

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
            mine = {self.night, *self._crew}
            if await self._recovery.look_at_owners(mine, [LOCK] if self._helper else []):
                self._recover_at_s = 0.0
        if now_s >= self._recover_at_s:
            self._recover_at_s = now_s + self._plan.recover_s
            if self._helper:
                self._succeed(stack)
            await self._recovery.close_dead()
            self._find_left()

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
                f"night {self.night} was taken for dead by another home and closed: {told}",
                hint="nothing is lost: others go on with its runs; `daybreak night --join` works beside them again",
            )

    async def _feed_always(self, seats: Seats) -> None:
        """Beside the hooks, which may take long: only a loop that stands still is silent."""
        while True:
            seats.feed()
            await self._sleep(self._plan.beat_s)

    async def _watch_neighbours(self, neighbours: Neighbours) -> None:
        """See at once when the time of a silent one is over."""
        while True:
            await self._sleep(neighbours.next_s(self._plan.look_s))
            if await neighbours.look():
                self._recover_at_s = 0.0
                self._waking.wake()

    def _find_left(self) -> None:
        """Runs that say that they are under way, while their owner is dead."""
        self._left += self._recovery.left({*self._crew, *self._left, *self._crew.aside.runs()})

    def _succeed(self, stack: ExitStack) -> None:
        """A helper becomes the supervisor once there is none."""
        try:
            stack.enter_context(self._locks.hold(LOCK))
        except LockHeld:
            return
        self._helper = False

    def _look_at_schedules(self) -> None:
        if self._schedules is not None:
            try:
                self._schedules.look(self._clock.now())
            except LedgerBusy:
                _log.warning("the ledger is busy; schedules are looked at again")

    def _alarm(self) -> str:
        """An incident of level 3 that was raised since the night began."""
        if self._known_alarms is None:
            return ""
        for name, kind, what in self._log.query(_ALARMS):
            if name not in self._known_alarms:
                return f"{kind}: {what} ({name})"
        return ""

    def _is_late(self) -> bool:
        return self._plan.until is not None and self._clock.now() >= self._plan.until

    def _pause_s(self) -> float:
        """How long nothing will happen by itself."""
        now, now_s = self._clock.now(), self._clock.monotonic()
        if self._left and self._crew.free > 0:
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

    # -- the end

    def _end(self, why: Why, text: str = "") -> None:
        if self._ending is None:
            self._ending, self._ending_text = why, text

    def _fail(self, problem: Exception) -> None:
        """The night cannot go on: nothing is certain to be recorded any more."""
        if self._failure is None:
            _log.error("the night fails", exc_info=problem)
            self._failure = problem
            self._ending, self._ending_text, self._hasty = "failed", said(problem), True
        self._waking.wake()

    async def _wind_down(self) -> None:
        """Let what is under way reach the end of its step; cancel what does not."""
        assert self._ending is not None, "it is ending"
        if self._ending == "deadline" and self._crew:
            await self._tell.note("deadline", 0, f"{len(self._crew)} runs were under way", runs=sorted(self._crew))
        ends_s = self._clock.monotonic() + self._plan.grace_s
        while self._crew and not self._hasty and (left_s := ends_s - self._clock.monotonic()) > 0:
            self._waking.reset()
            self._engine.wind_down(_WORDS[self._ending])
            await self._waking.wait(min(1.0, left_s))
        self._crew.cancel("the night is over")
        ends_s = self._clock.monotonic() + self._plan.leave_s
        while self._crew and (left_s := ends_s - self._clock.monotonic()) > 0:
            self._waking.reset()
            await self._waking.wait(left_s)
        if self._crew:
            await self._tell.note("stuck", 2, "runs did not end although they were cancelled", runs=sorted(self._crew))

    async def _close(self) -> NightResult:
        """Put everything away; the closing event comes last."""
        assert self._ending is not None, "it is ending"
        counts = self._crew.counts
        used: dict[str, int] = {}
        try:
            if self._failure is None:
                with anyio.CancelScope() as self._closing:
                    await self._tell.ask("reconciliation", self._hooks.reconcile)
                    await self._tell.ask("snapshot", self._hooks.snapshot)
            if self._crew.account:
                used = self._accounts.used(self._crew.account).by_name
            text = self._text(counts)
            await self._tell.end(NightEnded(night=self.night, why=self._ending, counts=counts, used=used, text=text))
        except Exception as problem:  # noqa: BLE001 - the next night writes the end
            self._fail(problem)
        await self._tell.do("report", self._hooks.report, self.night)
        if self._failure is None and self._hooks.ping is not None:
            await self._tell.do("ping", self._hooks.ping, "end")
        return self._result(counts, used)

    def _text(self, counts: dict[str, int]) -> str:
        assert self._ending is not None, "it is ending"
        brought = ", ".join(f"{number} {state}" for state, number in counts.items()) or "no runs"
        return f"{_WORDS[self._ending]}: {brought}" + (f"; {self._ending_text}" if self._ending_text else "")

    def _result(self, counts: dict[str, int], used: dict[str, int]) -> NightResult:
        return NightResult(
            night=self.night,
            why=self._ending or "stopped",
            counts=counts,
            used=used,
            began=self._began,
            ended=self._clock.now(),
            text=self._text(counts),
            went_before=self._went_before,
        )

    # -- telling

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
            began=self._began,
            until=self._plan.until,
            workers=self._plan.workers,
            helper=self._helper,
            ending=self._ending or "",
            runs=self._crew.since,
        )

    def _ping(self, group: TaskGroup, kind: PingKind) -> None:
        """Beside the night's work, which it never holds up."""
        if self._hooks.ping is not None:
            group.start_soon(self._tell.do, "ping", self._hooks.ping, kind)
