"""Packed trees: their bytes, checked, and written into a folder."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.host.tree import folders
from daybreak.host.tree.folders import Position, create_file, create_link, entries_of, links_here, open_folder
from daybreak.host.tree.shape import (
    LIMITS,
    TARGET_BYTES_MAX,
    Entry,
    Limits,
    NotUnpacked,
    PackDamaged,
    Tree,
    shown,
    target_problem,
    words,
)

MAGIC = b"daybreak-tree-1\n"
HEAD = struct.Struct(">IQB")
"""Of one entry: bytes of its path, bytes of its content, what it is."""
PLAIN, EXECUTABLE, LINK = 0, 1, 2
_CHUNK_BYTES = 1 << 20


def unpack(
    packed: bytes,
    folder: Path,
    expected: str | None = None,
    limits: Limits = LIMITS,
    *,
    links: bool = False,
    refuse: Callable[[Tree], object] = lambda tree: None,
) -> Tree:
    """Write a packed tree into `folder`, which is made, and which must be empty; the tree that was written.

    expected: the hash of the tree that it must be. `links`: it may hold symbolic links, which may lead anywhere, and
    through which nothing is written. `refuse` may raise PackDamaged for what it is not to hold. Raises PackDamaged,
    with nothing written in `folder` or outside, whatever the bytes are; NotUnpacked when the system refuses, with part
    of the files written, or has no links, with none."""
    with _typed_refusal(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with Position(open_folder(None, str(folder))) as position:
            if any(True for _ in entries_of(position.root)):
                raise PackDamaged(f"{shown(str(folder))} is not empty", hint="unpack into a fresh folder")
            tree = _checked(packed, limits, links)
            if expected is not None and tree.hash != expected:
                raise _damaged(f"it holds tree {tree.hash}, not {shown(expected)}")
            refuse(tree)
            _refuse_links(tree, folder)
            for relative, kind, content in _unpacked(packed):
                position.go(relative, make=True)
                name = relative.rpartition("/")[2]
                if kind == LINK:
                    create_link(position.here, name, b"".join(content).decode())
                    continue
                with open(create_file(position.here, name), "wb") as file:
                    for chunk in content:
                        file.write(chunk)
                    if hasattr(os, "fchmod"):  # not on Windows, where nothing is executable
                        os.fchmod(file.fileno(), 0o755 if kind == EXECUTABLE else 0o644)
    return tree


def _refuse_links(tree: Tree, folder: Path) -> None:
    link = next((entry for entry in tree.entries if entry.link), None)
    if link is not None and not links_here():
        raise NotUnpacked(
            f"a tree cannot be written to {shown(str(folder))}: {shown(link.path)} is a symbolic link, and this system "
            "makes none",
            hint="leave it out, or unpack on Linux or macOS",
        )


def check(packed: bytes, expected: str, limits: Limits = LIMITS, *, links: bool = False) -> Tree:
    """The tree that packed bytes hold, nothing of it written. Raises PackDamaged where it is another one, or holds
    links and may not."""
    tree = _checked(packed, limits, links)
    if tree.hash != expected:
        raise _damaged(f"it holds tree {tree.hash}, not {shown(expected)}")
    return tree


@contextmanager
def _typed_refusal(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = words(error) if isinstance(error, OSError) else "it is no path"
        raise NotUnpacked(
            f"a tree cannot be written to {shown(str(folder))}: {why}",
            hint="unpack into a fresh folder (no link) on a disk with room",
        ) from error


def _checked(packed: bytes, limits: Limits, links: bool) -> Tree:
    """The tree that packed bytes hold, all of them read. Raises PackDamaged."""
    entries: dict[str, Entry] = {}
    total, above = 0, set[str]()
    for relative, kind, content in _unpacked(packed):
        if kind == LINK and not links:
            raise _damaged(f"{shown(relative)} is a symbolic link")
        if relative in entries or relative in above:
            raise _damaged(f"{shown(relative)} is in it twice")
        parents = _parents(relative)
        if len(parents) > limits.depth or len(relative.encode()) > limits.path_bytes:
            raise _damaged(f"path {shown(relative)} is too long or too deep")
        above.update(parents)
        hasher, size = hashlib.sha256(), 0
        for chunk in [_target(relative, content)] if kind == LINK else content:
            hasher.update(chunk)
            size += len(chunk)
            if total + size > limits.bytes:
                raise _damaged(f"its files are more than {limits.bytes:,} bytes")
        total += size
        entries[relative] = Entry(relative, kind == EXECUTABLE, hasher.hexdigest(), size, kind == LINK)
        if len(entries) + len(above) > limits.entries:
            raise _damaged(f"it holds more than {limits.entries:,} files and folders")
    if both := entries.keys() & above:
        raise _damaged(f"{shown(min(both))} is a file and a folder")
    return Tree(tuple(entries[path] for path in sorted(entries)))


def _target(relative: str, content: Iterator[bytes]) -> bytes:
    """Where a link leads; no more of it is held than there may be."""
    found = b""
    for chunk in content:
        found += chunk
        if len(found) > TARGET_BYTES_MAX:
            break
    if why := target_problem(found):
        raise _damaged(f"link {shown(relative)} {why}")
    return found


def _parents(relative: str) -> list[str]:
    return [relative[:at] for at, letter in enumerate(relative) if letter == "/"]


def _unpacked(packed: bytes) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Path, what it is, and content, which must be read before the next. Raises PackDamaged."""
    if not packed.startswith(MAGIC):
        raise PackDamaged("these bytes are not a packed tree", hint="`daybreak ledger verify` checks stored bytes")
    data = _Data(packed)
    while not data.is_over():
        name_bytes, content_bytes, kind = HEAD.unpack(data.read(HEAD.size))
        if name_bytes > LIMITS.path_bytes * 4:  # before that much is held
            raise _damaged("a path is too long")
        try:
            relative = data.read(name_bytes).decode()
        except UnicodeDecodeError:
            raise _damaged("a path is not UTF-8") from None
        if not _is_inside(relative):
            raise _damaged(f"path {shown(relative)}")
        if kind not in (PLAIN, EXECUTABLE, LINK):
            raise _damaged(f"{shown(relative)} is of kind {kind}, which there is none of")
        yield relative, kind, data.chunks(content_bytes)


class _Data:
    """Unpacked bytes, a piece at a time. Every method raises PackDamaged."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = len(MAGIC)
        self._zlib = zlib.decompressobj()
        self._piece, self._read = b"", 0
        """The piece that is being read, and how much of it was: many reads of one are no copies of it."""

    def is_over(self) -> bool:
        if self._read == len(self._piece):
            self._piece, self._read = self._more(), 0
        return not self._piece

    def read(self, size: int) -> bytes:
        return b"".join(self.chunks(size))

    def chunks(self, size: int) -> Iterator[bytes]:
        """`size` bytes, none of it more than a chunk."""
        while size:
            if self.is_over():
                raise _damaged("a file ends after the data")
            piece = self._piece[self._read : self._read + size]
            self._read += len(piece)
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
    if not folders.BY_DESCRIPTOR and ("\\" in relative or ":" in relative):  # both leave the folder on Windows
        return False
    parts = relative.split("/")
    return bool(relative) and "\0" not in relative and not any(part in ("", ".", "..") for part in parts)
