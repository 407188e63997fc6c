"""The bytes of one file, read once, within the limits, or refused."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from daybreak.host.typed.limits import Limits
from daybreak.host.typed.refusals import FileMissing, FileTooLarge, FileUnreadable, NotAFile, shown

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking: opening a pipe must not wait for a writer. (Windows has neither pipe files nor this flag.)"""
_PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What a handler is given."""

    path: str
    """As the caller named it, for messages."""
    data: bytes
    limits: Limits
    encoding: str | None = None
    """Named by the caller; None: find it."""


def path_text(path: object) -> str:
    """A path as text. Raises NotAFile for what can name no file: no path at all, empty, with NUL, too long."""
    try:
        given = os.fspath(path)  # type: ignore[call-overload] # anything may come in; TypeError says so
    except Exception:  # noqa: BLE001 - somebody else's __fspath__ may raise anything: then it is no path
        given = None
    if not isinstance(given, str):
        raise NotAFile.at(type(path).__name__, "is no path", hint="give a str or a pathlib.Path")
    text = str.__str__(given)  # a subclass may change what its text does
    if not text or "\0" in text:
        raise NotAFile.at(
            text, "is empty" if not text else "holds a NUL character", hint="give the path of an ordinary file"
        )
    return text


def read_bytes(path: str, limit: int) -> bytes:
    """All bytes of an ordinary file, at most `limit`. Links are followed. Raises FileMissing, NotAFile, FileTooLarge,
    FileUnreadable."""
    return _read(path, limit, whole=True)


def read_head(path: str, size: int) -> bytes:
    """The first `size` bytes of an ordinary file, or all of a shorter one. Raises as `read_bytes`."""
    return _read(path, size, whole=False)


def _read(path: str, limit: int, *, whole: bool) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise not_a_file(path, status.st_mode)
        if whole and status.st_size > limit:
            raise _too_large(path, status.st_size, limit)
        data = _up_to(descriptor, limit + 1 if whole else limit)
    except OSError as error:
        raise FileUnreadable.at(
            path, f"could not be read: {error.strerror or error}", hint="check the disk, then try again"
        ) from error
    finally:
        os.close(descriptor)
    if whole and len(data) > limit:  # it grew, or the system does not tell its size (/proc)
        raise _too_large(path, len(data), limit)
    return data


def _up_to(descriptor: int, size: int) -> bytes:
    parts, left = [], size
    while left and (part := os.read(descriptor, min(left, _PART_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def not_a_file(path: str, mode: int) -> NotAFile:
    """The refusal of something that is there, but no ordinary file."""
    names = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    what = next((name for test, name in names if test(mode)), "something special")
    return NotAFile.at(path, f"is {what}", hint="give the path of an ordinary file")


def _too_large(path: str, size: int, limit: int) -> Exception:
    return FileTooLarge.at(
        path, f"has {size} bytes or more, {limit} are allowed", hint="raise Limits(bytes_max=…) if it may be that large"
    )


def _unopened(path: str, error: OSError | ValueError) -> Exception:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return FileMissing.at(path, "is not there", hint=f"check the name; looked from {shown(_here())}")
    if number == errno.ENOTDIR:
        return FileMissing.at(path, "is below something that is no folder", hint="check the path")
    if number == errno.ENXIO:
        return NotAFile.at(path, "is a pipe or a socket", hint="give the path of an ordinary file")
    if number in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP) or number is None:
        return NotAFile.at(path, f"cannot name a file: {_why(error)}", hint="give the path of an ordinary file")
    if number == errno.EACCES and os.path.isdir(path):  # how Windows says it
        return NotAFile.at(path, "is a folder", hint="give the path of an ordinary file")
    return FileUnreadable.at(path, f"could not be opened: {_why(error)}", hint="check the permissions")


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "a folder that is gone"
