"""Runs that are under way, as their streams tell it. A stream only grows, so each look reads what is new and no more:
one follower for each run is kept in the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from daybreak import events
from daybreak.clock import Clock
from daybreak.ledger import Record
from daybreak.report.progress import Progress

KEPT = 200
"""Runs that are remembered."""
READ_MAX = 20_000
"""Events of one stream that are read in one look; of a longer one the newest."""
ASKED_AT_LEAST = 0.05
"""Of the work, before anything is said about the time that is left."""


class Log(Protocol):
    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]: ...
    def query(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]: ...


@dataclass
class Moving:
    """Where one run is."""

    progress: Progress
    seq: int = -1
    began: str = ""
    """When its worker first had it."""
    attempt: int = 0
    worker: str = ""
    role: str = ""
    step: str = ""
    """The last one that is kept."""
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, record: Record) -> None:
        self.seq = record.seq
        event = record.event
        self.progress.take(event)
        match event:
            case events.LeaseGranted():
                self.began = self.began or record.ts
            case events.AttemptBegan():
                self.attempt, self.worker, self.role = event.attempt, event.worker, event.role
            case events.StepDone() | events.StepFailed():
                self.step = event.name
            case _:
                pass

    @property
    def fraction(self) -> float | None:
        """0 to 1; None where nothing was planned."""
        return self.progress.fraction if self.progress.weights else None

    def left(self, now: datetime) -> tuple[float, float] | None:
        """Seconds that are left, at least and at most, at the pace so far: wide early on. None before there is one."""
        done = self.fraction
        if done is None or done < ASKED_AT_LEAST or not self.began:
            return None
        spent = (now - datetime.fromisoformat(self.began)).total_seconds()
        middle = max(1.0, spent / done * (1 - done))
        spread = 1.3 + (1 - done) * 1.7
        return middle / spread, middle * spread


class Followers:
    """Of one process."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._known: OrderedDict[str, Moving] = OrderedDict()
        self._guard = threading.Lock()

    def of(self, run: str) -> Moving:
        """The run as it is at this moment."""
        with self._guard:
            found = self._known.pop(run, None) or Moving(Progress(self._clock))
            self._known[run] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        with found.guard:
            for record in self._log.read(events.run_stream(run), after=self._from(run, found.seq)):
                found.take(record)
        return found

    def _from(self, run: str, seq: int) -> int:
        ((last,),) = self._log.query("SELECT max(seq) FROM event WHERE stream = ?", (events.run_stream(run),))
        return seq if last is None else max(seq, last - READ_MAX)
