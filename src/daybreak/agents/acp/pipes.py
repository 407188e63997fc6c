"""An agent below its guard, with both of its pipes in our event loop.

The guard (see `host.process`) is what makes an end of it: TERM, then KILL, for the agent and all its descendants, in
whatever groups and sessions they are; also when we are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from daybreak.host.process import Finished, Guarded

GRACE_S = 0.5
"""Between TERM and KILL."""
LEAVE_S = 1.0
"""How long an agent that closed its output has to end by itself, so that its own status is known."""
ERRORS_BYTES_MAX = 65_536


class Pipes:
    """`reader` and `writer` are its standard output and input. Make it inside the event loop; `end` always."""

    def __init__(self, guarded: Guarded, ends: tuple[int, int, int]) -> None:
        self._guarded = guarded
        self._ends = ends
        self._errors = bytearray()
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], time_s: float, line_bytes_max: int
    ) -> Pipes:
        """Raises ProgramMissing, ProgramNotStarted."""
        its_in, our_in = os.pipe()
        our_out, its_out = os.pipe()
        our_err, its_err = os.pipe()
        try:
            # Descriptors 0 to 2 go to it like all others: the guard's own standard streams are not in between.
            guarded = Guarded(
                argv,
                cwd=cwd,
                env=env,
                timeout_s=time_s,
                grace_s=GRACE_S,
                fds={0: its_in, 1: its_out, 2: its_err},
            )
        except BaseException:
            for fd in (our_in, our_out, our_err):
                os.close(fd)
            raise
        finally:
            for fd in (its_in, its_out, its_err):
                os.close(fd)
        self = cls(guarded, (our_in, our_out, our_err))
        try:
            await self._connect(line_bytes_max)
        except BaseException:
            guarded.close()
            raise
        return self

    async def _connect(self, line_bytes_max: int) -> None:
        loop = asyncio.get_running_loop()
        our_in, our_out, our_err = self._ends
        self.reader = asyncio.StreamReader(limit=line_bytes_max)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.reader), os.fdopen(our_out, "rb", 0))
        errors = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(errors), os.fdopen(our_err, "rb", 0))
        self._reading = loop.create_task(self._keep_errors(errors))
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop=loop), os.fdopen(our_in, "wb", 0)
        )
        self.writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def _keep_errors(self, stream: asyncio.StreamReader) -> None:
        """Only the last of it; an agent may complain for hours."""
        with contextlib.suppress(OSError):
            while part := await stream.read(ERRORS_BYTES_MAX):
                self._errors += part
                del self._errors[:-ERRORS_BYTES_MAX]

    def errors(self) -> str:
        """The last that it said on standard error."""
        return self._errors.decode(errors="replace").strip()

    async def end(self) -> Finished:
        """End it and all that it started; when this returns, nothing of it is left. Raises ProgramStuck."""
        self.writer.close()
        left_at = time.monotonic() + LEAVE_S
        if self.reader.at_eof():
            while not self._guarded.over and time.monotonic() < left_at:
                self._guarded.pump(0.05)
        self._guarded.close()
        if self._reading is not None:
            await self._reading  # its end of the pipe is closed now
        return self._guarded.finish()
