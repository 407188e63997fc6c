"""Other processes that check ranges of a large ledger meanwhile. Part of `verification`.

Whoever verifies goes through the events in order and checks pages himself; the ranges ahead of him are given to helpers
that have nothing to do. A helper's word counts only where nothing is wrong (see `rangecheck`), so what is found, and
how it is told, does not depend on there being any: one that cannot be started, dies or says no costs time only.

Nothing is forked: helpers are programs of their own, which look at the same file.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from daybreak.ledger.rangecheck import Answer, Job, Place, receive, send

ALONE_MAX = 200_000
"""Events that are checked alone: starting a helper takes as long as checking 30,000."""
HELPERS_MAX = 3
AHEAD_MAX = 8
"""Answers that wait to be used, so that memory does not grow with the ledger."""


class _Helper:
    """One process, with one job at a time."""

    def __init__(self, place: Place) -> None:
        """Raises OSError."""
        self.job: Job | None = None
        program = [sys.executable, "-P", "-m", "daybreak.ledger.rangecheck"]
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self.answers = self._process.stdin, self._process.stdout
        try:
            send(self._jobs, place)
        except OSError:
            self.end()
            raise

    def give(self, job: Job) -> bool:
        """False where it is dead."""
        try:
            send(self._jobs, job)
        except OSError:
            return False
        self.job = job
        return True

    def answer(self) -> Answer | None:
        """To its job, waiting for it; None where it died."""
        self.job = None
        try:
            found: Answer | None = receive(self.answers, Answer)
        except (OSError, msgspec.MsgspecError):
            return None
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._jobs, self.answers):
            try:
                pipe.close()
            except OSError:  # what was written last never reached it
                continue


class Crew:
    """The helpers, and who has which range. For one thread; use it in a `with` block."""

    def __init__(self, place: Place, size: int, key_of: Callable[[int, int], str | None], helpers: int) -> None:
        """`key_of(start, end)` gives the id of the key that all headers of a range must name, None where the range has
        to be checked by who asks."""
        self._key_of = key_of
        self.range = place.range
        """Events in one."""
        self._ranges = size // self.range
        self._next = 1
        """The range that is given out next; the first one is never."""
        self._answers: dict[int | None, Answer] = {}
        self._helpers: list[_Helper] = []
        for _ in range(helpers):
            try:
                self._helpers.append(_Helper(place))
            except OSError:
                break
        if self._helpers:
            self._give_to(self._helpers[0], Job(None))

    @property
    def helps(self) -> bool:
        return bool(self._helpers)

    def due(self, start: int) -> Answer | None:
        """What a helper says of the range that begins with this event; None where the caller has to check it: nobody
        was given it, or something in it may be wrong."""
        number, rest = divmod(start, self.range)
        if rest:
            self._go_round()
            return None
        given = start in self._answers or any(helper.job and helper.job.start == start for helper in self._helpers)
        self._next = max(self._next, number + 2 if given else number + 1)  # one of both is the caller's
        self._go_round()
        answer = self._wait(start)
        self._answers = {at: found for at, found in self._answers.items() if at is None or at > start}
        return answer if answer is not None and answer.whole else None

    def structure(self) -> list[str] | None:
        """What SQLite says of the file; None where the caller has to ask."""
        answer = self._wait(None)
        return answer.lines if answer is not None and answer.whole else None

    def _wait(self, start: int | None) -> Answer | None:
        while start not in self._answers:
            holder = next((one for one in self._helpers if one.job is not None and one.job.start == start), None)
            if holder is None:
                return None
            self._take_from(holder)
            self._go_round()
        return self._answers.pop(start)

    def _go_round(self) -> None:
        """Take what is ready, and give work to who has none."""
        busy = {helper.answers.fileno(): helper for helper in self._helpers if helper.job is not None}
        for descriptor in select.select(list(busy), [], [], 0)[0] if busy else ():
            self._take_from(busy[descriptor])
        for helper in list(self._helpers):
            if helper.job is None and len(self._answers) < AHEAD_MAX:
                job = self._further()
                if job is None:
                    return
                self._give_to(helper, job)

    def _further(self) -> Job | None:
        while self._next < self._ranges:
            start = self._next * self.range
            self._next += 1
            key = self._key_of(start, start + self.range)
            if key is not None:
                return Job(start, key)
        return None

    def _take_from(self, helper: _Helper) -> None:
        assert helper.job is not None
        start, answer = helper.job.start, helper.answer()
        if answer is None:
            self._dismiss(helper)
        else:
            self._answers[start] = answer

    def _give_to(self, helper: _Helper, job: Job) -> None:
        if not helper.give(job):
            self._dismiss(helper)

    def _dismiss(self, helper: _Helper) -> None:
        self._helpers.remove(helper)
        helper.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for helper in self._helpers:
            helper.end()


def helpers_for(size: int) -> int:
    """How many are worth their start."""
    if size <= ALONE_MAX or not sys.executable or getattr(sys, "frozen", False):
        return 0
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        processors = os.cpu_count() or 1
    return min(processors - 1, HELPERS_MAX)
