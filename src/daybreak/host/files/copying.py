"""Copies into the place where a transaction keeps what is to come: whole folders, and what a replaced file was like.

A copy has the permissions and times of what was copied. Symbolic links are copied as links, never followed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from daybreak.host.files import system
from daybreak.host.files.disk import Disk
from daybreak.host.files.paths import PARTS_MAX
from daybreak.host.files.problems import LinkRefused, PathRefused

_CHUNK_BYTES = 1 << 20
_TIMES_BY_DESCRIPTOR = os.utime in os.supports_fd
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access")
"""Not `security.` and `trusted.`: rights that were given to the old content are not given to a new one."""


def copy_folder(disk: Disk, source: Path, target: str) -> None:
    """Copy the folder `source` to `target` below the root, every file synced; `disk.sync_folders` does the rest.

    Raises OSError, and LinkRefused where something is neither file, folder nor symbolic link."""
    disk.make_folder(target, stat.S_IRWXU)
    fill_folder(disk, source, target)


def fill_folder(disk: Disk, source: Path, target: str) -> None:
    """As `copy_folder`, into a folder that is there and empty."""
    waiting = [(source, target)]
    made: list[tuple[str, os.stat_result]] = []
    while waiting:
        folder, copy = waiting.pop()
        if copy.count("/") > PARTS_MAX:
            raise PathRefused(f"{source} is deeper than {PARTS_MAX} folders", hint="put a flatter folder")
        made.append((copy, os.stat(folder)))
        with os.scandir(folder) as entries:
            for entry in entries:
                inside = f"{copy}/{entry.name}"
                if entry.is_symlink():
                    disk.make_link(inside, os.readlink(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    disk.make_folder(inside, stat.S_IRWXU)
                    waiting.append((Path(entry.path), inside))
                else:
                    copy_file(disk, entry.path, inside)
    for copy, like in reversed(made):  # the inner ones first: making entries changes a folder's time
        disk.dress_folder(copy, stat.S_IMODE(like.st_mode), (like.st_atime_ns, like.st_mtime_ns))


def copy_file(disk: Disk, source: str | int, target: str) -> None:
    """Copy one file, by its path or from a descriptor that is closed afterwards. Raises as `copy_folder`."""
    read = os.open(source, _READ) if isinstance(source, str) else source
    try:
        like = os.fstat(read)
        if not stat.S_ISREG(like.st_mode):
            raise LinkRefused(
                f"{source} is neither file, folder nor symbolic link", hint="leave ordinary files and folders only"
            )
        write = disk.create(target, stat.S_IRUSR | stat.S_IWUSR)
        try:
            _pump(read, write)
            dress(write, like)
            copy_attributes(read, write)
            keep_times(write, like)
            system.sync(write)
        finally:
            os.close(write)
    finally:
        os.close(read)


def dress(descriptor: int, like: os.stat_result) -> None:
    """Give a new file the owner (where we may) and the permissions of another one, after its content, because
    writing takes set-user-id away."""
    if sys.platform == "win32":
        return  # a file's permissions are its folder's
    mode = stat.S_IMODE(like.st_mode)
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except PermissionError:
            # Only root gives files away. The new one is ours then, so it must not act in another's name.
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
    os.fchmod(descriptor, mode)


def keep_times(descriptor: int, like: os.stat_result) -> None:
    """Give a file the times of another one, after everything else. Where the system sets times by name only
    (Windows), it keeps its own."""
    if _TIMES_BY_DESCRIPTOR:
        os.utime(descriptor, ns=(like.st_atime_ns, like.st_mtime_ns))


def dress_as(disk: Disk, place: str, descriptor: int) -> None:
    """Give a new file the owner, permissions, access list and user attributes of the one at `place`."""
    dress(descriptor, disk.status(place))
    try:
        old = disk.open(place)
    except PermissionError:
        return  # who may not read a file cannot read its attributes either
    try:
        copy_attributes(old, descriptor)
    finally:
        os.close(old)


def copy_attributes(source: int, target: int) -> None:
    """Access lists and the user's own attributes of one file for another, where the file systems have them."""
    if not hasattr(os, "listxattr"):
        return
    try:
        for name in os.listxattr(source):
            if name.startswith(_KEPT_ATTRIBUTES):
                os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP):
            raise


def _pump(read: int, write: int) -> None:
    """All bytes from one to the other; by the kernel where it can, which shares blocks on some file systems."""
    if hasattr(os, "copy_file_range") and _pump_in_kernel(read, write):
        return
    while piece := os.read(read, _CHUNK_BYTES):
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(write, rest) :]


def _pump_in_kernel(read: int, write: int) -> bool:
    """False where the two file systems cannot do that; then the descriptors stand where copying must go on."""
    try:
        while os.copy_file_range(read, write, _CHUNK_BYTES * 64):
            pass
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EBADF):
            return False
        raise
    return True
