"""Takes spans and log lines off the hands of whoever works, and sends them from a thread of its own.

Whoever works only puts something into a queue of bounded length. Where the collector is slow or gone the queue runs
full, and what comes then is dropped and counted; nobody waits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from daybreak.ledger.record import Record
from daybreak.report.traces.spans import Span

HELD_MAX = 20_000
"""Records, spans and lines that wait to be sent."""
BATCH = 512
PAUSE_S = 1.0
"""How long a batch is gathered."""
CLOSE_S = 10.0
"""The longest that the end waits for the last batches."""

_log = logging.getLogger(__name__)


class Collector(Protocol):
    """Where it goes."""

    def send(self, spans: Sequence[Span], lines: Sequence[str]) -> bool: ...
    def close(self) -> None: ...


class Sender:
    """Give it records, spans and lines from any thread; close it at the end. `weave` makes spans of a record, on the
    sender's own thread, in the order in which records were given."""

    def __init__(
        self, collector: Collector, weave: Callable[[Record], Iterable[Span]], *, pause_s: float = PAUSE_S
    ) -> None:
        self._collector = collector
        self._weave = weave
        self._pause_s = pause_s
        self._held: deque[Record | Span | str] = deque()
        self._more = threading.Event()
        self._closing = False
        self._failing = False
        self.dropped = 0
        """Spans and lines that were never sent."""
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def put(self, *ones: Record | Span | str) -> None:
        """Never waits, never raises."""
        room = HELD_MAX - len(self._held)
        self._held.extend(ones[:room])
        self.dropped += max(0, len(ones) - room)
        if len(self._held) >= BATCH:
            self._more.set()

    def close(self) -> None:
        """Send what is held, as long as `CLOSE_S` allows; then end."""
        self._closing = True
        self._more.set()
        self._thread.join(CLOSE_S)
        if self.dropped:
            _log.warning("%d spans and log lines were not sent", self.dropped)

    def _work(self) -> None:
        while True:
            self._more.wait(self._pause_s)
            self._more.clear()
            while self._held:
                self._send([self._held.popleft() for _ in range(min(BATCH, len(self._held)))])
                if self._closing and self._failing:
                    self.dropped += len(self._held)
                    self._held.clear()
            if self._closing:
                self._collector.close()
                return

    def _send(self, batch: Sequence[Record | Span | str]) -> None:
        spans: list[Span] = []
        lines: list[str] = []
        for one in batch:
            if isinstance(one, str):
                lines.append(one)
            elif isinstance(one, Span):
                spans.append(one)
            else:
                spans += self._weave(one)
        if not spans and not lines:
            return
        try:
            whole = self._collector.send(spans, lines)
        except Exception as problem:  # noqa: BLE001 - a collector must not end what it watches
            whole = False
            _log.debug("sending traces failed", exc_info=problem)
        self.dropped += 0 if whole else len(spans) + len(lines)
        if not whole and not self._failing:
            _log.warning("traces cannot be sent; what happens meanwhile is missing there, and nowhere else")
        self._failing = not whole
