"""Durable steps a second on one Postgres: this engine and DBOS, in turns, 64 workflows at once.

    python -m benchmarks postgres_steps

Both use the same real server in the same minute, over its Unix socket, with fsync on; each has a database of its own.
A step is a function that returns a small dictionary; it counts once it is acknowledged, which for us is after
sequencing: in the tree, signed, and on the disk of Postgres. Beside the rates stand the processor's microseconds for
each step, of the engine's process and of the server, which say more than rates do while others use the machine.

DBOS lives in out/peers, which is made when it is first needed. Known and not used, because they were no faster: its own
pool of twenty connections, and asynchronous workflows.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
from tests.unit import postgres_server

from benchmarks.engine_steps import sync_ms
from benchmarks.figures import Figure, Unavailable, higher, lower
from benchmarks.peers import OURS, Contestant, Process
from benchmarks.peers.installed import wanted

WIDTHS = (1, 64)
"""Workflows at once."""
ROUNDS = 4
STEPS = {1: 150, 64: 40}
"""Steps of a workflow in one turn, by workflows; the same for everybody, because each workflow also begins and ends."""
RATIO_MIN = 10.0
"""Times DBOS at 64 workflows."""
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_s(server: int) -> float:
    """Seconds of a processor that the server's processes, ended ones too, have used."""
    ticks = 0
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(place.name) == server:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == server:
                ticks += sum(map(int, fields[11:13]))
    return ticks / _TICKS


class Turn:
    """What was measured of one contestant with so many workflows."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.own_us: list[float] = []
        self.server_us: list[float] = []

    def shown(self) -> str:
        own, server = statistics.median(self.own_us), statistics.median(self.server_us)
        return f"{statistics.median(self.rates):,.0f} /s ({own:,.0f} + {server:,.0f} µs)"


def contest(folder: Path, server: postgres_server.Server) -> dict[str, dict[int, Turn]]:
    """Everybody in turns."""
    found: dict[str, dict[int, Turn]] = {}
    with ExitStack() as stack:
        processes = []
        for name, program, peer in (("daybreak", OURS.program, False), ("DBOS", "on_dbos.py", True)):
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name}".encode())
            url = server.url(name.lower())
            place = folder / name
            place.mkdir()
            process = Process(Contestant(name, program, (url,), peer=peer), place)
            stack.callback(process.close)
            processes.append(process)
            found[name] = {width: Turn() for width in WIDTHS}
            print(f"  {name}: {process.settings}")
        for number in range(ROUNDS + 1):  # the first one only warms
            for width in WIDTHS:
                for process in processes:
                    count = STEPS[width] if number else STEPS[width] // 10
                    before = processor_s(server.pid)
                    rate, own_us = process.steps(width, count)
                    server_us = (processor_s(server.pid) - before) / (width * count) * 1e6
                    if number:
                        turn = found[process.contestant.name][width]
                        turn.rates.append(rate)
                        turn.own_us.append(own_us)
                        turn.server_us.append(server_us)
    return found


def show(found: dict[str, dict[int, Turn]]) -> None:
    print("  steps a second (microseconds of a processor for each: its own, the server's)")
    for name, turns in found.items():
        print(f"  {name:10}" + "".join(f"{width:>4} at once: {turns[width].shown():36}" for width in WIDTHS))


def compared(found: dict[str, dict[int, Turn]]) -> Iterator[Figure]:
    for width in WIDTHS:
        ours, theirs = found["daybreak"][width], found["DBOS"][width]
        name, aim = f"{width} workflow{'s' * (width > 1)}", RATIO_MIN if width == max(WIDTHS) else None
        rates = (statistics.median(one.rates) for one in (ours, theirs))
        yield higher(name, next(rates), "steps/s", "DBOS", next(rates), aim=aim)
        work = (sum(map(statistics.median, (one.own_us, one.server_us))) for one in (ours, theirs))
        yield lower(f"{name}: processor, server included", next(work), "µs a step", "DBOS", next(work))


def take(quick: bool = False) -> Iterator[Figure]:
    if not postgres_server.available():
        raise Unavailable(postgres_server.WHY_NOT)
    wanted()
    server = postgres_server.Server(synced=True, max_connections="200")
    try:
        with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=server.root.parent) as name:
            print(f"  Postgres on a disk whose fdatasync takes {sync_ms(Path(name)):.2f} ms")
            found = contest(Path(name), server)
    finally:
        server.close()
    show(found)
    yield from compared(found)
