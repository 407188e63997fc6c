"""Plans that lead nowhere, and services that are away: the planning budget and the retry policy."""

from __future__ import annotations

import random
from functools import partial
from math import ceil
from typing import ClassVar

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.policy.planning import Planning
from daybreak.policy.retry import Retry
from daybreak.testing.clock import FakeClock

ROUNDS_MAX = 10


class Planner(Family):
    """Plan, and do what was planned. What answers is a script; a naive loop plans until it is content."""

    def lay(self) -> None:
        self.put("notes.txt", "what is to be done\n")
        self.plans: list[tuple[str, ...]] = []

    def next_plan(self, number: int) -> tuple[str, ...]:
        match self.trap:
            case "alternates":
                return ("rewrite",) if number % 2 else ("repair",)
            case "refines":
                return tuple(f"step {one}" for one in range(number + 1))
            case "asks again":
                return ("ask which format is wanted",)
            case "reads on":
                (self.folder / "notes.txt").read_text()
                return ("read notes.txt again", str(number))
        return ("write result.txt",)

    def naive(self, session: Session) -> None:
        for number in range(ROUNDS_MAX):
            plan = session.step(lambda number=number: self.next_plan(number))
            self.plans.append(plan)
            if plan == ("write result.txt",):
                session.step(lambda: (self.folder / "result.txt").write_text("done\n"))
                return
        session.failed += ROUNDS_MAX
        raise RuntimeError(f"{ROUNDS_MAX} plans, nothing done")

    def patterned(self, session: Session) -> None:
        budget = Planning()
        while True:
            budget = session.look(budget.plan)
            plan = session.step(partial(self.next_plan, budget.planned - 1))
            if plan == ("write result.txt",):
                session.step(lambda: (self.folder / "result.txt").write_text("done\n"))
                return

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("result.txt") else "nothing was done"


class Unavailable(ConnectionError):
    """What a client library raises."""

    def __init__(self, message: str, status: int | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class Service(Family):
    """Send one message to a service that answers as scripted. Once, and not twice. It can be asked what it has."""

    AWAY_S: ClassVar = {"short": 20.0, "limit": 120.0, "down": 8 * 3600.0}

    def lay(self) -> None:
        self.calls = self.delivered = 0
        self.clock = FakeClock()
        random.seed(self.recorded)  # the jitter of the waits

    def send(self) -> None:
        self.calls += 1
        left_s = self.AWAY_S.get(self.trap, 0.0) - self.clock.monotonic()
        if left_s > 0 and self.trap == "limit":
            raise Unavailable("too many requests", 429, {"Retry-After": str(ceil(left_s))})
        if left_s > 0:
            raise Unavailable("no answer")
        if self.trap == "refused":
            raise Unavailable("not signed in", 401)
        self.delivered += 1
        if self.trap == "half" and self.calls == 1:
            raise Unavailable("no answer")

    def has_it(self) -> bool:
        return self.delivered > 0

    def naive(self, session: Session) -> None:
        session.stubborn(self.send, self.clock.advance)

    def patterned(self, session: Session) -> None:
        def wait(seconds: float) -> None:
            session.waited_s += seconds
            self.clock.advance(seconds)

        def once() -> None:
            if session.steps:
                session.cycles += 1
                if session.look(self.has_it):
                    return  # the work was done, only the answer was lost
            session.step(self.send)

        Retry(attempts=3, first_s=60, clock=self.clock, sleep=wait).run(once)

    def wrong(self) -> str:
        return NOTHING_WRONG if self.delivered == 1 else f"delivered {self.delivered} times"
