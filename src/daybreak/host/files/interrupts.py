"""Ctrl-C and SIGTERM around a transaction.

Python runs signal handlers in the main thread only, so elsewhere nothing here does anything, and nothing needs to.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from daybreak.host.files.problems import Interrupted

_POLITE = (signal.SIGINT, signal.SIGTERM)


class _Stop(BaseException):
    """A signal is waiting: stop what can be undone."""


class Pending:
    """The signals that came while they were held back."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.heeded = False

    def note(self, number: int, _: object) -> None:
        self.signals.append(number)

    def stop_if_any(self) -> None:
        """Raises something that goes no further than the commit where a signal is waiting."""
        if self.signals:
            self.heeded = True
            raise _Stop


@contextmanager
def held_back() -> Iterator[Pending]:
    """Inside, SIGINT and SIGTERM wait. Afterwards their own handlers run. Where `stop_if_any` has ended the work for
    them and the handlers raise nothing, Interrupted is raised, so that nobody takes a rollback for a commit."""
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    before = {number: handler for number in _POLITE if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, pending.note)
    try:
        yield pending
    except _Stop:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for waiting in dict.fromkeys(pending.signals):
            signal.raise_signal(waiting)
    if pending.heeded:
        raise Interrupted(
            "the commit was interrupted by a signal and rolled back", hint="nothing was changed; do it again"
        )


class Termination:
    """While it is on, a SIGTERM that nobody else handles raises SystemExit(143), so that `with` blocks are left."""

    def __init__(self) -> None:
        self._on = False

    def turn_on(self) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
            self._on = True

    def turn_off(self) -> None:
        """Leaves a handler alone that somebody else has put there meanwhile."""
        if self._on and signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._on = False


def _terminate(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)
