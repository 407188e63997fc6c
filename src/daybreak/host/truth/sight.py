"""A path as it is at one moment: kind, size, content hash. Nothing is followed, and nothing can make us wait."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from daybreak.host.naming import named
from daybreak.host.truth.outcome import ProbeMisused

PATH_BYTES_MAX = 4096
_CHUNK_BYTES = 1024 * 1024
_NAMES = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


@dataclass(frozen=True, slots=True)
class Sight:
    """What stands at a path. `size` and `sha256` are those of a file; `words` says it to people."""

    kind: Literal["missing", "file", "folder", "other", "unreadable"]
    words: str
    size: int = 0
    sha256: str = ""
    mtime_ns: int = 0
    executable: bool = False

    @property
    def identity(self) -> tuple[str, str, bool]:
        """Equal where nothing has changed that counts: not times, not the inode."""
        return self.kind, self.sha256 or self.words, self.executable


def checked_path(path: object) -> Path:
    """The absolute path as of now: a later `chdir` changes nothing. Raises ProbeMisused for what can be no path."""
    try:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
        if not isinstance(text, str) or not text or "\0" in text or len(os.fsencode(text)) > PATH_BYTES_MAX:
            raise ValueError
        return Path(text).absolute()
    except Exception:  # noqa: BLE001 - somebody else's __fspath__ may raise anything: then it is no path
        shown = named(path, 60)
        raise ProbeMisused(f"{shown} can be no path", hint="give a text or Path without NUL, in 4,096 bytes") from None


def shown(path: object) -> str:
    """A path for people: in one line, printable, not longer than a line."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 200 else text[:100] + "…" + text[-99:]


def see(path: Path) -> Sight:
    """What stands at `path` now. A file that changes while it is read is `unreadable`: whoever writes is not done."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return Sight("folder", "a folder")
        if not stat.S_ISREG(mode):
            return Sight("other", _name(path, mode))
        with open_file(path) as file:
            return _file(file)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return Sight("missing", "nothing is there")
        return Sight("unreadable", f"it cannot be looked at: {error.strerror or error}")


def open_file(path: Path) -> BinaryIO:
    """An ordinary file, opened without following a link or waiting for a pipe. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it became something else than a file")
    return os.fdopen(descriptor, "rb")


def _name(path: Path, mode: int) -> str:
    name = next((words for test, words in _NAMES if test(mode)), "a device")
    return f"{name} to {shown(os.readlink(path))}" if stat.S_ISLNK(mode) else name


def _file(file: BinaryIO) -> Sight:
    before = os.fstat(file.fileno())
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        return Sight("unreadable", "it changes while it is looked at")
    sha256 = digest.hexdigest()
    words = f"a file of {size} bytes, sha256 {sha256[:12]}" if size else "an empty file"
    return Sight("file", words, size, sha256, after.st_mtime_ns, bool(after.st_mode & stat.S_IXUSR))
