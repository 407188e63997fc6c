"""What a comparison of all views costs: from the first event, and from where the last one ended.

    EVENTS=100000 python -m benchmarks reconcile

CPU time of this process, because the machine may be busy; both in the same run, on the same ledger.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, lower
from daybreak.clock import SystemClock
from daybreak.events import QUEUE, AttemptJudged, LeaseGranted, RunMoved, StepDone, TaskAdded, run_stream
from daybreak.home import views
from daybreak.ledger import Draft, Ledger

EVENTS = 100_000
STEPS = 15
"""Of each run; with them, a run takes twenty events."""
NEW = 1_000
"""Events between two comparisons."""


def _run(number: int) -> list[Draft]:
    """The events of one run that was done."""
    run = f"run-{number:06}"
    stream = run_stream(run)

    def own(event: object) -> Draft:
        return Draft(stream, event, epoch=1)  # type: ignore[arg-type]

    drafts = [
        Draft(QUEUE, TaskAdded(task=run, run=run, kind="build", title=f"Task {number}", args={"n": number})),
        Draft(stream, LeaseGranted(run=run, owner="me", host="here", pid=1), epoch=1),
        own(RunMoved(run=run, old="leased", new="running")),
    ]
    for nth in range(STEPS):
        drafts.append(own(StepDone(run=run, branch="", name="step", nth=nth, args="a" * 64, result={"n": nth})))
    judged = AttemptJudged(run=run, attempt=1, worker="builder", task="build", solved=True, score=97.0)
    return [*drafts, own(judged), own(RunMoved(run=run, old="running", new="done"))]


def _fill(ledger: Ledger, events: int, first: int = 0) -> None:
    size, number = ledger.head().size, first
    while ledger.head().size - size < events:
        ledger.append([draft for more in range(50) for draft in _run(number + more)])
        number += 50


def measure(events: int = EVENTS, folder: Path | None = None) -> dict[str, float]:
    """CPU seconds of each comparison, the rows that were compared, the bytes kept, and the most memory used (MiB)."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        with Ledger.open(
            home / "ledger", keys=home / "keys", witness=home / "witness", clock=SystemClock(), views=views()
        ) as ledger:
            _fill(ledger, events)
            before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            seconds = {}
            for mode, full in (("full", True), ("again", False)):
                began_s = time.process_time()
                found = ledger.reconcile(full=full)
                seconds[mode] = time.process_time() - began_s
                assert found.ok
                assert found.mode == ("full" if full else "incremental")
            _fill(ledger, NEW, first=1_000_000)
            began_s = time.process_time()
            assert ledger.reconcile().ok
            seconds["new"] = time.process_time() - began_s
            rows = sum(ledger.query(f"SELECT count(*) FROM {table}")[0][0] for table in _tables(ledger))
            kept = sum(path.stat().st_size for path in (home / "ledger" / "reconciled").iterdir())
            most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return {
                "events": float(ledger.head().size),
                "rows": float(rows),
                **{f"{key}_s": value for key, value in seconds.items()},
                "kept_mib": kept / 2**20,
                "grown_mib": most_mib - before_mib,
            }


def _tables(ledger: Ledger) -> list[str]:
    rows = ledger.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'view\\_%' ESCAPE '\\'")
    return [str(name) for (name,) in rows]


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(10_000 if quick else int(os.environ.get("EVENTS", f"{EVENTS}")))
    print(
        "  {events:,.0f} events, {rows:,.0f} rows of views; {kept_mib:.1f} MiB kept, memory grew by {grown_mib:.0f} "
        "MiB".format(**found)
    )
    full = found["full_s"]
    yield lower(f"{NEW:,} new events", found["new_s"], "s of the processor", "from the first event", full)
    yield lower("nothing new", found["again_s"], "s of the processor", "from the first event", full)
