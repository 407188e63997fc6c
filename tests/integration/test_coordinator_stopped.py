"""A coordinator is stopped in the middle of a commit, with the lock of the ledger in a real Postgres: nobody else waits
for it for longer than the limit, and when it goes on it does nothing twice and nothing is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from tests.integration.test_coordinators import Coordinator, Scene
from tests.unit import postgres_server

from daybreak.events import IncidentRaised, LeaseGranted, StepDone
from daybreak.ledger.database import STOPPED_S

QUICK_S = 1.0
BUSY_S = 4.0
"""Beyond the limit, on a busy machine."""
_HOLDS = """SELECT a.state, a.wait_event FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'daybreak'"""


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with postgres_server.database() as url, ExitStack() as stack:
        yield Scene(tmp_path, url, stack, stopped_s=request.param)


def until_stopped(scene: Scene, one: Coordinator) -> None:
    """It stands still, and the server waits for the rest of what it was saying."""
    stat = Path(f"/proc/{one.pid}/stat")
    scene.until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    with psycopg.connect(scene.url, autocommit=True) as admin:
        scene.until(lambda: ("active", "ClientRead") in admin.execute(_HOLDS).fetchall(), "it has the lock")


def in_time(scene: Scene, number: int) -> str:
    began_s = time.monotonic()
    run = scene.add(number, s=0.05)
    assert scene.stopped_s * 0.9 < time.monotonic() - began_s < scene.stopped_s + BUSY_S
    return run


def check_told(scene: Scene) -> None:
    """One incident, by whoever did it, in the commit of what had waited."""
    (raised,) = [one.event.kind for one in scene.events(IncidentRaised)]
    assert raised == "holder_ended"
    scene.check_sound()


LIMITS = [pytest.param(QUICK_S), pytest.param(STOPPED_S, marks=pytest.mark.chaos)]


@pytest.mark.parametrize("scene", LIMITS, indirect=True)
def test_one_that_is_stopped_in_a_commit_and_taken_over_comes_back_to_nothing(scene: Scene) -> None:
    """Another one does its run again once it is taken for dead; what it wanted to commit is refused when it wakes."""
    # shows: N14, N5
    run = scene.add(0, s=0.05)
    first = scene.start("one", stops_at="step.done", lease_s=2.0, most_s=150, once=False).begun()
    until_stopped(scene, first)
    in_time(scene, 1)
    second = scene.start("two", lease_s=2.0, most_s=150).begun()
    assert second.ended()["counts"] == {"done": 2}
    first.send(signal.SIGCONT)
    assert first.ended()["code"] == "E263"
    assert scene.states() == {"done": 2}
    leases = [(one.event.host, one.epoch) for one in scene.events(LeaseGranted) if one.event.run == run]
    assert leases == [("host-one", 1), ("host-two", 2)]
    assert [pid for _, pid in scene.said("end")].count(second.pid) == 2
    check_told(scene)


@pytest.mark.parametrize("scene", LIMITS, indirect=True)
@pytest.mark.parametrize("mark", ["step.intended", "step.done"])
def test_one_that_is_stopped_in_a_commit_and_wakes_in_time_goes_on_with_it(scene: Scene, mark: str) -> None:
    """Its connection is lost: it looks, sees that its commit did not go in, and commits again what it had: also of a
    step that may happen only once."""
    # shows: N14, N5, N4
    scene.add(0, s=0.05, effect="once")
    first = scene.start("one", stops_at=mark, lease_s=60.0, most_s=150).begun()
    until_stopped(scene, first)
    in_time(scene, 1)
    first.send(signal.SIGCONT)
    assert first.ended()["counts"] == {"done": 2}
    assert scene.states() == {"done": 2}
    assert len(scene.said("begin")) == len(scene.said("end")) == 2
    assert {one.epoch for one in scene.events(StepDone)} == {1}
    check_told(scene)
