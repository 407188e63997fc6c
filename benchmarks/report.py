"""The morning report of a night with 1,000 tasks, in a ledger that holds much more: seconds, and bytes of its page.

    EVENTS=1000000 REPORT_HOME=FOLDER python -m benchmarks report

The baseline reads the very same streams plainly and does nothing with them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from tests.unit.morning_scene import Scene, attempt, bad, delivered, failed, gate, hidden, parked, plan

from benchmarks.figures import Figure, lower
from daybreak import events
from daybreak.ledger import Draft, Ledger
from daybreak.report import morning
from daybreak.report.morning import checking, deriving, proofs

FILLING = 2_000
REPORT_S_MAX = 2.0


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


def take(quick: bool = False) -> Iterator[Figure]:
    """A ledger is made once in REPORT_HOME, and used again where it is there; without it a fresh one."""
    tasks, size = (100, 10_000) if quick else (1_000, int(os.environ.get("EVENTS", "1_000_000")))
    with tempfile.TemporaryDirectory(prefix="daybreak-report-") as folder:
        scene = Scene(Path(os.environ.get("REPORT_HOME", folder)))
        with scene.ledger() as ledger:
            if not ledger.query("SELECT 1 FROM view_nights"):
                fill(scene, ledger, size)
                night(scene, ledger, tasks)
        with scene.ledger() as ledger:
            yield from _asked(ledger, tasks, time.process_time if quick else time.perf_counter)


def _asked(ledger: Ledger, tasks: int, clock: Callable[[], float]) -> Iterator[Figure]:
    (began,) = ledger.query("SELECT began FROM view_nights")[0]
    now = datetime.fromisoformat(began) + timedelta(hours=9)
    print(f"  ledger: {ledger.newest().size:,} events, night of {tasks:,} tasks")
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", "report", "text", "page", "check")}
    for number in range(3):
        at = clock()
        read = plainly(ledger)
        seconds["plain"].append(clock() - at)
        at = clock()
        source, records = morning.gather(ledger, now=now, night="")
        report = deriving.derive(source)
        seconds["report"].append(clock() - at)
        text = morning.text.render(report)
        seconds["text"].append(clock() - at)
        facts, proof = proofs.embed(ledger, source, records, report=f"report-{number}")
        page = morning.html.render(report, facts, proof).encode()
        seconds["page"].append(clock() - at)
        at = clock()
        checking.check(page, [ledger.verifier])
        seconds["check"].append(clock() - at)
    took = {name: min(some) for name, some in seconds.items()}
    print(f"  {read:,} events read; text {len(text):,} bytes, page {len(page) / 1e6:.1f} MB, {len(facts):,} events")
    plain, unit = took["plain"], "s of the processor" if clock is time.process_time else "s"
    for name, what, aim in (
        ("report", "the report", REPORT_S_MAX),
        ("text", "as text", None),
        ("page", "as a page with its proofs", None),
        ("check", "checking the page", None),
    ):
        yield lower(what, took[name], unit, "reading the same events plainly", plain, aim=aim, aim_of="value")
