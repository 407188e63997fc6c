"""A look at the queue while other processes and threads append: its questions are not of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import anyio

from daybreak.engine import VIEWS, Engine, Placement, Queue, picking
from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks


async def _nothing(ctx: object, args: object) -> None:
    return None


class Meanwhile:
    """A ledger on which somebody else takes a run right after those were read whose moment has come."""

    def __init__(self, ledger: MemoryLedger, engine: Engine, run: str) -> None:
        self._ledger, self._engine, self._run = ledger, engine, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        rows = self._ledger.query(sql, params)
        if sql == picking._RIPENED:
            anyio.run(self._engine.supervise, self._run)
        return rows


def test_a_run_whose_moment_comes_within_a_look_is_picked_once() -> None:
    """Read as one whose moment has come, and again as a ready one after another's lease: still one pick."""
    # shows: N5
    clock, random = FakeClock(DAWN), Random(1)
    ledger = MemoryLedger(clock=clock, views=VIEWS, entropy=random.randbytes)
    engine = Engine(ledger, {"kind": _nothing}, MemoryLocks(), clock, random.randbytes)
    other = engine.submit("kind", "other", {})
    late = engine.submit("kind", "late", {}, Placement(not_before=clock.now() + timedelta(seconds=10)))
    clock.advance(20)
    queue = Queue(Meanwhile(ledger, engine, other), clock, random.randbytes)
    assert [pick.run for pick in queue.next(clock.now(), most=5)] == [late]
