"""The few things that a transaction does to a disk, with paths relative to one root.

Two implementations: `posix` walks from an open descriptor of the root and follows no link; `plain` joins paths, for
systems without that (Windows). Both refuse symbolic links on the way. Every method raises OSError where the system
refuses, LinkRefused for a link, and does one thing that either happened or did not.
"""

from __future__ import annotations

import stat
import sys
from os import stat_result
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Kind = Literal["file", "folder", "link", "special"]


class Seen(NamedTuple):
    """What stood at a path. Two of them are the same thing, unchanged, where `same` says so."""

    kind: Kind
    ino: int
    size: int
    """Bytes; 0 for all but files."""
    mtime_ns: int
    """0 for all but files: a folder's time changes with what is in it."""


class Disk(Protocol):
    can_exchange: bool
    """Whether two names can be exchanged in one step; turned off where the system refuses it."""

    @property
    def root(self) -> int | Path:
        """The root's descriptor, or its path where there are none."""

    def look(self, path: str) -> Seen | None:
        """What stands there; None where nothing does, or where a parent is missing or a file."""

    def status(self, path: str) -> stat_result:
        """As os.lstat. FileNotFoundError where nothing is there."""

    def create(self, path: str, mode: int) -> int:
        """A descriptor of a new file, open for writing. Refused where something is there."""

    def open(self, path: str) -> int:
        """A descriptor of a file, for reading."""

    def names(self, folder: str) -> list[str]: ...

    def make_folder(self, path: str, mode: int) -> None: ...

    def make_link(self, path: str, leads_to: str) -> None: ...

    def dress_folder(self, path: str, mode: int, times_ns: tuple[int, int]) -> None:
        """Permissions, time of access and of change."""

    def link(self, source: str, target: str) -> bool:
        """A second name for a file. False where the file system has none; then nothing was done."""

    def move(self, source: str, target: str) -> None:
        """FileExistsError where `target` is there."""

    def replace(self, source: str, target: str) -> None:
        """A file takes the place of a file, in one step."""

    def exchange(self, one: str, other: str) -> bool:
        """Both swap places in one step. False where the system cannot; then nothing was done."""

    def remove_file(self, path: str) -> None: ...

    def remove_folder(self, path: str) -> None:
        """An empty one."""

    def remove(self, path: str) -> None:
        """Whatever is there, with all that is in it. Nothing there: nothing done."""

    def sync(self, folder: str) -> None:
        """The folder's own entries are on the disk."""

    def sync_folders(self, folder: str) -> None:
        """`sync` for it and every folder in it; files were synced when they were written."""

    def lock(self) -> bool:
        """Take the root's lock, which the kernel frees at death. False where somebody has it."""

    def is_current(self) -> bool:
        """Whether the root's path still leads to the folder that was opened."""

    def trusted(self, path: str) -> bool:
        """Whether a folder belongs to us or to the root's owner."""

    def insensitive(self) -> bool:
        """Whether `A` and `a` are one name here. Needs the work folder."""

    def close(self) -> None:
        """Frees the lock. Twice is once."""


def seen(status: stat_result) -> Seen:
    if stat.S_ISREG(status.st_mode):
        return Seen("file", status.st_ino, status.st_size, status.st_mtime_ns)
    kind: Kind = "special"
    if stat.S_ISDIR(status.st_mode):
        kind = "folder"
    elif stat.S_ISLNK(status.st_mode):
        kind = "link"
    return Seen(kind, status.st_ino, 0, 0)


def open_disk(root: str | Path, *, platform: str = sys.platform) -> Disk:
    """The disk below `root`. OSError where it cannot be opened."""
    if platform == "win32":
        from daybreak.host.files.plain import PlainDisk

        return PlainDisk(root)
    from daybreak.host.files.posix import PosixDisk

    return PosixDisk(root)
