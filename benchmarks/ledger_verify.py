"""How fast a whole ledger is verified on one core, against hashing the same bytes alone.

python benchmarks/ledger_verify.py [events]
"""

from __future__ import annotations

import sys
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
    started = time.perf_counter()
    for header, payload in connection.execute("SELECT header, payload FROM event ORDER BY leaf"):
        sha256(b"\0" + header).digest()
        sha256(payload).hexdigest()
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def measure(events: int = 100_000) -> dict[str, float]:
    """Events a second (best of three), and the ratio to hashing alone."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = {"keys": home / "keys", "witness": home / "witness"}
        with Ledger.open(home / "ledger", clock=SystemClock(), **places) as ledger:
            fill(ledger, events)
        results = [verify(home / "ledger", **places) for _ in range(3)]
        assert all(result.ok and result.events == events + 1 for result in results), results
        best = max(result.rate for result in results)
        floor = (events + 1) / min(hashing_s(home / "ledger" / "ledger.db") for _ in range(3))
    return {"events": events, "verify_per_s": best, "hash_per_s": floor, "ratio": floor / best}


def main() -> None:
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    print(
        f"verify {figures['events']:,.0f} events: {figures['verify_per_s']:,.0f} events/s on one core "
        f"(goal {GOAL:,}); reading and hashing alone {figures['hash_per_s']:,.0f}/s, "
        f"{figures['ratio']:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
