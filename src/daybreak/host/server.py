"""A program that keeps running while something is done with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from daybreak.errors import HostError
from daybreak.host.guarded import FILE_BYTES_MAX, PROCESSES_MAX, Guarded
from daybreak.host.program import Finished, ServerNotReady

if TYPE_CHECKING:
    from daybreak.host.sandbox import Ready, Sandbox


class Server:
    """A program that keeps running inside a `with` block, and nothing of it afterwards.

    `ready` is asked again and again (each call should take well under a second) until it says True; the
    block is entered then. Raises ServerNotReady where the program ends before that or `ready_s` is over,
    and what `run` raises. Output is kept up to `output_bytes_max`; a server that prints more is ended.
    With a sandbox of `network="listen"` it is reached at 127.0.0.1:`listen_port` as without one; a port that is
    taken already is a ServerNotReady that has ended, as where the server itself finds it taken.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        ready: Callable[[], bool],
        ready_s: float = 20.0,
        timeout_s: float = 3600.0,
        output_bytes_max: int = 1_000_000,
        file_bytes_max: int = FILE_BYTES_MAX,
        memory_bytes_max: int | None = None,
        processes_max: int | None = PROCESSES_MAX,
        grace_s: float = 2.0,
        cancelled: threading.Event | None = None,
        sandbox: Sandbox | Ready | None = None,
    ) -> None:
        self._ready, self._ready_s, self._cancelled = ready, ready_s, cancelled
        self._make: Callable[[], Guarded] = lambda: Guarded(
            argv,
            cwd=cwd,
            env=env,
            timeout_s=timeout_s,
            output_bytes_max=output_bytes_max,
            file_bytes_max=file_bytes_max,
            memory_bytes_max=memory_bytes_max,
            processes_max=processes_max,
            merge=True,
            grace_s=grace_s,
            cancelled=cancelled,
            sandbox=sandbox,
        )
        self._over = threading.Event()
        self._failure: HostError | None = None
        self.finished: Finished | None = None
        """How it ended; set when the block has been left."""

    def __enter__(self) -> Self:
        self._guarded = self._made()
        self._thread = threading.Thread(target=self._pump, name=f"output of {self._guarded.name}", daemon=True)
        self._thread.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._failure is not None and error is None:
            raise self._failure

    def _made(self) -> Guarded:
        try:
            return self._make()
        except HostError as error:
            from daybreak.host.sandbox.model import PortTaken

            if not isinstance(error, PortTaken):
                raise
            raise ServerNotReady(
                error.message, hint=error.hint, output=b"address already in use", ended=True
            ) from error

    @property
    def running(self) -> bool:
        return not self._over.is_set()

    @property
    def output(self) -> bytes:
        """What it has printed so far, stdout and stderr as they came."""
        return self._guarded.stdout

    def _pump(self) -> None:
        try:
            while not self._guarded.over:
                self._guarded.pump()
            self.finished = self._guarded.finish()
        except HostError as error:
            self._failure = error
        finally:
            self._over.set()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_s
        pause_s = 0.01
        while time.monotonic() < deadline:
            if self._over.wait(pause_s):
                break
            if self._ready():
                return
            pause_s = min(0.05, pause_s * 1.5)
        if self._failure is not None:
            raise self._failure
        ended = self._over.is_set()
        name = self._guarded.name
        how = self.finished.ending if self.finished else "ended"
        early, late = f"ended before it was ready: {how}", f"was not ready after {self._ready_s:g} s"
        raise ServerNotReady(
            f"{name} {early if ended else late}",
            hint="see what it printed; try to start it by hand",
            output=self.output,
            ended=ended,
        )

    def _stop(self) -> None:
        self._guarded.end()
        self._thread.join()
        self._guarded.close()
