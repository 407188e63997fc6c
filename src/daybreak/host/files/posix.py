"""The disk through descriptors: every path is walked from the root's descriptor, part by part, without following
links, and the last part is used relative to the folder that the walk has open. A folder that somebody replaces by a
symbolic link during the walk is refused by the kernel; there is no moment between looking and using.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.host.files import system
from daybreak.host.files.disk import Seen, seen
from daybreak.host.files.paths import WORK
from daybreak.host.files.problems import LinkRefused

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: a named pipe must not make us wait."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PosixDisk:
    def __init__(self, root: str | Path) -> None:
        self._path = root
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        """The root's descriptor; -1 once it is closed."""
        self.can_exchange = True

    # -- looking

    def look(self, path: str) -> Seen | None:
        try:
            return seen(self.status(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def status(self, path: str) -> os.stat_result:
        with self._at(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def open(self, path: str) -> int:
        with self._at(path) as (folder, name):
            try:
                descriptor = os.open(name, _READ, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO):
                    raise _link(path) from error
                raise
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise _link(path)

    def names(self, folder: str) -> list[str]:
        with self._opened(folder) as descriptor:
            return os.listdir(descriptor)

    def trusted(self, path: str) -> bool:
        return self.status(path).st_uid in (os.geteuid(), os.fstat(self.root).st_uid)

    def insensitive(self) -> bool:
        return self.look(WORK.upper()) is not None

    def is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.root), os.stat(self._path))
        except FileNotFoundError:
            return False

    # -- making

    def create(self, path: str, mode: int) -> int:
        with self._at(path) as (folder, name):
            return os.open(name, _CREATE, mode, dir_fd=folder)

    def make_folder(self, path: str, mode: int) -> None:
        with self._at(path) as (folder, name):
            os.mkdir(name, mode, dir_fd=folder)

    def make_link(self, path: str, leads_to: str) -> None:
        with self._at(path) as (folder, name):
            os.symlink(leads_to, name, dir_fd=folder)

    def dress_folder(self, path: str, mode: int, times_ns: tuple[int, int]) -> None:
        with self._opened(path) as descriptor:
            os.utime(descriptor, ns=times_ns)
            os.fchmod(descriptor, mode)

    def link(self, source: str, target: str) -> bool:
        with self._at(source) as (old, old_name), self._at(target) as (new, new_name):
            try:
                os.link(old_name, new_name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
            except OSError as error:
                # EPERM: the file system has no links, or the kernel protects a file of somebody else's.
                if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                    return False
                raise
        return True

    # -- moving

    def move(self, source: str, target: str) -> None:
        with self._at(source) as (old, old_name), self._at(target) as (new, new_name):
            if system.rename_with(system.NO_REPLACE, old_name, old, new_name, new):
                return
            try:
                os.stat(new_name, dir_fd=new, follow_symlinks=False)
            except FileNotFoundError:
                # Without the call there is a moment between looking and moving; documented in `transaction`.
                os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)

    def replace(self, source: str, target: str) -> None:
        with self._at(source) as (old, old_name), self._at(target) as (new, new_name):
            os.replace(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    def exchange(self, one: str, other: str) -> bool:
        if self.can_exchange:
            with self._at(one) as (old, old_name), self._at(other) as (new, new_name):
                self.can_exchange = system.rename_with(system.EXCHANGE, old_name, old, new_name, new)
        return self.can_exchange

    # -- removing

    def remove_file(self, path: str) -> None:
        with self._at(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def remove_folder(self, path: str) -> None:
        with self._at(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._at(path) as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                _remove_folder(name, folder)
            else:
                os.unlink(name, dir_fd=folder)

    # -- durability and locks

    def sync(self, folder: str) -> None:
        with self._opened(folder) as descriptor:
            system.sync(descriptor)

    def sync_folders(self, folder: str) -> None:
        with self._opened(folder) as top:
            for _, _, _, descriptor in os.fwalk(".", dir_fd=top, onerror=_raise):
                system.sync(descriptor)

    def lock(self) -> bool:
        try:
            fcntl.flock(self.root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        if self.root >= 0:
            os.close(self.root)
            self.root = -1

    # -- the walk

    def _at(self, path: str) -> _Above:
        """A descriptor of the folder that holds `path`, and its last part, in a `with` block."""
        return _Above(self, path)

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        """A descriptor of the folder that can be listed and synced; the root for the empty path."""
        if not folder:
            yield self.root
            return
        with self._at(folder) as (above, name):
            descriptor = _step(name, above, _FOLDER, folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def walk(self, path: str) -> int:
        """A new descriptor of the folder at `path`, which is not empty."""
        folder = self.root
        for part in path.split("/"):
            try:
                below = _step(part, folder, _WALK, path)
            finally:
                if folder != self.root:
                    os.close(folder)
            folder = below
        return folder


class _Above:
    """The folder that holds a path, open while the block lasts; for the root's own entries it is the root's."""

    __slots__ = ("_disk", "_folder", "_path")

    def __init__(self, disk: PosixDisk, path: str) -> None:
        self._disk, self._path, self._folder = disk, path, -1

    def __enter__(self) -> tuple[int, str]:
        above, _, name = self._path.rpartition("/")
        if not above:
            return self._disk.root, name
        self._folder = self._disk.walk(above)
        return self._folder, name

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)


def _step(name: str, folder: int, flags: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(name, folder)):
            raise _link(path) from error
        raise


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _link(path: str) -> LinkRefused:
    return LinkRefused(
        f"{path} is, or lies behind, a symbolic link or a special file",
        hint="a transaction follows no links: name the real path below the root, or make what the link leads to a root",
    )


def _remove_folder(name: str, above: int) -> None:
    """Remove a folder with all that is in it, however deep: inner folders are moved up before they are emptied, so
    neither the stack nor the number of open descriptors grows."""
    top = _open_to_empty(name, above)
    try:
        prefix, waiting, moved = f".{os.urandom(4).hex()}-", _inner_folders(top), 0
        while waiting:
            inner = waiting.pop()
            descriptor = _open_to_empty(inner, top)
            try:
                for deeper in _inner_folders(descriptor):
                    moved += 1
                    os.close(_open_to_empty(deeper, descriptor))  # moving a folder needs the right to write in it
                    os.rename(deeper, f"{prefix}{moved}", src_dir_fd=descriptor, dst_dir_fd=top)
                    waiting.append(f"{prefix}{moved}")
            finally:
                os.close(descriptor)
            os.rmdir(inner, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=above)


def _open_to_empty(name: str, folder: int) -> int:
    """A descriptor of a folder in which we may remove things; we give ourselves the right where we have not."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU and stat.S_ISDIR(status.st_mode):
        os.chmod(name, stat.S_IRWXU, dir_fd=folder)
    return _step(name, folder, _FOLDER, name)


def _inner_folders(folder: int) -> list[str]:
    """The folders in it; everything else in it is removed."""
    inner = []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            inner.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return inner


def _raise(error: OSError) -> None:
    raise error
