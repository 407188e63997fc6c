"""The queue and the schedules of this process's home, opened for one thing that is done to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.engine.queue import Queue
    from daybreak.engine.schedules import Schedules
    from daybreak.ledger import Ledger


@contextmanager
def queue() -> Iterator[tuple[Queue, Clock]]:
    """The queue over this process's ledger, and the clock that it goes by."""
    from daybreak.clock import SystemClock
    from daybreak.engine.queue import Queue
    from daybreak.home.opening import open_ledger

    clock = SystemClock()
    with open_ledger() as ledger:
        yield Queue(ledger, clock, os.urandom), clock


@contextmanager
def schedules() -> Iterator[tuple[Schedules, Ledger]]:
    """The schedules, and the ledger that they stand in."""
    from daybreak.clock import SystemClock
    from daybreak.engine.queue import Queue
    from daybreak.engine.schedules import Schedules
    from daybreak.home.opening import open_ledger

    clock = SystemClock()
    with open_ledger() as ledger:
        yield Schedules(ledger, clock, Queue(ledger, clock, os.urandom)), ledger
