"""Calling what a run asks for: plainly, with signals held where they would do harm, or awaited."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable
from types import FrameType
from typing import Any, cast

from daybreak.host.batch.outcome import BatchInterrupted, Report, Stopped
from daybreak.host.batch.run import Answer, Call, Run


class Signals:
    """SIGINT and SIGTERM for the time of a run: into an operation as an exception, else kept for later.

    Only the main thread gets signals; in others this does nothing. An exception is raised only while code of the
    operation itself is running: between its return and our note of it there must be no gap, or something done would
    not be undone.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._open = False
        self._before: dict[int, Any] = {}

    @property
    def stopped(self) -> str | None:
        """Name of the signal that stopped the run."""
        return None if self.caught is None else signal.Signals(self.caught).name

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):  # None: set by other than Python, nothing to give back
                    self._before[number] = before
                    signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def call(self, call: Call) -> Answer:
        """What the function returned, or raised. It is not started when a signal was there first."""
        if self.caught is not None and not call.undoing:
            return Answer(started=False)
        self._open = not call.undoing
        try:
            return Answer(value=call.function(call.argument))
        except BaseException as error:  # noqa: BLE001 - every end is an outcome; orders to stop are raised again later
            return Answer(error=error)
        finally:
            self._open = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.caught is None:
            self.caught = number
        if self._open and frame is not None and frame.f_code is not Signals.call.__code__:
            self._open = False  # once: clean-up inside the operation is not interrupted a second time
            raise Stopped(self.stopped)


def drive(run: Run, signals: Signals) -> Report:
    steps, answer = run.steps(), None
    try:
        while True:
            call = next(steps) if answer is None else steps.send(answer)
            started = run.clock.monotonic()
            answer = signals.call(call)
            answer.duration_s = run.clock.monotonic() - started
            run.stop = run.stop or signals.stopped
    except StopIteration as end:
        return cast(Report, end.value)


async def drive_async(run: Run) -> Report:
    import anyio  # late: costs more than this whole module

    steps, answer = run.steps(), None
    try:
        while True:
            call = next(steps) if answer is None else steps.send(answer)
            started = run.clock.monotonic()
            answer = Answer()
            try:
                with anyio.CancelScope(shield=call.undoing):
                    given = call.function(call.argument)
                    answer.value = await given if isinstance(given, Awaitable) else given
            except BaseException as error:  # noqa: BLE001 - as in Signals.call
                answer.error = error
            answer.duration_s = run.clock.monotonic() - started
    except StopIteration as end:
        return cast(Report, end.value)


def finished(run: Run, report: Report, signals: Signals) -> Report:
    """The report; or on with what interrupted the run, the report with it."""
    if signals.caught is not None:
        try:
            signal.raise_signal(signals.caught)  # KeyboardInterrupt, or usually the end of this process
        except BaseException as error:
            with_report(error, report)
            raise
        raise BatchInterrupted(report)
    if run.raised is not None:
        raise with_report(run.raised, report)
    return report


def with_report(error: BaseException, report: Report) -> BaseException:
    """The interrupt itself, not one of ours in its place; a note for people, the report for programs."""
    undone = f"{len(report.names('undone'))} undone, {len(report.names('undo-failed'))} could not be undone"
    error.add_note(f"the batch was interrupted: {undone}")
    error.report = report  # type: ignore[attr-defined] # every exception takes attributes
    return error
