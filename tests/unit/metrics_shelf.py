"""A ledger with the views of a home, and short words for what the tests of metrics and alerts put into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from daybreak import events
from daybreak.events import FINAL, POLICY, QUEUE, Event, State, control_stream, run_stream
from daybreak.home import views
from daybreak.ledger import Draft
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger


@dataclass
class Shelf:
    clock: FakeClock = field(default_factory=FakeClock)
    states: dict[str, State] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(clock=self.clock, views=views(), entropy=Random(1).randbytes)

    def put(self, stream: str, event: Event, **changes: Any) -> None:
        self.ledger.append([Draft(stream, event, **changes)])

    def later(self, **span: float) -> None:
        self.clock.advance(timedelta(**span).total_seconds())

    def add(self, run: str, kind: str = "build") -> None:
        self.put(QUEUE, events.TaskAdded(task=f"t-{run}", run=run, kind=kind, title="a task", args={}))
        self.states[run] = "queued"

    def lease(self, run: str) -> None:
        epoch = self.ledger.epoch(run_stream(run)) + 1
        self.put(run_stream(run), events.LeaseGranted(run=run, owner="o", host="h", pid=1), epoch=epoch)
        self.move(run, "leased")

    def own(self, run: str, event: Event) -> None:
        self.put(run_stream(run), event, epoch=self.ledger.epoch(run_stream(run)))

    def move(self, run: str, new: State, **fields: str) -> None:
        self.own(run, events.RunMoved(run=run, old=self.states[run], new=new, **fields))  # type: ignore[arg-type]
        self.states[run] = new

    def judge(self, run: str, worker: str = "codex", *, solved: bool = True, **fields: Any) -> None:
        number = self.versions[f"attempt {run}"] = self.versions.get(f"attempt {run}", 0) + 1
        told: Mapping[str, Any] = {"attempt": number, "money_microusd": 1_000, "duration_ms": 5_000, **fields}
        self.own(run, events.AttemptJudged(run=run, worker=worker, task="build", solved=solved, **told))

    def gate(self, run: str, verdict: str = "passed", **fields: Any) -> None:
        self.own(
            run,
            events.GateDecided(run=run, attempt=1, workspace="w", verdict=verdict, score=90.0, **fields),  # type: ignore[arg-type]
        )

    def call(self, run: str, attempt: int = 1, model: str = "m", **fields: Any) -> None:
        told: Mapping[str, Any] = {
            "status": 200,
            "input_tokens": 10,
            "output_tokens": 5,
            "money_microusd": 400,
            **fields,
        }
        self.put(POLICY, events.ModelCalled(run=run, attempt=attempt, provider="p", model=model, **told))

    def breaker(self, name: str, state: str, openings: int) -> None:
        version = self.versions[f"breaker {name}"] = self.versions.get(f"breaker {name}", 0) + 1
        told = events.BreakerChanged(
            name=name, version=version, state=state, failures=[], until="", openings=openings, probes=[], why=""
        )
        self.put(POLICY, told)

    def answer(self, run: str) -> None:
        self.put(control_stream(run), events.Answered(run=run, question="q", answer="yes"))

    def whole_run(self, run: str, outcome: State = "done", *, minutes: float = 1, passes: bool = True) -> None:
        """From its task to its end."""
        assert outcome in FINAL
        self.add(run)
        self.lease(run)
        self.later(minutes=minutes)
        if outcome == "done":
            self.judge(run, solved=passes)
            if passes:
                self.gate(run)
        self.move(run, outcome, **({"code": "E199"} if outcome == "failed" else {}))
