"""A ledger of a million events beside one of a thousand: opening, memory, bytes, and what an append costs.

    python -m benchmarks ledger_size          (EVENTS=100_000 for a smaller one)

Times are of the processor, so that others on the machine do not count. Both ledgers are appended to in turns, so that
the disk's moods are the same for both. Memory is the peak of a fresh process each.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import apsw

from benchmarks.figures import BARE_MEMORY, Figure, bare_memory_mb, lower
from benchmarks.ledger_verify import fill, step
from daybreak import home as faces_home
from daybreak.clock import SystemClock
from daybreak.events import control_stream
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.proof import Prover
from daybreak.ledger.verification import verify

EVENTS, SMALL = 1_000_000, 1_000
OPEN_GOAL_S, MEMORY_GOAL_MB, BYTES_GOAL, GROWTH_GOAL = 0.3, 150, 800, 0.10
ROUNDS = 60


def opened(folder: Path, *, views: bool) -> Ledger:
    places = {"keys": folder / "keys", "witness": folder / "witness"}
    return Ledger.open(folder / "ledger", clock=SystemClock(), views=faces_home.views() if views else (), **places)


# -- what a fresh process does


def _verify(folder: Path) -> None:
    found = verify(folder / "ledger", keys=folder / "keys", witness=folder / "witness")
    assert found.ok, found.problems


def _open(folder: Path) -> None:
    with opened(folder, views=True):
        pass


def _read(folder: Path) -> None:
    with opened(folder, views=True) as ledger:
        assert sum(1 for _ in ledger.read_all()) == ledger.head().size


def _append(folder: Path) -> None:
    with opened(folder, views=True) as ledger:
        fill(ledger, 20_000)


def _prove(folder: Path) -> None:
    with opened(folder, views=True) as ledger, Prover(ledger.directory, ledger.verifier) as prover:
        size = ledger.head().size
        for index in range(0, size, size // 200):
            prover.inclusion_proof(index)


def _die(folder: Path) -> None:
    """Appends and is killed: the write-ahead log stays."""
    ledger = opened(folder, views=True)
    fill(ledger, 3000)
    os._exit(0)


WORK: dict[str, Callable[[Path], None]] = {
    "open": _open,
    "verify": _verify,
    "read_all": _read,
    "append": _append,
    "prove": _prove,
    "die": _die,
}


def fresh(work: str, folder: Path) -> tuple[float, float, float]:
    """(peak MB of that process and of those that it starts, wall s, processor s) of one piece of work."""
    program = [sys.executable, "-m", "benchmarks.ledger_size", work, str(folder)]
    told = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    return (float(told[0]), float(told[1]), float(told[2])) if told else (0.0, 0.0, 0.0)


def _tell(work: str, folder: Path) -> None:
    faces_home.views()  # imported, as in a command that has begun
    wall, processor = time.perf_counter(), time.process_time()
    WORK[work](folder)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    # not of getrusage: to that counts what the one who started this process held
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    peak = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    print(peak / 1024, wall, processor)


# -- the ledgers


def opening(folder: Path, *, killed: bool) -> tuple[float, float]:
    """(wall s, processor s) of the quickest of three."""
    times = []
    for _ in range(3):
        if killed:
            fresh("die", folder)
        times.append(fresh("open", folder)[1:])
    return min(times, key=lambda told: told[1])


def bytes_of(folder: Path) -> tuple[float, float, float]:
    """(bytes of the file, of payloads, of the tables and indexes of views), an event, after folding in."""
    path = folder / "ledger" / "ledger.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    events, payload = connection.execute("SELECT count(*), sum(length(payload)) FROM event").fetchall()[0]
    try:
        sql = "SELECT ifnull(sum(pgsize), 0) FROM dbstat WHERE name LIKE 'view\\_%' ESCAPE '\\' AND aggregate = TRUE"
        views = connection.execute(sql).fetchall()[0][0]
    except apsw.SQLError:  # SQLite was built without it
        views = 0
    connection.close()
    return (path.stat().st_size - views) / events, payload / events, views / events


def growth(small: Path, large: Path, *, views: bool, batch: int) -> tuple[float, float, float]:
    """(µs of the processor an event in the small one, in the large one, median of the rounds' ratios by the wall)."""
    with opened(small, views=views) as first, opened(large, views=views) as second:
        spent: dict[int, list[float]] = {0: [], 1: []}
        walls: dict[int, list[float]] = {0: [], 1: []}
        events = max(batch, 32)
        for number in range(ROUNDS):
            for which in (0, 1) if number % 2 else (1, 0):
                ledger = (first, second)[which]
                wall, processor = time.perf_counter(), time.process_time()
                for at in range(0, events, batch):
                    ledger.append(
                        [Draft(control_stream(f"run-{(at + one) % 64}"), step(number)) for one in range(batch)]
                    )
                spent[which].append((time.process_time() - processor) / events)
                walls[which].append((time.perf_counter() - wall) / events)
    # the least that a third of the rounds took: what others on the machine add is left out
    low = [sorted(spent[which])[ROUNDS // 3] * 1e6 for which in (0, 1)]
    ratios = [late / early for early, late in zip(walls[0], walls[1], strict=True)]
    return low[0], low[1], median(ratios)


def take(quick: bool = False) -> Iterator[Figure]:
    events = int(os.environ.get("EVENTS", f"{EVENTS}"))
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        started = time.perf_counter()
        for folder, count in ((small, SMALL), (large, events)):
            with opened(folder, views=True) as ledger:
                fill(ledger, count)
        print(f"  a ledger of {events:,} events, made in {time.perf_counter() - started:.0f} s", flush=True)
        whole, payload, views = bytes_of(large)
        beyond = whole - payload
        yield lower("bytes beyond the payload", beyond, "an event", "payload", payload, aim=BYTES_GOAL, aim_of="value")
        yield lower("bytes in views", views, "an event", "payload", payload)
        yield from _appending(small, large)
        for what, killed in (("a clean close", False), ("a kill", True)):
            (wall, processor), (_, alone) = (opening(folder, killed=killed) for folder in (large, small))
            print(f"  {wall:.3f} s by the wall", flush=True)
            name = f"open and close after {what}"
            yield lower(
                name, processor, "s of the processor", f"with {SMALL:,} events", alone, aim=OPEN_GOAL_S, aim_of="value"
            )
        for work in ("open", "append", "prove", "read_all", "verify"):
            peak = fresh(work, large)[0]
            bare = bare_memory_mb()
            yield lower(f"memory, {work}", peak, "MB", BARE_MEMORY, bare, aim=MEMORY_GOAL_MB, aim_of="value")


def _appending(small: Path, large: Path) -> Iterator[Figure]:
    for batch in (1, 64):
        for with_views in (False, True):
            early, late, wall = growth(small, large, views=with_views, batch=batch)
            print(f"  by the wall {(wall - 1) * 100:+.0f} %", flush=True)
            name = f"append, {batch} at once, {'all' if with_views else 'no'} views"
            yield lower(name, late, "µs an event", f"with {SMALL:,} events", early, aim=1 + GROWTH_GOAL)


if __name__ == "__main__":
    _tell(sys.argv[1], Path(sys.argv[2]))
