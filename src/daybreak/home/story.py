"""A run's events, from all streams that speak of it.

The streams of the queue and of policy hold what is said of all runs. They are read from the moment at which the run
was asked for, which is looked up, to a day after its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daybreak import events
from daybreak.clock import stamp

if TYPE_CHECKING:
    from daybreak.ledger import Ledger, Record

AFTERWARDS = timedelta(days=1)
"""So long after a run's end something is still said of it: what is settled or revoked late."""
_LATEST = "~"
"""Behind every moment."""


def records(ledger: Ledger, run: str) -> Iterator[Record]:
    """Its task, everything in its own stream, in order, and what policy says about it. Where the clock was set back
    since the run was asked for, everything is read."""
    since, until = _span(ledger, run)
    asked = list(_of(run, ledger.read_since(events.QUEUE, since), until))
    if not any(isinstance(one.event, events.TaskAdded) for one in asked):
        since, until = "", _LATEST
        asked = list(_of(run, ledger.read(events.QUEUE), until))
    yield from asked
    yield from ledger.read(events.run_stream(run))
    yield from _of(run, ledger.read_since(events.POLICY, since), until)


def _span(ledger: Ledger, run: str) -> tuple[str, str]:
    for created, updated, over in ledger.query("SELECT created, updated, over FROM view_runs WHERE run = ?", (run,)):
        end = stamp(datetime.fromisoformat(updated) + AFTERWARDS) if over else _LATEST
        return str(created), end
    return "", _LATEST


def _of(run: str, found: Iterable[Record], until: str) -> Iterator[Record]:
    for record in found:
        if record.ts > until:
            return
        if getattr(record.event, "run", None) == run:
            yield record
