"""Situations whose patterns (planning budget, retry policy) are not there yet: replayed naively, and counted."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session

ROUNDS_MAX = 10


class Later(Family):
    covered = False

    def patterned(self, session: Session) -> None:
        raise NotImplementedError


class Planner(Later):
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

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("result.txt") else "nothing was done"


class Unavailable(Exception):
    """What a client library raises."""


class Service(Later):
    """Send one message to a service that answers as scripted. Once, and not twice."""

    FAILS: ClassVar = {"": 0, "short": 5, "limit": 6, "refused": 1000, "half": 1, "down": 1000}

    def lay(self) -> None:
        self.calls = self.delivered = 0

    def send(self) -> None:
        self.calls += 1
        failing = self.calls <= self.FAILS[self.trap]
        if not failing or self.trap == "half":
            self.delivered += 1
        if failing:
            raise Unavailable("no answer")

    def naive(self, session: Session) -> None:
        session.stubborn(self.send)

    def wrong(self) -> str:
        return NOTHING_WRONG if self.delivered == 1 else f"delivered {self.delivered} times"
