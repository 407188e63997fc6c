"""The engine on the real ledger: the same as on the one in memory, and everything verifies."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine, Kept, RunResult
from daybreak.errors import CheckError, DraftRefused
from daybreak.events import CheckLooked, RunMoved, StepDone, run_stream
from daybreak.ledger import Ledger, verification

pytestmark = pytest.mark.anyio
LARGE = "x" * 200_000


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Task:
    """Steps of every sort; parks once, and counts what is computed."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    async def __call__(self, ctx: Context, args: Any) -> Any:
        large = await ctx.step("large", self.compute, "large", LARGE)
        told = await ctx.step("told", self.tell)
        try:
            await ctx.step("fail", self.fail)
        except CheckError as problem:
            told += problem.code
        children = await ctx.gather(*[self.child] * 5)
        answer = await ctx.ask("go on?")
        await ctx.enter("verifying")
        paid = await ctx.step("pay", self.compute, "paid", "paid", effect="once")
        return [len(large), told, children, answer, paid, await ctx.random() < 1]

    async def child(self, ctx: Context) -> list[int]:
        return [await ctx.step("step", self.compute, "step", number) for number in range(4)]

    def compute(self, name: str, value: Any) -> Any:
        self.computed.append(name)
        return value

    def fail(self) -> None:
        raise CheckError("fails", hint="always")

    def tell(self) -> Kept:
        looked = CheckLooked(run="r", attempt=1, held_out=False, evidence={"score": 0.5, "text": "ä"})
        return Kept("told ", tell=[looked])


def opened(home: Path) -> Ledger:
    places = Places.below(home, "test")
    return Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=SystemClock(), views=VIEWS)


def engine_on(ledger: Ledger, home: Path, task: Any) -> Engine:
    return Engine(ledger, {"kind": task}, Places.below(home, "test").locks, SystemClock(), Random(0).randbytes)


async def test_a_run_over_three_processes_lives_is_one_story(tmp_path: Path) -> None:
    """Parked, answered from a second ledger, resumed in a third; large values come back, and the ledger verifies."""
    # shows: F13 N3
    task = Task()
    with opened(tmp_path) as ledger:
        run = engine_on(ledger, tmp_path, task).submit("kind", "title", {"large": LARGE})
        result = await engine_on(ledger, tmp_path, task).supervise(run)
        assert (result.state, result.question) == ("parked", "go on?")
    with opened(tmp_path) as ledger:
        engine_on(ledger, tmp_path, task).answer(run, "go on?", "yes")
    again = Task()
    with opened(tmp_path) as ledger:
        result = await engine_on(ledger, tmp_path, again).supervise(run)
        assert result.value == [200_000, "told C100", [[0, 1, 2, 3]] * 5, "yes", "paid", True]
        assert again.computed == ["paid"]
        moves = [record.event for record in ledger.read(run_stream(run)) if isinstance(record.event, RunMoved)]
        assert [move.new for move in moves] == [
            *["queued", "leased", "running", "parked"],
            *["leased", "running", "verifying", "done"],
        ]
        assert ledger.compare_views() == []
        standing: RunResult = await engine_on(ledger, tmp_path, again).supervise(run)
        assert standing.value == result.value
    places = Places.below(tmp_path, "test")
    verification.verify(places.ledger, keys=places.keys, witness=places.witness)


async def test_a_fact_that_the_ledger_refuses_fails_the_run_and_not_the_ledger(tmp_path: Path) -> None:
    """An event whose payload is not JSON: the run says so, and nothing of the step is recorded."""

    async def task(ctx: Context, args: Any) -> Any:
        looked = CheckLooked(run="r", attempt=1, held_out=False, evidence={"odd": {1j}})
        return await ctx.step("tell", lambda: Kept(1, tell=[looked]))

    with opened(tmp_path) as ledger:
        engine = engine_on(ledger, tmp_path, task)
        run = engine.submit("kind", "title", {})
        result = await engine.supervise(run)
        assert (result.state, result.code) == ("failed", DraftRefused.code)
        assert not [record for record in ledger.read(run_stream(run)) if isinstance(record.event, StepDone)]


async def test_many_runs_at_once_share_one_engine(tmp_path: Path) -> None:
    """Sixteen runs in one process, each with its own lease, all done."""
    # shows: N1
    task = Task()
    with opened(tmp_path) as ledger:
        engine = engine_on(ledger, tmp_path, task)
        runs = [engine.submit("kind", f"run {number}", {}) for number in range(16)]
        for run in runs:
            engine.answer(run, "go on?", "yes")
        async with anyio.create_task_group() as group:
            for run in runs:
                group.start_soon(engine.supervise, run)
        assert engine.resumable() == []
        assert ledger.query("SELECT state, count(*) FROM view_runs GROUP BY state") == [("done", 16)]
