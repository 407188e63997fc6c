"""A disk with faults on order, below SQLite."""

from __future__ import annotations

import threading
from typing import Any

import apsw


class Disk(apsw.VFS):
    """The system's disk, with faults on order. Connections opened while it is `with`-ed use it."""

    def __init__(self) -> None:
        super().__init__("faulty", "unix", makedefault=True)
        self.syncs = 0
        self.fault: dict[str, Exception] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.held = threading.Semaphore(0)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def _fail(self, what: str) -> None:
        if self._wal and what in self._disk.fault:
            raise self._disk.fault[what]

    def xLock(self, level: int) -> None:
        """A reading connection tries for the last lock when it closes, which the system refuses it: no error."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError from error

    def xWrite(self, data: Any, offset: int) -> None:
        self._fail("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._fail("sync")
        if self._wal:
            self._disk.syncs += 1
            self._disk.held.release()
            self._disk.hold.wait()
        super().xSync(flags)
