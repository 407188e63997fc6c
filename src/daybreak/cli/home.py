"""Where real clocks, real ledgers and real engines are made; everything below takes them as arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.clock import SystemClock
from daybreak.config import Places, find_places
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.engine import Engine
    from daybreak.ledger import Ledger, Record


class RunUnknown(UsageError):
    """There is no run of that name."""

    code = "U111"


class NoRuns(UsageError):
    """Nothing has been run here yet."""

    code = "U112"


def places() -> Places:
    """The folders that apply to this process."""
    return find_places(os.environ, Path.cwd())


@dataclass(frozen=True)
class Home:
    """An open ledger and the engine on top of it."""

    places: Places
    ledger: Ledger
    engine: Engine

    def records(self, run: str) -> Iterator[Record]:
        """The run's story: its task, then everything in its own stream, in order."""
        from daybreak import events

        for record in self.ledger.read(events.QUEUE):
            if getattr(record.event, "run", None) == run:
                yield record
        yield from self.ledger.read(events.run_stream(run))


@contextmanager
def opened() -> Iterator[Home]:
    """The home of this process, closed again at the end."""
    from daybreak.engine import Engine
    from daybreak.engine.view import RUNS
    from daybreak.factory.kinds import build
    from daybreak.ledger import Ledger

    where, clock = places(), SystemClock()
    with Ledger.open(
        where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=[RUNS]
    ) as ledger:
        kinds = {build.KIND: build.Build(ledger, where, clock)}
        yield Home(where, ledger, Engine(ledger, kinds, locks=where.locks, clock=clock))


def pick_run(home: Home, run: str | None) -> str:
    """`run` itself if it exists (a unique beginning is enough); the newest one if None. Raises RunUnknown, NoRuns."""
    known = [
        row[0] for row in home.ledger.query("SELECT run FROM view_runs ORDER BY created DESC, rowid DESC")
    ]
    if not known:
        raise NoRuns(f"nothing has been run in {home.places.ledger}", hint="start with `daybreak build SPEC`")
    if run is None:
        return str(known[0])
    matches = [name for name in known if name == run] or [name for name in known if name.startswith(run)]
    if len(matches) != 1:
        raise RunUnknown(
            f"{'no run is' if not matches else f'{len(matches)} runs are'} called {run!r}",
            hint="`daybreak runs` lists them",
        )
    return str(matches[0])
