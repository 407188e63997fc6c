"""The process that speaks to Ray is stopped, and not dead: nobody waits for it; a machine that stood still as a whole
ends nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.dispatch_contract import SLEEPS, job, run
from tests.ray_cluster import gone_in
from tests.unit.test_dispatch import Bench, Script

from daybreak.engine import Context
from daybreak.engine.dispatch import ClusterUnreachable, Dispatch, Job, JobLost, Jobs, Key
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.events import JobLost as JobWasLost
from daybreak.events import StepDone

CARRIER = Path(__file__).with_name("plain_carrier.py")
SILENCE_S = 1.0
COORDINATOR = """\
import os, sys
from pathlib import Path
from tests.dispatch_contract import job, run
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
folder, carrier, silence_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
cluster = Cluster(folder=folder, silence_s=silence_s)
dispatch = RayDispatch(cluster, os.environ, carrier=(sys.executable, carrier, "right"))
for number in range(2):
    run(dispatch, job(folder / str(number), "echo"))
    print(dispatch._talk._process.pid, flush=True)
    sys.stdin.readline()
dispatch.close()
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[RayDispatch]:
    cluster = Cluster(folder=tmp_path / "log", silence_s=SILENCE_S)
    one = RayDispatch(cluster, os.environ, carrier=(sys.executable, CARRIER, "right"))
    yield one
    one.close()


def carrier_of(dispatch: RayDispatch) -> int:
    assert dispatch._talk is not None
    return dispatch._talk._process.pid


class Asked(threading.Thread):
    """For a job; what it came to."""

    def __init__(self, dispatch: Dispatch, one: Job) -> None:
        super().__init__()
        self.problem: Exception | None = None
        self.pids: list[int] = []
        self.began = threading.Event()
        self._dispatch, self._job = dispatch, one
        self.start()

    def run(self) -> None:
        try:
            run(self._dispatch, self._job, self._line)
        except Exception as problem:  # noqa: BLE001 - looked at by the test
            self.problem = problem

    def _line(self, part: bytes) -> None:
        self.pids.append(int(part))
        self.began.set()


def test_a_carrier_that_is_stopped_loses_its_jobs_as_one_that_died(nodes: RayDispatch, tmp_path: Path) -> None:
    """Each asker hears that it is gone soon after `silence_s`, what its nodes do ends, and the next job has another
    carrier. Nobody waits until somebody says SIGCONT."""
    # shows: N14
    under_way = Asked(nodes, job(tmp_path / "a", "run", {"code": SLEEPS}))
    assert under_way.began.wait(20)
    first, began_s = carrier_of(nodes), time.monotonic()
    os.kill(first, signal.SIGSTOP)
    waiting = Asked(nodes, job(tmp_path / "b", "echo"))
    for one in (under_way, waiting):
        one.join(20)
    assert time.monotonic() - began_s < SILENCE_S + 3
    assert isinstance(under_way.problem, JobLost | ClusterUnreachable)
    assert isinstance(waiting.problem, ClusterUnreachable)
    assert "said nothing for 1 s, and was ended" in waiting.problem.message
    gone_in(under_way.pids[0], 20)
    assert run(nodes, job(tmp_path / "c", "echo", {"a": 1})).body["body"] == {"a": 1}
    assert carrier_of(nodes) != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_whoever_speaks_to_a_carrier_that_reads_no_more_is_not_kept(nodes: RayDispatch, tmp_path: Path) -> None:
    """Its pipe is full, and whoever writes waits for it, also whoever wants to end it all."""
    # shows: N14
    run(nodes, job(tmp_path / "a", "echo"))
    os.kill(carrier_of(nodes), signal.SIGSTOP)
    writing = Asked(nodes, job(tmp_path / "b", "echo", {"much": "x" * 1_000_000}))
    began_s = time.monotonic()
    nodes.close()
    writing.join(20)
    assert time.monotonic() - began_s < SILENCE_S + 3
    assert isinstance(writing.problem, ClusterUnreachable)


def test_a_carrier_that_is_long_about_one_message_is_heard() -> None:
    """No beat comes through in the middle of one; its bytes are the sign of life."""
    from daybreak.engine.dispatch import talk

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb", buffering=0) as into:
        ear = talk._Ear(file)
        for count in range(1, 4):
            into.write(b"part")
            assert ear.read(1 << 30) == b"part"
            assert ear.heard == count


def test_a_machine_that_stood_still_as_a_whole_ends_no_carrier(tmp_path: Path) -> None:
    """Coordinator and carrier are stopped for twice `silence_s`: that is no silence that anybody heard. The one
    that goes on first gives the other one its time."""
    # shows: N14
    repository = Path(__file__).parents[2]
    argv = [sys.executable, "-c", COORDINATOR, tmp_path, CARRIER, str(SILENCE_S)]
    with subprocess.Popen(
        [str(one) for one in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=repository
    ) as coordinator:
        assert coordinator.stdout is not None
        assert coordinator.stdin is not None
        pids = [coordinator.pid, carrier := int(coordinator.stdout.readline())]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(2 * SILENCE_S)  # that nothing happens
            os.kill(coordinator.pid, signal.SIGCONT)
            time.sleep(SILENCE_S / 3)  # likewise
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        coordinator.stdin.write("\n")
        coordinator.stdin.flush()
        assert int(coordinator.stdout.readline()) == carrier
        coordinator.stdin.write("\n")


class Stopping(Bench):
    """A run with one job, at whose first line the carrier is stopped, once."""

    nodes: RayDispatch
    stopped = 0

    def _do(self, ctx: Context) -> Any:
        def make(key: Key, avoid: tuple[str, ...]) -> Job:
            told = job(self.tmp_path / "scratch", "run", {"code": "print(7)" if self.stopped else SLEEPS})
            return replace(told, key=key, avoid=avoid)

        def line(part: bytes) -> None:
            if not self.stopped:
                self.stopped = carrier_of(self.nodes)
                os.kill(self.stopped, signal.SIGSTOP)

        Jobs(ctx, self.nodes, threading.Event(), self.clock).do("tests", make, line)
        return "done"


def test_what_a_stopped_carrier_had_is_told_in_the_ledger_and_done_again(nodes: RayDispatch, tmp_path: Path) -> None:
    """The run waits as it does where the cluster cannot be reached, and then another carrier has it done."""
    # shows: N14
    bench = Stopping(tmp_path, Script())
    bench.nodes = nodes
    result = bench.go()
    assert result.state == "waiting"
    assert "said nothing for 1 s, and was ended" in result.why
    lost = bench.events(JobWasLost)
    assert all(one.again for one in lost)
    assert "said nothing for 1 s" in lost[-1].why
    bench.clock.advance(61)
    assert bench.go().value == "done"
    assert bench.stopped != carrier_of(nodes)
    assert len(bench.events(JobWasLost)) == len(lost)
    assert [one.name for one in bench.events(StepDone)].count("look") == 1
