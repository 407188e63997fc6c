"""An engine on a memory ledger, for tests that need no night around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from daybreak.engine import VIEWS, Engine, Listener, RunResult, TaskFunction
from daybreak.events import RunMoved, run_stream
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks


class Desk:
    """One ledger; every `resume` is a fresh owner, as after a crash. `code` may change between two of them."""

    def __init__(self, code: TaskFunction, *, listeners: tuple[Listener, ...] = ()) -> None:
        random = Random(0)
        self.clock = FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=VIEWS, entropy=random.randbytes)
        self.locks = MemoryLocks()
        self.code = code
        self.engine = self.another_engine(listeners=listeners)
        self.run = self.engine.submit("kind", "a task", {"n": 1})

    def another_engine(
        self, locks: MemoryLocks | None = None, listeners: tuple[Listener, ...] = (), **changes: Any
    ) -> Engine:
        kinds: Mapping[str, TaskFunction] = {"kind": self._code}
        return Engine(
            changes.get("ledger", self.ledger),
            changes.get("kinds", kinds),
            locks or self.locks,
            self.clock,
            Random(1).randbytes,
            listeners,
            sleep=self.clock.sleep,
        )

    async def resume(self, code: TaskFunction | None = None) -> RunResult:
        self.code = code or self.code
        return await self.engine.supervise(self.run)

    async def _code(self, ctx: Any, args: Any) -> Any:
        return await self.code(ctx, args)

    def size(self) -> int:
        """How many events the whole ledger holds."""
        return sum(1 for _ in self.ledger.read_all())

    def events(self, *types: str) -> list[Any]:
        """Events of the run's own stream, of these types or all."""
        records = self.ledger.read(run_stream(self.run))
        return [record.event for record in records if not types or record.type in types]

    def states(self) -> list[str]:
        return [event.new for event in self.events() if isinstance(event, RunMoved)]


class Crash(BaseException):
    """The process dies here; nothing of ours catches it, and the ledger takes nothing more from it."""


class Counting:
    """A step's function that counts its calls, and may crash in one of them."""

    def __init__(self, value: Any = None, *, crash_in_call: int = 0, then: Callable[..., Any] | None = None) -> None:
        self.value = value
        self.calls = 0
        self.crash_in_call = crash_in_call
        self.then = then

    async def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == self.crash_in_call:
            raise Crash
        return self.then(*args) if self.then else self.value
