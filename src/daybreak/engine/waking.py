"""Sleeps until something happens: an append in this process, a word from the same event loop, or time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import anyio

from daybreak.engine.surroundings import Sleep


@runtime_checkable
class Subscribable(Protocol):
    """A ledger that tells of its commits."""

    def subscribe(self, callback: Callable[[list[Any]], None]) -> Callable[[], None]: ...


class Waking:
    """`reset`, look, `wait`: what happens after the reset ends the wait."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._event = anyio.Event()

    def listen(self, log: object) -> Callable[[], None]:
        """Let every commit of this process wake it, where the ledger and the event loop can; what ends that."""
        if not isinstance(log, Subscribable):
            return lambda: None
        mine = threading.get_ident()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another event loop: commits of its own thread, and polling
            loop = None

        def committed(records: list[Any]) -> None:
            if threading.get_ident() == mine:
                self.wake()
            elif loop is not None:
                try:
                    loop.call_soon_threadsafe(self.wake)
                except RuntimeError:  # it closes, and nobody waits any more
                    logging.getLogger(__name__).debug("a commit after the end of the loop")

        return log.subscribe(committed)

    def reset(self) -> None:
        if self._event.is_set():
            self._event = anyio.Event()

    def wake(self) -> None:
        """From the thread of the event loop."""
        self._event.set()

    async def wait(self, most_s: float) -> None:
        """Until it is woken, or for so long. Infinity: until it is woken."""
        if self._event.is_set():
            await anyio.lowlevel.checkpoint()
            return
        if self._sleep is anyio.sleep:  # a timer of the event loop is cheaper than a task that sleeps
            with anyio.move_on_after(most_s):
                await self._event.wait()
                await anyio.lowlevel.checkpoint()  # what happens in the same moment is looked at together
            return
        async with anyio.create_task_group() as group:
            if most_s != float("inf"):
                group.start_soon(self._slept, most_s, group.cancel_scope)
            await self._event.wait()
            group.cancel_scope.cancel()

    async def _slept(self, seconds: float, scope: anyio.CancelScope) -> None:
        await self._sleep(seconds)
        scope.cancel()
