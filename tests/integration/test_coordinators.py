"""Several coordinators, each a process with a home and a host of its own, on one ledger in a real Postgres: one dies,
stands still, or loses its connection, and the others go on; nothing is done twice, budgets are shared and hard."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from tests.unit import postgres_server

from daybreak import home
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Placement, Queue
from daybreak.engine.schedules import Schedules, TaskTemplate
from daybreak.engine.window import Schedule
from daybreak.events import LeaseGranted, NightBegan, NightEnded, RunMoved, StepDone, StepIntended, WindowOpened
from daybreak.ledger import Ledger
from daybreak.ledger.database import STOPPED_S
from daybreak.testing.clock import FakeClock

PROGRAM = Path(__file__).parent / "coordinator_program.py"
SOON_S = 100.0
"""For whatever must happen at all, on a busy machine."""
WINDOWS = 3
EFFECTS = ("idempotent", "idempotent", "once")


class Coordinator:
    """A process of coordinator_program.py."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(told)], stdout=subprocess.PIPE, text=True, env=os.environ
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def begun(self) -> Coordinator:
        """Returns once its night has begun."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "begun\n", line
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> dict[str, Any]:
        said, _ = self.process.communicate(timeout=SOON_S * 2)
        assert self.process.returncode == 0, said
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        return told

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Scene:
    """A ledger, the home of whoever looks, and coordinators beside it."""

    def __init__(self, root: Path, url: str, stack: ExitStack, stopped_s: float = STOPPED_S) -> None:
        self.root, self.url, self._stack, self.stopped_s = root, url, stack, stopped_s
        self.effects = root / "effects"
        self.places = Places.below(root / "looker", "a test")
        where = self.places
        self.ledger = stack.enter_context(
            Ledger.open(
                where.ledger,
                keys=where.keys,
                witness=where.witness,
                clock=SystemClock(),
                views=home.views(),
                postgres=url,
                stopped_s=stopped_s,
            )
        )
        self.queue = Queue(self.ledger, SystemClock(), os.urandom)

    def start(self, name: str, **more: Any) -> Coordinator:
        root = self.root / name
        if not root.exists():
            for folder in ("keys", "witness"):
                shutil.copytree(self.root / "looker" / folder, root / folder)
        told = {"home": str(root), "url": self.url, "host": f"host-{name}", "stopped_s": self.stopped_s, **more}
        one = Coordinator(told)
        self._stack.callback(one.close)
        return one

    def add(self, number: int, *, s: float = 0.02, placement: Placement | None = None, **more: Any) -> str:
        args = {"n": number, "s": s, "effects": str(self.effects), **more}
        return self.queue.add("work", f"work {number}", args, placement).run

    def states(self) -> Counter[str]:
        """As the server has it, not as this home's mirror may."""
        return Counter(state for (state,) in self.ledger.query("SELECT state FROM view_runs"))

    def until(self, there: Callable[[], bool], why: str) -> None:
        end = time.monotonic() + SOON_S
        while not there():
            assert time.monotonic() < end, f"{why}: {self.states()}"
            time.sleep(0.02)

    def said(self, word: str) -> list[tuple[str, int]]:
        """(key of the step, process) for each line that begins so."""
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return [(line.split()[1], int(line.split()[2])) for line in lines if line.split()[0] == word]

    def events(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.ledger.read_all() if isinstance(record.event, kind)]

    def check_sound(self) -> None:
        """Each run ended once, each step has one outcome, no epoch was given twice; the log is whole."""
        ends = Counter(one.event.run for one in self.events(RunMoved) if one.event.new == "done")
        assert set(ends.values()) <= {1}
        steps = Counter(
            (one.event.run, one.event.branch, one.event.name, one.event.nth) for one in self.events(StepDone)
        )
        assert set(steps.values()) <= {1}
        leases = Counter((one.event.run, one.epoch) for one in self.events(LeaseGranted))
        assert set(leases.values()) <= {1}
        assert self.ledger.compare_views() == []


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with postgres_server.database() as url, ExitStack() as stack:
        yield Scene(tmp_path, url, stack)


def test_three_share_a_queue_its_keys_and_its_windows(scene: Scene) -> None:
    """Every run is done once, by whichever; of runs with one key never two are under way, whoever has them; each window
    of a schedule that all look at becomes one run, once; and no night closes, or ends, another's."""
    # shows: N14, N5
    opened_before(scene)
    placed = Placement(keys={"till": 1})
    runs = [scene.add(number, s=0.05, placement=placed if number % 4 == 0 else None) for number in range(24)]
    ended = [one.ended() for one in [scene.start(name, schedules=True) for name in ("one", "two", "three")]]
    assert [one["why"] for one in ended] == ["empty"] * 3
    scene.until(lambda: len(scene.events(NightEnded)) == 3, "three nights end")
    opened = Counter((one.event.schedule, one.event.window) for one in scene.events(WindowOpened))
    assert set(opened.values()) == {1}
    assert WINDOWS * 2 <= len(opened) <= (WINDOWS + 2) * 2
    assert set(Counter(one.event.run for one in scene.events(WindowOpened)).values()) == {1}
    assert scene.states() == {"done": len(runs) + len(opened)}
    assert len(scene.said("end")) == len(set(scene.said("end"))) == len(runs) + len(opened)
    assert len({one.event.host for one in scene.events(LeaseGranted)}) == 3
    assert {one.event.why for one in scene.events(NightEnded)} == {"empty"}
    at_once, keyed = 0, {run for number, run in enumerate(runs) if number % 4 == 0}
    for moved in scene.events(RunMoved):
        if moved.event.run in keyed:
            at_once += (moved.event.new == "leased") - (moved.event.new == "done")
            assert 0 <= at_once <= 1, "two runs with one key"
    scene.check_sound()


def opened_before(scene: Scene) -> None:
    """Two schedules of which some windows have passed and are to be caught up."""
    earlier = FakeClock(SystemClock().now() - timedelta(minutes=WINDOWS))
    schedules = Schedules(scene.ledger, earlier, scene.queue)
    args = {"n": 1, "s": 0.0, "effects": str(scene.effects)}
    made = Schedule(cron="* * * * *", catch_up="all", overlap="queue", waiting_max=WINDOWS * 2)
    for number in range(2):
        schedules.set(f"s{number}", made, TaskTemplate(kind="work", title="tick", args=args))


def test_one_is_killed_and_another_goes_on_within_the_lease(scene: Scene) -> None:
    """SIGKILL in the middle of steps: the others do them again once its lease is over, and not before; a `once` step
    of which nobody knows is parked with its question; its night is closed as died."""
    # shows: N14, N5
    lease_s = 3.0
    runs = [scene.add(0, s=30.0), scene.add(1, s=30.0, effect="once")]
    first = scene.start("one", lease_s=lease_s, budget=1_000_000).begun()
    scene.until(lambda: len(scene.said("begin")) == 2, "both steps are under way")
    second = scene.start("two", lease_s=lease_s, most_s=30, once=False).begun()
    time.sleep(lease_s)  # a whole lease in which the first one lives: nobody takes anything
    assert [one.event.host for one in scene.events(LeaseGranted)] == ["host-one"] * 2
    first.send(signal.SIGKILL)
    killed = time.monotonic()
    scene.until(lambda: len(scene.events(LeaseGranted)) == 4, "both are taken over")
    assert time.monotonic() - killed < lease_s + 3.0
    scene.until(lambda: len(scene.said("begin")) == 3, "the repeatable step is begun again")
    scene.until(lambda: scene.states()["parked"] == 1, "the once step is parked")
    ((question,),) = scene.ledger.query("SELECT question FROM view_runs WHERE run = ?", (runs[1],))
    assert "nobody knows whether it happened" in question
    ((why, joined),) = scene.ledger.query("SELECT why, '' FROM view_nights WHERE host = 'host-one'")
    assert (why, joined) == ("died", "")
    second.send(signal.SIGKILL)
    scene.check_sound()


def test_one_that_stood_still_comes_back_to_nothing(scene: Scene) -> None:
    """SIGSTOP past its lease, then SIGCONT: what it had was done by another; it ends what it was doing as soon as it
    sees that, nothing of it is recorded, and its night ends and says why."""
    # shows: N14, N5
    lease_s = 2.0
    scene.add(0, s=8.0)
    first = scene.start("one", lease_s=lease_s, most_s=150, once=False).begun()
    scene.until(lambda: len(scene.said("begin")) == 1, "it has begun")
    second = scene.start("two", lease_s=lease_s, most_s=150).begun()
    first.send(signal.SIGSTOP)
    scene.until(lambda: len(scene.said("begin")) == 2, "another goes on with it")
    first.send(signal.SIGCONT)
    ended = first.ended()
    assert ended["code"] == "E263", ended
    assert second.ended()["counts"] == {"done": 1}
    scene.until(lambda: scene.states() == {"done": 1}, "it is done")
    assert [pid for _, pid in scene.said("end")] == [second.pid]
    ((night, why),) = scene.ledger.query("SELECT night, why FROM view_nights WHERE host = 'host-one'")
    assert (night, why) == (ended["night"], "died")
    scene.check_sound()


@pytest.mark.chaos
def test_connections_are_lost_and_nobody_is_taken_for_dead(scene: Scene) -> None:
    """The server cuts every connection, again and again: no run is taken from whoever lives, everything is done."""
    # shows: N14
    for number in range(12):
        scene.add(number, s=0.4)
    both = [scene.start(name, lease_s=4.0).begun() for name in ("one", "two")]
    with psycopg.connect(scene.url, autocommit=True) as admin:
        for _ in range(3):
            time.sleep(0.5)
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert [one.ended()["why"] for one in both] == ["empty", "empty"]
    scene.until(lambda: scene.states() == {"done": 12}, "all are done")
    assert {one.epoch for one in scene.events(LeaseGranted)} == {1}
    scene.check_sound()


def test_a_budget_is_shared_and_hard(scene: Scene) -> None:
    """Three at the last unit of one night's budget: what they use and set aside together is never more; a night
    without a budget of its own that joins spends that of the one that it joined."""
    # shows: N14, N9
    first = scene.start("one", budget=5_000, workers=4, once=False).begun()
    others = [scene.start(name, workers=4, once=False).begun() for name in ("two", "three")]
    for number in range(12):
        scene.add(number, s=0.05, cost=1_000)
    ended = [one.ended() for one in (first, *others)]
    assert {one["why"] for one in ended} == {"budget"}, ended
    scene.until(lambda: len(scene.events(NightEnded)) == 3, "three nights end")
    rows = scene.ledger.query("SELECT account, money_microusd_spent, money_microusd_most FROM view_accounts")
    ((account, spent, most),) = rows
    assert account == f"night:{ended[0]['night']}"
    assert spent == most == 5_000
    assert len(scene.said("begin")) == 5
    assert scene.states() == {"done": 5, "paused": 7}
    began = scene.events(NightBegan)
    assert [one.event.joined for one in began] == ["", *[began[0].event.night] * 2]
    scene.check_sound()


@pytest.mark.chaos
def test_the_server_crashes_and_nobody_is_taken_for_dead(scene: Scene) -> None:
    """Its table of seats is empty afterwards: whoever lives beats again, and keeps what it has; also `once` steps."""
    # shows: N14, N5
    for number in range(16):
        scene.add(number, s=0.8, effect="once" if number % 3 == 0 else "idempotent")
    both = [scene.start(name, lease_s=3.0, most_s=90).begun() for name in ("one", "two")]
    server = postgres_server.server()
    for down_s in (5.0, 0.3, 0.3):
        time.sleep(1.0)
        server.kill()
        time.sleep(down_s)
        server.start()
        with psycopg.connect(scene.url, autocommit=True) as admin:
            assert admin.execute("SELECT count(*) FROM daybreak_seats.seat").fetchone() in ((0,), (1,), (2,))
    assert [one.ended()["why"] for one in both] == ["empty", "empty"]
    scene.until(lambda: scene.states() == {"done": 16}, "all are done")
    assert {one.epoch for one in scene.events(LeaseGranted)} == {1}
    scene.check_sound()


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_nights_of_kills(scene: Scene, seed: int) -> None:
    """For a minute and a half one of three is killed, or stands still past its lease, again and again, and a new one
    comes: in the end everything is done or asks about a `once` step; nothing was lost, nothing done twice."""
    # shows: N14, N5
    random, began, names = Random(seed), time.monotonic(), iter(range(1000))
    runs = [scene.add(number, s=random.uniform(0.1, 3.0), effect=random.choice(EFFECTS)) for number in range(250)]

    def fresh() -> Coordinator:
        return scene.start(f"home-{next(names)}", workers=3, once=False, most_s=300).begun()

    working = [fresh() for _ in range(3)]
    while time.monotonic() - began < 90:
        time.sleep(random.uniform(1.0, 5.0))
        place = random.randrange(3)
        if random.random() < 0.5:
            working[place].send(signal.SIGKILL)
        else:
            working[place].send(signal.SIGSTOP)
            time.sleep(random.uniform(0.5, 6.0))
            working[place].send(signal.SIGCONT)
            continue
        working[place] = fresh()
    working = [one if one.process.poll() is None else fresh() for one in working]
    open_states = ("queued", "leased", "running", "waiting", "verifying", "paused")
    deadline = time.monotonic() + 300
    while any(scene.states()[state] for state in open_states):
        assert time.monotonic() < deadline, scene.states()
        time.sleep(0.5)
    assert sum(scene.states().values()) == len(runs)
    assert set(scene.states()) <= {"done", "parked"}
    intended = Counter(one.event.key for one in scene.events(StepIntended))
    assert set(intended.values()) <= {1}
    scene.check_sound()


def test_a_second_night_by_mistake_is_told(scene: Scene) -> None:
    """Without --join a night beside another home's is refused and names it; that one works on. Of two that begin at
    the same moment one is refused."""
    # shows: N14
    scene.start("one", join=False, once=False).begun()
    refused = scene.start("two", join=False).ended()
    assert refused["code"] == "E262"
    assert "host-one" in refused["message"]
    run = scene.add(0)
    scene.until(lambda: scene.states() == {"done": 1}, "the first one works on")
    assert scene.events(LeaseGranted)[0].event.run == run
    assert len(scene.events(NightBegan)) == 1
