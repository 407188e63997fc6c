"""The workspace as the tools of a model see it: text files below one folder, and nothing beside it.

Paths are relative, without `..`; links are followed only to what is in the folder too. What is written appears whole or
not at all. These are manners, not the wall: the wall is the sandbox. No other program may work in the folder meanwhile.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from daybreak.errors import WorkerError
from daybreak.host.naming import named

FILE_BYTES_MAX = 4_000_000
"""No larger file is read or written."""
NAME_BYTES_MAX = 255
"""Linux has no longer name of a file."""
ENTRIES_MAX = 400
"""So many files are listed at most."""
SKIPPED = frozenset({".git", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
"""Folders that are named, not listed."""


class ToolFailed(WorkerError):
    """A tool cannot do what the model asked; the message goes to the model."""

    code = "W161"

    def __init__(self, message: str, *, hint: str = "look at the files, and try something else") -> None:
        super().__init__(message, hint=hint)


class Folder:
    """`root` must exist. `protected`: paths, folders or patterns that are never written."""

    def __init__(self, root: Path, protected: Sequence[str] = ()) -> None:
        self.root = Path(os.path.realpath(root))
        self.protected = tuple(one.strip().removeprefix("./").rstrip("/") for one in protected if one.strip())
        self.changed = False
        """Something was written or deleted here."""

    def read(self, path: str) -> str:
        """The text of a file. Raises ToolFailed."""
        return self._bytes(self._inside(path), path).decode("utf-8")

    def write(self, path: str, text: str) -> bool:
        """Make or replace a file, with the folders above it. True: it is new. Raises ToolFailed."""
        target = self._writable(path)
        data = _encoded(text, path)
        is_new = not target.exists()
        if target.is_symlink() or not (is_new or target.is_file()):
            raise ToolFailed(f"{named(path)} is no regular file")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, data, 0o644 if is_new else stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            raise ToolFailed(f"{named(path)} cannot be written: {error.strerror}") from error
        self.changed = True
        return is_new

    def edit(self, path: str, old: str, new: str) -> int:
        """Put `new` in place of `old`, which must stand there exactly once. Gives the line. Raises ToolFailed."""
        if not old:
            raise ToolFailed("the text to be replaced is empty; use write_file for a new file")
        text = self.read(path)
        if "\r\n" in text and old not in text:  # models are shown, and write, plain line ends
            old, new = (one.replace("\r\n", "\n").replace("\n", "\r\n") for one in (old, new))
        found = text.count(old)
        if found != 1:
            how = "is not in the file, to the letter" if not found else f"is there {found} times"
            raise ToolFailed(f"the text to be replaced {how}: {named(path)} is as it was. Read it and give more of it.")
        self.write(path, text.replace(old, new))
        return text[: text.index(old)].count("\n") + 1

    def delete(self, path: str) -> None:
        """Remove a file, or an empty folder. Raises ToolFailed."""
        target = self._writable(path, follow=False)
        try:
            if target.is_dir() and not target.is_symlink():
                target.rmdir()
            else:
                target.unlink()
        except OSError as error:
            raise ToolFailed(f"{named(path)} cannot be deleted: {error.strerror}") from error
        self.changed = True

    def files(self, path: str = ".") -> tuple[list[str], int]:
        """Files below a folder with their sizes, in order, and how many more there are. Raises ToolFailed."""
        start = self._inside(path)
        if not start.is_dir():
            raise ToolFailed(f"{named(path)} is no folder")
        told: list[str] = []
        more = 0
        for line in self._walk(start):
            if len(told) < ENTRIES_MAX:
                told.append(line)
            else:
                more += 1
        return told, more

    def relative(self, path: str) -> str:
        """The path inside the folder, `.` for the folder itself. Raises ToolFailed."""
        return str(self._inside(path).relative_to(self.root))

    def is_protected(self, relative: str) -> bool:
        """Is it on the list, or below a folder that is?"""
        above = [relative, *(str(one) for one in Path(relative).parents)]
        return any(one == rule or fnmatch.fnmatchcase(one, rule) for rule in self.protected for one in above)

    # -- inside

    def _walk(self, start: Path) -> Iterator[str]:
        for folder, folders, names in os.walk(start, followlinks=False):
            here = Path(folder).relative_to(self.root)
            skipped = sorted(one for one in folders if one in SKIPPED)
            folders[:] = sorted(one for one in folders if one not in SKIPPED)
            yield from (f"{_shown(here / one)}/ (not listed)" for one in skipped)
            for name in sorted(names):
                status = (Path(folder) / name).lstat()
                kind = "link" if stat.S_ISLNK(status.st_mode) else f"{status.st_size} bytes"
                mark = ", protected" if self.is_protected(str(here / name)) else ""
                yield f"{_shown(here / name)} ({kind}{mark})"
            if not folders and not names and not skipped:
                yield f"{_shown(here)}/ (empty)"

    def _inside(self, path: str) -> Path:
        """Where a path leads, links followed; in the folder. Raises ToolFailed."""
        plain = self._plain(path)
        try:
            real = Path(os.path.realpath(plain))
        except (OSError, ValueError, RecursionError) as error:
            raise ToolFailed(f"{named(path)} cannot be reached: {error}") from error
        if not real.is_relative_to(self.root):
            raise ToolFailed(f"{named(path)} leads out of the workspace")
        return real

    def _plain(self, path: str) -> Path:
        if "\0" in path or len(path) > 1_000:
            raise ToolFailed(f"{named(path)} is no path")
        try:
            too_long = any(len(part.encode()) > NAME_BYTES_MAX for part in path.split("/"))
        except UnicodeEncodeError:
            too_long = True
        if too_long:
            raise ToolFailed(f"{named(path)} is no path")
        given = Path(path or ".")
        if given.is_absolute():
            if not given.is_relative_to(self.root):
                raise ToolFailed(f"{named(path)} is not in the workspace; paths are relative to it")
            given = given.relative_to(self.root)
        if ".." in given.parts:
            raise ToolFailed(f"{named(path)} has .. in it; paths are relative to the workspace and stay in it")
        return self.root / given

    def _writable(self, path: str, *, follow: bool = True) -> Path:
        """Raises ToolFailed for what is outside, protected, or no file's place."""
        if follow:
            target = self._inside(path)
        else:
            plain = self._plain(path)
            target = self._inside(str(plain.parent)) / plain.name
        relative = str(target.relative_to(self.root))
        if relative == ".":
            raise ToolFailed("that is the workspace itself")
        if ".git" in Path(relative).parts:
            raise ToolFailed(f"{named(path)} belongs to git")
        if self.is_protected(relative) or self.is_protected(str(self._plain(path).relative_to(self.root))):
            raise ToolFailed(f"{named(path)} is protected and must stay as it is")
        return target

    def _bytes(self, target: Path, path: str) -> bytes:
        try:
            # A pipe would wait for its other end; a file does not mind the flag.
            with open(os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ToolFailed(f"{named(path)} is no regular file")
                data = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise ToolFailed(f"{named(path)} cannot be read: {error.strerror}") from error
        if len(data) > FILE_BYTES_MAX:
            raise ToolFailed(f"{named(path)} is longer than {FILE_BYTES_MAX} bytes")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise ToolFailed(f"{named(path)} is no UTF-8 text ({len(data)} bytes)") from None
        return data


def _encoded(text: str, path: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ToolFailed(f"the text for {named(path)} cannot be written as UTF-8: {error.reason}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ToolFailed(f"the text for {named(path)} is longer than {FILE_BYTES_MAX} bytes")
    return data


def _replace(target: Path, data: bytes, mode: int) -> None:
    """A new file in place of the old: other names of the old one (hard links) keep its content."""
    descriptor, name = tempfile.mkstemp(prefix=".daybreak-", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _shown(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()
