"""A folder read once: its tree and its bytes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.host.tree.folders import (
    Place,
    Position,
    close,
    entries_of,
    links_here,
    open_file,
    open_folder,
    open_root,
    read_link,
)
from daybreak.host.tree.packed import HEAD, LINK, MAGIC
from daybreak.host.tree.shape import (
    HISTORY,
    LIMITS,
    Entry,
    Limits,
    NotATree,
    Taken,
    Tree,
    is_ignored,
    shown,
    target_problem,
    words,
)

_CHUNK_BYTES = 1 << 20


def scan(folder: Path, limits: Limits = LIMITS, *, links: bool = False) -> Tree:
    """The tree of `folder` as it is now. `links`: it may hold symbolic links, which are read and not followed.

    Raises NotATree: naming the first thing that is no ordinary file, when a limit is exceeded (before anything is
    read), when something cannot be read, and when something changes meanwhile."""
    return _read(folder, limits, links, lambda data: None)


def take(folder: Path, limits: Limits = LIMITS, *, links: bool = False, whole: bool = False) -> Taken:
    """The tree of `folder` and its bytes, of one reading: what is hashed is what is packed. Holds the packed bytes
    and 1 MiB of a file at a time. `whole`: with what tools leave behind, but for `.git`. Raises as `scan`."""
    packer, packed = zlib.compressobj(level=6), io.BytesIO()  # BytesIO gives its buffer away without a copy
    packed.write(MAGIC)
    tree = _read(folder, limits, links, lambda data: packed.write(packer.compress(data)), whole=whole)
    packed.write(packer.flush())
    return Taken(tree, packed.getvalue())


def pack(folder: Path, limits: Limits = LIMITS, *, links: bool = False) -> bytes:
    """The tree of `folder` as bytes: the same tree gives the same bytes. Raises as `scan`.

    Whoever needs the tree as well asks `take`: between a `scan` and a `pack` the folder may change."""
    return take(folder, limits, links=links).packed


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, or a link, that was listed."""

    path: str
    size: int
    identity: tuple[int, int]
    """Device and number; nothing on Windows."""
    link: bool = False


def _read(folder: Path, limits: Limits, links: bool, sink: Callable[[bytes], object], *, whole: bool = False) -> Tree:
    """Everything in order of paths; `sink` is given what a pack holds."""
    listed = _listed(folder, limits, links, _is_history if whole else is_ignored)
    entries = []
    with Position(open_root(folder)) as position:
        for found in listed:
            try:
                position.go(found.path)
                read = _read_link if found.link else _read_file
                entries.append(read(position.here, found, sink))
            except FileNotFoundError:
                raise _changed(found.path) from None
            except OSError as error:
                # a link in the place of what was no link, or what is none in the place of one
                if error.errno in (errno.ELOOP, errno.ENOTDIR) or (found.link and error.errno == errno.EINVAL):
                    raise _changed(found.path) from None
                raise _unreadable(found.path, error) from error
    return Tree(tuple(entries))


def _read_file(at: Place, found: _Found, sink: Callable[[bytes], object]) -> Entry:
    descriptor = open_file(at, found.path.rpartition("/")[2])
    try:
        status = os.fstat(descriptor)
        same = not isinstance(at, int) or (status.st_dev, status.st_ino) == found.identity
        if not stat.S_ISREG(status.st_mode) or status.st_size != found.size or not same:
            raise _changed(found.path)
        name, executable = found.path.encode(), bool(status.st_mode & stat.S_IXUSR)
        sink(HEAD.pack(len(name), found.size, executable) + name)
        hasher, left = hashlib.sha256(), found.size
        # one byte more than there should be, to see that there is none
        while data := os.read(descriptor, min(left + 1, _CHUNK_BYTES)):
            if len(data) > left:
                raise _changed(found.path)
            left -= len(data)
            hasher.update(data)
            sink(data)
    finally:
        os.close(descriptor)
    if left:
        raise _changed(found.path)
    return Entry(found.path, executable, hasher.hexdigest(), found.size)


def _read_link(at: Place, found: _Found, sink: Callable[[bytes], object]) -> Entry:
    """It is the one that was listed, before and after it was read."""
    target, status = read_link(at, found.path.rpartition("/")[2])
    if not stat.S_ISLNK(status.st_mode) or (status.st_dev, status.st_ino) != found.identity:
        raise _changed(found.path)
    if why := target_problem(target):
        raise NotATree(f"link {shown(found.path)} {why}", hint="remove the link, or have it lead elsewhere")
    name, content = found.path.encode(), target.encode()
    if len(content) != found.size:
        raise _changed(found.path)
    sink(HEAD.pack(len(name), len(content), LINK) + name + content)
    return Entry(found.path, False, hashlib.sha256(content).hexdigest(), len(content), True)


@dataclass(slots=True)
class _Frame:
    """A folder that is being listed."""

    place: Place
    prefix: str
    """Its path, with `/` at the end; nothing for the tree's own."""
    folders: list[str] = field(default_factory=list)
    """Names that are still to be listed."""


def _is_history(name: str) -> bool:
    return name == HISTORY


def _listed(folder: Path, limits: Limits, links: bool, ignored: Callable[[str], bool]) -> list[_Found]:
    """Every file that counts, sorted by path. Reads no content."""
    count = _Count(limits, links, ignored)
    frames = [_Frame(open_root(folder), "")]
    path = "its own folder"
    try:
        count.list(frames[0])
        while frames:
            frame = frames[-1]
            if frame.folders:
                path = frame.prefix + frame.folders.pop()
                if len(frames) > limits.depth:
                    raise _exceeded(limits, f"{shown(path)} is more than {limits.depth} folders deep")
                child = open_folder(frame.place, path[len(frame.prefix) :])
                frames.append(_Frame(child, f"{path}/"))
                count.list(frames[-1])
            else:
                close(frames.pop().place)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        for frame in frames:
            close(frame.place)
    return sorted(count.found, key=lambda one: one.path)


class _Count:
    """What was listed so far, held against the limits."""

    def __init__(self, limits: Limits, links: bool, ignored: Callable[[str], bool]) -> None:
        self.limits = limits
        self.links = links
        self.ignored = ignored
        self.found: list[_Found] = []
        self._entries = self._bytes = 0

    def list(self, frame: _Frame) -> None:
        """Add the entries of one folder."""
        for name, status in entries_of(frame.place):
            self._entries += 1
            if self._entries > self.limits.entries:
                raise _exceeded(self.limits, f"there are more than {self.limits.entries:,} files and folders")
            if self.ignored(name):
                continue
            path = frame.prefix + name
            self._refuse_name(path)
            if stat.S_ISDIR(status.st_mode):
                frame.folders.append(name)
            elif stat.S_ISREG(status.st_mode):
                self._add(_Found(path, status.st_size, (status.st_dev, status.st_ino)))
            elif self.links and stat.S_ISLNK(status.st_mode):
                if not links_here():
                    raise NotATree(f"{shown(path)} is a symbolic link, which cannot be packed here", hint="remove it")
                self._add(_Found(path, status.st_size, (status.st_dev, status.st_ino), link=True))
            else:
                kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
                raise NotATree(f"{shown(path)} is {kind}", hint="leave ordinary files and folders only")

    def _add(self, found: _Found) -> None:
        self._bytes += found.size
        if self._bytes > self.limits.bytes:
            raise _exceeded(
                self.limits,
                f"with {shown(found.path)} the files are {self._bytes:,} bytes; at most {self.limits.bytes:,} may be",
            )
        self.found.append(found)

    def _refuse_name(self, path: str) -> None:
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise NotATree(f"the name of {shown(path)} is not UTF-8", hint="rename it") from None
        if size > self.limits.path_bytes:
            raise _exceeded(
                self.limits,
                f"the path {shown(path)} is {size:,} bytes long; at most {self.limits.path_bytes:,} may be",
            )


def _exceeded(limits: Limits, message: str) -> NotATree:
    return NotATree(message, hint=limits.hint)


def _changed(path: str) -> NotATree:
    return NotATree(
        f"{shown(path)} changed while it was read", hint="end the programs that write in the folder, then try again"
    )


def _unreadable(path: str, error: OSError) -> NotATree:
    return NotATree(f"{shown(path)} cannot be read: {words(error)}", hint="leave files and folders that can be read")
