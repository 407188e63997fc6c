"""An engine on a real ledger with the kinds of generic tasks, for tests of what becomes of one task."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Engine, RunResult
from daybreak.events import Event, run_stream
from daybreak.factory import taskfile
from daybreak.factory.asked import Asked
from daybreak.factory.kinds import command, python
from daybreak.ledger import Ledger
from daybreak.policy import journal

PYTHON = sys.executable


class KindsDesk:
    """`folder` is where tasks live; state lies beside it."""

    def __init__(self, folder: Path, ledger: Ledger, places: Places, environment: Mapping[str, str]) -> None:
        clock = SystemClock()
        self.folder, self.ledger, self.places = folder, ledger, places
        kinds = {
            command.KIND: command.Command(ledger, places, clock, environment),
            python.KIND: python.Python(),
        }
        self.engine = Engine(ledger, kinds, places.locks, clock, os.urandom)

    def file(self, text: str, name: str = "task.toml") -> Asked:
        path = self.folder / name
        path.write_text(text)
        return taskfile.read(path)

    def submit(self, asked: Asked) -> str:
        return self.engine.submit(asked.kind, asked.title, asked.args, asked.placement)

    def run(self, asked: Asked) -> RunResult:
        return self.supervise(self.submit(asked))

    def supervise(self, run: str) -> RunResult:
        return anyio.run(self.engine.supervise, run)

    def events(self, run: str, *kinds: type[Event]) -> list[Any]:
        found = [record.event for record in self.ledger.read(run_stream(run))]
        return [event for event in found if not kinds or isinstance(event, kinds)]


@contextmanager
def opened(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[KindsDesk]:
    work = (folder / "work").resolve()
    work.mkdir(exist_ok=True)
    places = Places.below(folder / "home", "a test")
    views = [*VIEWS, *journal.VIEWS]
    with Ledger.open(
        places.ledger, keys=places.keys, witness=places.witness, clock=SystemClock(), views=views
    ) as ledger:
        yield KindsDesk(work, ledger, places, environment or {})
