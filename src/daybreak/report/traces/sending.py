"""Takes spans and log lines off the hands of whoever works, and sends them from a thread of its own.

Whoever works only puts something into a queue of bounded length and size. Where the collector is slow or gone the queue
runs full, and what comes then is dropped and counted; nobody waits.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from daybreak.ledger.record import Record
from daybreak.report.traces.spans import Line, Span

HELD_MAX = 20_000
"""Records, spans and lines that wait to be sent."""
HELD_BYTES_MAX = 64 * 1024 * 1024
"""What their payloads and texts may come to: results of steps can be large."""
BATCH = 512
PAUSE_S = 1.0
"""How long a batch is gathered."""
CLOSE_S = 5.0
"""The longest that the end waits for the last batches."""

_log = logging.getLogger(__name__)
_Sent = TypeVar("_Sent", Span, Line)
_Held = Record | Span | Line


class Collector(Protocol):
    """Where it goes. False where some of it could not be handed over."""

    def spans(self, found: Sequence[Span]) -> bool: ...
    def lines(self, found: Sequence[Line]) -> bool: ...
    def close(self) -> None: ...


class Weaving(Protocol):
    """Makes spans of a record, on the sender's own thread, in the order in which records were given."""

    def take(self, record: Record) -> Iterable[Span]: ...
    def standing(self, run: str) -> int: ...


class Sender:
    """Give it records, spans and lines from any thread; close it at the end."""

    def __init__(self, collector: Collector, weaver: Weaving, *, pause_s: float = PAUSE_S) -> None:
        self._collector = collector
        self._weaver = weaver
        self._pause_s = pause_s
        self._gate = threading.Lock()
        self._held: deque[tuple[_Held, int]] = deque()
        self._held_bytes = 0
        self._in_hand = 0
        """Spans and lines that are being sent now."""
        self._more = threading.Event()
        self._closing = False
        self._late = False
        self._failing: set[str] = set()
        self._told: set[str] = set()
        self.dropped = 0
        """What was never sent."""
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def put(self, *ones: _Held) -> None:
        """Never waits for the collector, never raises."""
        with self._gate:
            for one in ones:
                size = _size(one)
                if len(self._held) >= HELD_MAX or self._held_bytes + size > HELD_BYTES_MAX:
                    self.dropped += 1
                else:
                    self._held.append((one, size))
                    self._held_bytes += size
            full = len(self._held) >= BATCH
        if full:
            self._more.set()

    def close(self) -> None:
        """Send what is held, as long as `CLOSE_S` allows; then end."""
        self._closing = True
        self._more.set()
        self._thread.join(CLOSE_S)
        with self._gate:
            self._late = True
            lost = self.dropped + len(self._held) + self._in_hand
            self._held.clear()
        if lost:
            _log.warning("%d spans and log lines were not sent", lost)

    def _work(self) -> None:
        while True:
            self._more.wait(self._pause_s)
            self._more.clear()
            ending = self._closing  # what was put before the end is taken below
            while batch := self._taken():
                self._send(batch)
            if ending:
                self._collector.close()
                return

    def _taken(self) -> list[_Held]:
        with self._gate:
            found = [self._held.popleft() for _ in range(0 if self._late else min(BATCH, len(self._held)))]
            self._held_bytes -= sum(size for _, size in found)
            return [one for one, _ in found]

    def _send(self, batch: Sequence[_Held]) -> None:
        spans: list[Span] = []
        lines: list[Line] = []
        for one in batch:
            try:
                match one:
                    case Line():
                        lines.append(self._placed(one))
                    case Span():
                        spans.append(self._below(one))
                    case _:
                        spans += self._weaver.take(one)
            except Exception as problem:  # noqa: BLE001 - one record must not end the thread, nor the ledger's end
                self.dropped += 1
                _log.debug("no spans could be made of a record", exc_info=problem)
        self._in_hand = len(spans) + len(lines)
        self._hand_over("spans", self._collector.spans, spans)
        self._in_hand = len(lines)
        self._hand_over("log lines", self._collector.lines, lines)
        self._in_hand = 0

    def _placed(self, line: Line) -> Line:
        if line.key or not line.run:
            return line
        return dataclasses.replace(line, span=self._weaver.standing(line.run))

    def _below(self, span: Span) -> Span:
        """Nothing but a night, or a run of none, is the root of a trace."""
        return span if span.parent else dataclasses.replace(span, parent=self._weaver.standing(_run_of(span)))

    def _hand_over(self, what: str, send: Callable[[Sequence[_Sent]], bool], found: Sequence[_Sent]) -> None:
        if not found:
            return
        whole = False
        if not (self._closing and self._failing):  # the end does not wait for a collector that is gone
            try:
                whole = send(found)
            except Exception as problem:  # noqa: BLE001 - a collector must not end what it watches
                _log.debug("sending traces failed", exc_info=problem)
        if whole:
            self._failing.discard(what)
            return
        self.dropped += len(found)
        self._failing.add(what)
        if what not in self._told:
            self._told.add(what)
            _log.warning("%s cannot be sent as traces; they are missing there, and nowhere else", what)


def _run_of(span: Span) -> str:
    return str(span.attributes.get("daybreak.run", ""))


def _size(one: _Held) -> int:
    match one:
        case Line():
            return len(one.text)
        case Span():
            return 1_000
        case _:
            return len(one.payload)
