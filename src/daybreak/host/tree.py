"""The files of a folder as one thing: listed, hashed, packed, unpacked.

A tree is its ordinary files: relative path, content, and whether each may be executed. Empty folders, times and
owners do not count. Symbolic links and special files are refused, because what they mean depends on where
they lie. What tools leave behind (`IGNORED`) is not part of a tree.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from daybreak.errors import HostError

IGNORED = frozenset(
    {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage", ".git", ".venv", ".hypothesis"}
)
"""Names of files and folders that tools make beside the work."""
IGNORED_SUFFIXES = (".pyc", ".pyo")

MAGIC = b"daybreak-tree-1\n"
_HEAD = struct.Struct(">IQB")
_PATH_BYTES_MAX = 4096


class NotATree(HostError):
    """A folder holds something that a tree cannot."""

    code = "H121"


class PackDamaged(HostError):
    """Packed bytes are not a packed tree."""

    code = "H122"


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


def scan(folder: Path) -> Tree:
    """The tree of `folder` as it is now. Raises NotATree, naming the first thing that is no ordinary file."""
    entries = []
    for path, relative in _walk(folder):
        content = path.read_bytes()
        mode = path.stat().st_mode
        entries.append(Entry(relative, bool(mode & stat.S_IXUSR), hashlib.sha256(content).hexdigest(), len(content)))
    return Tree(tuple(entries))


def pack(folder: Path) -> bytes:
    """The tree of `folder` as bytes: the same tree gives the same bytes. Raises as `scan`."""
    parts = []
    for path, relative in _walk(folder):
        name, content = relative.encode(), path.read_bytes()
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        parts.append(_HEAD.pack(len(name), len(content), executable) + name + content)
    return MAGIC + zlib.compress(b"".join(parts), level=6)


def unpack(packed: bytes, folder: Path) -> None:
    """Write a packed tree into `folder`, which is made, and which must be empty. Raises PackDamaged, with nothing
    written outside `folder` whatever the bytes are."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise PackDamaged(f"{folder} is not empty", hint="unpack into a fresh folder")
    for relative, executable, content in _unpacked(packed):
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    found = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in [*folders, *files]:
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if name in IGNORED or name.endswith(IGNORED_SUFFIXES):
                continue
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
                raise NotATree(f"{path.relative_to(folder)} is {kind}", hint="leave ordinary files and folders only")
            if stat.S_ISREG(mode):
                found.append((path, path.relative_to(folder).as_posix()))
        folders[:] = [name for name in folders if name not in IGNORED]
    for path, relative in found:
        try:
            relative.encode()
        except UnicodeEncodeError:
            raise NotATree(f"the name of {path!r} is not UTF-8", hint="rename the file") from None
    yield from sorted(found, key=lambda one: one[1])


def _raise(error: OSError) -> None:
    raise error


def _unpacked(packed: bytes) -> Iterator[tuple[str, bool, bytes]]:
    if not packed.startswith(MAGIC):
        raise PackDamaged("these bytes are not a packed tree", hint="`daybreak ledger verify` checks stored bytes")
    try:
        data = zlib.decompress(packed[len(MAGIC) :])
        at, seen = 0, set()
        while at < len(data):
            name_bytes, content_bytes, executable = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            if name_bytes > _PATH_BYTES_MAX or at + name_bytes + content_bytes > len(data):
                raise ValueError("a file ends after the data")
            relative = data[at : at + name_bytes].decode()
            if not _is_inside(relative) or relative in seen:
                raise ValueError(f"path {relative!r}")
            seen.add(relative)
            yield relative, bool(executable), data[at + name_bytes : at + name_bytes + content_bytes]
            at += name_bytes + content_bytes
    except (zlib.error, struct.error, ValueError) as error:
        raise PackDamaged(
            f"packed tree is damaged: {error}", hint="`daybreak ledger verify` checks stored bytes"
        ) from error


def _is_inside(relative: str) -> bool:
    parts = relative.split("/")
    return bool(relative) and "\0" not in relative and not any(part in ("", ".", "..") for part in parts)
