"""Runs that are under way, as their streams tell it. A stream only grows, so each look reads what is new and no more:
one follower for each run is kept in the process. How much time is left is what the terminal says (`report.remaining`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from daybreak import events
from daybreak.clock import Clock
from daybreak.ledger import Record
from daybreak.report.remaining import Timing
from daybreak.report.timeleft import Left
from daybreak.report.tree import Growth

if TYPE_CHECKING:
    from daybreak.ledger import Ledger
    from daybreak.report.standing import Standing

KEPT = 200
"""Runs that are remembered."""
READ_MAX = 20_000
"""Events of one stream that are read in one look; of a longer one the newest."""
TOO_LONG = Left(unknown="its story is too long to be compared")


@dataclass
class Moving:
    """Where one run is."""

    growth: Growth
    whole: bool = True
    """Its stream was read from its beginning."""
    attempt: int = 0
    worker: str = ""
    role: str = ""
    step: str = ""
    """The last one that is kept."""
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, record: Record) -> None:
        event = record.event
        self.growth.take(record)
        match event:
            case events.AttemptBegan():
                self.attempt, self.worker, self.role = event.attempt, event.worker, event.role
            case events.StepDone() | events.StepFailed():
                self.step = event.name
            case _:
                pass


class Followers:
    """Of one process."""

    def __init__(self, log: Ledger, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._known: OrderedDict[str, Moving] = OrderedDict()
        self._guard = threading.Lock()
        self._timing = Timing(log, clock, beside=True)  # a night may work beside this: what was is read slowly
        self._timed = threading.Lock()

    def of(self, run: str) -> Moving:
        """The run as it is at this moment."""
        with self._guard:
            found = self._known.pop(run, None) or self._new(run)
            self._known[run] = found
            while len(self._known) > KEPT:
                gone, _ = self._known.popitem(last=False)
                with self._timed:
                    self._timing.ended(gone)
        with found.guard:
            after = self._from(run, found.growth.seen)
            found.whole = found.whole and after == found.growth.seen
            for record in self._log.read(events.run_stream(run), after=after):
                found.take(record)
        return found

    def left(self, found: Moving, now: datetime) -> Left | None:
        """None where nothing of it is under way."""
        if not found.growth.began:
            return None
        if not found.whole:
            return TOO_LONG
        with self._timed:
            return self._timing.of_run(found.growth, now)

    def fraction(self, found: Moving, left: Left | None, now: datetime) -> float | None:
        """0 to 1, as the terminal has it; None where nobody knows."""
        with self._timed:
            return self._timing.fraction(found.growth, left, now)

    def left_of_all(self, standing: Standing, moving: Mapping[str, Moving], now: datetime) -> Left | None:
        """Until nothing is left to do; None where nothing is under way."""
        if not all(one.whole for one in moving.values()):
            return TOO_LONG
        with self._timed:
            return self._timing.of_all(standing, {run: one.growth for run, one in moving.items()}, now)

    def _new(self, run: str) -> Moving:
        rows = self._log.query("SELECT title, kind FROM view_runs WHERE run = ?", (run,))
        title, kind = rows[0] if rows else ("", "")
        return Moving(Growth(run, self._clock, title=title, kind=kind))

    def _from(self, run: str, seq: int) -> int:
        ((last,),) = self._log.query("SELECT max(seq) FROM event WHERE stream = ?", (events.run_stream(run),))
        return seq if last is None else max(seq, last - READ_MAX)
