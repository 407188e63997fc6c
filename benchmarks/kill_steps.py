"""A run of 300 steps, killed with SIGKILL again and again: does it go on, what is done twice, how soon does it go on?

    KILLS=20 SEED=1 python -m benchmarks kill_steps

Each step writes a line into a file outside the ledger (what happened, seen from outside) before it returns. After
each kill the ledger says which steps are recorded: none of them may ever happen again, and of the others at most the
one that was under way has happened. Beside the time from the start of the new process to its first step that is not
replayed stands that of a Python which imports anyio and apsw and does nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure, count, lower

STEPS = 300
STEP_S = 0.005
"""What a step of the benchmark takes."""
KILLS = 20
START_GOAL_S = 0.5
WAIT_S = 120.0
"""A resumed process that shows nothing for so long has failed."""


class Effect(NamedTuple):
    """A line of the file outside."""

    pid: int
    number: int
    at: float
    """CLOCK_MONOTONIC, which is one clock for all processes."""
    processor_s: float
    """Used by the process until then."""


def work(folder: Path) -> None:
    """The program that is killed: goes on with what it finds, or begins."""
    import anyio

    from daybreak.clock import SystemClock
    from daybreak.config import Places
    from daybreak.engine import VIEWS, Context, Engine
    from daybreak.ledger import Ledger

    outside = os.open(folder / "effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def task(ctx: Context, args: Any) -> None:
        async def step(number: int) -> int:
            effect = Effect(os.getpid(), number, time.monotonic(), time.process_time())
            os.write(outside, json.dumps(effect).encode() + b"\n")
            await anyio.sleep(STEP_S)
            return number

        for number in range(args["steps"]):
            await ctx.step("step", step, number)

    async def go_on(engine: Engine) -> None:
        runs = [one.run for one in engine.resumable()] or [engine.submit("steps", "steps", {"steps": STEPS})]
        for run in runs:
            result = await engine.finish(run)
            assert result.state == "done", result

    places, clock = Places.below(folder, "kill"), SystemClock()
    opened = Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=VIEWS)
    with opened as ledger:
        anyio.run(go_on, Engine(ledger, {"steps": task}, places.locks, clock, os.urandom))


def recorded(folder: Path) -> list[int]:
    """The steps that the ledger holds, in order; the ledger is checked on the way."""
    from daybreak.clock import SystemClock
    from daybreak.config import Places
    from daybreak.events import StepDone
    from daybreak.ledger import Ledger

    places = Places.below(folder, "kill")
    with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=SystemClock()) as ledger:
        events = (record.event for record in ledger.read_all())
        return [event.result for event in events if isinstance(event, StepDone) and event.name == "step"]


def effects(folder: Path) -> list[Effect]:
    path = folder / "effects"
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    return [Effect(*json.loads(line)) for line in lines]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.kill_steps", str(folder)], env=installed(folder))


def installed(folder: Path) -> dict[str, str]:
    """An environment in which modules are compiled once, as those of an installed program are, whatever this checkout
    holds; the first process compiles them into a folder of the benchmark."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def until(folder: Path, process: subprocess.Popen[bytes], more: int) -> None:
    """Returns when the process has begun that many steps of its own, or has ended."""
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and sum(effect.pid == process.pid for effect in effects(folder)) < more:
        if time.monotonic() > deadline:
            process.kill()
            sys.exit(f"a resumed process has shown no step in {WAIT_S:.0f} s")
        time.sleep(0.001)


class Outcome(NamedTuple):
    """Of one kill and the resume after it."""

    first_s: float
    """From the start of the process to its first step."""
    processor_s: float
    problems: list[str]


def killed(folder: Path, chance: random.Random, kills: int) -> Iterator[Outcome]:
    process = start(folder)
    for _ in range(kills):
        until(folder, process, chance.randint(1, STEPS // kills - 2))
        time.sleep(chance.uniform(0, 2 * STEP_S))
        process.send_signal(signal.SIGKILL)
        died = process.wait() == -signal.SIGKILL
        kept, before = recorded(folder), effects(folder)
        began = time.monotonic()
        process = start(folder)
        until(folder, process, 1)
        first = next((effect for effect in effects(folder)[len(before) :]), None)
        problems = [] if died else ["it had ended before it was killed"]
        if first is None or first.number != len(kept):
            problems.append(f"{len(kept)} steps were kept and it went on with {first}")
        if kept != list(range(len(kept))):
            problems.append(f"the steps kept are {kept}")
        if len({effect.number for effect in before}) > len(kept) + 1:
            problems.append("more than one step had happened and was not recorded")
        if first is None:
            yield Outcome(float("inf"), float("inf"), problems)
        else:
            yield Outcome(first.at - began, first.processor_s, problems)
    if process.wait() != 0:
        sys.exit("the last process failed")


def bare_start_s(folder: Path, times: int = 5) -> float:
    """Seconds until a Python has imported what every program of ours needs."""
    taken, command = [], [sys.executable, "-c", "import anyio, anyio._backends._asyncio, apsw"]
    for _ in range(times):
        began = time.monotonic()
        subprocess.run(command, check=True, env=installed(folder))
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def take(quick: bool = False) -> Iterator[Figure]:
    kills, seed = int(os.environ.get("KILLS", KILLS)), int(os.environ.get("SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-", dir=os.environ.get("DAYBREAK_BENCH_DIR")) as name:
        folder = Path(name)
        outcomes = list(killed(folder, random.Random(seed), kills))
        kept, happened = recorded(folder), [effect.number for effect in effects(folder)]
        bare_s = bare_start_s(folder)
    for number, outcome in enumerate(outcomes):
        for problem in outcome.problems:
            print(f"  kill {number}: {problem}")
    good = sum(not outcome.problems for outcome in outcomes)
    twice = len(happened) - len(set(happened))
    first_s = statistics.median(outcome.first_s for outcome in outcomes)
    worst_s = max(outcome.first_s for outcome in outcomes)
    processor_s = statistics.median(outcome.processor_s for outcome in outcomes)
    print(f"  seed {seed}; worst start {worst_s:.2f} s; of the median {processor_s:.2f} s of the processor")
    yield count("resumed as promised", good, kills, "kills", aim=1)
    yield lower("happened twice, not recorded at the kill", twice, "steps", "one for each kill", kills, aim=1)
    bare = "a Python that only imports anyio and apsw"
    yield lower("start to first resumed step", first_s, "s", bare, bare_s, aim=START_GOAL_S, aim_of="value")
    if kept != list(range(STEPS)) or set(happened) != set(kept) or good < kills:
        sys.exit("the run is not whole, or a promise was not kept")


if __name__ == "__main__":
    work(Path(sys.argv[1]))
