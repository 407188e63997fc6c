"""Nights in processes of their own: side by side, killed, stopped, frozen, and begun again."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests import starter

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine.nights import NIGHTS
from daybreak.engine.queue import Queue
from daybreak.events import FINAL, LeaseGranted, NightEnded, NightNoted, RunMoved, run_stream
from daybreak.events import NIGHTS as STREAM
from daybreak.host import owners
from daybreak.host.locks import FileLocks
from daybreak.ledger import Ledger

HERE = Path(__file__).parent
WAIT_S = 60.0


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


Ran = _module("daybreak_cli").Ran


@dataclass
class Place:
    """A folder with tasks and the state of their nights."""

    folder: Path
    processes: list[starter.Process] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def effects(self) -> list[str]:
        """The key of each effect that happened, in order."""
        path = self.folder / "effects"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def begin(self, *arguments: str, program: str = "night_cli", **around: str) -> starter.Process:
        told = {"DAYBREAK_HOME": str(self.home), "NIGHT_FAST": "1", "COLUMNS": "200", **around}
        words = [str(HERE / f"{program}.py"), *arguments]
        process = starter.begin(words, folder=self.folder, environment={**os.environ, **told})
        self.processes.append(process)
        return process

    def __call__(self, *arguments: str, **around: str) -> Any:
        return self.end(self.begin(*arguments, **around))

    def end(self, process: starter.Process) -> Any:
        """Wait for its end."""
        out, err = process.communicate(timeout=WAIT_S)
        return Ran(process.returncode, out, err)

    def add(self, task: str, *numbers: int) -> list[str]:
        """Runs of the task for these numbers; one without a number where there are none."""
        told = {"function": f"{self.folder / 'night_tasks.py'}:{task}", "folder": str(self.folder)}
        with self.ledger() as ledger:
            queue = Queue(ledger, SystemClock(), os.urandom)
            given = [{"number": number} for number in numbers] or [{}]
            return [queue.add("python", f"{task} {args}", {**told, "args": args}).run for args in given]

    def told(self) -> dict[str, Any]:
        """What the night that is under way says about itself; nothing where it says nothing."""
        found = sorted((self.home / "locks").glob("night-*.json"))
        return dict(json.loads(found[0].read_text())) if found else {}

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def go(self) -> None:
        (self.folder / "go").touch()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Something that another process does has happened."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"{what} did not come"
            time.sleep(0.02)

    def ledger(self) -> Ledger:
        from daybreak import home

        where = Places.below(self.home, "a test")
        views = [*(view for view in home.views() if view.name != NIGHTS.name), NIGHTS]
        return Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=views)

    def ends(self, run: str) -> int:
        """How often the run came to a final state."""
        with self.ledger() as ledger:
            events = [record.event for record in ledger.read(run_stream(run))]
        return sum(isinstance(event, RunMoved) and event.new in FINAL for event in events)

    def states(self) -> dict[str, int]:
        with self.ledger() as ledger:
            return dict(ledger.query("SELECT state, count(*) FROM view_runs GROUP BY state"))

    def nights(self, kind: type[Any]) -> list[Any]:
        with self.ledger() as ledger:
            return [record.event for record in ledger.read(STREAM) if isinstance(record.event, kind)]

    def locks(self) -> FileLocks:
        return FileLocks(self.home / "locks", SystemClock())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    shutil.copy(HERE / "night_tasks.py", tmp_path / "night_tasks.py")
    made = Place(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _more_than(place: Place, effects: int) -> bool:
    return len(place.effects) > effects


def _dead_end(process: starter.Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_night_through_the_front_door(place: Place) -> None:
    """Work, a report, and how everything stands afterwards."""
    # shows: N1
    place.add("listing", 1, 2, 3)
    ran = place("night", "--once", "--budget", "20usd", "--report-to", "morning.json", "--json")
    assert ran.status == 0, ran.err
    assert (ran.json()["why"], ran.json()["counts"]) == ("empty", {"done": 3})
    report = json.loads((place.folder / "morning.json").read_text())
    assert (report["state"], report["counts"]) == ("ended", {"claimed": 3}), "nothing checks these tasks"
    assert {note["what"].partition(":")[0] for note in report["notices"]} >= {"reconciliation", "snapshot"}
    assert list((place.home / "snapshots").iterdir()), "a copy of the state was made"
    standing = place("status", "--json").json()
    assert (standing["nights"], standing["counts"]) == ([], {"done": 3})
    assert list((place.home / "locks").iterdir()) == [], "nothing is left behind"


def test_a_second_night_is_refused_and_told_by_whom(place: Place) -> None:
    """One supervisor for each state folder; `status` and `unlock` work beside it."""
    # shows: N5
    place.hold()
    (run,) = place.add("listing", 1)
    first = place.begin("night", "--once")
    place.until(lambda: place.effects, "the effect")
    refused = place("night", "--once")
    assert refused.status == 1
    assert "E221" in refused.err
    assert f"process {first.pid}" in refused.err
    place.until(lambda: place.told().get("steps", {}).get(run, [""])[0] == "publish", "the step in what it tells")
    standing = place("status", "--json").json()
    assert [night["pid"] for night in standing["nights"]] == [first.pid]
    assert standing["nights"][0]["beat"]
    assert (standing["work"][0]["run"], standing["work"][0]["orphaned"]) == (run, False)
    listed = {line["name"]: line for line in place("unlock", "--json").json()}
    assert {"supervisor", run} <= set(listed)
    assert listed["supervisor"]["beats"] == "beats"
    alive = place("unlock", "supervisor", "--yes")
    assert alive.status == 2
    assert "U184" in alive.err
    place.go()
    assert place.end(first).status == 0
    assert place.ends(run) == 1


def test_two_nights_side_by_side_end_each_task_once(place: Place) -> None:
    """A helper takes from the same queue; leases keep the two apart."""
    # shows: N5
    runs = place.add("listing", *range(4))
    both = [place.begin("night", "--once", "--workers", "2", "--if-busy", "help") for _ in range(2)]
    assert [place.end(process).status for process in both] == [0, 0]
    assert place.states() == {"done": 4}
    assert [place.ends(run) for run in runs] == [1] * 4
    assert set(Counter(place.effects).values()) == {1}
    assert len(place.effects) == 4


def test_a_night_that_is_killed_again_and_again_ends_each_task_once(place: Place) -> None:
    """SIGKILL in the middle of effects; the last night finishes, and every effect happened once."""
    # shows: N1 N14
    place.hold()
    runs = place.add("listing", *range(4))
    for _ in range(2):
        seen = len(place.effects)
        process = place.begin("night", "--once", "--workers", "2", "--budget", "20usd")
        place.until(partial(_more_than, place, seen), "one effect more")
        _dead_end(process)
    place.go()
    last = place("night", "--once", "--workers", "2", "--budget", "20usd", "--json")
    assert last.status == 0, last.err
    assert place.states() == {"done": 4}
    assert [place.ends(run) for run in runs] == [1] * 4
    assert sorted(Counter(place.effects).values()) == [1] * 4
    assert [ended.why for ended in place.nights(NightEnded)] == ["died", "died", "empty"]
    with place.ledger() as ledger:
        assert ledger.query("SELECT count(*) FROM view_accounts WHERE account LIKE 'night:%'") == [(1,)]


def test_sigterm_ends_a_night_at_the_end_of_the_step(place: Place) -> None:
    """The effect that is under way comes back and is recorded; nothing is lost, and the next night goes on."""
    # shows: N1
    place.hold()
    place.add("listing", 1, 2)
    process = place.begin("night", "--workers", "1")
    place.until(lambda: place.effects, "the effect")
    process.send_signal(signal.SIGTERM)
    place.until(lambda: place.told().get("ending") == "stopped", "its ending in what it tells")
    place.go()
    ran = place.end(process)
    assert ran.status == 130, ran.err
    assert "SIGTERM" in ran.err
    (ended,) = place.nights(NightEnded)
    assert ended.why == "stopped"
    assert place.states()["queued"] == 1, "nothing more was begun"
    assert place("night", "--once").status == 0
    assert place.states() == {"done": 2}
    assert sorted(Counter(place.effects).values()) == [1, 1]


def test_a_night_ends_at_its_deadline_with_status_0(place: Place) -> None:
    """As planned."""
    # shows: N1
    ran = place("night", "--for", "1s")
    assert ran.status == 0, ran.err
    assert [ended.why for ended in place.nights(NightEnded)] == ["deadline"]


def test_a_night_ends_though_a_thread_of_it_hangs(place: Place) -> None:
    """Everything is recorded before the process ends, and the run goes on in the next night."""
    # shows: N1
    place.hold()
    (run,) = place.add("hangs")
    process = place.begin("night", NIGHT_GRACE="0.2")
    place.until(lambda: place.effects, "the effect")
    process.send_signal(signal.SIGTERM)
    ran = place.end(process)
    assert ran.status == 3, ran.err
    assert [ended.why for ended in place.nights(NightEnded)] == ["stopped"]
    assert [note.details["runs"] for note in place.nights(NightNoted) if note.what == "stuck"] == [[run]]
    assert place.locks().owner(run) is None
    place.go()
    assert place("night", "--once").status == 0
    assert place.states() == {"done": 1}


def test_a_frozen_owner_is_ended_and_its_run_taken_over(place: Place) -> None:
    """SIGSTOP in the middle of a `once` step: who waits for that night ends its process, and looks up the effect."""
    # shows: N5 N14
    place.hold()
    (run,) = place.add("listing", 1)
    frozen = place.begin("night", "--once")
    place.until(lambda: place.effects, "the effect")
    place.until(lambda: (seen := place.locks().beat_of(run)) and seen.owner.beats, "the first beat of the run")
    frozen.send_signal(signal.SIGSTOP)
    ran = place("night", "--once", "--if-busy", "wait", "--json")
    assert ran.status == 0, ran.err
    assert ran.json()["counts"] == {"done": 1}
    assert frozen.wait(WAIT_S) == -signal.SIGKILL
    assert len(place.effects) == 1
    assert place.ends(run) == 1
    assert [note.details["pid"] for note in place.nights(NightNoted) if note.what == "takeover"] == [frozen.pid]


def test_a_frozen_owner_that_nobody_can_end_does_nothing_when_it_comes_back(place: Place) -> None:
    """Somebody on another machine took its run. Revived, it is refused by the ledger and repeats nothing."""
    # shows: N5 N14
    place.hold()
    (run,) = place.add("listing", 1)
    frozen = place.begin("night", "--once")
    place.until(lambda: place.effects, "the effect")
    frozen.send_signal(signal.SIGSTOP)
    place.hold()
    rival = place.end(place.begin(str(place.home), run, program="night_rival"))
    assert rival.out.startswith("done"), rival
    before = _story(place, run)
    place.go()
    frozen.send_signal(signal.SIGCONT)
    ran = place.end(frozen)
    assert ran.status == 0, ran.err
    assert _story(place, run) == before, "it has recorded nothing"
    assert len(place.effects) == 1


def _story(place: Place, run: str) -> list[str]:
    with place.ledger() as ledger:
        return [record.id for record in ledger.read(run_stream(run))]


def test_unlock_ends_a_frozen_night(place: Place) -> None:
    """Told so with --yes; what it had goes on in the next night, and its children are dead, too."""
    # shows: N5
    place.hold()
    (run,) = place.add("listing", 1)
    frozen = place.begin("night", "--once")
    place.until(lambda: place.effects, "the effect")
    frozen.send_signal(signal.SIGSTOP)
    place.until(lambda: owners.state_of(frozen.pid) == "T", "the frozen state")
    nobody = place("unlock", "supervisor")
    assert nobody.status == 2
    assert "--yes" in nobody.err
    ran = place("unlock", "supervisor", "--yes", "--json")
    assert ran.json()["ended"] == frozen.pid
    assert frozen.wait(WAIT_S) == -signal.SIGKILL
    standing = place("status", "--json").json()
    assert len(standing["dead"]) == 1
    assert standing["work"][0]["orphaned"] is True
    place.go()
    assert place("night", "--once").status == 0
    assert (place.ends(run), len(place.effects)) == (1, 1)


def test_a_report_comes_even_where_the_night_died(place: Place) -> None:
    """From the ledger only, as the timer of the morning makes it."""
    # shows: N1
    from daybreak.clock import SystemClock
    from daybreak.report import morning

    place.hold()
    (run,) = place.add("listing", 1)
    process = place.begin("night", "--until", "+1h")
    place.until(lambda: place.effects, "the effect")
    _dead_end(process)
    with place.ledger() as ledger:
        report = morning.collect(ledger, now=SystemClock().now(), night="")
        leases = [record.event for record in ledger.read(run_stream(run)) if isinstance(record.event, LeaseGranted)]
    assert report.state == "died"
    assert [line.run for line in report.unfinished] == [run]
    assert leases[0].night == report.night
    assert "The night died" in morning.text.render(report)
