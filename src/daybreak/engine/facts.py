"""What stands in a run's own stream, read once and then only what is new."""

from __future__ import annotations

import threading

from daybreak.engine.log import Log
from daybreak.events import AttemptTurn, RunRolledBack, StepFailed, run_stream
from daybreak.ledger.record import Record


class Facts:
    """Of one run, for one owner; from any thread.

    What was rolled back is left out. Turns of attempts from before a rollback too: whoever goes back before an attempt
    wants another one, not the same conversation once more. Where a run that failed in an attempt is taken up again they
    stay."""

    def __init__(self, log: Log, run: str) -> None:
        self._log, self._stream = log, run_stream(run)
        self._found: list[Record] = []
        self._last = -1
        self._lock = threading.Lock()

    def all(self) -> list[Record]:
        """In order, up to now. Raises LedgerTampered where one is not what was written."""
        with self._lock:
            for record in self._log.read(self._stream, after=self._last):
                self._take(record)
                self._last = record.seq
            return list(self._found)

    def _take(self, record: Record) -> None:
        if isinstance(record.event, RunRolledBack):
            index = record.event.index
            failed = any(one.index == index and isinstance(one.event, StepFailed) for one in self._found)
            self._found = [
                one for one in self._found if one.index < index and (failed or not isinstance(one.event, AttemptTurn))
            ]
        self._found.append(record)
