"""Copies of a folder: by reference where the file system shares blocks, by the kernel where it can, byte by byte else.

Nothing is followed: symbolic links are copied as links, and the walk goes from one open folder to the next, so that a
link that appears meanwhile leads nowhere. What is not an ordinary file, a folder or a link is left out and named.
Owners, extended attributes and the set-user-id bits are not copied; modes and times are.

Windows has neither descriptors of folders nor these system calls; there `copy_tree` is not available.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daybreak.host.workspaces.problems import SourceChanged

How = Literal["reflink", "kernel", "plain"]

_FICLONE = 0x40049409
_CHUNK_BYTES = 1 << 20
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ETXTBSY}
"""What the kernel says where this way of copying does not exist between these two files."""

Listing = dict[str, list[int]]
"""Relative path → [mode, size in bytes, time of change in ns]; for a link and a folder, size and time are 0."""


@dataclass
class Copied:
    """What a copy holds."""

    files: int = 0
    bytes: int = 0
    how: How = "reflink"
    """The least good way that was needed."""
    listing: Listing = field(default_factory=dict)
    not_covered: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def copy_tree(source: Path, target: Path, *, leave_out: Collection[str] = (), skip: Path | None = None) -> Copied:
    """Copy `source` into `target`, which must not exist. Names in `leave_out` are left out at any depth; so is the
    folder `skip`. Raises SourceChanged, and OSError where the system refuses: then `target` is incomplete."""
    copied = Copied()
    target.mkdir(mode=0o700)
    there = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        here = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            skipped = _identity(os.stat(skip)) if skip is not None and skip.exists() else None
            _Copier(copied, frozenset(leave_out), skipped).folder(there, here, "")
        finally:
            os.close(here)
    finally:
        os.close(there)
    return copied


def listed(folder: Path, *, leave_out: Collection[str] = ()) -> Listing:
    """The listing of a folder as it is now, as `copy_tree` makes it. Raises OSError."""
    listing: Listing = {}
    pending = [(folder, "")]
    while pending:
        parent, prefix = pending.pop()
        with os.scandir(parent) as entries:
            for entry in entries:
                status, name = entry.stat(follow_symlinks=False), prefix + entry.name
                if entry.name in leave_out or not _is_copied(status.st_mode):
                    continue
                listing[name] = _line(status)
                if stat.S_ISDIR(status.st_mode):
                    pending.append((parent / entry.name, name + "/"))
    return listing


class _Copier:
    """One copy under way. `how` only ever gets worse: what the file system cannot do once, it is not asked again."""

    def __init__(self, copied: Copied, leave_out: frozenset[str], skipped: tuple[int, int] | None) -> None:
        self._copied, self._leave_out, self._skipped = copied, leave_out, skipped

    def folder(self, there: int, here: int, prefix: str) -> None:
        for name in sorted(os.listdir(there)):
            path = prefix + name
            status = self._status(name, there, path)
            if name in self._leave_out or _identity(status) == self._skipped:
                self._copied.left_out.append(path)
                continue
            if stat.S_ISDIR(status.st_mode):
                self._inner(name, there, here, path)
            elif stat.S_ISREG(status.st_mode):
                self._file(name, there, here, path)
            elif stat.S_ISLNK(status.st_mode):
                self._link(name, there, here, path)
            else:
                self._copied.not_covered.append(f"{path} is a special file and was not copied")
                continue
            self._copied.listing[path] = _line(status)
        status = os.fstat(there)
        os.utime(here, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fchmod(here, stat.S_IMODE(status.st_mode) & 0o777 | stat.S_IRWXU)

    def _status(self, name: str, there: int, path: str) -> os.stat_result:
        try:
            return os.stat(name, dir_fd=there, follow_symlinks=False)
        except FileNotFoundError as error:
            raise _changed(path) from error

    def _inner(self, name: str, there: int, here: int, path: str) -> None:
        inner_there = self._open(name, there, os.O_DIRECTORY, path)
        try:
            os.mkdir(name, 0o700, dir_fd=here)
            inner_here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            try:
                self.folder(inner_there, inner_here, path + "/")
            finally:
                os.close(inner_here)
        finally:
            os.close(inner_there)

    def _open(self, name: str, there: int, flags: int, path: str) -> int:
        try:
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=there)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise _changed(path) from error
            raise

    def _file(self, name: str, there: int, here: int, path: str) -> None:
        reading = self._open(name, there, 0, path)
        try:
            before = os.fstat(reading)
            if not stat.S_ISREG(before.st_mode):
                raise _changed(path)
            writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=here)
            try:
                self._content(reading, writing, before.st_size)
                after = os.fstat(reading)
                if _line(before) != _line(after):
                    raise _changed(path)
                os.fchmod(writing, stat.S_IMODE(before.st_mode) & 0o777)
                os.utime(writing, ns=(before.st_atime_ns, before.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)
        self._copied.files += 1
        self._copied.bytes += before.st_size

    def _content(self, reading: int, writing: int, size: int) -> None:
        """In the best way that still works; an empty file says nothing about ways."""
        if size == 0:
            return
        best = [how for how, _ in _WAYS].index(self._copied.how)
        self._copied.how = next(how for how, copy in _WAYS[best:] if copy(reading, writing, size))

    def _link(self, name: str, there: int, here: int, path: str) -> None:
        try:
            leads_to = os.readlink(name, dir_fd=there)
        except OSError as error:
            raise _changed(path) from error
        os.symlink(leads_to, name, dir_fd=here)
        if leads_out(path, leads_to):
            self._copied.not_covered.append(f"{path} is a link that leads out of the workspace, to {leads_to}")


def leads_out(path: str, leads_to: str) -> bool:
    """Whether a link at this relative path leads out of its folder, judged by its text alone."""
    if os.path.isabs(leads_to):
        return True
    end = os.path.normpath(os.path.join(os.path.dirname(path), leads_to))
    return end == ".." or end.startswith("../")


def _clone(reading: int, writing: int, size: int) -> bool:
    """Let both files share their blocks (btrfs, XFS, bcachefs, overlays of them)."""
    import fcntl

    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def _in_kernel(reading: int, writing: int, size: int) -> bool:
    """`copy_file_range`: no byte passes through us. False where it cannot, with nothing lost."""
    if not hasattr(os, "copy_file_range"):
        return False
    done = 0
    while done < size:
        try:
            step = os.copy_file_range(reading, writing, size - done)
        except OSError as error:
            if error.errno in _NOT_HERE and done == 0:
                return False
            raise
        if step == 0:  # shorter than it was: the caller notices; or a file system that lies (procfs)
            os.lseek(reading, 0, os.SEEK_SET)
            os.lseek(writing, 0, os.SEEK_SET)
            os.ftruncate(writing, 0)
            return False
        done += step
    return True


def _by_hand(reading: int, writing: int, size: int) -> bool:
    while part := os.read(reading, _CHUNK_BYTES):
        view = memoryview(part)
        while view:
            view = view[os.write(writing, view) :]
    return True


_WAYS: tuple[tuple[How, Callable[[int, int, int], bool]], ...] = (
    ("reflink", _clone),
    ("kernel", _in_kernel),
    ("plain", _by_hand),
)
"""From best to worst; the last one always works."""


def _is_copied(mode: int) -> bool:
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _line(status: os.stat_result) -> list[int]:
    if stat.S_ISREG(status.st_mode):
        return [status.st_mode, status.st_size, status.st_mtime_ns]
    return [status.st_mode, 0, 0]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _changed(path: str) -> SourceChanged:
    return SourceChanged(
        f"{path} changed while it was being copied", hint="try again when nothing writes into the folder"
    )
