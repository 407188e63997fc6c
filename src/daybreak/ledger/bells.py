"""How a reader that waits is woken by a commit, in any process: a named pipe of its own that every writer rings.

A reader makes a pipe in the folder `followers` beside the database. Whoever has committed writes one byte into each
pipe there, without waiting for anybody. The byte says that there is something, not what: the reader asks the database.
A bell that is not heard (a writer killed between its commit and the byte, a program that knows no bells) costs the
reader its fallback interval, and never an event.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import stat
import time
from pathlib import Path

from daybreak.host.durable import make_folder

FOLDER = "followers"
_OPEN = os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_FRESH_NS = 100_000_000
"""A folder that changed so lately may have changed again since within one tick of the file system's clock."""
_MODE = 0o622
"""A user who may enter the folder may ring, whoever waits; so the owner of the ledger rings for root."""
_UNHEARD = (errno.ENXIO, errno.EPIPE)
_FOR_NOW = (errno.EMFILE, errno.ENFILE)


class Bell:
    """A reader's end. `rung` is False where no pipe can be made there: then nobody rings, and only `wake` is heard."""

    def __init__(self, directory: Path) -> None:
        """directory: that of the ledger. Raises OSError where the process has no descriptors left."""
        self._path: Path | None = None
        folder = directory / FOLDER
        hidden = folder / f".{secrets.token_hex(8)}"
        try:
            make_folder(folder)
            os.mkfifo(hidden, 0o600)
            hidden.chmod(_MODE)
        except (OSError, AttributeError):  # a folder of somebody else's; a system without named pipes
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)
        else:
            self._reading = self._writing = os.open(hidden, os.O_RDWR | _OPEN)  # both ends, so that it never ends
            self._path = folder / hidden.name[1:]
            hidden.rename(self._path)  # whoever sees it finds somebody who reads

    @property
    def rung(self) -> bool:
        """Do writers know of it? Not where somebody took it away."""
        return self._path is not None and self._path.exists()

    def fileno(self) -> int:
        return self._reading

    def wait(self, seconds: float) -> bool:
        """Returns when it rings, or False after that time."""
        waiting = select.poll()
        waiting.register(self._reading, select.POLLIN)
        return bool(waiting.poll(max(1, int(seconds * 1000))))

    def hear(self) -> None:
        """Everything that rang until now has been heard. Ask the database after this, not before."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._reading, 4096)) == 4096:
                pass

    def wake(self) -> None:
        """Ring it oneself."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writing, b"\0")

    def close(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._reading)
        if self._writing != self._reading:
            os.close(self._writing)


class Bells:
    """A writer's end: all bells of a ledger. Used by one thread at a time. Nothing here raises or waits."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._open: dict[str, int] = {}
        self._looked_ns = 0
        self._changed_ns = 0

    def ring(self) -> None:
        """Somebody who waits may find something now. Costs one look at a folder where nobody does."""
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
        except OSError:
            return
        if changed_ns != self._changed_ns or self._looked_ns - changed_ns < _FRESH_NS:
            self._look(changed_ns)
        for name, handle in list(self._open.items()):
            try:
                os.write(handle, b"\0")
            except BlockingIOError:
                pass  # it has rung often enough
            except OSError as error:
                self._drop(name)
                self._failed(name, error)

    def close(self) -> None:
        for name in list(self._open):
            self._drop(name)

    def _look(self, changed_ns: int) -> None:
        self._changed_ns, self._looked_ns = changed_ns, time.time_ns()
        try:
            names = {name for name in os.listdir(self._folder) if not name.startswith(".")}
        except OSError as error:
            self._failed("", error)
            return
        for name in self._open.keys() - names:
            self._drop(name)
        for name in names - self._open.keys():
            self._take(name)

    def _take(self, name: str) -> None:
        path = self._folder / name
        try:
            if not stat.S_ISFIFO(os.lstat(path).st_mode):
                return
            self._open[name] = os.open(path, os.O_WRONLY | _OPEN)
        except OSError as error:
            self._failed(name, error)

    def _failed(self, name: str, error: OSError) -> None:
        """A bell that nobody hears, because its owner was killed, is taken away; any other belongs to somebody."""
        if error.errno in _UNHEARD:
            with contextlib.suppress(OSError):
                os.unlink(self._folder / name)
        elif error.errno in _FOR_NOW:
            self._changed_ns = 0  # look again next time

    def _drop(self, name: str) -> None:
        os.close(self._open.pop(name))
