"""One coordinator and a queue of so many tasks, on a real ledger: what each task costs it.

    python -m benchmarks.scale.coordinator FOLDER TASKS WORKERS [URL]
    python -m benchmarks.scale.coordinator FOLDER RUNS resident [URL]
    python -m benchmarks.scale.coordinator FOLDER ATTEMPTS pretended ROUNDS MEDIAN_S [URL]

Runs in a process of its own and prints one line of JSON. The tasks do nothing, so what is left is the coordinator:
picking, leasing, the step's result, the end, and the ledger's own work (chain, tree, signature, views, disk). With
`resident`, so many runs are under way at once and wait: what memory each takes. With `pretended`, attempts take their
time on pretended nodes, as in `cluster`, but in real time: the point that the simulation is held against.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import anyio

from benchmarks.scale.costs import folder_bytes, opened
from benchmarks.scale.nodes import Nodes, Size, percentile
from daybreak.clock import SystemClock
from daybreak.engine import Context, Engine
from daybreak.engine.night import Plan
from daybreak.engine.placement import Placement
from daybreak.engine.queue import NamedTask
from daybreak.engine.supervisor import Supervisor
from daybreak.host.locks import FileLocks

PROJECTS = 10
Function = Callable[[Context, Any], Awaitable[Any]]
_AT_ONCE = 200
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Seen:
    """Of one queue, from the night's begin to its end."""

    tasks: int
    workers: int
    done: int
    twice: int
    """Runs that ended more than once: none."""
    cpu_us: float
    """Of this process, for each task."""
    first_us: float
    """Of the first thousand tasks, or of all where there are fewer than three thousand."""
    last_us: float
    wall_us: float
    add_us: float
    """Of this process, for adding one."""
    events: float
    """For each task, from adding to its end."""
    syncs: float
    """Commits for each task."""
    bytes_event: float
    """On this machine's disk; with Postgres, of the mirror."""
    resident_mb: float
    """At the end."""


async def _nothing(number: int) -> int:
    return number


async def task(ctx: Context, args: Any) -> Any:
    return await ctx.step("attempt", _nothing, args["number"])


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


def fill(engine: Engine, tasks: int) -> None:
    """Tasks of several projects and priorities, in commits of a few hundred."""
    for first in range(0, tasks, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, tasks))
        engine.queue.add_all(
            [
                NamedTask(
                    name=str(number),
                    kind="task",
                    title=f"task {number}",
                    args={"number": number},
                    placement=Placement(project=f"project-{number % PROJECTS}", priority=number % 3),
                )
                for number in numbers
            ]
        )


class Marks:
    """Processor time at every tenth of the runs, heard from the ledger."""

    def __init__(self, tasks: int) -> None:
        self.done = 0
        self.commits = 0
        self.at: dict[int, float] = {0: time.process_time()}
        self._step = max(1, min(1000, tasks // 3))

    def hear(self, records: list[Any]) -> None:
        self.commits += 1
        for record in records:
            if record.type == "run.moved" and record.event.new == "done":
                self.done += 1
                if self.done % self._step == 0:
                    self.at[self.done] = time.process_time()

    def span_us(self, first: bool) -> float:
        """Each task's share among the first, or the last, of them."""
        places = sorted(self.at)
        begin, end = (places[0], places[1]) if first else (places[-2], places[-1])
        return (self.at[end] - self.at[begin]) / (end - begin) * 1e6


def measure(folder: Path, tasks: int, workers: int, url: str | None = None, function: Function = task) -> Seen:
    clock = SystemClock()
    with opened(folder, url) as ledger:
        locks = FileLocks(folder / "locks", clock)
        engine = Engine(ledger, {"task": function}, locks, clock, os.urandom)
        size = ledger.head().size
        began = time.process_time()
        fill(engine, tasks)
        added = time.process_time() - began
        plan = Plan(workers=workers, once=True, until=clock.now() + timedelta(days=1))
        night = Supervisor(engine, ledger, clock, os.urandom, locks, plan)
        marks = Marks(tasks)
        stop = ledger.subscribe(marks.hear)
        began, wall = time.process_time(), time.perf_counter()
        anyio.run(night.work)
        cpu, took = time.process_time() - began, time.perf_counter() - wall
        stop()
        events = ledger.head().size - size
        (done,) = ledger.query("SELECT count(*) FROM view_runs WHERE state = 'done'")[0]
        resident = resident_mb()
    return Seen(
        tasks=tasks,
        workers=workers,
        done=done,
        twice=marks.done - done,
        cpu_us=cpu / tasks * 1e6,
        first_us=marks.span_us(first=True),
        last_us=marks.span_us(first=False),
        wall_us=took / tasks * 1e6,
        add_us=added / tasks * 1e6,
        events=events / tasks,
        syncs=marks.commits / tasks,
        bytes_event=folder_bytes(folder) / events,
        resident_mb=resident,
    )


def pretended(folder: Path, size: Size, url: str | None = None) -> dict[str, Any]:
    """As `measure`, with attempts on pretended nodes in real time; and for how long places were empty."""
    nodes = Nodes(size, Random(1), time.monotonic)

    async def attempt(ctx: Context, args: Any) -> Any:
        return await ctx.step("attempt", nodes.attempt, args["number"])

    seen = asdict(measure(folder, size.tasks, size.attempts, url, attempt))
    until = max(at for at, _ in nodes.idle[: size.tasks - 2 * size.attempts])
    idle = [length for at, length in nodes.idle if at <= until]
    return {**seen, "idle_p50_s": percentile(idle, 0.5), "idle_p99_s": percentile(idle, 0.99)}


async def _resident(engine: Engine, runs: int) -> dict[str, float]:
    """Memory before, and of each run that is under way."""
    names = [run for (run,) in engine.queue._log.query("SELECT run FROM view_runs ORDER BY place")]
    base, begun = resident_mb(), 0

    async def supervise(run: str) -> None:
        await engine.supervise(run)

    async with anyio.create_task_group() as group:
        for run in names:
            group.start_soon(supervise, run)
        while begun < runs:
            await anyio.sleep(0.1)
            ((begun,),) = engine.queue._log.query("SELECT count(*) FROM view_runs WHERE state = 'running'")
        await anyio.sleep(0.5)
        found = {"base_mb": base, "run_mb": max(0.0, resident_mb() - base) / runs}
        group.cancel_scope.cancel("measured")
    return found


def resident(folder: Path, runs: int, url: str | None = None) -> dict[str, float]:
    async def wait(ctx: Context, args: Any) -> Any:
        return await ctx.step("attempt", anyio.sleep, 3600)

    clock = SystemClock()
    with opened(folder, url) as ledger:
        engine = Engine(ledger, {"task": wait}, FileLocks(folder / "locks", clock), clock, os.urandom)
        fill(engine, runs)
        return anyio.run(_resident, engine, runs)


def main() -> None:
    folder, number, how, *rest = sys.argv[1:]
    found: dict[str, Any]
    if how == "resident":
        found = resident(Path(folder), int(number), *rest)
    elif how == "pretended":
        rounds, median_s, *url = rest
        size = Size(attempts=int(number), nodes=1, rounds=float(rounds), median_s=float(median_s), lost_hours=0)
        found = pretended(Path(folder), size, *url)
    else:
        found = asdict(measure(Path(folder), int(number), int(how), rest[0] if rest else None))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
