"""What things cost on this machine, measured on the real ledger, for the simulation and the sizing table."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS
from daybreak.engine.nights import NIGHTS
from daybreak.events import StepDone, control_stream
from daybreak.host.locks import FileLocks
from daybreak.ledger import Draft, Ledger

EVENTS_PLAYED = 6.0
"""Of a task in the simulation, from its lease to its end."""
_TASK = """
title = "one attempt"
[[step]]
name = "attempt"
run = ["true"]
[[check]]
run = ["true"]
"""
_NIGHT = """
import resource, sys
from daybreak.cli import main
sys.argv = ["daybreak", "night", "--once", "--workers", "2"]
try:
    main.main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"own processor seconds: {used.ru_utime + used.ru_stime}", file=sys.stderr)
"""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Microseconds of one processor, unless it says otherwise."""

    store: str
    event_us: float
    """Each event of the coordinator's own, with its share of picking, leasing and the ledger."""
    commit_us: float
    """And each commit that is not shared."""
    commit_ms: float
    """How long a commit takes, ..."""
    store_us: float
    """... and each event in it."""
    mirror_us: float = 0.0
    """Each event of another coordinator; only Postgres has several."""
    server_us: float = 0.0
    """Each event, of the server's processor; only Postgres has one."""
    beat_us: float = 0.0
    """Each run under way, every five seconds."""
    work_us: float = 0.0
    """Of an attempt in a real run, in the coordinator beside its events: the processes that it starts and hears."""
    events_attempt: float = EVENTS_PLAYED
    """Of an attempt in a real run."""
    bytes_event: float = 0.0
    """On the coordinator's disk."""
    run_mb: float = 0.0
    """Memory of each run under way."""
    base_mb: float = 0.0

    @property
    def events_factor(self) -> float:
        return self.events_attempt / EVENTS_PLAYED


@contextmanager
def opened(folder: Path, url: str | None = None) -> Iterator[Ledger]:
    places = Places.below(folder, "a benchmark")
    with Ledger.open(
        places.ledger,
        keys=places.keys,
        witness=places.witness,
        clock=SystemClock(),
        views=[*VIEWS, NIGHTS],
        postgres=url,
    ) as ledger:
        yield ledger


def coordinate(folder: Path, *words: object, url: str | None = None) -> dict[str, Any]:
    """What `benchmarks.scale.coordinator` saw, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale.coordinator", str(folder), *map(str, words)]
    said = subprocess.run([*command, *([url] if url else [])], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


# -- one after the other


def commits(folder: Path, url: str | None, rounds: int) -> tuple[float, float]:
    """Milliseconds of a commit of one event, and microseconds of each further event in it."""

    def append(ledger: Ledger, count: int) -> float:
        drafts = [
            Draft(
                control_stream(os.urandom(4).hex()),
                StepDone(run="bench", branch="", name="step", nth=number, args="0" * 64, result=number),
            )
            for number in range(count)
        ]
        began = time.perf_counter()
        ledger.append(drafts)
        return time.perf_counter() - began

    with opened(folder, url) as ledger:
        append(ledger, 10)
        alone, many = [], []
        for _ in range(rounds):
            alone += [append(ledger, 1) for _ in range(4)]
            many.append(append(ledger, 201))
    one = statistics.median(alone)
    return one * 1e3, max(0.0, statistics.median(many) - one) / 200 * 1e6


def beats(folder: Path, runs: int = 300) -> float:
    """Microseconds of one beat in the lock of one run."""
    locks = FileLocks(folder / "locks", SystemClock())
    with ExitStack() as stack:
        names = [f"run-{number}" for number in range(runs)]
        for name in names:
            stack.enter_context(locks.hold(name))
            locks.beat(name)
        began = time.process_time()
        for name in names:
            locks.beat(name)
        return (time.process_time() - began) / runs * 1e6


def mirrored(folder: Path, url: str, run: Path) -> float:
    """Microseconds of taking over one event that another home has written: opening a home that lacks them all, and
    opening it again."""
    before = Places.below(folder, "a benchmark")
    written = Places.below(run, "a benchmark")
    shutil.copytree(written.keys, before.keys)
    shutil.copytree(written.witness, before.witness)
    took = []
    for _ in range(2):
        began = time.process_time()
        with opened(folder, url) as ledger:
            took.append(time.process_time() - began)
            size = ledger.head().size
    return max(0.0, took[0] - took[1]) / size * 1e6


def command_run(folder: Path, runs: int) -> tuple[float, float, float]:
    """Events and commits of a real run of a command with a check, and milliseconds of the coordinator's own processor
    for it: `daybreak night` on a queue of so many, less one on an empty queue."""
    task = folder / "task.toml"
    folder.mkdir(parents=True)
    task.write_text(_TASK)
    environment = {**os.environ, "DAYBREAK_HOME": str(folder / "home")}

    def daybreak(*words: str) -> None:
        command = [sys.executable, "-m", "daybreak", *words]
        said = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr[-500:]

    def night() -> float:
        command = [sys.executable, "-c", _NIGHT]
        said = subprocess.run(
            command,
            check=True,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ).stderr
        found = re.search(r"own processor seconds: ([\d.]+)", said)
        assert found is not None, said[-500:]
        return float(found[1])

    daybreak("add", str(task))
    night()  # what is done once
    empty = night()
    for _ in range(runs):
        daybreak("add", str(task))
    took = night()
    with opened_home(folder / "home") as ledger:
        rows = ledger.query("SELECT run FROM view_runs WHERE state = 'done' ORDER BY created DESC LIMIT ?", (runs,))
        assert len(rows) == runs, f"{len(rows)} of {runs} runs are done"
        names = {run for (run,) in rows}
        night_events = [one for one in ledger.read_all() if one.trace in names]
        moments = {one.ts for one in night_events}
    added = 2 * runs
    return (len(night_events) - added) / runs, (len(moments) - runs) / runs, max(0.0, took - empty) / runs * 1e3


@contextmanager
def opened_home(folder: Path) -> Iterator[Ledger]:
    """A home that the command line has made, with all its views."""
    from daybreak import home

    places, clock = Places.below(folder, "a benchmark"), SystemClock()
    with Ledger.open(
        places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=home.views()
    ) as ledger:
        yield ledger


# -- all of it


def measured(folder: Path, *, url: str | None = None, quick: bool = False, server: int = 0) -> Costs:
    """On a ledger in `folder`, or on Postgres: `url` with `{}` for the name of an empty database, and the server's
    process."""
    from benchmarks.postgres_steps import processor_s

    def at(name: str) -> str | None:
        return None if url is None else url.format(name)

    alone_tasks, many = (40, 400) if quick else (300, 3000)
    alone = coordinate(folder / "alone", alone_tasks, 1, url=at("alone"))
    before = processor_s(server) if server else 0.0
    together = coordinate(folder / "together", many, 128, url=at("together"))
    served = processor_s(server) - before if server else 0.0
    commit_ms, store_us = commits(folder / "commits", at("commits"), 5 if quick else 20)
    played = together["events"] - 2  # two of them were added before
    commit_us = max(0.0, (alone["cpu_us"] - together["cpu_us"]) / (alone["syncs"] - together["syncs"]))
    event_us = max(1.0, (together["cpu_us"] - together["syncs"] * commit_us) / played)
    events, synced, own_ms = command_run(folder / "command", 2 if quick else 12)
    resident = coordinate(folder / "resident", 30 if quick else 500, "resident", url=at("resident"))
    return Costs(
        store="SQLite" if url is None else "Postgres",
        event_us=event_us,
        commit_us=commit_us,
        commit_ms=commit_ms,
        store_us=store_us,
        mirror_us=0.0 if url is None else mirrored(folder / "mirror", url.format("together"), folder / "together"),
        server_us=served / many / together["events"] * 1e6,
        beat_us=beats(folder / "beats"),
        work_us=max(0.0, own_ms * 1e3 - events * event_us - synced * commit_us),
        events_attempt=events,
        bytes_event=folder_bytes(folder / "together") / (together["events"] * many),
        run_mb=resident["run_mb"],
        base_mb=resident["base_mb"],
    )


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
