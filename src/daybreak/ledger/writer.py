"""Group commit: one thread owns the writing connection; everything that waits goes into one transaction.

Threads wait on a lock or a future, asyncio tasks on their loop's futures. A loop's submissions of one turn are
handed over together and come back together, so that loop and writer wake each other once per batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import apsw

from daybreak.errors import DaybreakError, LedgerBusy, LedgerStopped
from daybreak.ledger.log import Log, Outcome
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.record import Record, Submission

BATCH_MAX = 4096
"""Submissions in one transaction."""

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


class LoopSink:
    """Submissions from one asyncio loop. Used from that loop's thread only, apart from `deliver`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: Writer) -> None:
        self.loop = loop
        self._writer = writer
        self._pending: list[Entry] = []

    def add(self, submission: Submission) -> asyncio.Future[list[Record]]:
        future: asyncio.Future[list[Record]] = self.loop.create_future()
        self._pending.append((submission, self, future))
        if len(self._pending) == 1:
            self.loop.call_soon(self._flush)
        return future

    def deliver(self, outcomes: list[tuple[Any, Outcome]]) -> None:
        try:
            self.loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:
            # The loop was closed: nobody waits any more, and what was appended stays appended.
            _log.debug("the loop of %d appends was closed before they were acknowledged", len(outcomes))

    def _flush(self) -> None:
        entries, self._pending = self._pending, []
        try:
            self._writer.put(entries)
        except LedgerStopped as error:
            self._settle([(future, error) for _, _, future in entries])

    @staticmethod
    def _settle(outcomes: list[tuple[Any, Outcome]]) -> None:
        for future, outcome in outcomes:
            if future.done():  # its task was cancelled
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class _Job:
    """Something else that needs the writing connection, between two transactions."""

    def __init__(self, work: Callable[[Log], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()


class Writer:
    """The thread. After an error from the disk it takes nothing more."""

    def __init__(self, log: Log, committed: Callable[[Checkpoint], None]) -> None:
        """`committed` is called with the head after each transaction, before anybody is told."""
        self._log = log
        self._committed = committed
        self._queue: SimpleQueue[list[Entry] | _Job | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._stopped: LedgerStopped | None = None
        self._subscribers: tuple[Callable[[list[Record]], None], ...] = ()
        self.futures = Futures()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def put(self, entries: list[Entry]) -> None:
        """Raises LedgerStopped; otherwise every entry gets its outcome."""
        with self._gate:
            if self._stopped is not None:
                raise _again(self._stopped)
            self._queue.put(entries)

    def append(self, submission: Submission) -> list[Record]:
        self.check_thread()
        waiting = Waiting()
        self.put([(submission, waiting, None)])
        return waiting.wait()

    def run(self, work: Callable[[Log], Any]) -> Any:
        """Do something else on the writer's thread and wait for it."""
        self.check_thread()
        job = _Job(work)
        with self._gate:
            if self._stopped is not None:
                raise _again(self._stopped)
            self._queue.put(job)
        return job.future.result()

    def subscribe(self, callback: Callable[[list[Record]], None]) -> Callable[[], None]:
        with self._gate:
            self._subscribers = (*self._subscribers, callback)

        def unsubscribe() -> None:
            with self._gate:
                self._subscribers = tuple(other for other in self._subscribers if other is not callback)

        return unsubscribe

    def stop(self, error: LedgerStopped) -> None:
        """Refuse everything from now on; what is already queued before the stop is refused too, not lost silently."""
        with self._gate:
            if self._stopped is None:
                self._stopped = error

    def close(self) -> None:
        """Write what was submitted before, then end the thread. Appends after this raise LedgerStopped."""
        self.check_thread()
        self._queue.put(None)
        self._thread.join()
        self.stop(LedgerStopped("the ledger was closed", hint="open it again to append."))
        self._refuse_rest()

    def check_thread(self) -> None:
        """Waiting for the writer on the writer's own thread would wait for ever."""
        assert threading.current_thread() is not self._thread, "a subscriber must not wait for the ledger"

    # -- the thread

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, _Job):
                self._do(item)
                continue
            following = self._gather(item)
            if self._stopped is not None:
                _deliver(item, [_again(self._stopped)] * len(item))
            else:
                self._commit(item)
            if isinstance(following, _Job):
                self._do(following)
            elif following is _END:
                return

    def _gather(self, entries: list[Entry]) -> object:
        """Adds everything else that waits; returns what must come after it, if anything."""
        while len(entries) < BATCH_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return None
            if item is None:
                return _END
            if isinstance(item, _Job):
                return item
            entries += item
        return None

    def _commit(self, entries: list[Entry]) -> None:
        try:
            outcomes, records = self._log.commit([entry[0] for entry in entries])
        except LedgerBusy as error:
            _deliver(entries, [error] * len(entries))
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, this connection is not used again
            stopped = _stopped_by(error)
            self.stop(stopped)
            _deliver(entries, [_again(stopped) for _ in entries])
            return
        if records:
            self._committed(self._log.head)
            self._tell(records)
        _deliver(entries, outcomes)

    def _tell(self, records: list[Record]) -> None:
        for callback in self._subscribers:
            try:
                callback(records)
            except Exception:  # noqa: BLE001 - other people's code, after the fact
                _log.exception("a subscriber of the ledger failed; the events are appended")

    def _do(self, job: _Job) -> None:
        if self._stopped is not None:
            job.future.set_exception(_again(self._stopped))
            return
        try:
            job.future.set_result(job.work(self._log))
        except LedgerBusy as error:
            job.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - as in _commit
            self.stop(_stopped_by(error))
            job.future.set_exception(error)

    def _refuse_rest(self) -> None:
        """After the thread has ended: whoever came in between gets an answer."""
        assert self._stopped is not None
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if isinstance(item, _Job):
                item.future.set_exception(_again(self._stopped))
            elif item is not None:
                _deliver(item, [_again(self._stopped) for _ in item])


_END = object()


def _deliver(entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
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


def _stopped_by(error: Exception) -> LedgerStopped:
    if isinstance(error, DaybreakError):
        stopped = LedgerStopped(f"the ledger stopped: {error.message}", hint=error.hint)
    elif isinstance(error, apsw.Error | OSError):
        stopped = LedgerStopped(
            f"the disk refused an append ({type(error).__name__}: {error}); nothing of it was acknowledged",
            hint="make room or mend the disk, then open the ledger again; it continues from what was acknowledged.",
        )
    else:
        stopped = LedgerStopped(
            f"the ledger's writer failed ({type(error).__name__}: {error})",
            hint="open the ledger again; please report this.",
        )
    stopped.__cause__ = error
    return stopped


def _again(error: LedgerStopped) -> LedgerStopped:
    """A fresh one for each who is told, since a raised exception carries its traceback."""
    fresh = LedgerStopped(error.message, hint=error.hint)
    fresh.__cause__ = error.__cause__
    return fresh
