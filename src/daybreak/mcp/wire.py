"""Standard input and output as the protocol's own: one message a line.

While it is held, file descriptor 1 leads to standard error, so that nothing that anybody prints, here or in a program
that is started, gets between messages. Reading can be cancelled: a signal ends the server at once, not with the next
line.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread

from daybreak.report.saying import say

LINE_BYTES_MAX = 32 * 1024 * 1024
"""Of one message; a specification of 10 MiB fits, escaped."""
_CHUNK = 65_536
_PIPE = 4_096
"""A pipe that says that it can be written to takes so much at once (PIPE_BUF)."""


class Lines:
    """What comes in: `async for line in …`, until the other side closes."""

    def __init__(self, descriptor: int, writing: Writing) -> None:
        self._descriptor = descriptor
        self._waits = _can_wait(descriptor)
        self._writing = writing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = bytearray()
        looked = 0
        while True:
            await self._writing.free()  # who does not read answers is not asked for more: they would pile up
            if self._waits:
                await anyio.wait_readable(self._descriptor)
            data = os.read(self._descriptor, _CHUNK)
            if not data:
                if rest:
                    yield bytes(rest)
                return
            rest += data
            while (end := rest.find(b"\n", looked)) >= 0:
                line = bytes(rest[:end])
                del rest[: end + 1]
                looked = 0
                if line.strip():
                    yield line
            looked = len(rest)
            if len(rest) > LINE_BYTES_MAX:
                say(f"daybreak mcp: a message of more than {LINE_BYTES_MAX:,} bytes; the connection is closed")
                return


class Writing:
    """What goes out, message by message."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waits = _can_wait(descriptor)
        self._written: anyio.Event | None = None

    async def free(self) -> None:
        """Until nothing is being written."""
        while self._written is not None:
            await self._written.wait()

    async def write(self, text: str) -> None:
        """All of it; a reader that is slow keeps nobody but this task. Gone readers are an end, not an error."""
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        self._written = written = anyio.Event()
        try:
            while rest:
                if self._waits and not select.select([], [self._descriptor], [], 0)[1]:
                    await anyio.wait_writable(self._descriptor)
                rest = rest[os.write(self._descriptor, rest[:_PIPE]) :]
        except BrokenPipeError:
            return
        finally:
            self._written = None
            written.set()

    async def flush(self) -> None:
        """Nothing is held back."""


def _can_wait(descriptor: int) -> bool:
    """Pipes, sockets and terminals say when they are ready. Files and /dev/null always are, and no event loop asks."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


@contextmanager
def held() -> Iterator[tuple[Lines, Writing]]:
    """Standard input and output; both are as they were afterwards."""
    sys.stdout.flush()
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        writing = Writing(out)
        yield Lines(0, writing), writing
    finally:
        sys.stdout.flush()
        os.dup2(out, 1)
        os.close(out)
