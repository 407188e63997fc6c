"""How long after an append returns, or before, does a reader in another process have the event? And at what cost?

    python benchmarks/following.py

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
    figures: dict[str, float] = {}
    for name, read, readers in (("asked", _asking, 1), ("woken", iter, 1), ("many", iter, READERS)):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            _open(home).close()
            found, cpu = latencies(home, read, readers)
        figures |= {
            f"{name}_us": median(found),
            f"{name}_99_us": quantiles(found, n=100)[98],
            f"{name}_cpu_us": cpu / COUNT * 1e6,
        }
    figures["ratio"] = figures["asked_us"] / max(figures["woken_us"], 1.0)
    return figures


def main() -> None:
    print(
        "follow: a reader in another process has an event {woken_us:,.0f} µs after its append returned (99 %: "
        "{woken_99_us:,.0f} µs; {woken_cpu_us:,.0f} µs of CPU each), each of 16 readers {many_us:,.0f} µs (99 %: "
        "{many_99_us:,.0f} µs); by asking every 20 ms {asked_us:,.0f} µs: {ratio:.0f} times".format(**measure())
    )


if __name__ == "__main__":
    main()
