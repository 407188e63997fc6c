"""Repairs: functions taken out of small PyPI packages, and workers that are right, wrong, lying, cheating, crashing or
hanging; what the kind `repository` delivers of that.

`TASKS=12 SEED=1 python -m benchmarks repair`. Real engine, real attempts in the sandbox, real checks.

Measured: what was delivered although the gate's own suite rejects it (must be 0); what only the judge's fuller suite
finds, which the gate never had; solved tasks against the ideal, in which every right attempt counts; attempts; time.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from benchmarks.figures import Figure, Unavailable, count, lower
from benchmarks.repair import packages, workers
from benchmarks.repair.packages import Hole
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Engine, RunResult
from daybreak.events import AttemptClaimed, run_stream
from daybreak.factory.kinds import repository
from daybreak.factory.office import Office
from daybreak.factory.repository import task as repositorytask
from daybreak.ledger import Ledger
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.settings import Settings

ATTEMPTS = 4
WORKERS = ("first", "second", "third", "fourth")
"""All of them behave by the same odds: the cascade steps down from one to the next."""
HANG_S = 10.0


@dataclass(frozen=True)
class Repaired:
    """What became of one task."""

    hole: Hole
    result: RunResult
    ways: tuple[str, ...]
    """How the worker behaved in each attempt, as it was asked."""
    ideal: bool
    """An attempt that was allowed would have been right."""
    gate_passes: bool = False
    """Of what was delivered."""
    judge_passes: bool = False
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.result.state == "done"


@dataclass(frozen=True)
class Bench:
    folder: Path
    seed: int
    ledger: Ledger
    engine: Engine
    workers: tuple[str, ...] = WORKERS

    async def repair(self, hole: Hole, source: Path) -> Repaired:
        """Run one task to its end and judge what it delivered."""
        name = hashlib.sha256(hole.name.encode()).hexdigest()[:24]
        repo = self.folder / name
        await anyio.to_thread.run_sync(packages.repository, hole, source, repo)
        answer = {"path": hole.path, "right": hole.right, "mutants": hole.mutants, "tests": hole.package.tests}
        (self.folder / "answers" / f"{name}.json").write_text(json.dumps(answer))
        asked = repositorytask.asked(
            repo,
            hole.name,
            [hole.package.check],
            cwd=self.folder,
            environment={},
            workers=self.workers,
            settings=self.engine_settings,
            attempts=ATTEMPTS,
        )
        began = time.perf_counter()
        run = self.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
        result = await self.engine.supervise(run)
        seconds = time.perf_counter() - began
        claims = [one.event for one in self.ledger.read(run_stream(run)) if isinstance(one.event, AttemptClaimed)]
        ways = [workers.way(self.seed, hole.name, number)[0] for number in range(1, ATTEMPTS + 1)]
        told = tuple(
            claim.summary if claim.summary.startswith("cheating") else way
            for claim, way in zip(claims, ways, strict=False)
        )
        repaired = Repaired(hole, result, told, "right" in ways, seconds=seconds)
        if not repaired.delivered:
            return repaired
        branch = repository.BRANCH.format(run=run)
        gate, judge = await anyio.to_thread.run_sync(self._judge, hole, source, repo, branch)
        return Repaired(hole, result, told, "right" in ways, gate, judge, seconds)

    @property
    def engine_settings(self) -> Settings:
        return settings(self.folder, self.seed)

    def _judge(self, hole: Hole, source: Path, repo: Path, branch: str) -> tuple[bool, bool]:
        """Does what was delivered pass the gate's suite, and the whole one? Run without anything of Daybreak."""
        place = self.folder / f"{repo.name}-judged"
        place.mkdir()
        archive = subprocess.run(["git", "archive", branch], cwd=repo, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", place], input=archive, check=True)
        gate = _passes(place, hole.package.check)
        for path in packages.gate_tests(hole.package, source):
            shutil.copyfile(source / path, place / path)
        judge = _passes(place, hole.package.check)
        shutil.rmtree(place)
        return gate, judge


def _passes(folder: Path, check: str) -> bool:
    env = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", *check.split(), "-p", "no:cacheprovider"]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, check=False, timeout=300).returncode == 0


def settings(folder: Path, seed: int) -> Settings:
    answers = str(folder / "answers")
    options = {"answers": answers, "seed": seed, "odds": workers.ODDS}
    program = f"{Path(workers.__file__).resolve()}:Scripted"
    one = {"kind": "python", "program": program, "readable": [answers], "time_s": HANG_S, "options": options}
    return Settings.model_validate(
        {"order": WORKERS, "workers": dict.fromkeys(WORKERS, one), "memory": {"routing": "order"}}
    )


def chosen(count: int, seed: int) -> Iterator[tuple[Hole, Path]]:
    """Tasks, from the packages in turn."""
    chance = random.Random(seed)
    sources = {package: packages.fetch(package) for package in packages.PACKAGES}
    waiting = {package: packages.holes(package, source, chance) for package, source in sources.items()}
    given = 0
    while given < count and any(waiting.values()):
        for package, holes in waiting.items():
            if holes and given < count:
                given += 1
                yield holes.pop(), sources[package]


async def _all(bench: Bench, tasks: list[tuple[Hole, Path]]) -> list[Repaired]:
    found: list[Repaired] = []
    room = anyio.Semaphore(2)

    async def one(hole: Hole, source: Path) -> None:
        async with room:
            repaired = await bench.repair(hole, source)
            found.append(repaired)
            print(f"  {_line(repaired)}", flush=True)

    async with anyio.create_task_group() as group:
        for hole, source in tasks:
            group.start_soon(one, hole, source)
    return found


def _line(one: Repaired) -> str:
    verdict = one.result.state
    if one.delivered:
        verdict = "delivered" if one.judge_passes else "DELIVERED, and the judge finds it wrong"
        verdict += "" if one.gate_passes else ", AND THE GATE'S SUITE REJECTS IT"
    return f"{one.hole.name:55} {one.seconds:5.1f} s  {', '.join(one.ways)}: {verdict}"


def summary(found: list[Repaired]) -> list[str]:
    """The figures, a line each. Tasks whose tests pass without the function are none."""
    asked = [one for one in found if one.result.state in ("done", "failed")]
    delivered = [one for one in asked if one.delivered]
    false = [one for one in delivered if not one.gate_passes]
    missed = [one for one in delivered if one.gate_passes and not one.judge_passes]
    solved = [one for one in delivered if one.judge_passes]
    ideal = [one for one in asked if one.ideal]
    lost = [one for one in ideal if not one.delivered]
    ways = Counter(way.split(":")[0] for one in asked for way in one.ways)
    seconds = sorted(one.seconds for one in asked)
    attempts = sum(len(one.ways) for one in asked)
    unshown = len(found) - len(asked)
    lines = [
        f"{len(asked)} tasks ({unshown} more whose tests pass without the function: parked with a question), "
        f"{attempts} attempts: " + ", ".join(f"{count} {way}" for way, count in ways.most_common()),
        f"false accepts (the gate's own suite rejects what was delivered): {len(false)} "
        f"({'within' if not false else 'OVER'} 0)",
        f"wrong, found only by tests that the gate never had: {len(missed)} of {len(delivered)} delivered"
        + "".join(f"; {one.hole.name}" for one in missed),
        f"solved: {len(solved)} of {len(asked)}; ideal (some attempt of {ATTEMPTS} is right): {len(ideal)}; "
        f"right and not delivered: {len(lost)}" + "".join(f"; {one.hole.name}: {one.result.why[:200]}" for one in lost),
    ]
    if asked:
        times = f"{seconds[len(seconds) // 2]:.1f} s in the middle, {seconds[-1]:.1f} s at most"
        lines.append(f"{attempts / len(asked):.1f} attempts for a task; {times}")
    return lines


def run(count: int, seed: int) -> list[Repaired]:
    """All tasks, two at a time."""
    with tempfile.TemporaryDirectory(prefix="daybreak-repair-") as top:
        folder = Path(top).resolve()
        (folder / "answers").mkdir()
        places = Places.below(folder / "home", "a benchmark")
        clock = SystemClock()
        views: Any = [*VIEWS, *journal.VIEWS, *MEMORY]
        with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=views) as ledger:
            office = Office(settings(folder, seed), ledger, places, clock, {})
            kinds = {repository.KIND: repository.Repository(ledger, places, clock, office)}
            engine = Engine(ledger, kinds, places.locks, clock, os.urandom)
            try:
                return anyio.run(_all, Bench(folder, seed, ledger, engine), list(chosen(count, seed)))
            finally:
                office.close()


def take(quick: bool = False) -> Iterator[Figure]:
    tasks, seed = int(os.environ.get("TASKS", "12")), int(os.environ.get("SEED", "1"))
    began = time.perf_counter()
    named = ", ".join(f"{one.name} {one.version}" for one in packages.PACKAGES)
    print(f"functions taken out of {named}; odds of each attempt: {workers.ODDS}; seed {seed}")
    try:
        found = run(tasks, seed)
    except subprocess.CalledProcessError as problem:
        if "pip" not in problem.cmd:
            raise
        raise Unavailable("pip cannot have the packages that are repaired") from problem
    for line in summary(found):
        print(line)
    print(f"{time.perf_counter() - began:.0f} s in all")
    asked = [one for one in found if one.result.state in ("done", "failed")]
    done = [one for one in asked if one.delivered]
    gate, judge = (sum(getattr(one, name) for one in done) for name in ("gate_passes", "judge_passes"))
    ideal = sum(one.ideal for one in asked)
    if done:
        yield count("the gate's own suite accepts", gate, len(done), "delivered", aim=1)
        yield count("fuller tests accept too", judge, len(done), "delivered")
    if ideal:
        yield count("solved", judge, ideal, "where some attempt was right")
    yield lower("attempts", sum(len(one.ways) for one in asked), "attempts", "one for each task", len(asked))
