"""What it costs to have an attempt done on a Ray cluster instead of here, and how soon one is elsewhere when its node
is killed.

    python -m benchmarks dispatch

A cluster of a head without processors and two nodes, all on this machine. The same attempt, whose worker says that it
has finished and nothing else, is done here and on the cluster in turns, once every process there is warm.
"""

from __future__ import annotations

import asyncio
import os
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
from daybreak.engine.dispatch import Doing, Job, JobLost, Key, Local, Needs, Node
from daybreak.engine.dispatch.ray import SILENCE_S, Cluster, RayDispatch
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
            yield from _killed(place, cluster, 1 if quick else 3)
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


# -- a node that is killed


def _killed(place: Path, cluster: Any, rounds: int) -> Iterator[Figure]:
    """From the kill of every process of a node until another node has begun with its job."""
    ray = RayDispatch(Cluster(address=cluster.address, token=OPEN, folder=place), os.environ)
    took = []
    try:
        for number in range(rounds):
            doomed = cluster.add(cpus=1, doomed=f"n{number}")
            killed_s = 0.0
            lost = ""

            def kill(part: bytes, node: Any = doomed) -> None:
                nonlocal killed_s
                if not killed_s:
                    killed_s = time.perf_counter()
                    cluster.kill(node)

            def begun(node: Node) -> None:
                took.append(time.perf_counter() - killed_s)  # noqa: B023 - of this round

            try:
                ray.run(
                    _job(place, number, Needs(labels=(f"doomed=n{number}",))), cancelled=threading.Event(), on_line=kill
                )
            except JobLost as problem:
                lost = problem.node
            again = _job(place, number + 100, Needs(), doer="echo", avoid=(lost,))
            ray.run(again, cancelled=threading.Event(), on_line=print, on_node=begun)
    finally:
        ray.close()
    print(f"  a node killed {rounds} times: {', '.join(f'{one:.1f}' for one in sorted(took))} s until elsewhere")
    whole = max(took)
    aim = GOAL_ELSEWHERE_S
    yield lower("a killed node's job elsewhere", whole, "s", "silence alone", SILENCE_S, aim=aim, aim_of="value")


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
