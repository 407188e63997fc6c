"""Looks at the alerts from time to time, and writes down what became of them: each change once, whoever looks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import IdemConflict
from daybreak.events import POLICY
from daybreak.ledger.record import Draft, Record
from daybreak.report.alerts.evaluation import Change, evaluate
from daybreak.settings import Alert

EVERY_S = 60.0


class Rules(NamedTuple):
    """The alerts of a settings file."""

    alerts: Mapping[str, Alert]
    file: str = ""
    """Its path; rules of one name in two files are two."""


class Log(Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...
    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


class Watch:
    """The rules of one process over a ledger opened with `METRICS` and `ALERTS`; for any number of threads.

    What an alert did last stands in the ledger, so a restart goes on where the last process was. Each change has a
    number, and its idempotency key is that number: of two processes that see the same at once, one writes.
    """

    def __init__(
        self, log: Log, clock: Clock, rules: Rules | Callable[[], Rules | None], *, entropy: ids.Entropy = os.urandom
    ) -> None:
        """`rules` are asked for anew at each look where they can be: a server lives longer than its settings, and would
        undo what a night decides by newer ones. None: nobody knows, and nothing is decided."""
        self._log = log
        self._clock = clock
        self._rules = rules
        self._entropy = entropy
        self._looking = threading.Lock()
        self._next_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Was the last look longer ago than a minute?"""
        return self._clock.monotonic() >= self._next_s

    def look(self, *, now: bool = False) -> list[Change]:
        """What changed and was written by this call. Does nothing within a minute of the last look, unless `now`.
        Raises what the ledger raises."""
        with self._looking:
            if not (now or self.is_due):
                return []
            self._next_s = self._clock.monotonic() + EVERY_S
            rules = self._rules() if callable(self._rules) else self._rules
            if rules is None:
                return []
            wanted = evaluate(self._log, self._clock.now(), rules.alerts, rules.file)
            return [one for one in wanted if self.write(one)]

    def write(self, change: Change) -> bool:
        """Write a change down; False where another process was first."""
        actor = ids.new("alerts", self._clock.now(), self._entropy)
        whose = f"{sha256(change.rules.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}:" if change.rules else ""
        idem = f"alert:{whose}{change.alert}:{change.version}"
        try:
            (record,) = self._log.append([Draft(POLICY, change, actor=actor, idem=idem)])
        except IdemConflict:
            return False  # somebody else was first, with another value
        return record.actor == actor
