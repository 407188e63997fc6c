"""Durable steps a second: this engine, its peers and the bare disk, in turns, each in a process of its own.

    python -m benchmarks peers

A step is a function that returns a small dictionary, which is on disk before the next step of its workflow begins.
Every contestant runs at its own durable settings and in the fastest way that we know of that keeps its promise. What
its database says of those settings is printed beside the figures; so are the syncs for each step, which strace
counts, and the processor's microseconds, which say more than rates do while others use the machine. Measured on the
disk of the folder `out` (DAYBREAK_BENCH_DIR names another), where that is fast once more with every sync made
slower, and on a memory disk, whose syncs cost nothing.

The peers live in a virtual environment of their own, out/peers, which is made when it is first needed; where they
cannot be had, that is said and only the disk is compared with. huey is no engine of workflows: a task that is being
done is no longer in its queue, so that a crash loses it. The ratio to the best of those that go on after a crash
therefore stands beside the goal. Known and not used, because it was slower: LangGraph's async saver and its functional
interface, huey's pipelines.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engine_steps import DELAY_MS, SLOW_SYNC_MS, sync_ms
from benchmarks.figures import Figure, Unavailable, higher
from benchmarks.peers.installed import OUT, PYTHON, ready, wanted

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")

WIDTHS = (1, 32)
"""Workflows at once."""
ROUNDS = 5
TURN_S = {1: 0.4, 32: 1.2}
"""About how long a turn takes, by workflows: long enough that beginning and ending them weighs little."""
STEPS_MIN, STEPS_MAX = 10, 20_000
"""Steps of a workflow in one turn."""
STEPS_ALONE_MIN = 200
"""The same of a workflow that is alone: with fewer, its beginning and end would weigh on a slow disk."""
ALONE_RATIO_MIN = 2.0
"""Times the best peer at one workflow, where the disk is fast."""
DISK_SHARE_MIN = 0.8
"""Of the disk's one-row commits at one workflow, where it is slow."""
TOGETHER_RATIO_MIN = 5.0
"""Times the best peer at 32 workflows."""


CELL = 24
"""Characters of a column."""


@dataclass(frozen=True)
class Contestant:
    name: str
    program: str
    options: tuple[str, ...] = ()
    peer: bool = True
    resumes: bool = True
    """Does a crash in the middle of a step leave the workflow where it can go on?"""
    widths: tuple[int, ...] = WIDTHS


OURS = Contestant("daybreak", "on_daybreak.py", peer=False)
DISK = Contestant("bare SQLite, one row a commit", "on_sqlite.py", peer=False)
PEERS = (
    Contestant("DBOS, as shipped", "on_dbos.py"),
    Contestant("DBOS, file in WAL mode", "on_dbos.py", ("wal",)),
    Contestant("LangGraph, durability=sync", "on_langgraph.py"),
    Contestant("huey, fsync=True", "on_huey.py", resumes=False),
    Contestant("huey, fsync=True, 4 threads", "on_huey.py", ("4",), widths=(32,), resumes=False),
)


class Process:
    """One contestant's running program; `strace` goes in front of its command."""

    def __init__(self, contestant: Contestant, folder: Path, strace: Sequence[str] = ()) -> None:
        self.contestant = contestant
        python = str(PYTHON) if contestant.peer else sys.executable
        command = [*strace, python, str(HERE / contestant.program), str(folder), *contestant.options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.settings = str(self._answer())

    def steps(self, workflows: int, each: int) -> tuple[float, float]:
        """Steps a second, and the processor's microseconds for each."""
        assert self._process.stdin is not None
        print(json.dumps([workflows, each]), file=self._process.stdin, flush=True)
        taken_s, processor_s = self._answer()
        return workflows * each / taken_s, processor_s / (workflows * each) * 1e6

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.contestant.name} ended with code {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def started(contestant: Contestant, folder: Path, strace: Sequence[str] = ()) -> Iterator[Process]:
    """Its process, in a new folder below `folder`."""
    process = Process(contestant, Path(tempfile.mkdtemp(dir=folder)), strace)
    try:
        yield process
    finally:
        process.close()


@dataclass
class Found:
    """What was measured of one contestant, by the number of workflows."""

    settings: str
    rates: dict[int, list[float]] = field(default_factory=lambda: {width: [] for width in WIDTHS})
    processor_us: dict[int, list[float]] = field(default_factory=lambda: {width: [] for width in WIDTHS})
    """For each step; so are the syncs."""
    syncs: dict[int, float] = field(default_factory=dict)

    def rate(self, width: int) -> float:
        """Median over the rounds; 0 where it was not measured."""
        return statistics.median(self.rates[width]) if self.rates[width] else 0.0


def contestants() -> list[Contestant]:
    return [OURS, DISK, *(PEERS if ready() else ())]


def contest(folder: Path, strace: Sequence[str] = (), rounds: int = ROUNDS) -> tuple[dict[Contestant, Found], float]:
    """Everybody in turns, and the disk's median milliseconds for a sync."""
    with ExitStack() as stack:
        processes = [stack.enter_context(started(one, folder, strace)) for one in contestants()]
        found = {process.contestant: Found(process.settings) for process in processes}
        each = {
            (process, width): _fitting(process.steps(width, STEPS_MIN)[0], width)
            for process in processes
            for width in process.contestant.widths
        }
        synced = []
        for _ in range(rounds):
            for width in WIDTHS:
                synced.append(sync_ms(folder))
                for process in processes:
                    if width not in process.contestant.widths:
                        continue
                    rate, processor_us = process.steps(width, each[process, width])
                    found[process.contestant].rates[width].append(rate)
                    found[process.contestant].processor_us[width].append(processor_us)
                    each[process, width] = _fitting(rate, width)
    return found, statistics.median(synced)


def _fitting(rate: float, width: int) -> int:
    """Steps for each workflow that fill a turn."""
    least = STEPS_ALONE_MIN if width == 1 else STEPS_MIN
    return max(least, min(STEPS_MAX, int(rate * TURN_S[width] / width)))


def count_syncs(folder: Path, found: dict[Contestant, Found]) -> None:
    """How often each calls fsync or fdatasync for a step, by strace; left out where that is missing."""
    if (strace := shutil.which("strace")) is None:
        return
    log = folder / "strace"
    tracing = [strace, "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", "trace=fsync,fdatasync"]
    for contestant, one in found.items():
        with started(contestant, folder, tracing) as process:
            for width in contestant.widths:
                process.steps(width, STEPS_MIN)  # warm
                each = max(STEPS_MIN, 640 // width)
                before = _calls(log)
                process.steps(width, each)
                one.syncs[width] = (_calls(log) - before) / (width * each)


def _calls(log: Path) -> int:
    return sum("resumed>" not in line for line in log.read_text("utf-8").splitlines())


def show(found: dict[Contestant, Found], ms: float, where: str) -> None:
    print(f"  {where}: fdatasync {ms:.2f} ms; steps a second (for each: syncs, microseconds of a processor)")
    print(f"  {'':34}{'1 workflow':>{CELL}}{'32 workflows':>{CELL}}")
    for contestant, one in found.items():
        cells = "".join(_cell(one, width) if width in contestant.widths else " " * CELL for width in WIDTHS)
        print(f"  {contestant.name:34}{cells}   {one.settings}")


def _cell(one: Found, width: int) -> str:
    syncs = f"{one.syncs[width]:.2f}, " if width in one.syncs else ""
    return f"{one.rate(width):,.0f} ({syncs}{statistics.median(one.processor_us[width]):,.0f} µs)".rjust(CELL)


def compared(found: dict[Contestant, Found], where: str, *, slow: bool) -> Iterator[Figure]:
    """Ours beside the disk and beside each peer; the aims are of the best peer."""
    ours, disk = found[OURS], found[DISK]
    for width in WIDTHS:
        name, own = f"{width} workflow{'s' * (width > 1)}, {where}", ours.rate(width)
        aim = DISK_SHARE_MIN if slow and width == 1 else None
        yield higher(f"{name}, beside {DISK.name}", own, "steps/s", DISK.name, disk.rate(width), aim=aim)
        peers = {one: each.rate(width) for one, each in found.items() if one.peer and width in one.widths}
        for one, rate in peers.items():
            yield higher(f"{name}, beside {one.name}", own, "steps/s", one.name, rate)
        aim = TOGETHER_RATIO_MIN if width > 1 else None if slow else ALONE_RATIO_MIN
        resuming = {one: rate for one, rate in peers.items() if one.resumes}
        for what, rates, asked in (("best peer", peers, aim), ("best peer that resumes", resuming, None)):
            best = max(rates, key=lambda one: rates[one], default=None)
            if best is not None:
                yield higher(f"{name}, beside the {what}", own, "steps/s", best.name, rates[best], aim=asked)


def measure(folder: Path, where: str = "") -> tuple[dict[Contestant, Found], float, str]:
    """What was found, the milliseconds of a sync, and where."""
    found, ms = contest(folder)
    count_syncs(folder, found)
    where = where or f"{'slow' if ms >= SLOW_SYNC_MS else 'fast'} disk"
    show(found, ms, where)
    return found, ms, where


def measure_slow(folder: Path) -> Iterator[Figure]:
    """The same with every sync made longer by strace."""
    if (strace := shutil.which("strace")) is None:
        print("  slow disk: not measured, because strace is missing")
        return
    delay = f"inject=fsync,fdatasync:delay_exit={DELAY_MS * 1000}"
    slower = [strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", delay]
    found, ms = contest(folder, slower, rounds=3)
    where = f"each sync {DELAY_MS} ms longer"
    show(found, ms + DELAY_MS, where)
    yield from compared(found, where, slow=True)


def take(quick: bool = False) -> Iterator[Figure]:
    missing: Unavailable | None = None
    try:
        wanted()
    except Unavailable as why:
        print(f"  ours against the disk only: {why}")
        missing = why
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_DIR", OUT)) as name:
        found, ms, where = measure(Path(name))
        yield from compared(found, where, slow=ms >= SLOW_SYNC_MS)
        if ms < SLOW_SYNC_MS:
            slow = Path(name, "slow")
            slow.mkdir()
            yield from measure_slow(slow)
    if MEMORY.is_dir():
        with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=MEMORY) as name:
            found, _, where = measure(Path(name), "memory disk")
            yield from compared(found, where, slow=False)
    if missing is not None:
        raise missing  # so that the record says why there are no peers in it
