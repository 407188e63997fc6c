"""The rehearsal of a night: how long a hundred nights take, and whether memory grows with their number.

The queue: 100 tasks in three projects, a fifth of them under a key, some waiting for others, drawn from a history of
300 runs. The baseline for time is the making of that ledger. Memory is the process's resident set at night 100 and at
night 1,000.

    python -m benchmarks rehearsal
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from benchmarks.figures import Figure, lower
from daybreak.engine import VIEWS, Placement, Queue
from daybreak.engine.night import Plan
from daybreak.engine.rehearsal import Rehearsal, Start, rehearse
from daybreak.engine.schedule_view import SCHEDULES
from daybreak.events import LeaseGranted, RunMoved, run_stream
from daybreak.ledger import Draft
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

TASKS, PAST, WORKERS = 100, 300, 4
NIGHTS, MANY = 100, 1_000
SECONDS_MAX, GROWTH_MAX = 10.0, 1.03
_PAGE = os.sysconf("SC_PAGE_SIZE")


def scene() -> tuple[MemoryLedger, FakeClock]:
    """A ledger with a history and a queue."""
    chance, clock = random.Random(5), FakeClock()
    ledger = MemoryLedger(clock=clock, views=[*VIEWS, SCHEDULES], entropy=chance.randbytes)
    queue = Queue(ledger, clock, chance.randbytes)
    for number in range(PAST):
        run = queue.add("agent", f"past {number}", {}).run
        begun = (LeaseGranted(run=run, owner="o", host="here", pid=1), _moved(run, "queued", "running"))
        ledger.append([Draft(run_stream(run), event, epoch=1) for event in begun])
        clock.advance(chance.uniform(180, 1_500))
        ended = _moved(run, "running", "failed" if chance.random() < 0.1 else "done")
        ledger.append([Draft(run_stream(run), ended, epoch=1)])
    runs: list[str] = []
    for number in range(TASKS):
        after = (chance.choice(runs),) if number > TASKS / 2 and chance.random() < 0.3 else ()
        keys = {"shop": 2} if number % 5 == 0 else {}
        placed = Placement(project=f"p{number % 3}", priority=number % 4, after=after, keys=keys)
        runs.append(queue.add("agent", f"task {number}", {}, placed).run)
    return ledger, clock


def _moved(run: str, old: str, new: str) -> RunMoved:
    return RunMoved(run=run, old=old, new=new)  # type: ignore[arg-type] # States


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def take(quick: bool = False) -> Iterator[Figure]:
    worked = time.process_time()
    ledger, clock = scene()
    made_s = time.process_time() - worked
    plan = Plan(workers=WORKERS, until=clock.now() + timedelta(hours=8))
    seen: dict[int, float] = {}

    def listen(night: int, _: Start) -> None:
        if night in (NIGHTS, MANY - 1) and night not in seen:
            seen[night] = resident_mb()

    nights = NIGHTS // 10 if quick else NIGHTS
    began, worked = time.perf_counter(), time.process_time()
    found = rehearse(ledger, clock.now(), plan, nights=nights)
    took, work = time.perf_counter() - began, time.process_time() - worked
    night_s = found.finish.p50
    print(
        f"  {took:.1f} s for {nights} nights of {TASKS} tasks, {WORKERS} workers: {night_s * nights / 3600:.0f} hours"
    )
    aim, base = None if quick else SECONDS_MAX, "making the ledger they start from"
    yield lower(f"{nights} nights", work, "s of the processor", base, made_s, aim=aim, aim_of="value")
    if quick:
        return
    many: Rehearsal = rehearse(ledger, clock.now(), plan, nights=MANY, told=listen)
    yield lower(f"memory at night {MANY:,}", seen[MANY - 1], "MB", f"at night {NIGHTS}", seen[NIGHTS], aim=GROWTH_MAX)
    shift = many.finish.p50 / found.finish.p50
    print(f"  the median of {MANY:,} nights is {shift:.3f} x that of {NIGHTS}")
