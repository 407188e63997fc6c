"""What it costs to have an attempt done on a Ray cluster instead of here, and how soon one is elsewhere when its node
goes.

    python -m benchmarks dispatch

A cluster of a head without processors and two nodes, all on this machine. The same attempt, whose worker says that it
has finished and nothing else, is done here and on the cluster in turns, once every process there is warm.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.attempt import BRIEF, WORKER
from benchmarks.figures import Figure, Unavailable, lower
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine
from daybreak.engine.dispatch import Doing, Job, JobLost, Key, Local, Needs
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.factory.attempting import Attempts
from daybreak.factory.office import Office
from daybreak.factory.warden import Warden
from daybreak.host.sandbox import Strength, detect
from daybreak.ledger import Ledger
from daybreak.settings import Settings
from daybreak.testing import doers

ROUNDS, QUICK_ROUNDS = 30, 8
WARM = 4
GOAL_MS = 100
GOAL_ELSEWHERE_S = 15
OPEN = {"RAY_AUTH_MODE": "disabled"}
SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"


def take(quick: bool = False) -> Iterator[Figure]:
    try:
        from tests.ray_cluster import RayCluster

        cluster = RayCluster()
    except ImportError as missing:
        raise Unavailable(f"the extra `ray` is not installed: {missing}") from missing
    rounds = QUICK_ROUNDS if quick else ROUNDS
    try:
        for _ in range(2):
            cluster.add(cpus=2)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder).resolve()
            yield from _seam(place, rounds)
            yield from _attempts(place, cluster.address, rounds)
            yield from _gone(place, cluster, 1 if quick else 3)
    finally:
        cluster.close()


# -- here


def _seam(place: Path, rounds: int) -> Iterator[Figure]:
    """What a job costs that is done here, beside a call of its function."""
    local, never = Local(1), threading.Event()
    body = {"a": 1}

    def direct() -> object:
        return doers.echo(
            Doing(body=body, scratch=place, kept={}, lock=threading.Lock(), cancelled=never, tell=print, here=True)
        )

    def through() -> object:
        one = Job(key=Key("r", "s", 1, 1), doer="daybreak.testing.doers:echo", body=body, scratch=place, time_s=60)
        return local.run(one, cancelled=never, on_line=print)

    pairs = [(_each(direct, 2_000), _each(through, 2_000)) for _ in range(rounds)]
    bare, whole = (median(one) * 1e6 for one in zip(*pairs, strict=True))
    yield lower("a job done here", whole, "µs", "a call of its function", bare)


def _each(function: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - began) / times


# -- an attempt


def _attempts(place: Path, address: str, rounds: int) -> Iterator[Figure]:
    require: Strength = "full" if detect().mode().reaches("full") else "degraded"
    took = asyncio.run(_measure(place, address, rounds, require))
    here, there = median(took["here"]), median(took["there"])
    more = median(there - here for here, there in zip(took["here"], took["there"], strict=True))
    print(
        f"  attempts in a {require} sandbox, {rounds} of each in turns, medians: {here:.0f} ms here, {there:.0f} there"
    )
    yield lower("an attempt on a cluster", there, "ms", "the same attempt here", here)
    yield lower("of it the cluster's", max(0.0, more), "ms", "the same attempt here", here, aim=GOAL_MS, aim_of="value")


async def _measure(place: Path, address: str, rounds: int, require: Strength) -> dict[str, list[float]]:
    (place / "idle.py").write_text(WORKER)
    places = Places.below(place / "home", "a benchmark")
    clock = SystemClock()
    took: dict[str, list[float]] = {"here": [], "there": []}
    workers = {"idle": {"kind": "python", "program": f"{place}/idle.py:Idle"}}
    settings = {
        "here": Settings.model_validate({"workers": workers}),
        "there": Settings.model_validate({"workers": workers, "dispatch": {"engine": "ray", "address": address}}),
    }
    with Ledger.open(
        places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=home.views()
    ) as ledger:
        offices = {name: Office(told, ledger, places, clock, {**os.environ, **OPEN}) for name, told in settings.items()}

        async def task(ctx: Context, args: dict[str, Any]) -> None:
            def attempt(number: int, name: str) -> None:
                attempts = Attempts(ctx, offices[name], Warden(ctx.run, ledger, places, clock), threading.Event())
                with tempfile.TemporaryDirectory(dir=place) as scratch:
                    folder = Path(scratch) / "workspace"
                    folder.mkdir()
                    began = time.perf_counter()
                    result = attempts.work(number, "idle", BRIEF, folder, Path(scratch), time_s=60, require=require)
                    if number > WARM:
                        took[name].append((time.perf_counter() - began) * 1000)
                    assert result.claim.outcome == "finished", result.claim

            for number in range(1, rounds + WARM + 1):
                for name in offices:
                    await ctx.step("attempt", attempt, number, name)

        engine = Engine(ledger, {"idle": task}, places.locks, clock, os.urandom)
        result = await engine.finish(engine.submit("idle", "idle", {}))
        for office in offices.values():
            office.close()
        assert result.state == "done", result
    return took


# -- a node that goes


def _gone(place: Path, cluster: Any, rounds: int) -> Iterator[Figure]:
    """From the moment a node goes until another has begun with its job. Killed processes close their connections, which
    Ray notices at once; one that stands still says nothing, as a machine without power or network does."""
    ray = RayDispatch(Cluster(address=cluster.address, token=OPEN, folder=place), os.environ)
    try:
        _begun(ray, _job(place, 0, Needs(), doer="echo"))
        usual = median(_begun(ray, _job(place, number, Needs(), doer="echo")) for number in range(1, 11))
        killed = [_elsewhere(ray, place, cluster, f"killed{number}", signal.SIGKILL) for number in range(rounds)]
        silent = [_elsewhere(ray, place, cluster, f"silent{number}", signal.SIGSTOP) for number in range(rounds)]
    finally:
        ray.close()
    for what, took in (("killed", killed), ("silent", silent)):
        print(f"  a node {what} {rounds} times: {', '.join(f'{one:.2f}' for one in sorted(took))} s until elsewhere")
        name, baseline = (
            f"the job of a node that is {what}, elsewhere",
            "a job of a cluster where nothing happens, begun",
        )
        yield lower(name, max(took), "s", baseline, usual, aim=GOAL_ELSEWHERE_S, aim_of="value")


def _begun(ray: RayDispatch, job: Job) -> float:
    """Seconds until a node has begun with it."""
    began_s = time.perf_counter()
    told: list[float] = []
    ray.run(
        job,
        cancelled=threading.Event(),
        on_line=lambda part: None,
        on_node=lambda node: told.append(time.perf_counter() - began_s),
    )
    return told[0]


def _elsewhere(ray: RayDispatch, place: Path, cluster: Any, name: str, sent: signal.Signals) -> float:
    doomed = cluster.add(cpus=1, doomed=name)
    gone_s: list[float] = []

    def go(part: bytes) -> None:
        if not gone_s:
            processes = cluster.processes(doomed)
            gone_s.append(time.perf_counter())
            for pid in processes:
                os.kill(pid, sent)

    try:
        ray.run(_job(place, 0, Needs(labels=(f"doomed={name}",))), cancelled=threading.Event(), on_line=go)
    except JobLost as problem:
        lost_s, lost = time.perf_counter() - gone_s[0], problem.node
    else:
        raise AssertionError(f"the job of the node {name} ended by itself")
    again = _begun(ray, _job(place, 1, Needs(), doer="echo", avoid=(lost,)))
    cluster.kill(doomed)
    return lost_s + again


def _job(place: Path, number: int, needs: Needs, doer: str = "run", **more: Any) -> Job:
    return Job(
        key=Key("bench", "step", 1, number),
        doer=f"daybreak.testing.doers:{doer}",
        body={"code": SLEEPS, "time_s": 300},
        scratch=place,
        needs=needs,
        time_s=300,
        **more,
    )
