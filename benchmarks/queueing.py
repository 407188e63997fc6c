"""The queue under load: how long a free worker waits for its next run, and how much of a night the order costs.

Lease latency: 50 workers on a ledger with a disk, each asking for work, taking its lease durably, holding it for a
moment and ending the run, which is replaced, so that the queue keeps its length. A lease is the look at the queue and
the commit of the lease. The baseline is one bare commit of one event on the same ledger in the same minute. Lengths
are measured in turns, so that what else the machine does hits both.

Makespan: 1,000 simulated agents with the durations of such work, a fifth of them waiting for others, on 50 workers and
a virtual clock. No schedule is shorter than the work divided by the workers, or than the longest chain.

    python -m benchmarks queueing
"""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure, lower
from daybreak.clock import Clock, SystemClock
from daybreak.engine import RUNS
from daybreak.engine.queue import Pick, Placement, Queue
from daybreak.events import LeaseGranted, RunMoved, StepDone, control_stream, run_stream
from daybreak.ledger import Draft, Ledger
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

WORKERS = 50
SHORT, QUICK_LONG, LONG = 100, 2_000, 10_000
ROUNDS = 5
ROUND_S = 2.0
HELD_S = (0.3, 0.7)
"""How long a worker keeps a run: about a hundred leases a second."""
P99_MS_MAX, GROWTH_MAX, MAKESPAN_MAX = 50.0, 1.5, 1.05
AGENTS = 1_000
DURATION_S = (180, 1_500)
"""An agent's run: three minutes to twenty-five."""


class Load:
    """A queue of one length on a disk, and workers on it."""

    def __init__(self, ledger: Ledger | MemoryLedger, length: int) -> None:
        self.ledger, self.length = ledger, length
        self.queue = Queue(ledger, SystemClock(), os.urandom)
        self.random = random.Random(length)
        self.taken: set[str] = set()
        self.looks: list[float] = []
        self.leases: list[float] = []

    def fill(self) -> None:
        for _ in range(0, self.length, 100):
            drafts = [draft for _ in range(100) for draft in self.task()]
            self.ledger.append(drafts)

    def task(self) -> list[Draft]:
        """One of ten projects, five priorities; every fifth with a key, every tenth with a rate that is never full."""
        number = self.random.randrange(1_000)
        placement = Placement(
            project=f"project-{number % 10}",
            priority=number % 5,
            keys={f"key-{number % 7}": 40} if number % 5 == 0 else {},
            rates={"calls": "99999/s"} if number % 10 == 0 else {},
        )
        return self.queue.drafts("agent", f"task {number}", {"number": number}, placement)[1]

    async def work(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self.worker(until))

    async def worker(self, until: float) -> None:
        await asyncio.sleep(self.random.uniform(0, HELD_S[1]))
        while time.perf_counter() < until:
            began = time.perf_counter()
            pick = self.pick()
            await self.lease(pick)
            self.leases.append(time.perf_counter() - began)
            self.taken.discard(pick.run)
            await asyncio.sleep(self.random.uniform(*HELD_S))
            done = RunMoved(run=pick.run, old="running", new="done")
            await self.ledger.append_async([Draft(run_stream(pick.run), done, epoch=1), *self.task()])

    def pick(self) -> Pick:
        began = time.perf_counter()
        (pick,) = self.queue.next(SystemClock().now(), taken=self.taken)
        self.taken.add(pick.run)
        self.looks.append(time.perf_counter() - began)
        return pick

    async def lease(self, pick: Pick) -> None:
        run = pick.run
        granted = LeaseGranted(run=run, owner=os.urandom(16).hex(), host="here", pid=1)
        moves = (RunMoved(run=run, old="queued", new="leased"), RunMoved(run=run, old="leased", new="running"))
        await self.ledger.append_async([Draft(run_stream(run), event, epoch=1) for event in (granted, *moves)])


def bare_commits(ledger: Ledger | MemoryLedger, count: int = 30) -> list[float]:
    """Seconds of one event alone, durable."""
    taken = []
    for number in range(count):
        event = StepDone(run="bench", branch="", name="step", nth=number, args="0" * 64, result=number)
        began = time.perf_counter()
        ledger.append([Draft(control_stream(os.urandom(4).hex()), event)])
        taken.append(time.perf_counter() - began)
    return taken


def open_ledger(folder: Path) -> Ledger:
    clock: Clock = SystemClock()
    places = {name: folder / name for name in ("keys", "witness")}
    return Ledger.open(folder / "ledger", **places, clock=clock, views=[RUNS])


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure_leases(folder: Path, most: int = LONG, rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds."""
    bare: list[float] = []
    with ExitStack() as stack:
        loads = [Load(stack.enter_context(open_ledger(folder / str(length))), length) for length in (SHORT, most)]
        for load in loads:
            load.fill()
            asyncio.run(load.work(0.2))  # warm
            load.looks.clear()
            load.leases.clear()
        for _ in range(rounds):
            for load in loads:
                bare += bare_commits(load.ledger)
                asyncio.run(load.work(ROUND_S))
    short, long = loads
    return {
        "bare_ms": statistics.median(bare) * 1e3,
        "look_short_ms": statistics.median(short.looks) * 1e3,
        "look_long_ms": statistics.median(long.looks) * 1e3,
        "short_ms": statistics.median(short.leases) * 1e3,
        "long_ms": statistics.median(long.leases) * 1e3,
        "short_p99_ms": percentile(short.leases, 0.99) * 1e3,
        "long_p99_ms": percentile(long.leases, 0.99) * 1e3,
        "length": most,
        "leases": len(short.leases) + len(long.leases),
    }


def measure_makespan(seed: int = 7) -> dict[str, float]:
    """Seconds of virtual time."""
    chance, clock = random.Random(seed), FakeClock()
    ledger = MemoryLedger(clock=clock, views=[RUNS], entropy=chance.randbytes)
    queue = Queue(ledger, clock, chance.randbytes)
    seconds: dict[str, float] = {}
    ends: dict[str, float] = {}
    for number in range(AGENTS):
        after = (chance.choice(list(seconds)),) if number > AGENTS / 2 and chance.random() < 0.4 else ()
        run = queue.add("agent", f"agent {number}", {}, Placement(project=f"p{number % 4}", after=after)).run
        seconds[run] = chance.uniform(*DURATION_S)
        ends[run] = seconds[run] + max((ends[needed] for needed in after), default=0.0)
    shortest = max(sum(seconds.values()) / WORKERS, max(ends.values()))
    return {"makespan_s": _play(ledger, queue, clock, seconds), "shortest_s": shortest, "longest_s": max(ends.values())}


def _play(ledger: MemoryLedger, queue: Queue, clock: FakeClock, seconds: dict[str, float]) -> float:
    """Whenever workers are free, they take what the queue gives; until nothing is left."""
    under_way: list[tuple[float, str]] = []
    done = 0
    while done < len(seconds):
        for pick in queue.next(clock.now(), most=WORKERS - len(under_way)):
            stream = run_stream(pick.run)
            granted = LeaseGranted(run=pick.run, owner="o", host="here", pid=1)
            begun = RunMoved(run=pick.run, old="leased", new="running")
            ledger.append([Draft(stream, event, epoch=1) for event in (granted, begun)])
            heapq.heappush(under_way, (clock.monotonic() + seconds[pick.run], pick.run))
        at, run = heapq.heappop(under_way)
        clock.advance(max(0.0, at - clock.monotonic()))
        ledger.append([Draft(run_stream(run), RunMoved(run=run, old="running", new="done"), epoch=1)])
        done += 1
    return clock.monotonic()


def look_ms(length: int, looks: int = 60) -> float:
    """Of the processor: to pick from a queue of so many, in memory."""
    clock = FakeClock()
    load = Load(MemoryLedger(clock=clock, views=[RUNS]), length)
    load.fill()
    took = []
    for _ in range(looks):
        began = time.process_time()
        load.queue.next(clock.now(), taken=set())
        took.append(time.process_time() - began)
    return statistics.median(took) * 1e3


def take(quick: bool = False) -> Iterator[Figure]:
    """The short form without a disk: what a lease costs there, the disk decides."""
    if quick:
        few, many = look_ms(SHORT), look_ms(QUICK_LONG)
        yield lower(f"pick alone, {QUICK_LONG:,} queued to {SHORT}", many, "ms of the processor", "few", few)
    else:
        yield from _leases()
    span = measure_makespan()
    name, bound = f"{AGENTS:,} agents on {WORKERS} workers", "the shortest there can be"
    yield lower(name, span["makespan_s"] / 60, "virtual minutes", bound, span["shortest_s"] / 60, aim=MAKESPAN_MAX)


def _leases() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_DIR")) as folder:
        found = measure_leases(Path(folder))
    bare, commit, many = found["bare_ms"], "one bare commit", f"{found['length']:,.0f}"
    print(f"  {WORKERS} workers, {found['leases']:,.0f} leases")
    yield lower(f"pick and lease, {SHORT} queued", found["short_ms"], "ms", commit, bare)
    yield lower(f"pick and lease, {many} queued", found["long_ms"], "ms", commit, bare)
    yield lower("the same, 99 of 100", found["long_p99_ms"], "ms", commit, bare, aim=P99_MS_MAX, aim_of="value")
    growth = f"{many} queued to {SHORT}"
    yield lower(f"pick and lease, {growth}", found["long_ms"], "ms", "few", found["short_ms"], aim=GROWTH_MAX)
    yield lower(f"pick alone, {growth}", found["look_long_ms"], "ms", "few", found["look_short_ms"])
