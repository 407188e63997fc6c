"""A ledger that remembers, with short words for what the tests put into it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from daybreak.events import MEMORY, AttemptJudged
from daybreak.ledger import Draft
from daybreak.memory import VIEWS
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger


def shelf() -> MemoryLedger:
    return MemoryLedger(clock=FakeClock(), views=VIEWS, entropy=Random(1).randbytes)


def judged(
    worker: str, task: str = "build", *, solved: bool = True, money: int = 1_000, trouble: str = "", run: str = "run-1"
) -> Draft:
    event = AttemptJudged(
        run=run, attempt=1, worker=worker, task=task, solved=solved, money_microusd=money, trouble=trouble
    )
    return Draft(MEMORY, event)


@dataclass(frozen=True)
class Found:
    """A finding, as a brief has it."""

    check: str
    message: str


@dataclass(frozen=True)
class Seen:
    """Evidence, as a check gives it."""

    check: str
    outcome: str
