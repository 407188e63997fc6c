"""How much group commit gains: 64 callers sharing commits, against one transaction per event, same disk, same minute.

    python -m benchmarks ledger_append

The phases take turns in short rounds, because a disk may change its speed from one second to the next.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import apsw

from benchmarks.figures import Figure, higher
from daybreak.clock import SystemClock
from daybreak.events import StepDone, control_stream
from daybreak.ledger import Draft, Ledger

CALLERS = 64
ROUNDS = 5
SLOW_S = 0.0015
"""A disk whose sync takes longer than this is called slow; fast ones take 0.05 to 0.5 ms, slow ones 1.6 to 5."""
ALONE_FAST, ALONE_SLOW_SHARE = 6_000, 0.5
"""One caller: events a second on a fast disk; on a slow one, as a share of the disk's own one-row commits."""
TOGETHER_FAST, TOGETHER_SLOW_TIMES = 15_000, 30
"""64 callers: events a second on a fast disk; on a slow one, times the disk's own one-row commits."""


def _draft(caller: int, number: int) -> Draft:
    step = StepDone(run="run-1", branch="", name="step", nth=number, args="a" * 64, result={"n": number})
    return Draft(control_stream(f"run-{caller}"), step)


def sync_s(folder: Path, count: int = 20) -> float:
    """Median seconds to write 4 KiB at the end of a file and sync it."""
    path = folder / "sync"
    times = []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(count):
            started = time.perf_counter()
            os.write(handle, b"x" * 4096)
            os.fdatasync(handle)
            times.append(time.perf_counter() - started)
    finally:
        os.close(handle)
        path.unlink()
    return median(times)


def sqlite_per_s(connection: apsw.Connection, count: int = 100) -> float:
    """Plain SQLite, WAL, synchronous=FULL, one row a commit: the floor that no ledger on SQLite gets below."""
    started = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO row (data) VALUES (?)", (b"x" * 500,))
    return count / (time.perf_counter() - started)


def alone_per_s(ledger: Ledger, count: int = 100) -> float:
    """One caller, one transaction per event."""
    started = time.perf_counter()
    for number in range(count):
        ledger.append([_draft(0, number)])
    return count / (time.perf_counter() - started)


async def together_per_s(ledger: Ledger, each: int = 40) -> float:
    """64 callers in one event loop, each waiting for its event before it makes the next."""

    async def caller(number: int) -> None:
        for turn in range(each):
            await ledger.append_async([_draft(number, turn)])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
    return CALLERS * each / (time.perf_counter() - started)


def measure(folder: Path | None = None, count: int = ROUNDS) -> dict[str, float | str]:
    """Medians over the rounds; `ratio` is the median of each round's own ratio."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        plain = apsw.Connection(str(home / "plain.db"))
        plain.pragma("journal_mode", "wal")
        plain.pragma("synchronous", "full")
        plain.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT")
        rounds = []
        with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=SystemClock()) as ledger:
            for _ in range(count):
                sync = sync_s(home)
                alone = alone_per_s(ledger)
                together = asyncio.run(together_per_s(ledger))
                sync = (sync + sync_s(home)) / 2
                rounds.append((alone, together, together / alone, sqlite_per_s(plain), sync))
        plain.close()
    alone, together, ratio, sqlite, sync = (median(column) for column in zip(*rounds, strict=True))
    return {
        "alone_per_s": alone,
        "together_per_s": together,
        "ratio": ratio,
        "sqlite_per_s": sqlite,
        "sync_us": sync * 1e6,
        "regime": "slow" if sync > SLOW_S else "fast",
    }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(Path(folder) if (folder := os.environ.get("FOLDER")) else None, 3 if quick else ROUNDS)
    disk, alone, together = (float(found[name]) for name in ("sqlite_per_s", "alone_per_s", "together_per_s"))
    where, plain = f"on a {found['regime']} disk", "plain SQLite, one row a commit"
    print(f"  {where}: fdatasync {found['sync_us']:,.0f} µs")
    for name, rate, slow, fast in (
        ("one caller", alone, ALONE_SLOW_SHARE, ALONE_FAST),
        ("64 callers", together, TOGETHER_SLOW_TIMES, TOGETHER_FAST),
    ):
        aim, aim_of = (slow, "ratio") if found["regime"] == "slow" else (fast, "value")
        yield higher(f"{name}, {where}", rate, "events/s", plain, disk, aim=aim, aim_of=aim_of)
    ratio = float(found["ratio"])
    yield higher(f"64 callers to one, {where}", together, "events/s", "one caller", alone, ratio=ratio)
