"""How long after an append returns, or before, does a reader in another process have the event? And at what cost?

    python -m benchmarks following

The baseline is what one gets without being woken: a reader that asks the database every 20 ms.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

from benchmarks.figures import Figure, lower
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Following, Ledger, Record, follow

COUNT = 200
GAP_S = 0.01
ASK_S = 0.02
READERS = 16
Read = Callable[[Following], Iterator[Record]]


def _open(home: Path) -> Ledger:
    return Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=SystemClock())


def _asking(records: Following) -> Iterator[Record]:
    """The baseline."""
    while True:
        yield from records.waiting()
        time.sleep(ASK_S)


def _reader(home: Path, read: Read, count: int, ready: int, told: int) -> int:
    """A process that notes when it had each record, and its CPU time; its id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with follow(home / "ledger") as following:
                os.write(ready, b"r")
                began_s = time.process_time()
                times = []
                for number, _ in enumerate(read(following), 1):
                    times.append(time.monotonic())
                    if number == count:
                        break
            os.write(told, struct.pack(f"{count + 1}d", *times, time.process_time() - began_s))
            status = 0
        finally:
            os._exit(status)
    return pid


def latencies(home: Path, read: Read, readers: int = 1) -> tuple[list[float], float]:
    """Microseconds from when an append returned to when a reader has the record (below 0 where the reader was quicker),
    and the CPU seconds of a reader."""
    ready, told = os.pipe(), os.pipe()
    pids = [_reader(home, read, COUNT, ready[1], told[1]) for _ in range(readers)]
    done: list[float] = []
    with _open(home) as ledger:
        for _ in pids:
            os.read(ready[0], 1)
        for number in range(COUNT):
            step = StepDone(run="r", branch="", name="step", nth=number, args="", result=number)
            ledger.append([Draft("queue", step)])
            done.append(time.monotonic())
            time.sleep(GAP_S)
    found, cpu = [], 0.0
    size = 8 * (COUNT + 1)
    for _ in pids:
        *times, used = struct.unpack(f"{COUNT + 1}d", os.read(told[0], size))
        found += [(had - acknowledged) * 1e6 for had, acknowledged in zip(times, done, strict=True)]
        cpu += used
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    for handle in (*ready, *told):
        os.close(handle)
    return found, cpu / readers


def measure() -> dict[str, float]:
    found: dict[str, float] = {}
    for name, read, readers in (("asked", _asking, 1), ("woken", iter, 1), ("many", iter, READERS)):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            _open(home).close()
            times, cpu = latencies(home, read, readers)
        found |= {
            f"{name}_us": median(times),
            f"{name}_99_us": quantiles(times, n=100)[98],
            f"{name}_cpu_us": cpu / COUNT * 1e6,
        }
    return found


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure()
    asked, asked_cpu = f"asking every {ASK_S * 1e3:.0f} ms", "a reader that asks"
    # one that has the event before the append has returned counts as one that has it a microsecond after
    yield lower("a reader has an event", max(1.0, found["woken_us"]), "µs", asked, found["asked_us"])
    yield lower("the same, 99 of 100", max(1.0, found["woken_99_us"]), "µs", asked, found["asked_99_us"])
    yield lower(f"each of {READERS} readers has it", max(1.0, found["many_us"]), "µs", asked, found["asked_us"])
    yield lower("processor of a reader", found["woken_cpu_us"], "µs an event", asked_cpu, found["asked_cpu_us"])
