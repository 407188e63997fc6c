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
    from daybreak.home.opening import open_ledger

    clock = SystemClock()
    with open_ledger() as ledger:
        yield _queue(ledger, clock), clock


@contextmanager
def schedules() -> Iterator[tuple[Schedules, Ledger]]:
    """The schedules, and the ledger that they stand in."""
    from daybreak.clock import SystemClock
    from daybreak.engine.schedules import Schedules
    from daybreak.home.opening import open_ledger

    clock = SystemClock()
    with open_ledger() as ledger:
        yield Schedules(ledger, clock, _queue(ledger, clock)), ledger


def _queue(ledger: Ledger, clock: Clock) -> Queue:
    """Where several homes share the ledger, what names a folder of this machine is done by this home, as what its
    engine adds is."""
    from daybreak.engine.queue import Queue
    from daybreak.home.opening import BOUND, places
    from daybreak.ledger.seats import named

    home = "" if ledger.postgres is None else named(places().locks, os.urandom)
    return Queue(ledger, clock, os.urandom, home=home, bound=BOUND)
