"""What phases, roles and parts cost beside workers and checks, which are functions here that return at once.

    python benchmarks/phases.py

* the scheduling of one part of a divided task; baseline: one durable step of the same ledger in the same minute
* a gate that is asked again when nothing has changed
* attempts with smart rework against running every role again, on the same seeded failures
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak import events
from daybreak.agents.protocol import Brief, Claim
from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.cli import home
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Context, Engine
from daybreak.factory import looking, task
from daybreak.factory.attempting import Result
from daybreak.factory.kinds import build
from daybreak.factory.office import Office
from daybreak.factory.phases import parts
from daybreak.ledger import Ledger
from daybreak.settings import Phase, Role, Settings

GOAL_PART_MS, GOAL_GATE_MS, GOAL_MEMORY_MB = 10, 100, 300
STEPS, PARTS, SEEDS = 200, 40, 20
SPECIFICATION = """\
---
name: notes
interfaces: [cli]
complexity: simple
holdout: 0
budget: {{time: 2h, attempts: 5}}
limits: {{workers: 8, depth: {depth}, children: 50}}
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
    "backend": Role(template="implementer", checks=("types", "example", "install", "structure", "syntax")),
    "linter": Role(template="implementer", checks=("lint",)),
    "tester": Role(checks=("tests",), writes=()),
    "writer": Role(checks=("documentation",), writes=()),
}
"""Several in one phase, each with checks of its own."""


def main() -> None:
    print("phases, roles and parts; workers and checks return at once")
    asyncio.run(_parts_cost())
    asyncio.run(_rework())
    asyncio.run(_many_parts())


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

    async def build(self, *, depth: int = 3, **rules: Any) -> tuple[str, str, float]:
        path = self.folder / "notes.md"
        path.write_text(SPECIFICATION.format(depth=depth))
        asked = task.make(
            path,
            output=self.folder / f"out-{random.random()}",
            workers=("json:worker",),
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


async def _parts_cost() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), Settings(), _divides(PARTS))
        _patched(desk)
        run = desk.engine.submit("steps", "steps", {"steps": STEPS})
        began = time.perf_counter()
        await desk.engine.supervise(run)
        step_ms = (time.perf_counter() - began) / STEPS * 1000
        _, _, undivided_s = await desk.build()
        _, state, took_s = await desk.build(paradigm="chain")
        assert state == "done", state
        part_ms = (took_s - undivided_s) / PARTS * 1000
        print(
            f"  a part of {PARTS}: {part_ms:.1f} ms {_verdict(part_ms, GOAL_PART_MS)}, {part_ms / step_ms:.1f} x "
            f"a durable step ({step_ms:.2f} ms)"
        )
        run, _, _ = await desk.build()
        gates = [r for r in desk.ledger.read(events.run_stream(run)) if isinstance(r.event, events.GateDecided)]
        moments = [_moment(record.ts) for record in gates]
        again_ms = (moments[-1] - moments[-2]) * 1000
        print(f"  a gate with nothing changed: {again_ms:.1f} ms {_verdict(again_ms, GOAL_GATE_MS)}")


def _divides(count: int) -> Any:
    def does(role: str, part: str, folder: Path, brief: Brief) -> None:
        if role == "planner":
            named = [{"name": f"p{n}", "does": f"write the part p{n}", "writes": [f"p{n}"]} for n in range(count)]
            (folder / parts.FILE).write_text(json.dumps({"parts": named}))
        else:
            (folder / (part or "whole")).write_text(part)

    return does


async def _rework() -> None:
    """Seeded failures: each check that a role answers for fails so often; whoever is asked mends one of its own."""
    smart = full = 0
    for seed in range(SEEDS):
        numbers = random.Random(seed)
        bad = {"lint": numbers.randint(0, 2), "tests": numbers.randint(0, 2), "documentation": numbers.randint(0, 1)}
        bad["types"] = numbers.randint(1, 2)

        def does(role: str, part: str, folder: Path, brief: Brief, left: dict[str, int] = dict(bad)) -> None:  # noqa: B006
            mine = ROLES.get(role, ROLES["backend"]).checks if role != "implementer" else ()
            for check in left:
                path = folder / f"bad-{check}"
                owned = check in mine or (role == "implementer" and check in ("types", "lint"))
                if not path.exists() and left[check] > 0 and brief.attempt <= len(ROLES):
                    path.write_text(str(left[check]))
                elif path.exists() and owned and any(one.check == check for one in brief.findings):
                    left[check] -= 1
                    path.write_text(str(left[check])) if left[check] > 0 else path.unlink()
            (folder / f"by-{role}-{brief.attempt}").write_text("")

        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(
                roles=ROLES,
                phases={
                    "implementation": Phase(
                        roles=tuple(ROLES),
                        checks=(
                            *("structure", "syntax", "install", "lint", "types", "example"),
                            *("tests", "documentation"),
                        ),
                    )
                },
                gate={"gain": 0, "weights": {"lint": 40.0, "types": 40.0, "tests": 40.0, "documentation": 40.0}},  # type: ignore[arg-type]
            )
            desk = Desk(Path(folder), settings, does)
            _patched(desk)
            run, _, _ = await desk.build(only=["implementation"])
            smart += len(desk.events(run, events.AttemptClaimed))
            iterations = max(event.iteration for event in desk.events(run, events.GateDecided))
            full += iterations * len(ROLES)
    share = smart / full
    print(
        f"  attempts with smart rework: {smart}, running every role again: {full}: {share:.2f} {_verdict(share, 0.5)}"
    )


async def _many_parts() -> None:
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
        print(
            f"  {len(leaves)} parts by {desk.crew.attempts} attempts in {took_s:.1f} s: {state}, "
            f"{200 - len(leaves)} lost, {memory_mb:.0f} MB {_verdict(memory_mb, GOAL_MEMORY_MB)}"
        )


def _divide(folder: Path, names: list[str], *, deeper: bool) -> None:
    told = [
        {"name": name, "does": f"write the part {name}", "writes": [f"{name}*"], "divide": deeper} for name in names
    ]
    (folder / parts.FILE).write_text(json.dumps({"parts": told}))


def _verdict(value: float, goal: float) -> str:
    return f"(goal {goal:g}: {'met' if value <= goal else 'MISSED'})"


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
