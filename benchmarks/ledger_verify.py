"""How fast a whole ledger is verified, against reading and hashing the same bytes alone.

By one process, and with helpers on the other processors, as `daybreak ledger verify` does it with more than 200,000
events. Times are of the processor, so that others on the machine do not count: with helpers, of that process of all
which had most to do. The wall clock is printed too. Below that: an incremental check of 1,000 new events, behind a
tenth of the events and behind all of them, which should take the same.

EVENTS=100_000 python -m benchmarks ledger_verify
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import apsw

from benchmarks.figures import Figure, higher, lower
from daybreak.clock import SystemClock
from daybreak.events import StepDone, control_stream
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.crew import ALONE_MAX, helpers_for
from daybreak.ledger.homecheck import verify_home
from daybreak.ledger.verification import verify

GOAL = 220_000
STREAMS = 64
NEW = 1000
"""Events that an incremental check finds."""
BATCH = 1024


def fill(ledger: Ledger, events: int) -> None:
    """Small step results, spread over 64 streams."""
    done = 0
    while done < events:
        count = min(BATCH, events - done)
        ledger.append(
            [Draft(control_stream(f"run-{number % STREAMS}"), step(number)) for number in range(done, done + count)]
        )
        done += count


def step(number: int) -> StepDone:
    return StepDone(run="run-1", branch="", name="step", nth=number, args="a" * 64, result={"n": number}, duration_ms=3)


def hashing_s(database: Path) -> float:
    """Seconds to read every row and hash it twice, as verification must: the floor."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    started = time.process_time()
    for header, payload in connection.execute("SELECT header, payload FROM event ORDER BY leaf"):
        sha256(b"\0" + header).digest()
        sha256(payload).hexdigest()
    seconds = time.process_time() - started
    connection.close()
    return seconds


def _processor_s() -> tuple[float, float]:
    """Of this process, and of those that it started and that have ended."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime


def measure(events: int = 1_000_000, rounds: int = 3) -> dict[str, float]:
    """Events a second (best of three), and the ratio to hashing alone."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = {"keys": home / "keys", "witness": home / "witness"}
        with Ledger.open(home / "ledger", clock=SystemClock(), **places) as ledger:
            fill(ledger, events)
        helpers = max(1, helpers_for(ALONE_MAX + 1))
        best = {0: 0.0, helpers: 0.0}
        wall = dict(best)
        floor = 0.0
        for _ in range(rounds):
            floor = max(floor, (events + 1) / hashing_s(home / "ledger" / "ledger.db"))
            for count in best:
                own, others = _processor_s()
                found = verify(home / "ledger", helpers=count, **places)
                now, then = _processor_s()
                most = max(now - own, (then - others) / max(count, 1))
                best[count] = max(best[count], (events + 1) / most)
                wall[count] = max(wall[count], found.rate)
                assert found.ok, found.problems
                assert found.events == events + 1
    return {
        "events": events,
        "helpers": helpers,
        "alone_per_s": best[0],
        "alone_wall_per_s": wall[0],
        "helped_per_s": best[helpers],
        "helped_wall_per_s": wall[helpers],
        "hash_per_s": floor,
        "ratio": floor / best[0],
        "helped_ratio": floor / best[helpers],
    }


def incremental(events: int, rounds: int = 5) -> dict[str, float]:
    """Processor seconds, best of so many: of a whole check by one process, and of the new events behind it."""
    with tempfile.TemporaryDirectory() as folder:
        home, clock = Path(folder), SystemClock()
        places = {"keys": home / "keys", "witness": home / "witness"}
        best = float("inf")

        def grow(count: int) -> None:
            with Ledger.open(home / "ledger", clock=clock, **places) as ledger:
                fill(ledger, count)

        grow(events)
        started = time.process_time()
        assert verify_home(home / "ledger", clock=clock, helpers=0, **places).ok
        whole = time.process_time() - started
        for _ in range(rounds):
            grow(NEW)
            started = time.process_time()
            found = verify_home(home / "ledger", clock=clock, incremental=True, **places)
            best = min(best, time.process_time() - started)
            assert found.ok, found.problems
            assert found.events == NEW
    return {"events": events, "whole_s": whole, "new_s": best, "ratio": whole / best}


def take(quick: bool = False) -> Iterator[Figure]:
    """The short form without helpers: to start them would be all that it measures."""
    events = 30_000 if quick else int(os.environ.get("EVENTS", "1_000_000"))
    found = measure(events)
    floor, hashing = found["hash_per_s"], "reading and hashing alone"
    yield higher("by one process", found["alone_per_s"], "events/s", hashing, floor)
    if not quick:
        print(f"  by the wall clock {found['alone_wall_per_s']:,.0f}, with helpers {found['helped_wall_per_s']:,.0f}")
        helped = found["helped_per_s"]
        yield higher("with helpers", helped, "events/s", hashing, floor, aim=GOAL, aim_of="value")
    for size in (events,) if quick else (events // 10, events):
        told = incremental(size)
        name = f"{NEW:,} new events behind {size:,}"
        yield lower(name, told["new_s"] * 1e3, "ms", "the whole check", told["whole_s"] * 1e3)
