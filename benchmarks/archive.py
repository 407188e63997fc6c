"""What archiving, pruning and reading from archives cost, against verifying the same events and reading them live.

Times are of the processor (this process's), so that others on the machine do not count.

EVENTS=100000 python -m benchmarks archive
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Figure, lower
from benchmarks.ledger_verify import fill
from daybreak.clock import SystemClock
from daybreak.ledger import Ledger, verify
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.pruning import prune, refill, shrink


def _us(work: Callable[[], object], events: int) -> float:
    """Microseconds of the processor for each event."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / events * 1e6


def measure(events: int = 100_000) -> dict[str, float]:
    """Times in µs for each event, sizes in bytes for each event."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = {"keys": home / "keys", "witness": home / "witness"}
        database, found = home / "ledger" / "ledger.db", dict[str, float]()

        def opened() -> Ledger:
            return Ledger.open(home / "ledger", clock=SystemClock(), **places)

        def read(ledger: Ledger) -> None:
            for _ in ledger.read_all():
                continue

        with opened() as ledger:
            fill(ledger, events)
        found["verify"] = _us(lambda: verify(home / "ledger", **places), events)
        found["database"] = database.stat().st_size / events
        with opened() as ledger:
            size = ledger.head().size
            found["read"] = _us(lambda: read(ledger), events)
            found["archive"] = _us(lambda: list(archive(ledger, home / "archive", end=size)), events)
            found["prune"] = _us(lambda: list(prune(ledger, witnessed=size)), events)
            found["read_archived"] = _us(lambda: read(ledger), events)
        found["files"] = sum(path.stat().st_size for path in (home / "archive").iterdir()) / events
        found["shrink"] = _us(lambda: shrink(home / "ledger"), events)
        found["shrunk"] = database.stat().st_size / events
        found["verify_archived"] = _us(lambda: verify(home / "ledger", **places), events)
        with opened() as ledger:
            found["refill"] = _us(lambda: list(refill(ledger, 0, size)), events)
        whole = verify(home / "ledger", **places)
        assert whole.ok, whole.problems
    return found


def take(quick: bool = False) -> Iterator[Figure]:
    told = measure(20_000 if quick else int(os.environ.get("EVENTS", "100_000")))
    # shrinking a small one takes too short a time to be measured
    for what in ("archive", "prune", "refill") if quick else ("archive", "prune", "shrink", "refill"):
        yield lower(what, told[what], "µs an event", "verifying", told["verify"])
    yield lower("read from archives", told["read_archived"], "µs an event", "reading live", told["read"])
    yield lower("verify with archives", told["verify_archived"], "µs an event", "verifying without", told["verify"])
    yield lower("bytes in archives", told["files"], "bytes an event", "the database", told["database"])
    yield lower("database after pruning", told["shrunk"], "bytes an event", "before", told["database"])
