"""Open folders, one below the other, without following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from daybreak.host.tree.shape import NotATree, shown, words

BY_DESCRIPTOR = hasattr(os, "O_NOFOLLOW") and {os.open, os.mkdir} <= os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# O_NONBLOCK: a pipe that took the place of a file must not make us wait for a writer
_FILE = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | (_FILE & ~getattr(os, "O_NONBLOCK", 0))

Place = int | Path
"""An open folder: its descriptor, or its path where there are none."""


class Position:
    """One folder below `root`, open; going to the next opens only what differs. Takes `root` over."""

    def __init__(self, root: Place) -> None:
        self.root = root
        self._names: list[str] = []
        self._places: list[Place] = [root]

    @property
    def here(self) -> Place:
        return self._places[-1]

    def go(self, path: str, *, make: bool = False) -> None:
        """Go to the folder that holds `path`, through no link. Raises OSError."""
        names = path.split("/")[:-1]
        if names == self._names:
            return
        same = 0
        while same < len(names) and names[: same + 1] == self._names[: same + 1]:
            same += 1
        while len(self._names) > same:
            self._names.pop()
            close(self._places.pop())
        for name in names[same:]:
            if make:
                make_folder(self.here, name)
            self._places.append(open_folder(self.here, name))
            self._names.append(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for place in self._places:
            close(place)


def open_root(folder: Path) -> Place:
    try:
        return open_folder(None, str(folder))
    except FileNotFoundError:
        raise NotATree(f"{shown(str(folder))} is not there", hint="it must be a folder") from None
    except (OSError, ValueError) as error:  # ValueError: a path that no system call takes
        link = False
        with suppress(OSError, ValueError):
            link = stat.S_ISLNK(os.lstat(folder).st_mode)
        why = "is a symbolic link" if link else words(error) if isinstance(error, OSError) else "is no path"
        raise NotATree(f"{shown(str(folder))} cannot be read: {why}", hint="it must be a folder itself") from None


def open_folder(at: Place | None, name: str) -> Place:
    """Of the folder `at`; of nothing: a path. Raises OSError for a link."""
    if BY_DESCRIPTOR:
        assert not isinstance(at, Path)
        return os.open(name, _FOLDER, dir_fd=at)
    path = Path(name) if at is None else Path(str(at), name)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return path


def open_file(at: Place, name: str) -> int:
    if isinstance(at, int):
        return os.open(name, _FILE, dir_fd=at)
    if not stat.S_ISREG((at / name).lstat().st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.open(at / name, _FILE)


def create_file(at: Place, name: str) -> int:
    return os.open(name, _FRESH, 0o600, dir_fd=at) if isinstance(at, int) else os.open(at / name, _FRESH, 0o600)


def links_here() -> bool:
    """Whether links can be read and made without following one."""
    return bool(BY_DESCRIPTOR) and {os.readlink, os.symlink, os.stat} <= os.supports_dir_fd


def read_link(at: Place, name: str) -> tuple[str, os.stat_result]:
    """Where a link leads, and what it was just after that was read. Raises OSError for what is no link."""
    assert isinstance(at, int), "asked where there are no links"
    target = os.readlink(name, dir_fd=at)
    return target, os.stat(name, dir_fd=at, follow_symlinks=False)


def create_link(at: Place, name: str, target: str) -> None:
    assert isinstance(at, int), "asked where there are no links"
    os.symlink(target, name, dir_fd=at)


def make_folder(at: Place, name: str) -> None:
    with suppress(FileExistsError):
        if isinstance(at, int):
            os.mkdir(name, dir_fd=at)
        else:
            (at / name).mkdir()


def entries_of(place: Place) -> Iterator[tuple[str, os.stat_result]]:
    """Names of a folder and what they are, links themselves."""
    with os.scandir(place) as entries:
        for entry in entries:
            yield entry.name, entry.stat(follow_symlinks=False)


def close(place: Place) -> None:
    if isinstance(place, int):
        os.close(place)
