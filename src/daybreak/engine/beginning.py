"""The begin of a night: what died before it is closed, its budget is opened, and its first words are written."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio

from daybreak.clock import stamp
from daybreak.engine import nights
from daybreak.engine.keeper import Keeper, Takeover
from daybreak.engine.outfit import Outfit
from daybreak.engine.place import LOCK, Place
from daybreak.errors import HostError
from daybreak.events import POLICY, NightBegan

ELDERS_S = 20.0
"""So long a night that joins waits to read of one that sat before it."""

_log = logging.getLogger(__name__)


class Beginning:
    """`await begin(…)` once, with its place taken and its name given to the teller."""

    def __init__(self, outfit: Outfit, place: Place) -> None:
        self._log = outfit.log
        self._clock = outfit.clock
        self._locks = outfit.locks
        self._plan = outfit.plan
        self._sleep = outfit.sleep
        self._accounts = outfit.accounts
        self._keeper = outfit.keeper
        self._seats = outfit.seats
        self._neighbours = outfit.neighbours
        self._ending = outfit.ending
        self._alarms = outfit.alarms
        self._tell = outfit.tell
        self._crew = outfit.crew
        self._recovery = outfit.recovery
        self._place = place
        self.began = outfit.clock.now()
        self.went_before = ""
        """The night that this one goes on with."""

    async def begin(self, taken: list[Takeover]) -> None:
        """A helper's first words wait for whoever holds the ledger: that one is watched meanwhile, since it may have
        stopped in the middle of a commit."""
        if not self._place.helper or self._keeper is None:
            return await self._write(taken)
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, self._keeper, taken)
            try:
                await self._write(taken)
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

    async def _write(self, taken: Sequence[Takeover]) -> None:
        dead = await self._recovery.close_dead()
        self.began = self._clock.now()
        if not self._place.helper:
            self.went_before = nights.gone_before(self._log, self.began) or next(iter(dead), "")
        plan, me = self._plan, self._locks.me
        unheard = await self._hear_of_elders()
        began = NightBegan(
            night=self._tell.night,
            host=me.host,
            pid=me.pid,
            workers=plan.workers,
            until=stamp(plan.until) if plan.until is not None else "",
            budget=plan.budget.by_name if plan.budget is not None else {},
            once=plan.once,
            went_before=self.went_before,
            seat="" if self._seats is None else self._seats.me,
            joined=self._joined(),
        )
        await self._tell.append(nights.STREAM, began)
        self._crew.account = nights.account_of(self._log, self._tell.night) if plan.budget or began.joined else ""
        if plan.budget is not None:
            (row,) = nights.nights(self._log, named=self._tell.night)
            if opened := self._accounts.open(self._crew.account, plan.budget, nights.above_of(self._log, row)):
                await self._tell.append(POLICY, opened)
        for one in taken:
            await self._recovery.note(one)
        if unheard:
            text = f"{', '.join(unheard)} sat here before and has not begun; its budget is not shared"
            await self._tell.note("alert", 1, text)
        self._alarms.begin()

    async def _hear_of_elders(self) -> list[str]:
        """Of several nights that begin at the same moment a younger one waits until it has read of those that sat
        before it, whose budget it shares. Those that did not begin in time."""
        if not self._plan.join or self._neighbours is None:
            return []
        ends_s = self._clock.monotonic() + ELDERS_S
        while True:
            names = [one.night for one in self._neighbours.nights() if one.elder]
            unheard = [name for name in names if not nights.nights(self._log, named=name)]
            if not unheard or self._ending.why is not None or self._clock.monotonic() >= ends_s:
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
        return next(iter(living), self.went_before)
