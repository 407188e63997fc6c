"""Durable steps a second, alone and side by side, against one transaction for each event.

The baseline is the same ledger on the same disk in the same minute, one transaction for each event; beside it a
bare SQLite table (no chain, no tree, no signature) with one transaction for each row. Where the disk is fast the
whole is measured a second time with every sync made slower (by strace), where shared syncs are for.

    python -m benchmarks engine_steps
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import apsw

from benchmarks.figures import Figure, higher
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine
from daybreak.events import StepDone, control_stream
from daybreak.ledger import Draft, Ledger

SLOW_SYNC_MS = 2.0
"""A disk whose fdatasync takes longer is called slow."""
DELAY_MS = 5
"""Added to each sync for the slow measurement."""
SIDE_BY_SIDE = 64
FAST_RATIO_MIN, SLOW_RATIO_MIN = 5, 20
MEASURE_S = 2.0
"""About how long each measurement takes."""
ROUNDS = 3


def sync_ms(folder: Path, times: int = 40) -> float:
    """Median milliseconds of writing 4 KiB and fdatasync."""
    descriptor = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT)
    try:
        taken = []
        for number in range(times):
            os.pwrite(descriptor, b"\0" * 4096, number * 4096)
            began = time.perf_counter()
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
    return statistics.median(taken)


def bare_transactions(folder: Path, seconds: float) -> float:
    """Rows a second, one transaction each, in a bare table (WAL, synchronous=FULL) beside the ledger."""
    connection = apsw.Connection(str(folder / "bare.db"))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT")
    rows, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        connection.execute("INSERT INTO event (payload) VALUES (?)", (b"x" * 500,))
        rows += 1
    rate = rows / (time.perf_counter() - began)
    connection.close()
    return rate


def single_transactions(ledger: Ledger, seconds: float) -> float:
    """Events a second, each appended alone."""
    stream, events, began = control_stream(f"bench-{os.urandom(4).hex()}"), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        done = StepDone(run="bench", branch="0", name="step", nth=events, args="0" * 64, result=events)
        ledger.append([Draft(stream, done, idem=str(events))])
        events += 1
    return events / (time.perf_counter() - began)


async def steps(engine: Engine, width: int, each: int) -> float:
    """Durable steps a second of one run with `width` branches of `each` steps."""
    run = engine.submit("kind", "benchmark", {"width": width, "each": each})
    began = time.perf_counter()
    result = await engine.supervise(run)
    assert result.state == "done", result
    return width * each / (time.perf_counter() - began)


async def task(ctx: Context, args: Any) -> None:
    async def nothing(number: int) -> int:
        return number

    async def branch(ctx: Context) -> None:
        for number in range(args["each"]):
            await ctx.step("step", nothing, number, effect="pure")

    await ctx.gather(*[branch] * args["width"])


def measure(folder: Path) -> dict[str, float]:
    """One measurement of everything on the disk of `folder`: the medians of ROUNDS interleaved rounds."""
    places, clock = Places.below(folder, "benchmark"), SystemClock()
    opened = Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=VIEWS)
    with opened as ledger:
        engine = Engine(ledger, {"kind": task}, places.locks, clock, os.urandom)
        anyio.run(steps, engine, 1, 20)  # warm
        found: dict[str, list[float]] = {"sync_ms": [], "bare": [], "single": [], "alone": [], "together": []}
        share_s = MEASURE_S / ROUNDS
        for _ in range(ROUNDS):
            found["sync_ms"].append(sync_ms(folder))
            found["bare"].append(bare_transactions(folder, share_s))
            single = single_transactions(ledger, share_s)
            found["single"].append(single)
            found["alone"].append(anyio.run(steps, engine, 1, max(10, int(single * share_s / 2))))
            each = max(4, int(single * 8 * share_s / SIDE_BY_SIDE))
            found["together"].append(anyio.run(steps, engine, SIDE_BY_SIDE, each))
    return {name: statistics.median(values) for name, values in found.items()}


def _told(found: dict[str, float], where: str, aim: float) -> Iterator[Figure]:
    print(f"  {where}: fdatasync {found['sync_ms']:.2f} ms")
    single, each = found["single"], "one transaction for each event"
    yield higher(f"one at a time, {where}", found["alone"], "steps/s", each, single)
    name = f"{SIDE_BY_SIDE} side by side, {where}"
    yield higher(name, found["together"], "steps/s", each, single, aim=aim)
    yield higher(f"{name}, beside SQLite", found["together"], "steps/s", "a bare table, one row each", found["bare"])


def measure_slow(folder: Path) -> dict[str, float] | None:
    """The same in a process whose syncs strace delays."""
    strace = shutil.which("strace")
    if strace is None:
        print("  slow disk: not measured, because strace is missing")
        return None
    delay = f"inject=fsync,fdatasync:delay_exit={DELAY_MS * 1000}"
    command = [strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", delay]
    command += [sys.executable, "-m", "benchmarks.engine_steps", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def take(quick: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_DIR")) as folder:
        found = measure(Path(folder))
        slow = found["sync_ms"] >= SLOW_SYNC_MS
        yield from _told(found, f"on a {'slow' if slow else 'fast'} disk", SLOW_RATIO_MIN if slow else FAST_RATIO_MIN)
        if slow or quick:
            return
        Path(folder, "slow").mkdir()
        if (slower := measure_slow(Path(folder, "slow"))) is not None:
            yield from _told(slower, f"each sync {DELAY_MS} ms longer", SLOW_RATIO_MIN)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
