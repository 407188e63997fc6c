"""The morning report of a night with 1,000 tasks, in a ledger that holds much more: seconds, and bytes of its page.

    python benchmarks/report.py [--tasks 1000] [--events 1000000] [--home FOLDER]

The baseline reads the very same streams plainly and does nothing with them. The ledger is made once in FOLDER (a fresh
one without it) and used again where it is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.unit.morning_scene import Scene, attempt, bad, delivered, failed, gate, hidden, parked, plan

from daybreak import events
from daybreak.ledger import Draft, Ledger
from daybreak.report import morning
from daybreak.report.morning import checking, deriving, proofs

FILLING = 2_000


def fill(scene: Scene, ledger: Ledger, size: int) -> None:
    """Older work: runs with what they spent, until the ledger holds so many events."""
    number = 0
    while (have := ledger.newest().size) < size:
        drafts = []
        for _ in range(min(FILLING, size - have)):
            number += 1
            key, run = f"old-{number}", f"run-old-{number // 40}"
            told = events.TokenMinted(
                token=key, run=run, attempt=1, tier="worker", until="2026-03-01T00:00:00Z", revocation=key, root="r"
            )
            drafts.append(Draft(events.POLICY if number % 2 else events.control_stream(run), told))
        ledger.append(drafts)


def night(scene: Scene, ledger: Ledger, tasks: int) -> None:
    scene.begin(ledger, "night-1", budget={"money_microusd": 50_000_000})
    story = [plan(), *attempt(1), *hidden(), gate(), delivered()]
    for number in range(tasks):
        if number % 20 == 19:
            scene.run(ledger, f"task {number}", [plan(), *attempt(1), bad(1), *attempt(2), bad(2)], failed())
        elif number % 50 == 7:
            scene.run(ledger, f"task {number}", attempt(1), parked())
        else:
            scene.run(ledger, f"task {number}", story)
    scene.end(ledger, "night-1", used={"money_microusd": 41_000_000, "tokens": 9_120_000})


def plainly(ledger: Ledger) -> int:
    """Reading the same streams, and nothing else."""
    runs = ledger.query("SELECT run, place FROM view_runs WHERE night = 'night-1'")
    count = len(ledger.at([place for _, place in runs]))
    for run, _ in runs:
        count += sum(1 for _ in ledger.read(events.run_stream(run)))
        count += sum(1 for _ in ledger.read(events.control_stream(run)))
    return count + sum(1 for _ in ledger.read(events.NIGHTS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path)
    told = parser.parse_args(sys.argv[2:] if sys.argv[1:2] == ["report"] else None)
    base = told.home or Path(tempfile.mkdtemp(prefix="daybreak-report-"))
    scene = Scene(base)
    with scene.ledger() as ledger:
        if not ledger.query("SELECT 1 FROM view_nights"):
            fill(scene, ledger, told.events)
            night(scene, ledger, told.tasks)
    with scene.ledger() as ledger:
        (began,) = ledger.query("SELECT began FROM view_nights")[0]
        now = datetime.fromisoformat(began) + timedelta(hours=9)
        print(f"ledger: {ledger.newest().size:,} events, night of {told.tasks:,} tasks")
        for attempt_number in range(3):
            at = time.perf_counter()
            read = plainly(ledger)
            plain = time.perf_counter() - at
            at = time.perf_counter()
            source, records = morning.gather(ledger, now=now, night="")
            report = deriving.derive(source)
            collected = time.perf_counter() - at
            text = morning.text.render(report)
            shown = time.perf_counter() - at
            facts, proof = proofs.embed(ledger, source, records, report=f"report-{attempt_number}")
            page = morning.html.render(report, facts, proof).encode()
            whole = time.perf_counter() - at
            size, mine = f"{len(page) / 1e6:.1f} MB", f"{len(proof) / 1e6:.1f} MB"
            print(f"baseline {plain:.2f} s ({read:,} events read plainly)", end="   ")
            print(f"report {collected:.2f} s   as text {shown:.2f} s ({len(text):,} bytes)", end="   ")
            print(f"page with proof {whole:.2f} s ({size}, {len(facts):,} events, proof {mine})")
        at = time.perf_counter()
        checking.check(page, [ledger.verifier])
        print(f"check of the page {time.perf_counter() - at:.2f} s")


if __name__ == "__main__":
    main()
