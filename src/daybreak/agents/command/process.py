"""A coding agent as a process: no input but its prompt, watched by two clocks, ended with all that it started.

It runs below a guard of its own (`host.guarded`): a session and process group of its own, orphans come to the guard,
TERM first and KILL after a grace, for every descendant, also for those that made sessions of their own; the same
where this process dies.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.agents.command.stream import Ends, Line, Lines
from daybreak.host.guarded import Guarded

GRACE_S = 2.0
"""Between TERM and KILL."""
LINGER_S = 5.0
"""How long a program may go on after its stream has said its last word."""
STREAM_BYTES_MAX = 4 * 1024**3
"""What it may print in all: some print every answer again with each of its words."""

Why = Literal["itself", "time", "silence", "linger", "flood", "processes", "guard"]
"""Who ended it: it did; the clock of the wall; nothing was heard; it stayed after its last word; it printed too much;
it started too many processes; it killed its guard."""

_APART = ("/bin/sh", "-c", 'exec "$@" >&3 2>&4 3>&- 4>&-', "sh")
"""Its output comes by pipes of ours, so that nothing of it is kept."""


@dataclass(frozen=True)
class Ended:
    """How it ended. `exit_code` and `signal` are None where we do not know."""

    why: Why
    exit_code: int | None
    signal: int | None
    stderr: str
    duration_s: float

    @property
    def words(self) -> str:
        """`exit status 1`, `signal 15`, `nothing was heard of it`."""
        told = {
            "time": "its time was over",
            "silence": "nothing was heard of it",
            "flood": "it printed too much",
            "processes": "it started too many processes",
            "guard": "its guard was killed",
        }
        if self.why in told:
            return told[self.why]
        return f"ended by signal {self.signal}" if self.signal is not None else f"exit status {self.exit_code}"


class Running:
    """A program, running; for `with`. Iterate over it for its lines; then `ended` says how it ended.

    `hush` may be called between lines: its last word is said, and it has LINGER_S to go.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        stdin: bytes = b"",
        time_s: float,
        silence_s: float,
        grace_s: float = GRACE_S,
        linger_s: float = LINGER_S,
        stream_bytes_max: int = STREAM_BYTES_MAX,
    ) -> None:
        """Starts it. Without `stdin` its input is empty and closed. Raises ProgramMissing, ProgramNotStarted."""
        self._silence_s, self._linger_s, self._stream_bytes_max = silence_s, linger_s, stream_bytes_max
        self._lines, self._stderr = Lines(), Ends()
        self._ready: list[Line] = []
        self._bytes = 0
        self._why: Why | None = None
        self._heard = self._began = time.monotonic()
        self._hushed: float | None = None
        self.ended: Ended | None = None
        out, out_theirs = os.pipe()
        err, err_theirs = os.pipe()
        self._pipes = [out, err]
        try:
            self._guarded = Guarded(
                [*_APART, *argv],
                cwd=cwd,
                env=environment,
                timeout_s=time_s,
                stdin=stdin,
                grace_s=grace_s,
                fds={3: out_theirs, 4: err_theirs},
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(out_theirs)
            os.close(err_theirs)
        self._guarded.listen(out, self._take_out)
        self._guarded.listen(err, self._take_err)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, with all its descendants, and waits for that. Raises ProgramStuck."""
        try:
            self._guarded.close()
        finally:
            self._close_pipes()

    def _close_pipes(self) -> None:
        while self._pipes:
            with contextlib.suppress(OSError):
                os.close(self._pipes.pop())

    def __iter__(self) -> Iterator[Line]:
        """Its lines as they come, until it and all its descendants are gone. Raises ProgramStuck."""
        while not self._guarded.over:
            heard = self._heard
            self._guarded.pump(max(0.0, self._left_s()))
            yield from self._taken()
            if self._heard == heard and not self._why and self._left_s() <= 0.0:
                self._end("linger" if self._hushed is not None else "silence")
        self._ready += self._lines.end()
        yield from self._taken()
        self.ended = self._how()

    def hush(self, over: bool = True) -> None:
        """Its stream has said its last word: it is ended soon, if it does not end by itself. Or it goes on."""
        self._hushed = (self._hushed or time.monotonic()) if over else None

    def _left_s(self) -> float:
        """Until we lose patience; a while where we have lost it already and it is on its way out."""
        if self._why:
            return 1.0
        now = time.monotonic()
        left = self._heard + self._silence_s - now
        return left if self._hushed is None else min(left, self._hushed + self._linger_s - now)

    def _taken(self) -> Iterator[Line]:
        while self._ready:
            yield self._ready.pop(0)

    def _end(self, why: Why) -> None:
        if not self._why:
            self._why = why
            self._guarded.end()

    def _take_out(self, data: bytes) -> None:
        self._count(data)
        self._ready += self._lines.feed(data)

    def _take_err(self, data: bytes) -> None:
        self._count(data)
        self._stderr.feed(data)

    def _count(self, data: bytes) -> None:
        self._heard = time.monotonic()
        self._bytes += len(data)
        if self._bytes > self._stream_bytes_max:
            self._end("flood")

    def _how(self) -> Ended:
        finished = self._guarded.finish()
        why: Why = "itself"
        if self._why is not None:
            why = self._why
        elif finished.timed_out:
            why = "time"
        elif finished.processes_cut:
            why = "processes"
        elif finished.guard_lost:
            why = "guard"
        said = self._stderr.text or finished.stderr.decode("utf-8", "replace")
        return Ended(why, finished.exit_code, finished.signal, said, time.monotonic() - self._began)
