"""A run that is nothing but a cascade: the real course, ledger and engine, workers that are words, and a clock that a
test moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import anyio
from tests.unit.engine_desk import Crash

from daybreak.agents.cascade import Rule
from daybreak.agents.protocol import Claim, Trouble, Usage
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine, Kept, RunResult
from daybreak.engine.placement import Placement
from daybreak.events import AttemptBegan, AttemptJudged, Event, run_stream
from daybreak.factory import attempted, cascading
from daybreak.factory.attempted import Result
from daybreak.factory.cascading import Course
from daybreak.factory.office import Office
from daybreak.ledger import Draft
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.settings import Provider, Settings, Worker
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

TASK = "build"
ONE, TWO, THREE = "json:one", "json:two", "json:three"
"""Workers that are always there and spend nothing."""
PAID = Settings(
    order=("paid",),
    providers={"p": Provider(api="openai", address="http://127.0.0.1:9/v1")},
    workers={"paid": Worker(kind="generic", command=("true",), provider="p", model="m")},
)
Did = str | Claim | type[Crash]
"""What a worker does in an attempt: `solved`, `scored 40`, a claim that came to nothing, or the process dies."""


def trouble(what: Trouble, until: str = "", summary: str = "in its own words") -> Claim:
    return Claim(outcome="crashed", summary=summary, trouble=what, until=until)


class Scene:
    """`does` says for each worker what it does in its attempts, the last again and again."""

    def __init__(
        self,
        folder: Path,
        does: dict[str, Sequence[Did]],
        *,
        settings: Settings | None = None,
        attempts: int = 9,
        rule: Rule | None = None,
        refuses: Callable[[], str] = cascading.nothing_refused,
        placement: Placement | None = None,
        as_written: bool = False,
    ) -> None:
        random = Random(0)
        self.does = {name: list(all_of) for name, all_of in does.items()}
        self.order, self.as_written = tuple(does), as_written
        self.attempts, self.rule, self.refuses = attempts, rule or Rule(), refuses
        self.asked: list[str] = []
        self.used = Usage()
        self.waited_s = 0.0
        self.clock = FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, *journal.VIEWS, *MEMORY], entropy=random.randbytes)
        places = Places.below(folder / "home", "a test")
        self.office = Office(settings or Settings(), self.ledger, places, self.clock, {})  # type: ignore[arg-type]
        self.engine = self.another_engine()
        self.run = self.engine.submit("task", "a task", {}, placement=placement)

    def another_engine(self) -> Engine:
        """As of another process, after this one died."""
        kinds = {"task": self._task}
        return Engine(self.ledger, kinds, MemoryLocks(), self.clock, Random(1).randbytes, (), sleep=self.clock.sleep)

    def supervise(self, run: str = "") -> RunResult:
        return anyio.run(self.engine.supervise, run or self.run)

    def events(self, *kinds: type[Event], run: str = "") -> list[Any]:
        found = [record.event for record in self.ledger.read(run_stream(run or self.run))]
        return [event for event in found if isinstance(event, kinds)]

    def began(self, run: str = "") -> list[tuple[int, str]]:
        return [(one.attempt, one.worker) for one in self.events(AttemptBegan, run=run)]

    def judged_before(self, worker: str, *, solved: bool, times: int = 20) -> None:
        """Other runs, of which memory knows."""
        told = [
            AttemptJudged(run=f"run-{n}", attempt=1, worker=worker, task=TASK, solved=solved, money_microusd=10_000)
            for n in range(times)
        ]
        self.ledger.append([Draft("elsewhere", one) for one in told])

    async def _task(self, ctx: Context, _: Any) -> Any:
        course = Course(ctx, self.office, self.order, TASK, self.attempts, self.rule, self.refuses, self.as_written)
        number = 0
        while True:
            number += 1
            worker = await course.next(number)
            self.waited_s = course.waited_s
            if await ctx.step("attempt", lambda number=number, worker=worker: self._attempt(ctx, number, worker)):
                return worker

    def _attempt(self, ctx: Context, number: int, worker: str) -> Kept:
        self.asked.append(worker)
        script = self.does[worker]
        did = script.pop(0) if len(script) > 1 else script[0]
        if did is Crash:
            raise Crash
        if isinstance(did, Claim):
            return Kept(False, tell=attempted.told(ctx.run, number, TASK, worker, Result(did, self.used), ""))
        claim = Claim(outcome="finished", summary="done")
        solved, score = did == "solved", float(str(did).removeprefix("scored ")) if did != "solved" else 100.0
        judged = AttemptJudged(run=ctx.run, attempt=number, worker=worker, task=TASK, solved=solved, score=score)
        workspace = f"{number:064x}"
        return Kept(
            solved, tell=[*attempted.told(ctx.run, number, TASK, worker, Result(claim, self.used), workspace), judged]
        )
