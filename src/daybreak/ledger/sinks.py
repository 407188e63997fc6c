"""Where the outcomes of submissions go: a thread that waits, a future, the tasks of an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from daybreak.errors import LedgerStopped
from daybreak.ledger.log import Outcome
from daybreak.ledger.record import Record, Submission

_log = logging.getLogger("daybreak.ledger")


class Sink(Protocol):
    """Where outcomes go; called from the writer's thread with all of one transaction at once."""

    def deliver(self, outcomes: list[tuple[Any, Outcome]]) -> None: ...


Entry = tuple[Submission, Sink, Any]
"""A submission, where its outcome goes, and the sink's own token for it."""


class Waiting:
    """A thread that waits for one submission: a lock, because a Future costs ten times as much."""

    __slots__ = ("_lock", "_outcome")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._outcome: Outcome = []

    def deliver(self, outcomes: list[tuple[Any, Outcome]]) -> None:
        self._outcome = outcomes[0][1]
        self._lock.release()

    def wait(self) -> list[Record]:
        with self._lock:
            if isinstance(self._outcome, Exception):
                raise self._outcome
            return self._outcome


class Futures:
    """Outcomes into `concurrent.futures` futures."""

    def deliver(self, outcomes: list[tuple[Any, Outcome]]) -> None:
        for future, outcome in outcomes:
            if not future.set_running_or_notify_cancel():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class Taker(Protocol):
    """What a loop needs of the writer."""

    def put(self, entries: list[Entry]) -> None: ...

    def commit_here(self, submission: Submission) -> Outcome | None: ...


class LoopSink:
    """Submissions from one asyncio loop. Used from that loop's thread only, apart from `deliver`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: Taker) -> None:
        self.loop = loop
        self._writer = writer
        self._others: list[Entry] | None = None
        """What joins the first submission of a turn of the loop; None while there is none."""

    async def append(self, submission: Submission) -> list[Record]:
        """Gives way to the loop once, so that all tasks that are ready submit in the same turn."""
        if self._others is not None:
            future: asyncio.Future[Outcome] = self.loop.create_future()
            self._others.append((submission, self, future))
            return _taken(await future)
        others: list[Entry] = []
        self._others = others
        try:
            await asyncio.sleep(0)
        except BaseException:  # cancelled: it is appended all the same, as it would be a moment later
            self._others = None
            self._put([(submission, self, self.loop.create_future()), *others])
            raise
        self._others = None
        if not others and (outcome := self._writer.commit_here(submission)) is not None:
            return _taken(outcome)
        future = self.loop.create_future()
        self._put([(submission, self, future), *others])
        return _taken(await future)

    def deliver(self, outcomes: list[tuple[Any, Outcome]]) -> None:
        try:
            self.loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:
            # The loop was closed: nobody waits any more, and what was appended stays appended.
            _log.debug("the loop of %d appends was closed before they were acknowledged", len(outcomes))

    def _put(self, entries: list[Entry]) -> None:
        try:
            self._writer.put(entries)
        except LedgerStopped as error:
            self._settle([(future, error) for _, _, future in entries])

    @staticmethod
    def _settle(outcomes: list[tuple[Any, Outcome]]) -> None:
        for future, outcome in outcomes:
            if not future.done():  # its task was not cancelled
                future.set_result(outcome)


def deliver(entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
    """Each sink gets its outcomes in one call."""
    by_sink: dict[int, tuple[Sink, list[tuple[Any, Outcome]]]] = {}
    for (_, sink, token), outcome in zip(entries, outcomes, strict=True):
        found = by_sink.get(id(sink))
        if found is None:
            by_sink[id(sink)] = (sink, [(token, outcome)])
        else:
            found[1].append((token, outcome))
    for sink, pairs in by_sink.values():
        sink.deliver(pairs)


def _taken(outcome: Outcome) -> list[Record]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
