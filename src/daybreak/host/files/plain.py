"""The disk through joined paths, for Windows, where Python has no folder descriptors.

What is weaker here than in `posix`, because the system offers no better: that no link lies on the way is looked up
before each use, not enforced by it; folders cannot be synced (NTFS journals their entries itself); two names cannot
be exchanged, so that a replaced folder is for a moment not there. A file is replaced by `os.replace`, in one step.
Tested by using it on other systems; not yet on Windows itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
from pathlib import Path

from daybreak.host.files import system
from daybreak.host.files.disk import Seen, seen
from daybreak.host.files.paths import WORK
from daybreak.host.files.problems import LinkRefused

LOCK = WORK + ".lock"
_REPARSE_POINT = 0x400
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class PlainDisk:
    can_exchange = False

    def __init__(self, root: str | Path) -> None:
        self._path = Path(root)
        self._identity = os.stat(root)
        if not stat.S_ISDIR(self._identity.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
        self._lock = -1

    @property
    def root(self) -> Path:
        return self._path

    # -- looking

    def look(self, path: str) -> Seen | None:
        try:
            return seen(self.status(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def status(self, path: str) -> os.stat_result:
        return os.lstat(self._at(path))

    def open(self, path: str) -> int:
        place = self._at(path)
        if not stat.S_ISREG(os.lstat(place).st_mode):
            raise _link(path)
        return os.open(place, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def names(self, folder: str) -> list[str]:
        return os.listdir(self._at(folder))

    def trusted(self, path: str) -> bool:
        return self.status(path).st_uid == self._identity.st_uid  # always 0 on Windows

    def insensitive(self) -> bool:
        return self.look(WORK.upper()) is not None

    def is_current(self) -> bool:
        try:
            return os.path.samestat(self._identity, os.stat(self._path))
        except FileNotFoundError:
            return False

    # -- making

    def create(self, path: str, mode: int) -> int:
        return os.open(self._at(path), _CREATE, mode)

    def make_folder(self, path: str, mode: int) -> None:
        self._at(path).mkdir(mode)

    def make_link(self, path: str, leads_to: str) -> None:
        self._at(path).symlink_to(leads_to)

    def dress_folder(self, path: str, mode: int, times_ns: tuple[int, int]) -> None:
        place = self._at(path)
        os.utime(place, ns=times_ns)
        place.chmod(mode)

    def link(self, source: str, target: str) -> bool:
        try:
            os.link(self._at(source), self._at(target))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                return False
            raise
        return True

    # -- moving

    def move(self, source: str, target: str) -> None:
        if self.look(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self._at(source).rename(self._at(target))  # on Windows it refuses to replace, all in one step

    def replace(self, source: str, target: str) -> None:
        self._at(source).replace(self._at(target))

    def exchange(self, one: str, other: str) -> bool:
        return False

    # -- removing

    def remove_file(self, path: str) -> None:
        self._at(path).unlink()

    def remove_folder(self, path: str) -> None:
        self._at(path).rmdir()

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            place = self._at(path)
            if stat.S_ISDIR(os.lstat(place).st_mode):
                shutil.rmtree(place)
            else:
                place.unlink()

    # -- durability and locks

    def sync(self, folder: str) -> None:
        if sys.platform == "win32":
            return  # a folder cannot be opened there
        descriptor = os.open(self._at(folder), os.O_RDONLY)
        try:
            system.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folders(self, folder: str) -> None:
        for parent, _, _ in os.walk(self._at(folder)):
            self.sync(Path(parent).relative_to(self._path).as_posix())

    def lock(self) -> bool:
        """A lock file beside the work folder; it stays, because Windows cannot remove a file that is open."""
        if self._lock < 0:
            self._lock = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        return _lock(self._lock)

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _at(self, path: str) -> Path:
        place = self._path
        parts = path.split("/") if path else []
        for part in parts[:-1]:
            place = place / part
            status = os.lstat(place)
            reparse = getattr(status, "st_file_attributes", 0) & _REPARSE_POINT
            if stat.S_ISLNK(status.st_mode) or reparse:
                raise _link(path)
        return place / parts[-1] if parts else place


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _link(path: str) -> LinkRefused:
    return LinkRefused(
        f"{path} is, or lies behind, a symbolic link or a special file",
        hint="a transaction follows no links: name the real path below the root, or make what the link leads to a root",
    )
