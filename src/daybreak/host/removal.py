"""Removing a folder, whatever a program left in it.

No link is followed, no path is put together: the way goes from folder to folder by descriptors, at any depth and with
two of them open. What is mounted in the folder is left alone. A program that still runs and moves folders about can
make that something remains, but never that something else is removed: only what was reached below the folder is.

Windows has no descriptors of folders: `shutil.rmtree` is used there, which holds only against programs that have ended.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.errors import HostError
from daybreak.host.tree import shown

NAMED_MAX = 20
"""Things that a Removal names."""
_PASSES = 3
"""A program that still runs may have added something: then once more, and once more."""
_DESCRIPTORS = hasattr(os, "O_NOFOLLOW") and {os.open, os.unlink, os.rmdir} <= os.supports_dir_fd
_FOLDER = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_FACTS_BYTES = 4096
_MOUNT = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_MOUNTED = "another file system is mounted there"
_MOVED = "it was moved while it was removed"


class NoScratch(HostError):
    """A folder for work in progress could not be made."""

    code = "H124"


@dataclass(frozen=True, slots=True)
class Remaining:
    """One thing that could not be removed; the folders around it remain too and are not told."""

    path: str
    """From the name of the removed folder on; shortened, and fit for a terminal and for JSON."""
    why: str
    """The reason in words, such as `permission denied`."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of removing a folder."""

    remaining: tuple[Remaining, ...] = ()
    """At most NAMED_MAX."""
    unnamed: int = 0
    """How many more there are."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left, the folder itself included."""
        return not self.remaining

    def __str__(self) -> str:
        if self.complete:
            return "nothing remains"
        more = f" and {self.unnamed:,} more" if self.unnamed else ""
        return ", ".join(f"{one.path} remains: {one.why}" for one in self.remaining) + more


def remove(folder: Path) -> Removal:
    """Remove a folder and all in it, or the link or file of that name. One that is not there is fine.

    Raises nothing for what is in it: what remains is in the answer. Folders without rights are given them. Never goes
    through a link or into a mount, bind mounts included where the system tells (`/proc`)."""
    if not folder.name or folder.name == "..":
        return Removal((Remaining(shown(str(folder)), "it has no name of its own"),))
    attempt = _by_descriptors if _DESCRIPTORS else _by_paths
    removal = attempt(folder)
    for _ in range(_PASSES - 1):
        if removal.complete:
            break
        removal = attempt(folder)
    return removal


@contextmanager
def scratch(parent: Path, prefix: str = "", tell: Callable[[Removal], object] | None = None) -> Iterator[Path]:
    """A fresh folder in `parent` that only its owner may use (0700), removed at the end; `parent` must be there.

    The block's result or exception is what comes out, whatever removing meets; `tell` is called with what remains, if
    anything does, and an exception of its own is dropped. Raises NoScratch before the block."""
    if "/" in prefix or os.sep in prefix:
        raise NoScratch(f"{shown(prefix)} is no beginning of a name", hint="leave out the separators")
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except (OSError, ValueError) as error:
        raise NoScratch(
            f"no folder can be made in {shown(str(parent))}: {_words(error)}",
            hint="it must be a folder that you may write to, on a disk with room",
        ) from error
    try:
        yield folder
    finally:
        removal = remove(folder)
        if tell is not None and not removal.complete:
            with suppress(Exception):
                tell(removal)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "no path that the system takes" if isinstance(error, ValueError) else type(error).__name__


class _Remains:
    """Collects what could not be removed."""

    def __init__(self) -> None:
        self.named: list[Remaining] = []
        self.unnamed = 0

    def add(self, path: Callable[[], str], why: str) -> None:
        if len(self.named) < NAMED_MAX:
            self.named.append(Remaining(shown(path()), why))
        else:
            self.unnamed += 1

    def removal(self) -> Removal:
        return Removal(tuple(self.named), self.unnamed)


# -- by descriptors


def _by_descriptors(folder: Path) -> Removal:
    remains = _Remains()
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the caller's: may be a link
    except FileNotFoundError:
        return Removal()
    except (OSError, ValueError) as error:
        remains.add(lambda: str(folder), _words(error))
        return remains.removal()
    walk = _Walk(parent, folder.name, remains)
    try:
        walk.go()
    except (OSError, ValueError) as error:
        remains.add(walk.path, _words(error))
    finally:
        os.close(walk.here)
    return remains.removal()


@dataclass(slots=True)
class _Level:
    """A folder on the way down to where the walk is."""

    name: str
    identity: tuple[int, int]
    folders: list[str] = field(default_factory=list)
    """Names of what is still to be entered and removed."""
    keeps: bool = False
    """Something in it remains, and was told."""


class _Walk:
    """Down into every folder and up again through `..`, which must be the folder that it came from."""

    def __init__(self, parent: int, name: str, remains: _Remains) -> None:
        self.here = parent
        """The one folder that is open; the caller closes it."""
        self._levels = [_Level("", _identity(parent), [name])]
        self._mount = _mount(parent)
        self._remains = remains

    def path(self, name: str = "") -> str:
        """Of the folder where the walk is, or of something in it."""
        return "/".join([level.name for level in self._levels[1:]] + [name] * bool(name))

    def go(self) -> None:
        while True:
            level = self._levels[-1]
            if level.folders:
                self._down(level.folders.pop())
            elif len(self._levels) == 1 or not self._up():
                return

    def _down(self, name: str) -> None:
        """Enter a folder and empty it of all but folders; what is no folder is unlinked."""
        try:
            child = self._open(name)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                self._unlink(name)
            else:
                self._keep(name, _words(error))
            return
        try:
            if _mount(child) != self._mount:
                self._keep(name, _MOUNTED)
                return
            level = _Level(name, _identity(child))
            child, self.here = self.here, child  # from here on the child is ours, and the parent is closed
        finally:
            os.close(child)
        self._levels.append(level)
        self._empty(level)

    def _open(self, name: str) -> int:
        try:
            child = os.open(name, _FOLDER, dir_fd=self.here)
        except PermissionError:
            _grant(name, self.here)
            child = os.open(name, _FOLDER, dir_fd=self.here)
        with suppress(OSError):  # not ours: then unlinking fails, and that is told
            mode = os.fstat(child).st_mode
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(child, stat.S_IRWXU)
        return child

    def _empty(self, level: _Level) -> None:
        try:
            with os.scandir(self.here) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        level.folders.append(entry.name)
                    else:
                        self._unlink(entry.name)
        except OSError as error:
            self._keep("", _words(error))

    def _up(self) -> bool:
        """Back to the parent, and remove the folder that was left. False: there is no way back."""
        parent = os.open("..", _FOLDER, dir_fd=self.here)
        if _identity(parent) != self._levels[-2].identity:
            os.close(parent)
            self._keep("", _MOVED)
            return False
        os.close(self.here)
        self.here, level = parent, self._levels.pop()
        if level.keeps:
            self._levels[-1].keeps = True
            return True
        try:
            os.rmdir(level.name, dir_fd=self.here)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._keep(level.name, _words(error))
        return True

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.here)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._keep(name, _words(error))

    def _keep(self, name: str, why: str) -> None:
        self._levels[-1].keeps = True
        self._remains.add(lambda: self.path(name), why)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # entering it will tell
        return True


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _mount(descriptor: int) -> tuple[int, bytes]:
    """What must be equal in a folder and in what is in it: the device, and the mount where the system tells."""
    told = b""
    with suppress(OSError):
        facts = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            told = os.read(facts, _FACTS_BYTES)
        finally:
            os.close(facts)
    found = _MOUNT.search(told)
    return os.fstat(descriptor).st_dev, found[1] if found else b""


def _grant(name: str, at: int) -> None:
    """Give ourselves a folder that cannot be opened; a link in its place is left as it is. Raises OSError."""
    if not hasattr(os, "O_PATH"):  # macOS: chmod itself does not follow
        os.chmod(name, stat.S_IRWXU, dir_fd=at, follow_symlinks=False)
        return
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)  # fchmod refuses a descriptor that only names
    finally:
        os.close(descriptor)


# -- by paths


def _by_paths(folder: Path) -> Removal:
    """For Windows. Files that may not be written are made writable first, as removing needs it there."""
    remains = _Remains()

    def told(function: Callable[..., Any], path: str, problem: Any) -> None:
        error = problem[1]
        if isinstance(error, FileNotFoundError):
            return
        if isinstance(error, PermissionError) and function is os.unlink:
            with suppress(OSError):
                os.chmod(path, stat.S_IWRITE)
                os.unlink(path)
                return
        remains.add(lambda: os.path.relpath(path, folder.parent), _words(error))

    try:
        if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
        else:
            shutil.rmtree(folder, onerror=told)
    except (OSError, ValueError, RecursionError) as error:
        remains.add(lambda: str(folder), _words(error))
    return remains.removal()
