"""The files of a folder as one thing: listed, hashed, packed, unpacked.

A tree is its ordinary files: relative path, content, and whether each may be executed. Empty folders, times and
owners do not count. Symbolic links and special files are refused, because what they mean depends on where
they lie. What tools leave behind (`IGNORED`) is not part of a tree.

The folder may be the work of a program that means harm, and that may still run: no link is followed, not even in the
place of the folder itself; everything is counted (`Limits`) before the first byte is read; and the bytes that are
hashed are the bytes that are packed (`take`). Where the system has no descriptors of folders (Windows), paths are
used, which hold only against a program that has ended.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from daybreak.errors import HostError

IGNORED = frozenset(
    {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage", ".git", ".venv", ".hypothesis"}
)
"""Names of files and folders that tools make beside the work."""
IGNORED_SUFFIXES = (".pyc", ".pyo")

MAGIC = b"daybreak-tree-1\n"
_HEAD = struct.Struct(">IQB")
_CHUNK_BYTES = 1 << 20
_SHOWN_MAX = 200
"""Letters of a name in a message."""

_BY_DESCRIPTOR = hasattr(os, "O_NOFOLLOW") and {os.open, os.mkdir} <= os.supports_dir_fd
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


class NotATree(HostError):
    """A folder holds something that a tree cannot, or more than it may, or cannot be read."""

    code = "H121"


class PackDamaged(HostError):
    """Packed bytes are not a packed tree, or not the one that was expected."""

    code = "H122"


class NotUnpacked(HostError):
    """A packed tree could not be written where it was to go."""

    code = "H123"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tree may be."""

    entries: int = 20_000
    """Files and folders, what tools leave behind included, but not what lies in it."""
    depth: int = 64
    """Folders in folders, the tree's own not counted."""
    bytes: int = 256 * 1024 * 1024
    """Of all files, as they appear: holes count."""
    path_bytes: int = 1024
    """Of one relative path in UTF-8."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    """Relative, with `/`."""
    executable: bool
    sha256: str
    """64 hex digits."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Tree:
    """The files of a folder, sorted by path."""

    entries: tuple[Entry, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over path, executable bit and content hash of every file, 64 hex digits."""
        listed = [[entry.path, entry.executable, entry.sha256] for entry in self.entries]
        return hashlib.sha256(json.dumps(listed, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def files(self) -> dict[str, str]:
        """Path → SHA-256."""
        return {entry.path: entry.sha256 for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Taken:
    """A folder as it was when it was read, once."""

    tree: Tree
    packed: bytes
    """What `unpack` makes exactly `tree` of. The same tree gives the same bytes."""


def scan(folder: Path, limits: Limits = LIMITS) -> Tree:
    """The tree of `folder` as it is now.

    Raises NotATree: naming the first thing that is no ordinary file, when a limit is exceeded (before anything is
    read), when something cannot be read, and when something changes meanwhile."""
    return _read(folder, limits, lambda data: None)


def take(folder: Path, limits: Limits = LIMITS) -> Taken:
    """The tree of `folder` and its bytes, of one reading: what is hashed is what is packed. Holds the packed bytes
    and 1 MiB of a file at a time. Raises as `scan`."""
    packer, packed = zlib.compressobj(level=6), io.BytesIO()  # BytesIO gives its buffer away without a copy
    packed.write(MAGIC)
    tree = _read(folder, limits, lambda data: packed.write(packer.compress(data)))
    packed.write(packer.flush())
    return Taken(tree, packed.getvalue())


def pack(folder: Path, limits: Limits = LIMITS) -> bytes:
    """The tree of `folder` as bytes: the same tree gives the same bytes. Raises as `scan`.

    Whoever needs the tree as well asks `take`: between a `scan` and a `pack` the folder may change."""
    return take(folder, limits).packed


def unpack(packed: bytes, folder: Path, expected: str | None = None, limits: Limits = LIMITS) -> Tree:
    """Write a packed tree into `folder`, which is made, and which must be empty; the tree that was written.

    expected: the hash of the tree that it must be. Raises PackDamaged, with nothing written in `folder` or outside,
    whatever the bytes are; NotUnpacked when the system refuses, with part of the files written."""
    with _typed_refusal(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _Position(_open_folder(None, str(folder))) as position:
            if any(True for _ in _entries(position.root)):
                raise PackDamaged(f"{shown(str(folder))} is not empty", hint="unpack into a fresh folder")
            tree = _checked(packed, limits)
            if expected is not None and tree.hash != expected:
                raise _damaged(f"it holds tree {tree.hash}, not {shown(expected)}")
            for relative, executable, content in _unpacked(packed):
                position.go(relative, make=True)
                with open(_create_file(position.here, relative.rpartition("/")[2]), "wb") as file:
                    for chunk in content:
                        file.write(chunk)
                    if hasattr(os, "fchmod"):  # not on Windows, where nothing is executable
                        os.fchmod(file.fileno(), 0o755 if executable else 0o644)
    return tree


def shown(name: str) -> str:
    """A name for a message: never a letter that moves a cursor or that JSON cannot hold, and never long."""
    cut = name if len(name) <= _SHOWN_MAX else f"{name[: _SHOWN_MAX // 2]}…{name[-_SHOWN_MAX // 2 :]}"
    return cut if cut.isprintable() and "\\" not in cut else ascii(cut)


# -- reading


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that was listed."""

    path: str
    size: int
    identity: tuple[int, int]
    """Device and number; nothing on Windows."""


def _read(folder: Path, limits: Limits, sink: Callable[[bytes], object]) -> Tree:
    """Everything in order of paths; `sink` is given what a pack holds."""
    listed = _listed(folder, limits)
    entries = []
    with _Position(_open_root(folder)) as position:
        for found in listed:
            try:
                position.go(found.path)
                entries.append(_read_file(position.here, found, sink))
            except FileNotFoundError:
                raise _changed(found.path) from None
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link in the place of what was no link
                    raise _changed(found.path) from None
                raise _unreadable(found.path, error) from error
    return Tree(tuple(entries))


def _read_file(at: Place, found: _Found, sink: Callable[[bytes], object]) -> Entry:
    descriptor = _open_file(at, found.path.rpartition("/")[2])
    try:
        status = os.fstat(descriptor)
        same = not isinstance(at, int) or (status.st_dev, status.st_ino) == found.identity
        if not stat.S_ISREG(status.st_mode) or status.st_size != found.size or not same:
            raise _changed(found.path)
        name, executable = found.path.encode(), bool(status.st_mode & stat.S_IXUSR)
        sink(_HEAD.pack(len(name), found.size, executable) + name)
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


@dataclass(slots=True)
class _Frame:
    """A folder that is being listed."""

    place: Place
    prefix: str
    """Its path, with `/` at the end; nothing for the tree's own."""
    folders: list[str] = field(default_factory=list)
    """Names that are still to be listed."""


def _listed(folder: Path, limits: Limits) -> list[_Found]:
    """Every file that counts, sorted by path. Reads no content."""
    count = _Count(limits)
    frames = [_Frame(_open_root(folder), "")]
    path = "its own folder"
    try:
        count.list(frames[0])
        while frames:
            frame = frames[-1]
            if frame.folders:
                path = frame.prefix + frame.folders.pop()
                if len(frames) > limits.depth:
                    raise _exceeded(f"{shown(path)} is more than {limits.depth} folders deep")
                child = _open_folder(frame.place, path[len(frame.prefix) :])
                frames.append(_Frame(child, f"{path}/"))
                count.list(frames[-1])
            else:
                _close(frames.pop().place)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        for frame in frames:
            _close(frame.place)
    return sorted(count.found, key=lambda one: one.path)


class _Count:
    """What was listed so far, held against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.found: list[_Found] = []
        self._entries = self._bytes = 0

    def list(self, frame: _Frame) -> None:
        """Add the entries of one folder."""
        for name, status in _entries(frame.place):
            self._entries += 1
            if self._entries > self.limits.entries:
                raise _exceeded(f"there are more than {self.limits.entries:,} files and folders")
            if name in IGNORED or name.endswith(IGNORED_SUFFIXES):
                continue
            path = frame.prefix + name
            self._refuse_name(path)
            if stat.S_ISDIR(status.st_mode):
                frame.folders.append(name)
            elif stat.S_ISREG(status.st_mode):
                self._add(_Found(path, status.st_size, (status.st_dev, status.st_ino)))
            else:
                kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
                raise NotATree(f"{shown(path)} is {kind}", hint="leave ordinary files and folders only")

    def _add(self, found: _Found) -> None:
        self._bytes += found.size
        if self._bytes > self.limits.bytes:
            raise _exceeded(
                f"with {shown(found.path)} the files are {self._bytes:,} bytes; at most {self.limits.bytes:,} may be"
            )
        self.found.append(found)

    def _refuse_name(self, path: str) -> None:
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise NotATree(f"the name of {shown(path)} is not UTF-8", hint="rename it") from None
        if size > self.limits.path_bytes:
            raise _exceeded(f"the path {shown(path)} is {size:,} bytes long; at most {self.limits.path_bytes:,} may be")


def _exceeded(message: str) -> NotATree:
    return NotATree(message, hint="leave only what belongs to the result: remove what was generated, copied or cached")


def _changed(path: str) -> NotATree:
    return NotATree(
        f"{shown(path)} changed while it was read", hint="end the programs that write in the folder, then try again"
    )


def _unreadable(path: str, error: OSError) -> NotATree:
    return NotATree(f"{shown(path)} cannot be read: {_words(error)}", hint="leave files and folders that can be read")


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


# -- open folders


class _Position:
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
            _close(self._places.pop())
        for name in names[same:]:
            if make:
                _make_folder(self.here, name)
            self._places.append(_open_folder(self.here, name))
            self._names.append(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for place in self._places:
            _close(place)


def _open_root(folder: Path) -> Place:
    try:
        return _open_folder(None, str(folder))
    except FileNotFoundError:
        raise NotATree(f"{shown(str(folder))} is not there", hint="it must be a folder") from None
    except (OSError, ValueError) as error:  # ValueError: a path that no system call takes
        link = False
        with suppress(OSError, ValueError):
            link = stat.S_ISLNK(os.lstat(folder).st_mode)
        why = "is a symbolic link" if link else _words(error) if isinstance(error, OSError) else "is no path"
        raise NotATree(f"{shown(str(folder))} cannot be read: {why}", hint="it must be a folder itself") from None


def _open_folder(at: Place | None, name: str) -> Place:
    """Of the folder `at`; of nothing: a path. Raises OSError for a link."""
    if _BY_DESCRIPTOR:
        assert not isinstance(at, Path)
        return os.open(name, _FOLDER, dir_fd=at)
    path = Path(name) if at is None else Path(str(at), name)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return path


def _open_file(at: Place, name: str) -> int:
    if isinstance(at, int):
        return os.open(name, _FILE, dir_fd=at)
    if not stat.S_ISREG((at / name).lstat().st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.open(at / name, _FILE)


def _create_file(at: Place, name: str) -> int:
    return os.open(name, _FRESH, 0o600, dir_fd=at) if isinstance(at, int) else os.open(at / name, _FRESH, 0o600)


def _make_folder(at: Place, name: str) -> None:
    with suppress(FileExistsError):
        if isinstance(at, int):
            os.mkdir(name, dir_fd=at)
        else:
            (at / name).mkdir()


def _entries(place: Place) -> Iterator[tuple[str, os.stat_result]]:
    """Names of a folder and what they are, links themselves."""
    with os.scandir(place) as entries:
        for entry in entries:
            yield entry.name, entry.stat(follow_symlinks=False)


def _close(place: Place) -> None:
    if isinstance(place, int):
        os.close(place)


# -- unpacking


@contextmanager
def _typed_refusal(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = _words(error) if isinstance(error, OSError) else "it is no path"
        raise NotUnpacked(
            f"a tree cannot be written to {shown(str(folder))}: {why}",
            hint="unpack into a fresh folder (no link) on a disk with room",
        ) from error


def _checked(packed: bytes, limits: Limits) -> Tree:
    """The tree that packed bytes hold, all of them read. Raises PackDamaged."""
    entries: dict[str, Entry] = {}
    total, folders = 0, set[str]()
    for relative, executable, content in _unpacked(packed):
        if relative in entries or relative in folders:
            raise _damaged(f"{shown(relative)} is in it twice")
        parents = _parents(relative)
        if len(parents) > limits.depth or len(relative.encode()) > limits.path_bytes:
            raise _damaged(f"path {shown(relative)} is too long or too deep")
        folders.update(parents)
        hasher, size = hashlib.sha256(), 0
        for chunk in content:
            hasher.update(chunk)
            size += len(chunk)
            if total + size > limits.bytes:
                raise _damaged(f"its files are more than {limits.bytes:,} bytes")
        total += size
        entries[relative] = Entry(relative, executable, hasher.hexdigest(), size)
        if len(entries) + len(folders) > limits.entries:
            raise _damaged(f"it holds more than {limits.entries:,} files and folders")
    if both := entries.keys() & folders:
        raise _damaged(f"{shown(min(both))} is a file and a folder")
    return Tree(tuple(entries[path] for path in sorted(entries)))


def _parents(relative: str) -> list[str]:
    return [relative[:at] for at, letter in enumerate(relative) if letter == "/"]


def _unpacked(packed: bytes) -> Iterator[tuple[str, bool, Iterator[bytes]]]:
    """Path, executable bit and content, which must be read before the next. Raises PackDamaged."""
    if not packed.startswith(MAGIC):
        raise PackDamaged("these bytes are not a packed tree", hint="`daybreak ledger verify` checks stored bytes")
    data = _Data(packed)
    while not data.is_over():
        name_bytes, content_bytes, executable = _HEAD.unpack(data.read(_HEAD.size))
        if name_bytes > LIMITS.path_bytes * 4:  # before that much is held
            raise _damaged("a path is too long")
        try:
            relative = data.read(name_bytes).decode()
        except UnicodeDecodeError:
            raise _damaged("a path is not UTF-8") from None
        if not _is_inside(relative):
            raise _damaged(f"path {shown(relative)}")
        yield relative, bool(executable), data.chunks(content_bytes)


class _Data:
    """Unpacked bytes, a piece at a time. Every method raises PackDamaged."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = len(MAGIC)
        self._zlib = zlib.decompressobj()
        self._piece = b""

    def is_over(self) -> bool:
        if not self._piece:
            self._piece = self._more()
        return not self._piece

    def read(self, size: int) -> bytes:
        return b"".join(self.chunks(size))

    def chunks(self, size: int) -> Iterator[bytes]:
        """`size` bytes, none of it more than a chunk."""
        while size:
            if self.is_over():
                raise _damaged("a file ends after the data")
            piece, self._piece = self._piece[:size], self._piece[size:]
            size -= len(piece)
            yield piece

    def _more(self) -> bytes:
        """Some bytes; none at the end."""
        while not self._zlib.eof:
            packed = self._zlib.unconsumed_tail
            if not packed:
                packed = self._packed[self._at : self._at + _CHUNK_BYTES // 16]
                self._at += len(packed)
            try:
                piece = self._zlib.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                raise _damaged(str(error)) from error
            if piece:
                return piece
            if not packed and not self._zlib.eof:
                raise _damaged("it ends too early")
        if self._zlib.unused_data or self._at < len(self._packed):
            raise _damaged("something follows its end")
        return b""


def _damaged(why: str) -> PackDamaged:
    return PackDamaged(f"packed tree is damaged: {why}", hint="`daybreak ledger verify` checks stored bytes")


def _is_inside(relative: str) -> bool:
    if not _BY_DESCRIPTOR and ("\\" in relative or ":" in relative):  # both leave the folder on Windows
        return False
    parts = relative.split("/")
    return bool(relative) and "\0" not in relative and not any(part in ("", ".", "..") for part in parts)
