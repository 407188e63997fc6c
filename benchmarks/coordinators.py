"""Tasks through one Postgres ledger by three coordinators, each a process with a home of its own, beside one alone.

    python -m benchmarks.coordinators [--tasks 100000] [--nights 3] [--workers 64]

The server is a real one with `fsync` on. A task is a run with one step; every coordinator has all views of a home. One
alone does a part of it first, on a database of its own, as the baseline of the same run. What the ledger says
at the end decides: each task is done, once; each step has one outcome and was computed once; no epoch was given twice.

Beside the rates stand the processor's milliseconds for each task, of all coordinators and of the server: with more
coordinators each of them also keeps a mirror of what the others do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.figures import Figure, Unavailable, count, higher, lower

FULL, QUICK = 100_000, 1_500
NIGHTS, WORKERS = 3, 64
ALONE_SHARE, ALONE_LEAST = 10, 500
"""One alone does this part of the tasks, but so many at least."""
ADDED_AT_ONCE = 500
HOURS_MAX = 2


@dataclass
class Outcome:
    """How it went with so many coordinators."""

    tasks: int
    seconds: float
    own_ms: float
    """Of a processor, for each task, of all coordinators together."""
    server_ms: float
    shares: list[int]
    """Steps computed by each."""
    lost: int
    twice: int

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds

    def shown(self) -> str:
        parts = " + ".join(f"{share:,}" for share in self.shares)
        return (
            f"  {len(self.shares)} at work: {self.tasks:,} tasks in {self.seconds:,.1f} s, {self.rate:,.0f} /s; "
            f"{self.own_ms:.2f} + {self.server_ms:.2f} ms of a processor for each ({parts}); "
            f"{self.lost} lost, {self.twice} twice"
        )


# -- one coordinator


def at_work(told: dict[str, Any]) -> None:
    """The child: a home's night, from the word `go` on its input to the end of the queue."""
    import anyio

    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.config import Places
    from daybreak.engine import Context, Engine
    from daybreak.engine.night import Plan
    from daybreak.engine.supervisor import Supervisor
    from daybreak.host.locks import FileLocks
    from daybreak.ledger import Ledger
    from daybreak.ledger.postgres.seats import PostgresSeats

    computed = 0

    async def task(ctx: Context, args: Any) -> Any:
        async def act(number: int) -> int:
            nonlocal computed
            computed += 1
            return number * number

        return await ctx.step("act", act, args["n"])

    where, clock = Places.below(Path(told["home"]), "a benchmark"), SystemClock()
    with Ledger.open(
        where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=home.views(), postgres=told["url"]
    ) as ledger:
        seats = PostgresSeats(told["url"], where.locks, told["host"])
        locks = FileLocks(where.locks, clock)
        engine = Engine(ledger, {"task": task}, locks, clock, os.urandom, seats=seats)
        plan = Plan(workers=told["workers"], once=True, join=True)
        night = Supervisor(engine, ledger, clock, os.urandom, locks, plan, seats=seats)
        print("ready", flush=True)
        sys.stdin.readline()
        before = _used_s()
        try:
            anyio.run(night.work)
        finally:
            seats.stand()
        print(json.dumps({"computed": computed, "cpu_s": _used_s() - before}), flush=True)


def _used_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# -- all of them


def run(root: Path, url: str, server: int, *, tasks: int, nights: int, workers: int) -> Outcome:
    from benchmarks.postgres_steps import processor_s

    filled = _fill(root / "first", url, tasks)
    with ExitStack() as stack:
        children = [stack.enter_context(_Child(root, url, number, workers)) for number in range(nights)]
        for child in children:
            child.ready()
        before, began_s = processor_s(server), time.perf_counter()
        for child in children:
            child.go()
        told = [child.ended() for child in children]
        seconds = time.perf_counter() - began_s
        server_s = processor_s(server) - before
    lost, twice = _judged(root / "first", url, filled)
    return Outcome(
        tasks=tasks,
        seconds=seconds,
        own_ms=sum(one["cpu_s"] for one in told) / tasks * 1000,
        server_ms=server_s / tasks * 1000,
        shares=[one["computed"] for one in told],
        lost=lost,
        twice=twice + max(0, sum(one["computed"] for one in told) - tasks),
    )


class _Child:
    """A coordinator's process."""

    def __init__(self, root: Path, url: str, number: int, workers: int) -> None:
        place = root / f"home-{number}"
        for folder in ("keys", "witness"):
            shutil.copytree(root / "first" / folder, place / folder)
        told = {"home": str(place), "url": url, "host": f"host-{number}", "workers": workers}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.coordinators", "--child", json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "a coordinator could not begin"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def ended(self) -> dict[str, Any]:
        said, _ = self._process.communicate(timeout=HOURS_MAX * 3600)
        assert self._process.returncode == 0, said
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        return told

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _open(home_root: Path, url: str) -> Any:
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.config import Places
    from daybreak.ledger import Ledger

    where = Places.below(home_root, "a benchmark")
    return Ledger.open(
        where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=home.views(), postgres=url
    )


def _fill(home_root: Path, url: str, tasks: int) -> set[str]:
    """The runs."""
    from daybreak.clock import SystemClock
    from daybreak.engine.queue import Placement, Queue

    runs, placed = set(), Placement()
    with _open(home_root, url) as ledger:
        queue = Queue(ledger, SystemClock(), os.urandom)
        for start in range(0, tasks, ADDED_AT_ONCE):
            drafts = []
            for number in range(start, min(tasks, start + ADDED_AT_ONCE)):
                name, more = queue.drafts("task", f"task {number}", {"n": number}, placed)
                runs.add(name)
                drafts += more
            ledger.append(drafts)
    return runs


def _judged(home_root: Path, url: str, runs: set[str]) -> tuple[int, int]:
    """How many were lost, and how many were done, or had a step or an epoch, twice, by what the ledger holds."""
    from daybreak.events import LeaseGranted, RunMoved, StepDone

    done, steps, epochs = Counter[str](), Counter[tuple[str, str, int]](), Counter[tuple[str, int | None]]()
    with _open(home_root, url) as ledger:
        for record in ledger.read_all():
            match record.event:
                case RunMoved(run=name, new="done"):
                    done[name] += 1
                case StepDone() as step:
                    steps[step.run, step.name, step.nth] += 1
                case LeaseGranted(run=name):
                    epochs[name, record.epoch] += 1
                case _:
                    pass
    twice = sum(number > 1 for found in (done, steps, epochs) for number in found.values())
    return len(runs - done.keys()), twice


def measure(tasks: int, nights: int = NIGHTS, workers: int = WORKERS) -> tuple[Outcome, Outcome]:
    """One alone, and all of them. Raises Unavailable."""
    from tests.unit import postgres_server

    if not postgres_server.available():
        raise Unavailable(postgres_server.WHY_NOT)
    server = postgres_server.Server(synced=True, max_connections="100", autovacuum="on")
    found = []
    try:
        with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=server.root.parent) as folder:
            alone = max(ALONE_LEAST, tasks // ALONE_SHARE)
            for name, number, many in (("alone", 1, alone), ("together", nights, tasks)):
                with psycopg.connect(server.url(), autocommit=True) as admin:
                    admin.execute(f"CREATE DATABASE {name}".encode())
                place = Path(folder) / name
                place.mkdir()
                found.append(run(place, server.url(name), server.pid, tasks=many, nights=number, workers=workers))
                print(found[-1].shown(), flush=True)
    finally:
        server.close()
    return found[0], found[1]


def take(quick: bool = False) -> Iterator[Figure]:
    tasks = QUICK if quick else FULL
    alone, together = measure(tasks)
    yield from figures(alone, together)


def figures(alone: Outcome, together: Outcome) -> Iterator[Figure]:
    sound = together.tasks - together.lost - together.twice
    yield count("tasks done once", sound, together.tasks, "all tasks", aim=1.0)
    yield higher("tasks by three coordinators", together.rate, "/s", "one coordinator", alone.rate)
    whole, part = together.own_ms + together.server_ms, alone.own_ms + alone.server_ms
    yield lower("processor for a task", whole, "ms", "one coordinator", part)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.coordinators")
    options.add_argument("--tasks", type=int, default=FULL)
    options.add_argument("--nights", type=int, default=NIGHTS)
    options.add_argument("--workers", type=int, default=WORKERS)
    options.add_argument("--child", help=argparse.SUPPRESS)
    told = options.parse_args()
    if told.child:
        at_work(json.loads(told.child))
        return
    try:
        alone, together = measure(told.tasks, told.nights, told.workers)
    except Unavailable as why:
        sys.exit(f"not measured: {why}")
    print(f"  together to alone: {together.rate / alone.rate:.2f} x")
    if together.lost or together.twice:
        sys.exit(f"{together.lost} lost, {together.twice} twice")


if __name__ == "__main__":
    main()
