"""How fast a whole ledger is verified on one core, against reading and hashing the same bytes alone.

Times are of the processor (this process's), so that others on the machine do not count; the wall clock is printed too.

python benchmarks/ledger_verify.py [events]
"""

from __future__ import annotations

import os
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import apsw

from daybreak.clock import SystemClock
from daybreak.events import StepDone, control_stream
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.verification import verify

GOAL = 150_000
STREAMS = 64
BATCH = 1024


def fill(ledger: Ledger, events: int) -> None:
    """Small step results, spread over 64 streams."""
    done = 0
    while done < events:
        count = min(BATCH, events - done)
        ledger.append(
            [Draft(control_stream(f"run-{number % STREAMS}"), _step(number)) for number in range(done, done + count)]
        )
        done += count


def _step(number: int) -> StepDone:
    return StepDone(run="run-1", branch="", name="step", nth=number, args="a" * 64, result={"n": number}, duration_ms=3)


def hashing_s(database: Path) -> float:
    """Seconds to read every row and hash it twice, as verification must: the floor."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    started = time.process_time()
    for header, payload in connection.execute("SELECT header, payload FROM event ORDER BY leaf"):
        sha256(b"\0" + header).digest()
        sha256(payload).hexdigest()
    seconds = time.process_time() - started
    connection.close()
    return seconds


def measure(events: int = 100_000) -> dict[str, float]:
    """Events a second (best of three), and the ratio to hashing alone."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = {"keys": home / "keys", "witness": home / "witness"}
        with Ledger.open(home / "ledger", clock=SystemClock(), **places) as ledger:
            fill(ledger, events)
        best = wall = 0.0
        for _ in range(3):
            started = time.process_time()
            found = verify(home / "ledger", **places)
            best = max(best, (events + 1) / (time.process_time() - started))
            wall = max(wall, found.rate)
            assert found.ok, found.problems
            assert found.events == events + 1
        floor = (events + 1) / min(hashing_s(home / "ledger" / "ledger.db") for _ in range(3))
    return {"events": events, "verify_per_s": best, "wall_per_s": wall, "hash_per_s": floor, "ratio": floor / best}


def main() -> None:
    figures = measure(int(os.environ.get("EVENTS", "100_000")))
    print(
        f"verify {figures['events']:,.0f} events: {figures['verify_per_s']:,.0f} events/s on one core "
        f"(goal {GOAL:,}; "
        f"{figures['wall_per_s']:,.0f} by the wall clock); reading and hashing alone {figures['hash_per_s']:,.0f}/s, "
        f"{figures['ratio']:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
