"""Builds whose workers and checks are functions: the real engine, cascade, gate, memory and delivery around them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from tests.notes_spec import NOTES

from daybreak.agents.protocol import Brief, Claim
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.example import Example
from daybreak.config import Places
from daybreak.engine import VIEWS, Engine, RunResult
from daybreak.events import Event, run_stream
from daybreak.factory import looking, task
from daybreak.factory.attempted import Result
from daybreak.factory.kinds import build
from daybreak.factory.office import Office
from daybreak.memory import VIEWS as MEMORY
from daybreak.policy import journal
from daybreak.settings import Settings
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

SPECIFICATION = NOTES.replace(
    "complexity: simple\n", "complexity: simple\nholdout: 0\nbudget: {time: 10m, attempts: 3}\n"
)
SEEN = "the sum of the prices is one cent too low whenever a discount applies"
Work = Callable[[Path], Claim | None]


def writes(**files: str) -> Work:
    """A worker that writes these files and says that it has finished. What has a file `good` passes every check."""

    def work(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)

    return work


def says(claim: Claim) -> Work:
    return lambda folder: claim


GOOD, BAD = writes(good="yes"), writes(bad="yes")


class _Looked(looking.Result):
    """What has a file `good` is right in every way; everything else fails its tests."""

    def check(self, name: str) -> Evidence:
        if name != "tests" or self._good(name):
            counts = {"tests": 3.0} if name == "tests" else {}
            return Evidence(
                check=name, workspace=self.workspace, outcome="passed", summary="as it should be", counts=counts
            )
        mark = Mark(message=SEEN, place="shop.py:3")
        return Evidence(check=name, workspace=self.workspace, outcome="failed", summary="1 failed", marks=(mark,))

    def example(self, example: Example) -> Evidence:
        good = self._good(f"example-{example.id}")
        return Evidence(
            check=f"example:{example.id}",
            workspace=self.workspace,
            outcome="passed" if good else "failed",
            summary="as expected" if good else "not as expected",
            requirements=example.requirements,
        )

    def _good(self, name: str) -> bool:
        return (self._copy(name) / "good").exists()


class Desk:
    """`works` says for each attempt what its worker does, the last again and again."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.output = folder / "out"
        self.works: Sequence[Work] = [GOOD]
        self.briefs: list[Brief] = []
        self.asked: list[str] = []
        self.times_s: list[float] = []
        self.clock = FakeClock()
        self.settings = Settings()
        self.ledger = MemoryLedger(
            clock=self.clock, views=[*VIEWS, *journal.VIEWS, *MEMORY], entropy=Random(0).randbytes
        )
        self.places = Places.below(folder / "home", "a test")
        self.office = Office(self.settings, self.ledger, self.places, self.clock, {})  # type: ignore[arg-type]
        kind = build.Build(self.ledger, self.places, self.clock, self.office)  # type: ignore[arg-type]
        self.engine = Engine(
            self.ledger, {build.KIND: kind}, MemoryLocks(), self.clock, os.urandom, (), sleep=self.clock.sleep
        )
        monkeypatch.setattr(build, "Attempts", lambda *_: self)
        monkeypatch.setattr(build, "proves", lambda *_, **__: None)
        monkeypatch.setattr(looking, "Result", _Looked)

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **terms: Any) -> Result:
        self.briefs.append(brief)
        self.asked.append(name)
        self.times_s.append(terms["time_s"])
        claim = self.works[min(len(self.asked), len(self.works)) - 1](folder)
        return Result(claim or Claim(outcome="finished", summary="counted the cents again"))

    def beside(self, _: Any) -> Desk:
        return self

    def asked_for(
        self, *workers: str, skeleton: bool = False, text: str = SPECIFICATION, **rules: Any
    ) -> task.BuildTask:
        path = self.folder / "notes.md"
        path.write_text(text)
        return task.make(
            path,
            output=self.output,
            workers=workers,
            settings=self.settings,
            sandbox="none",
            assume=True,
            accept_unshown=True,
            skeleton=skeleton,
            cwd=self.folder,
            **rules,
        )

    def submit(self, *workers: str, skeleton: bool = False, text: str = SPECIFICATION, **rules: Any) -> str:
        asked = self.asked_for(*workers, skeleton=skeleton, text=text, **rules)
        return task.submit(asked, self.engine, self.ledger)  # type: ignore[arg-type]

    def supervise(self, run: str) -> RunResult:
        return anyio.run(self.engine.supervise, run)

    def events(self, run: str, *kinds: type[Event]) -> list[Any]:
        found = [record.event for record in self.ledger.read(run_stream(run))]
        return [event for event in found if isinstance(event, kinds)]
