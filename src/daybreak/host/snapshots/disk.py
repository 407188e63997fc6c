"""The few things that differ between systems: syncing and a lock that dies with its owner."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from daybreak.host.snapshots.problems import StoreBusy, disk

WINDOWS = os.name == "nt"


def sync_file(path: Path) -> None:
    """The file's bytes are on disk."""
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """The folder's entries are on disk; Windows cannot be asked, and keeps them by itself."""
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Everything below, files and entries. First all at once, which is quick, then each, which reports errors."""
    if hasattr(os, "sync"):
        os.sync()
    for parent, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(parent, name))
        sync_folder(Path(parent))


class Lock:
    """A file that one process at a time holds; the kernel frees it at death. Raises StoreBusy at once if it is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        with disk(self.path, "taking the lock"):
            while True:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
                if not _lock(descriptor):
                    os.close(descriptor)
                    raise StoreBusy(
                        f"another process is at work in {self.path.parent}",
                        hint="wait until it has finished; a dead process's lock is free by itself",
                    )
                if self._is_there(descriptor):
                    self._descriptor = descriptor
                    return self
                os.close(descriptor)  # its owner removed it in the meantime

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if WINDOWS:  # an open file cannot be removed there; the file may stay, the lock does not
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self.path.unlink()
        else:
            self.path.unlink(missing_ok=True)  # before the lock goes, so that nobody's new file is removed
            os.close(self._descriptor)
        self._descriptor = -1

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return False


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


class Workplace:
    """A folder for the time of a `with` block, which one process at a time has and nothing of which stays.

    What a crash left of an earlier one is removed at the beginning. Raises StoreBusy where somebody is at work there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock(folder.with_name(f"{folder.name}-lock"))

    def __enter__(self) -> Path:
        self._lock.__enter__()
        try:
            with disk(self._folder, "making room to work"):
                remove_tree(self._folder)
                self._folder.mkdir(mode=0o700)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self._folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
        finally:
            self._lock.__exit__(None, None, None)


def remove_tree(folder: Path) -> None:
    """The folder is gone; a link of that name is not followed, and not removed."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
