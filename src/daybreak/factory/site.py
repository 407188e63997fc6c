"""Where a run works on this machine: its folder below the workspaces, and how much goes on there at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from daybreak import events
from daybreak.engine import Context, Parked
from daybreak.engine.flow import Paused
from daybreak.factory import machine
from daybreak.factory.warden import Warden
from daybreak.host import removal

Branch = Callable[[Context], Awaitable[Any]]


class Numbers:
    """Numbers of attempts for branches that run at the same time: each is given once, also after a crash, since all
    that were given before are in the run's records."""

    def __init__(self, ctx: Context, last: int) -> None:
        self._ctx, self._last = ctx, last
        self._knows = False
        self._lock = threading.Lock()

    async def next(self) -> int:
        """As `take`, without a thread where nothing has to be read."""
        return self.take() if self._knows else await anyio.to_thread.run_sync(self.take)

    def take(self) -> int:
        """The next one. Inside a step, which keeps it."""
        with self._lock:
            if not self._knows:
                told = (record.event for record in self._ctx.records())
                given = [one.result for one in told if isinstance(one, events.StepDone) and one.name == "number"]
                self._last, self._knows = max([self._last, *map(int, given)]), True
            self._last += 1
            return self._last


@dataclass
class Site:
    ctx: Context
    folder: Path
    warden: Warden
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set as soon as the run is to end: what programs see afterwards may be the interruption."""
    number: int = 0
    """Of the attempt that is under way."""
    numbers: Numbers | None = None
    """Where several branches ask for attempts at a time."""
    at_a_time: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(machine.cores()))
    """How much of one run goes on at the same time."""

    async def occupied(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """What `work` returns, with programs ended at once when the run is cancelled: their threads cannot be. The
        folder is gone afterwards, also what an owner that was killed left in it."""
        failure: Exception | None = None
        result = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_for_cancelling)
            try:
                result = await work()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failure = error
            group.cancel_scope.cancel("the work is over")
        removal.remove(self.folder)
        if failure is not None:
            raise failure
        return result

    async def _watch_for_cancelling(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()

    async def next_number(self) -> int:
        """Of an attempt that begins now; the same after a crash."""
        if self.numbers is None:
            self.number += 1
        else:
            self.number = int(await self.ctx.step("number", self.numbers.next))
        return self.number

    def branch(self, ctx: Context, numbers: Numbers) -> Site:
        """The same place for a branch of the run, which shares what may go on at a time."""
        return replace(self, ctx=ctx, numbers=numbers)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One of those that may work at a time. Only around work itself: whoever waits for others holds none."""
        if self.numbers is None:
            yield
        else:
            async with self.at_a_time:
                yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh folder of this run, gone afterwards. Waits for a person where the disk is full."""
        if not os.path.isdir(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.refuse_full_disk()
        with removal.scratch(self.folder, tell=partial(self.warden.remains, self.number)) as folder:
            yield folder

    async def side_by_side(self, branches: Sequence[Branch]) -> list[Any]:
        """Their results in order; as many at a time as the machine has cores."""

        def limited(branch: Branch) -> Branch:
            async def when_there_is_room(ctx: Context) -> Any:
                async with self.at_a_time:
                    return await branch(ctx)

            return when_there_is_room

        return await self.ctx.gather(*map(limited, branches))

    def refuse_full_disk(self) -> None:
        """What a check sees on a full disk says nothing about the result: wait for a person instead."""
        if not machine.has_room(self.folder):
            raise Parked("the disk is full: make room, then resume", why=f"no room for {self.folder}")

    def refuse_interrupted(self) -> None:
        """What a program left or saw that was ended may be the interruption. Raises Paused."""
        if self.cancelled.is_set():
            raise Paused("interrupted while somebody worked or looked")
