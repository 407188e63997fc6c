"""What phases, roles and parts cost beside workers and checks, which are functions here that return at once.

    python -m benchmarks phases

* the scheduling of one part of a divided task; baseline: one durable step of the same ledger in the same minute
* a gate that is asked again when nothing has changed
* attempts with smart rework against running every role again and against the least that any way of reworking needs, on
  the same seeded failures, for several chances of one
* memory and losses of a build with 200 parts
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import BARE_MEMORY, Figure, bare_memory_mb, count, lower
from daybreak import events, home
from daybreak.agents.protocol import Brief, Claim
from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine
from daybreak.factory import looking, task
from daybreak.factory.attempting import Result
from daybreak.factory.kinds import build
from daybreak.factory.office import Office
from daybreak.factory.phases import parts
from daybreak.host import durable
from daybreak.ledger import Ledger
from daybreak.settings import Phase, Role, Settings

GOAL_PART_MS, GOAL_GATE_MS, GOAL_MEMORY_MB, GOAL_REWORK = 10, 100, 300, 0.5
STEPS, PARTS, SEEDS = 200, 40, 20
SPECIFICATION = """\
---
name: notes
interfaces: [cli]
complexity: simple
holdout: 0
budget: {{time: 2h, attempts: {attempts}}}
limits: {{workers: 8, depth: {depth}, children: 50}}
quality: {{thresholds: {thresholds}}}
---
# Notes

Short texts.

## Objectives
- keep notes

## Requirements

### Functional Requirements
- **FR-001**: System MUST add a note

### Key Entities

#### Note

| field | type | rules |
|---|---|---|
| text | text | required |

## Acceptance

### FR-001 adding
```console
$ notes note add --text hello
added note 1
```
"""
ROLES = {
    "backend": Role(checks=("types",), writes=()),
    "linter": Role(checks=("lint",), writes=()),
    "tester": Role(checks=("tests",), writes=()),
    "writer": Role(checks=("documentation",), writes=()),
    "guard": Role(checks=("security",), writes=()),
}
"""Several in one phase, each with a check of its own."""
CHANCES = (0.1, 0.25, 0.5, 0.9)
ATTEMPTS = 20
"""Of each role, at most."""
WORKERS = tuple(f"json:{name}" for name in ("first", "second", "third", "fourth", "fifth"))
"""Each is asked until it has brought nothing better twice in a row."""


def take(quick: bool = False) -> Iterator[Figure]:
    # first: the memory is that of the process, with whatever it has done before
    yield from asyncio.run(_many_parts())
    yield from asyncio.run(_parts_cost())
    yield from asyncio.run(_rework())


# -- a build whose workers and checks are functions


@dataclass
class Crew:
    """`does(role, part, folder)` is the work. Stands where `Attempts` does."""

    does: Any
    attempts: int = 0

    def beside(self, _: Context) -> Crew:
        return self

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **_: Any) -> Result:
        self.attempts += 1
        self.does(brief.role, brief.title.partition(": ")[2], folder, brief)
        return Result(Claim(outcome="finished", summary="done"))


class _Looked(looking.Result):
    """A check fails where the workspace has a file `bad-CHECK`."""

    def check(self, name: str) -> Evidence:
        return self._seen(name, f"bad-{name}")

    def example(self, example: Example) -> Evidence:
        return self._seen(f"example:{example.id}", "bad-example")

    def _seen(self, check: str, bad: str) -> Evidence:
        passed = not (self._copy(f"{check}-seen") / bad).exists()
        counts = {"tests": 1.0} if check == "tests" else {}
        return Evidence(
            check=check,
            workspace=self.workspace,
            outcome="passed" if passed else "failed",
            summary="seen",
            counts=counts,
        )


class Desk:
    def __init__(self, folder: Path, settings: Settings, does: Any) -> None:
        self.folder, self.settings, self.crew = folder.resolve(), settings, Crew(does)
        self.places = Places.below(self.folder / "home", "a benchmark")
        clock = SystemClock()
        self.ledger = Ledger.open(
            self.places.ledger, keys=self.places.keys, witness=self.places.witness, clock=clock, views=home.views()
        )
        office = Office(settings, self.ledger, self.places, clock, {})
        kind = build.Build(self.ledger, self.places, clock, office)
        self.kinds: dict[str, Any] = {build.KIND: kind, "steps": _steps}
        self.engine = Engine(self.ledger, self.kinds, self.places.locks, clock, os.urandom)

    async def build(
        self,
        *,
        depth: int = 3,
        attempts: int = 5,
        thresholds: tuple[int, ...] = (60, 75, 85),
        workers: tuple[str, ...] = ("json:worker",),
        **rules: Any,
    ) -> tuple[str, str, float]:
        path = self.folder / "notes.md"
        path.write_text(SPECIFICATION.format(depth=depth, attempts=attempts, thresholds=list(thresholds)))
        asked = task.make(
            path,
            output=self.folder / f"out-{random.random()}",
            workers=workers,
            settings=self.settings,
            sandbox="none",
            assume=True,
            accept_unshown=True,
            cwd=self.folder,
            **rules,
        )
        run = task.submit(asked, self.engine, self.ledger)
        began = time.perf_counter()
        result = await self.engine.supervise(run)
        return run, result.state, time.perf_counter() - began

    def events(self, run: str, kind: type[Any]) -> list[Any]:
        told = (record.event for record in self.ledger.read(events.run_stream(run)))
        return [event for event in told if isinstance(event, kind)]


async def _steps(ctx: Context, args: dict[str, Any]) -> None:
    for _ in range(args["steps"]):
        await ctx.step("step", lambda: 1)


def _patched(desk: Desk) -> None:
    build.Attempts = lambda *_: desk.crew  # type: ignore[misc,assignment]
    build.proves = lambda *_, **__: None  # type: ignore[assignment]
    looking.Result = _Looked  # type: ignore[misc]


# -- the figures


async def _parts_cost() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), Settings(), _divides(PARTS))
        _patched(desk)
        run = desk.engine.submit("steps", "steps", {"steps": STEPS})
        with _Cost() as steps:
            await desk.engine.supervise(run)
        await desk.build()  # what is made once in a process, and once for a ledger
        with _Cost() as undivided:
            await desk.build()
        with _Cost() as divided:
            _, state, _ = await desk.build(paradigm="chain")
        assert state == "done", state
        part_ms, step_ms = (divided.wall_ms - undivided.wall_ms) / PARTS, steps.wall_ms / STEPS
        part_cpu_ms, step_cpu_ms = (divided.cpu_ms - undivided.cpu_ms) / PARTS, steps.cpu_ms / STEPS
        syncs = (divided.syncs - undivided.syncs) / PARTS
        print(f"  a part makes {syncs:.1f} syncs of files and folders beside the ledger's own")
        run, _, _ = await desk.build()
        gates = [r for r in desk.ledger.read(events.run_stream(run)) if isinstance(r.event, events.GateDecided)]
        moments = [_moment(record.ts) for record in gates]
        again_ms = (moments[-1] - moments[-2]) * 1000
        step, part, gate = "a durable step", f"a part of {PARTS}", "a gate with nothing changed"
        return [
            lower(part, part_ms, "ms", step, step_ms, aim=GOAL_PART_MS, aim_of="value"),
            lower(f"{part}: processor", part_cpu_ms, "ms", step, step_cpu_ms),
            lower(gate, again_ms, "ms", step, step_ms, aim=GOAL_GATE_MS, aim_of="value"),
        ]


class _Cost:
    """What a block took: time, processor time of all threads, syncs."""

    wall_ms = cpu_ms = 0.0
    syncs = 0

    def __enter__(self) -> _Cost:
        self._sync = durable.sync

        def counted(descriptor: int) -> None:
            self.syncs += 1
            self._sync(descriptor)

        durable.sync = counted
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_ms = (time.perf_counter() - self._began[0]) * 1000
        self.cpu_ms = (time.process_time() - self._began[1]) * 1000
        durable.sync = self._sync


def _divides(count: int) -> Any:
    def does(role: str, part: str, folder: Path, brief: Brief) -> None:
        if role == "planner":
            named = [{"name": f"p{n}", "does": f"write the part p{n}", "writes": [f"p{n}"]} for n in range(count)]
            (folder / parts.FILE).write_text(json.dumps({"parts": named}))
        else:
            for name in [part] if part else [f"p{n}" for n in range(count)]:  # undivided: the same files
                (folder / name).write_text(name)

    return does


async def _rework() -> list[Figure]:
    """Five roles with a check each, all of which the gate wants. Every attempt of a role leaves its check failing with
    probability p, whoever else works; the draws depend on seed, role and its n-th attempt only, so both ways meet the
    same failures. Running every role again is reckoned in its favour: what was right stays right, and one round mends
    all that smart rework mends in one. What it costs follows from the rounds: five attempts each.

    `least` is what an oracle needs on the same seeds that knows beforehand which role has failed and never asks another
    one: each role once, and again for every failure of its own, up to the round that the build ended with. It is
    reckoned from the draws alone, so no way of reworking can do with less. In the first round everybody works in any
    case; where nearly everybody fails, or hardly anybody, that bound itself lies above half of all attempts. What there
    is to save is in those after the first round.
    """
    print(f"  attempts of {len(ROLES)} roles, {SEEDS} builds for each p; shares are of running every role again")
    print(f"  {'':>6} |{'all attempts':^44}|{'after the first round':^44}|")
    heads = f"{'every role':>11} {'least':>13} {'smart':>13}  goal"
    print(f"  {'p':>6} |{heads} |{heads} |")
    told = []
    for p in CHANCES:
        seen = [await _reworked(p, seed) for seed in range(SEEDS)]
        smart, least = sum(one.attempts for one in seen), sum(one.least for one in seen)
        full, first = sum(one.rounds for one in seen) * len(ROLES), SEEDS * len(ROLES)
        cells = (_share(full, least, smart), _share(full - first, least - first, smart - first))
        beyond = "as few as can be" if smart == least else f"{smart - least} MORE THAN NEEDED"
        passed = sum(one.passed for one in seen)
        print(f"  {p:6g} |{cells[0]} |{cells[1]} | {beyond}; {passed} of {SEEDS} builds pass")
        possible = GOAL_REWORK if least / full <= GOAL_REWORK else None
        told.append(lower(f"attempts, p {p:g}", smart, "", "every role again", full, aim=possible))
        told.append(lower(f"attempts, p {p:g}, to an oracle's", smart, "", "the least there can be", least, aim=1))
    return told


def _share(full: int, least: int, smart: int) -> str:
    """One half of a row. Where even an oracle cannot reach the goal, that is said instead of `MISSED`."""
    if not full:
        return f"{'nothing to mend':>44}"
    reached = smart / full <= GOAL_REWORK
    verdict = "met" if reached else "none can" if least / full > GOAL_REWORK else "MISSED"
    return f"{full:11} {least:6} ({least / full:4.2f}) {smart:6} ({smart / full:4.2f})  {verdict:>8}"


@dataclass(frozen=True)
class _Reworked:
    attempts: int
    rounds: int
    least: int
    """Attempts that an oracle needs for the same."""
    passed: bool


def _fails(p: float, seed: int, role: str, attempt: int) -> bool:
    """Does that attempt of the role leave its check failing?"""
    return random.Random(f"{seed} {role} {attempt}").random() < p


def _least(p: float, seed: int, rounds: int) -> int:
    """Of all roles: the first attempt, and one for each failure before the last round."""
    needed = 0
    for role in ROLES:
        made = 1
        while made < rounds and _fails(p, seed, role, made):
            made += 1
        needed += made
    return needed


async def _reworked(p: float, seed: int) -> _Reworked:
    made: dict[str, int] = dict.fromkeys(ROLES, 0)

    def does(role: str, part: str, folder: Path, brief: Brief) -> None:
        name = next(name for name, one in ROLES.items() if role in (name, one.template))
        check = ROLES[name].checks[0]
        made[name] += 1
        fails = _fails(p, seed, name, made[name])
        bad = folder / f"bad-{check}"
        bad.write_text("") if fails else bad.unlink(missing_ok=True)
        (folder / f"by-{name}").write_text(str(made[name]))

    with tempfile.TemporaryDirectory() as folder:
        checks = ("structure", "syntax", "install", "example", *(one.checks[0] for one in ROLES.values()))
        settings = Settings(
            roles=ROLES,
            phases={"implementation": Phase(roles=tuple(ROLES), checks=tuple(dict.fromkeys(checks)))},
            gate={"gain": 0, "weights": {one.checks[0]: 40.0 for one in ROLES.values()}},  # type: ignore[arg-type]
        )
        desk = Desk(Path(folder), settings, does)
        _patched(desk)
        run, state, _ = await desk.build(attempts=ATTEMPTS, workers=WORKERS, thresholds=(100,), only=["implementation"])
        gates = desk.events(run, events.GateDecided)
        rounds = max(one.iteration for one in gates)
        return _Reworked(
            attempts=len(desk.events(run, events.AttemptClaimed)),
            rounds=rounds,
            least=_least(p, seed, rounds),
            passed=state == "done",
        )


async def _many_parts() -> list[Figure]:
    def does(role: str, part: str, folder: Path, brief: Brief) -> None:
        if role == "planner" and not part:
            _divide(folder, [f"q{n}" for n in range(4)], deeper=True)
        elif role == "planner":
            _divide(folder, [f"{part}-{n}" for n in range(50)], deeper=False)
        else:
            (folder / (part or "whole")).write_text(part * 10)

    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), Settings(), does)
        _patched(desk)
        run, state, took_s = await desk.build(depth=3, paradigm="chain")
        done = [event for event in desk.events(run, events.PartEnded) if event.verdict == "done"]
        leaves = [event for event in done if "/" in event.path]
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  {len(leaves)} parts by {desk.crew.attempts} attempts in {took_s:.1f} s: {state}")
        aim = GOAL_MEMORY_MB
        return [
            count("parts that were built", len(leaves), 200, "parts", aim=1),
            lower("memory, 200 parts", memory_mb, "MB", BARE_MEMORY, bare_memory_mb(), aim=aim, aim_of="value"),
        ]


def _divide(folder: Path, names: list[str], *, deeper: bool) -> None:
    told = [
        {"name": name, "does": f"write the part {name}", "writes": [f"{name}*"], "divide": deeper} for name in names
    ]
    (folder / parts.FILE).write_text(json.dumps({"parts": told}))


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
