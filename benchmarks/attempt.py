"""What an attempt costs beside its worker: token, sandbox, process, claim; with a model, the gateway's part.

    python -m benchmarks attempt

The worker says that it has finished, and nothing else. Baseline: the same interpreter, started bare, that imports the
same protocol; they take turns.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure, lower
from daybreak import home
from daybreak.agents.protocol import Brief
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine
from daybreak.factory.attempting import Attempts
from daybreak.factory.office import Office
from daybreak.factory.warden import Warden
from daybreak.host.sandbox import Strength, detect
from daybreak.ledger import Ledger
from daybreak.settings import Settings
from daybreak.testing import ModelServer
from daybreak.testing.modelserver import Say

ROUNDS = 20
GOAL_MS = 150
WORKER = """
from daybreak.agents.protocol import Claim

class Idle:
    def work(self, brief, workspace, terms):
        yield Claim(outcome="finished", summary="nothing to do")
"""
BRIEF = Brief(name="idle", title="idle", summary="say that you have finished")
BARE = "import daybreak.agents.protocol"


def take(quick: bool = False) -> Iterator[Figure]:
    require: Strength = "full" if detect().mode().reaches("full") else "degraded"
    with tempfile.TemporaryDirectory() as folder, ModelServer([Say("nobody asks")]) as server:
        place = Path(folder).resolve()
        (place / "idle.py").write_text(WORKER)
        told = {"api": "openai", "address": server.url("openai"), "prices": {"*": {"input": 1.0, "output": 1.0}}}
        kinds = {
            "alone": {"kind": "python", "program": f"{place}/idle.py:Idle"},
            "model": {"kind": "python", "program": f"{place}/idle.py:Idle", "provider": "here", "model": "m"},
        }
        settings = Settings.model_validate({"workers": kinds, "providers": {"here": told}})
        took = asyncio.run(_measure(place, settings, require))
    bare = median(took["bare"])
    print(f"  attempts in a {require} sandbox, {ROUNDS} of each, medians")
    for name, words, aim in (("alone", "without a model", GOAL_MS), ("model", "with a way to a model", None)):
        whole = median(took[name])
        yield lower(f"an attempt {words}", whole, "ms", "a bare interpreter", bare)
        yield lower(f"of it our own, {words}", whole - bare, "ms", "a bare interpreter", bare, aim=aim, aim_of="value")


async def _measure(place: Path, settings: Settings, require: Strength) -> dict[str, list[float]]:
    places = Places.below(place / "home", "a benchmark")
    clock = SystemClock()
    took: dict[str, list[float]] = {"bare": [], "alone": [], "model": []}
    with Ledger.open(
        places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=home.views()
    ) as ledger:
        office = Office(settings, ledger, places, clock, {})

        async def task(ctx: Context, args: dict[str, Any]) -> None:
            attempts = Attempts(ctx, office, Warden(ctx.run, ledger, places, clock), threading.Event())

            def attempt(number: int, name: str) -> None:
                with tempfile.TemporaryDirectory(dir=place) as scratch:
                    folder = Path(scratch) / "workspace"
                    folder.mkdir()
                    started = time.perf_counter()
                    result = attempts.work(number, name, BRIEF, folder, Path(scratch), time_s=60, require=require)
                    if number > 1:  # the first one begins the gateway, and fills caches
                        took[name].append((time.perf_counter() - started) * 1000)
                    assert result.claim.outcome == "finished", result.claim

            for number in range(1, ROUNDS + 2):
                for name in ("alone", "model"):
                    await ctx.step("attempt", attempt, number, name)
                took["bare"].append(_bare())

        engine = Engine(ledger, {"idle": task}, places.locks, clock, os.urandom)
        result = await engine.finish(engine.submit("idle", "idle", {}))
        office.close()
        assert result.state == "done", result
    return took


def _bare() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", BARE], check=True)
    return (time.perf_counter() - started) * 1000
