"""What is on the disk when we say so: one file replaced whole, and folders with their entries.

The shortest way that keeps the promise, and the only one: `files` and the ledger both write through here. It imports
next to nothing, and raises the system's own OSErrors; typed errors, and files that change together, are what `files`
adds. On Windows folders cannot be synced (NTFS journals their entries itself) and are named by path.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_CREATE |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NAME_BYTES_MAX = 200
"""Of the name, in the name of its temporary file."""
_FULL_SYNC = 51
"""F_FULLFSYNC of macOS, because fsync there stops at the drive's cache (written from its manual, not tried)."""

Place = int | Path
"""A folder: its open descriptor, or its path where there are none."""


def sync(descriptor: int) -> None:
    """What was written through or to this descriptor is on the disk. Raises OSError."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Put the folder's own entries on disk. Raises OSError. On Windows, which needs no such thing, nothing is done."""
    if sys.platform == "win32":
        return
    descriptor = _opened(folder)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """The folder and its parents are there, each on disk before the next; existing ones are left as they are.
    `mode` is less the umask. Raises OSError."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for entry in reversed(missing):
        try:
            entry.mkdir(mode=mode)
        except FileExistsError:  # somebody else was quicker, or it is no folder
            if not entry.is_dir():
                raise
        sync_folder(entry.parent)


def write_synced(path: Path, data: bytes, mode: int = 0o600) -> None:
    """The file holds these bytes, whole or not at all, on disk with its name, before this returns; `mode` is less the
    umask. A crash may leave a file named `.NAME.daybreak-*` beside it. Raises OSError; then nothing was changed."""

    def fill(descriptor: int) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    if sys.platform == "win32":
        replace_at(path.parent, path.name, fill, mode)
        return
    folder = _opened(path.parent)
    try:
        replace_at(folder, path.name, fill, mode)
    finally:
        os.close(folder)


def replace_at(folder: Place, name: str, fill: Callable[[int], None], mode: int) -> None:
    """As `write_synced`, in a folder that is open: `fill` is given the descriptor of the new file before it gets its
    name, and what it raises leaves everything as it was."""
    short = name.encode(errors="surrogateescape")[:_NAME_BYTES_MAX].decode(errors="ignore")
    temporary = f".{short}.daybreak-{os.urandom(6).hex()}"
    at = folder if isinstance(folder, int) else None
    new, old = (temporary, name) if isinstance(folder, int) else (str(folder / temporary), str(folder / name))
    try:
        descriptor = os.open(new, _CREATE, mode, dir_fd=at)
        try:
            fill(descriptor)
            sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(new, old, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=at)
        raise
    if isinstance(folder, int):
        sync(folder)
    else:
        sync_folder(folder)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
