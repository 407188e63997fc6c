"""What replicas cost an appending ledger, and how soon they have what is durable: 0, 1 and 3 folders, in turn, on the
same disk in the same minute.

    python -m benchmarks replicas

Copies are made on threads of their own, so what they take is the processor and the disk. Processor time counts: how
long anything takes depends on who else uses the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, higher, lower
from daybreak.clock import SystemClock
from daybreak.events import StepDone, control_stream
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.replicas import Replication

COUNTS = (0, 1, 3)
ROUNDS = 5
BATCHES, BATCH = 20, 100
"""In each round so many appends of so many events, as group commit makes them of 64 callers."""


def _drafts(start: int) -> list[Draft]:
    return [Draft(control_stream(f"run-{number % 64}"), _step(start + number)) for number in range(BATCH)]


def _step(number: int) -> StepDone:
    return StepDone(run="run-1", branch="", name="step", nth=number, args="a" * 64, result={"n": number})


def _append(ledger: Ledger) -> tuple[float, float]:
    """(events/s, µs of processor time for each) of the appends, with whatever copying went on beside them."""
    began, used = time.perf_counter(), time.process_time()
    for batch in range(BATCHES):
        ledger.append(_drafts(batch * BATCH))
    events = BATCHES * BATCH
    rate = events / (time.perf_counter() - began)
    if ledger.replicas is not None:
        ledger.wait_replicated(timeout_s=60)
    return rate, (time.process_time() - used) / events * 1e6


def _lag_s(ledger: Ledger) -> tuple[float, float]:
    """From asked to durable, and from durable to replicated, for one event alone."""
    asked = time.perf_counter()
    ledger.append(_drafts(0)[:1])
    began = time.perf_counter()
    ledger.wait_replicated(timeout_s=60)
    return began - asked, time.perf_counter() - began


def measure(folder: Path | None = None) -> dict[str, float]:
    """Medians over the rounds; `ratio_N` is the median of each round's rate with N replicas to that with none."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        ledgers = {}
        for count in COUNTS:
            home = root / str(count)
            places = {"keys": home / "keys", "witness": home / "witness"}
            ledgers[count] = Ledger.open(home / "ledger", **places, clock=SystemClock())
            if count:
                ledgers[count].replicate(Replication([str(home / f"replica-{n}") for n in range(count)], count))
        rounds: dict[int, list[tuple[float, float]]] = {count: [] for count in COUNTS}
        lags: dict[int, list[tuple[float, float]]] = {count: [] for count in COUNTS if count}
        for _ in range(ROUNDS):
            for count, ledger in ledgers.items():
                rounds[count].append(_append(ledger))
            for count in lags:
                lags[count] += [_lag_s(ledgers[count]) for _ in range(5)]
        for ledger in ledgers.values():
            ledger.close()
        size = sum(path.stat().st_size for path in (root / "1" / "replica-0").rglob("*") if path.is_file())
        own = (root / "1" / "ledger" / "ledger.db").stat().st_size
    events = ROUNDS * BATCHES * BATCH
    figures: dict[str, float] = {"bytes_per_event": size / events, "bytes_own": own / events}
    for count, seen in rounds.items():
        figures[f"per_s_{count}"] = median(rate for rate, _ in seen)
        figures[f"us_{count}"] = median(used for _, used in seen)
        figures[f"ratio_{count}"] = median(rate / bare for (rate, _), (bare, _) in zip(seen, rounds[0], strict=True))
        figures[f"work_{count}"] = median(used / bare for (_, used), (_, bare) in zip(seen, rounds[0], strict=True))
    for count, waited in lags.items():
        figures[f"lag_ms_{count}"] = median(lag for _, lag in waited) * 1e3
    figures["append_ms"] = median(append for waited in lags.values() for append, _ in waited) * 1e3
    return figures


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(Path(folder) if (folder := os.environ.get("FOLDER")) else None)
    print(f"  batches of {BATCH}")
    for copies in COUNTS[1:]:
        name, rate, used = f"{copies} folder{'s' * (copies > 1)}", found[f"per_s_{copies}"], found[f"us_{copies}"]
        yield higher(name, rate, "events/s", "none", found["per_s_0"], ratio=found[f"ratio_{copies}"])
        work = found[f"work_{copies}"]
        yield lower(f"{name}: processor", used, "µs an event", "none", found["us_0"], ratio=work)
        yield lower(f"{name}: an event is on all", found[f"lag_ms_{copies}"], "ms", "its append", found["append_ms"])
    yield lower("bytes in a replica", found["bytes_per_event"], "an event", "in the ledger", found["bytes_own"])
