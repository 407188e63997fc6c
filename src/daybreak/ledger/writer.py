"""Group commit: everything that waits goes into one transaction, written by one thread at a time.

That is the writer's own thread. Threads wait for it on a lock or a future, asyncio tasks on their loop's futures. A
loop's submissions of one turn are handed over together and come back together, so that loop and writer wake each
other once per batch.

One case is different: a task whose small submission is the only one, while commits have lately been quick. There the
task's own thread writes it and the loop stands still meanwhile, for the same synced and signed transaction: waking two
threads costs more than the commit on a fast disk, and a tenth of it on a slow one. On a disk that is slower still, or
where anything else is under way, the loop is never kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from daybreak.errors import DaybreakError, LedgerBusy, LedgerStopped
from daybreak.ledger.log import Log, Outcome
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.record import Record, Submission
from daybreak.ledger.sinks import Entry, Futures, Waiting, deliver

BATCH_MAX = 4096
"""Submissions in one transaction."""

QUICK_S = 0.010
"""While commits take less than this on average, a loop's lone submission is committed by the loop itself: handing it
over takes 0.1 to 0.5 ms, and the pieces of an answer that a loop passes on come further apart than it stands still."""
PACE_SHARE, PACE_MOST_S = 0.125, 4 * QUICK_S
"""Weight of the last commit in that average, and as how long it counts at most: one late commit among many quick ones
changes nothing, a few soon after each other send the next ones to the writer's thread."""
SMALL_DRAFTS, SMALL_BYTES = 8, 16 * 1024
"""Of a submission with more drafts, or with longer ones, the writer's thread takes care."""

_log = logging.getLogger("daybreak.ledger")


class _Job:
    """Something else that needs the writing connection, between two transactions."""

    def __init__(self, work: Callable[[Log], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()


class Writer:
    """The thread, and who may write in its stead. After an error from the disk nothing more is taken."""

    def __init__(self, log: Log, committed: Callable[[Checkpoint], None]) -> None:
        """`committed` is called with the head after each transaction, before anybody is told."""
        self._log = log
        self._committed = committed
        self._queue: SimpleQueue[list[Entry] | _Job | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._stopped: LedgerStopped | None = None
        self._closing = False
        self._under_way = 0
        """What was taken in and is not yet done with; changed under the gate."""
        self._writing = threading.Lock()
        """Held by the thread that uses the log."""
        self._writing_thread = 0
        self._pace_s = QUICK_S
        """What a commit of few drafts takes, on average; the first ones go to the writer's thread."""
        self._subscribers: tuple[Callable[[list[Record]], None], ...] = ()
        self.futures = Futures()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def put(self, entries: list[Entry]) -> None:
        """Raises LedgerStopped; otherwise every entry gets its outcome."""
        self._take(entries)

    def commit_here(self, submission: Submission) -> Outcome | None:
        """Its outcome, committed on the calling thread as the writer's thread would have; None, and nothing done, where
        that would take longer than the caller should stand still, or would overtake somebody.

        What interrupts it (a second Ctrl-C) stops the ledger and is raised.
        """
        if self._pace_s >= QUICK_S or not self._log.is_near or not _is_small(submission) or not self._take_all():
            return None
        try:
            with self._writing:
                return self._commit([submission], patient=False)[0]
        except LedgerBusy:
            return None
        finally:
            if self._log.is_long:  # takes many milliseconds
                self._queue.put(_Job(Log.fold_in))
            else:
                self._is_done(1)

    def append(self, submission: Submission) -> list[Record]:
        self.check_thread()
        waiting = Waiting()
        self.put([(submission, waiting, None)])
        return waiting.wait()

    def run(self, work: Callable[[Log], Any]) -> Any:
        """Do something else on the writer's thread and wait for it."""
        self.check_thread()
        job = _Job(work)
        self._take(job)
        return job.future.result()

    def post(self, work: Callable[[Log], Any]) -> None:
        """As `run`, without waiting."""
        self._take(_Job(work))

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
        with self._gate:
            self._closing = True
        self._queue.put(None)
        self._thread.join()
        self.stop(LedgerStopped("the ledger was closed", hint="open it again to append."))
        with self._writing:  # a loop of another thread may be writing in the thread's stead
            self._refuse_rest()

    def check_thread(self) -> None:
        """Waiting for the writer from inside a commit would wait for ever."""
        assert threading.get_ident() != self._writing_thread, "a subscriber must not wait for the ledger"

    def _take(self, item: list[Entry] | _Job) -> None:
        with self._gate:
            if self._stopped is not None:
                raise _again(self._stopped)
            self._under_way += 1
            self._queue.put(item)

    def _take_all(self) -> bool:
        """Is nothing under way? Then the caller is, and has `_writing` to itself but for a moment."""
        with self._gate:
            if self._under_way or self._closing or self._stopped is not None:
                return False
            self._under_way = 1
            return True

    # -- the thread

    def _run(self) -> None:
        going = True
        while going:
            item = self._queue.get()
            if item is None:
                return
            job: _Job | None
            if isinstance(item, _Job):
                job = item
            else:
                taken, job, going = self._gather(item)
                self._commit_all(item, taken)
            if job is not None:
                self._do(job)
            if self._log.is_long:  # everybody has been answered before
                self._fold_in()

    def _gather(self, entries: list[Entry]) -> tuple[int, _Job | None, bool]:
        """Adds everything else that waits: how many items, what must come after them, and whether to go on."""
        taken = 1
        while len(entries) < BATCH_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return taken, None, False
            if isinstance(item, _Job):
                return taken, item, True
            taken += 1
            entries += item
        return taken, None, True

    def _commit_all(self, entries: list[Entry], taken: int) -> None:
        """Whoever is answered may find nothing under way any more."""
        outcomes: Sequence[Outcome]
        with self._writing:
            if self._stopped is not None:
                outcomes = [_again(self._stopped) for _ in entries]
            else:
                try:
                    outcomes = self._commit([entry[0] for entry in entries], patient=True)
                except LedgerBusy as error:
                    outcomes = [error] * len(entries)
        self._is_done(taken)
        deliver(entries, outcomes)

    def _is_done(self, taken: int) -> None:
        with self._gate:
            self._under_way -= taken

    def _fold_in(self) -> None:
        with self._gate:
            self._under_way += 1
        self._do(_Job(Log.fold_in))

    def _commit(self, submissions: Sequence[Submission], *, patient: bool) -> Sequence[Outcome]:
        """One transaction, by the thread that holds `_writing`; subscribers are told. Raises LedgerBusy: nothing was
        written."""
        self._writing_thread, began_s = threading.get_ident(), time.perf_counter()
        try:
            outcomes, records = self._log.commit(submissions, patient=patient)
            if records:
                self._committed(self._log.head)
                if len(submissions) == 1 and len(records) <= SMALL_DRAFTS:
                    self._pace_s += (min(time.perf_counter() - began_s, PACE_MOST_S) - self._pace_s) * PACE_SHARE
                self.tell(records)
            return outcomes
        except LedgerBusy:
            raise
        except BaseException as error:  # whatever it was, this connection is not used again
            stopped = _stopped_by(error)
            self.stop(stopped)
            if not isinstance(error, Exception):
                raise
            return [_again(stopped) for _ in submissions]
        finally:
            self._writing_thread = 0

    def tell(self, records: list[Record]) -> None:
        """Call every subscriber; by the thread that wrote them, before it writes anything else."""
        for callback in self._subscribers:
            try:
                callback(records)
            except Exception:  # noqa: BLE001 - other people's code, after the fact
                _log.exception("a subscriber of the ledger failed; the events are appended")

    def _do(self, job: _Job) -> None:
        try:
            with self._writing:
                self._do_here(job)
        finally:
            self._is_done(1)

    def _do_here(self, job: _Job) -> None:
        if self._stopped is not None:
            job.future.set_exception(_again(self._stopped))
            return
        self._writing_thread = threading.get_ident()
        try:
            job.future.set_result(job.work(self._log))
        except LedgerBusy as error:
            job.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - as in _commit
            self.stop(_stopped_by(error))
            job.future.set_exception(error)
        finally:
            self._writing_thread = 0

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
                deliver(item, [_again(self._stopped) for _ in item])


def _is_small(submission: Submission) -> bool:
    return len(submission.drafts) <= SMALL_DRAFTS and submission.longest <= SMALL_BYTES


def _stopped_by(error: BaseException) -> LedgerStopped:
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
