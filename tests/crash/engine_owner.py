"""An owner process for crash tests: `python engine_owner.py HOME JOURNAL STEPS` takes the one run of the
ledger at HOME (or begins it) and works on it to its end.

Into JOURNAL goes what a ledger cannot know: `born KEY…` with the steps that were recorded when this process
began, `computed KEY` for each step it computes, and the value at the end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Absent, Context, Engine, Found, step_key
from daybreak.engine.history import Identity
from daybreak.engine.step import key_of
from daybreak.events import StepDone, run_stream
from daybreak.ledger import Ledger


class Owner:
    """The task and what it notes."""

    def __init__(self, journal: Path, steps: int) -> None:
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.effects = journal.with_suffix(".effects")
        self.steps = steps

    def note(self, *words: str) -> None:
        os.write(self.journal, (" ".join(words) + "\n").encode())

    async def task(self, ctx: Context, args: Any) -> Any:
        values = [await ctx.step(f"step {number}", self.compute, number) for number in range(self.steps)]
        values += await ctx.gather(*[self.child] * 3)
        values.append(await ctx.step("pay", self.pay, effect="once", lookup=self.paid))
        return values

    async def child(self, ctx: Context) -> int:
        values = [await ctx.step("inner", self.compute_async, number) for number in range(self.steps // 2)]
        return sum(values)

    def compute(self, number: int) -> int:
        self.note("computed", step_key())
        return number * number

    async def compute_async(self, number: int) -> int:
        return self.compute(number)

    def pay(self) -> str:
        """The world outside notes the key of each effect; a repeat would stand there twice."""
        with self.effects.open("a") as effects:
            effects.write(step_key() + "\n")
        return "paid"

    def paid(self, key: str) -> Found | Absent:
        told = self.effects.read_text() if self.effects.exists() else ""
        return Found("paid") if key in told else Absent()


def recorded(ledger: Ledger, run: str) -> list[str]:
    found = []
    for record in ledger.read(run_stream(run)):
        event = record.event
        if isinstance(event, StepDone):
            found.append(key_of(run, Identity(event.branch, event.name, event.nth, event.args)))
    return found


def main(home: Path, journal: Path, steps: int) -> None:
    places, clock, owner = Places.below(home, "test"), SystemClock(), Owner(journal, steps)
    with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=VIEWS) as ledger:
        engine = Engine(ledger, {"kind": owner.task}, places.locks, clock, os.urandom)
        rows = ledger.query("SELECT run FROM view_runs")
        run = rows[0][0] if rows else engine.submit("kind", "crash test", {})
        owner.note("born", *recorded(ledger, run))
        print("ready", flush=True)
        result = anyio.run(engine.supervise, run)
    owner.note("end", result.state, json.dumps(result.value))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
