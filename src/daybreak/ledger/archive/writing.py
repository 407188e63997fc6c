"""Makes an archive file: under another name first, whole and on disk before it gets its own, over nothing that is
there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import zstandard

from daybreak.host.durable import make_folder, sync, sync_folder
from daybreak.ledger.archive import layout
from daybreak.ledger.archive.file import Sum
from daybreak.ledger.archive.layout import Frame, Manifest
from daybreak.ledger.archive.problems import ArchiveTaken, ArchiveUnwritable

WORK = ".archiving"
"""Ends the name of a file that is not whole yet."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Events(NamedTuple):
    """The 256 events of a tile, and what of them is kept as blobs."""

    headers: list[bytes]
    payloads: list[bytes | None]
    """None: a blob."""
    blobs: list[str]
    """The SHA-256 of each of those."""


def write(path: Path, told: Manifest, tiles: Iterable[Events], fetch: Callable[[str], bytes]) -> Sum:
    """The file at `path` with these events; `told` is complete but for frames and counts, and `fetch` gives a blob.
    Returns the checksum.

    On disk, with its name, when this returns; where it raises, nothing is at `path` that was not there. Raises
    ArchiveTaken, ArchiveUnwritable, and what `tiles` and `fetch` raise.
    """
    work = _work(path)
    try:
        work.unlink(missing_ok=True)  # of somebody who was killed: only one archives a ledger at a time
        try:
            descriptor = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                made = _fill(file, told, tiles, fetch)
                file.flush()
                sync(file.fileno())
            _name(work, path)
        finally:
            work.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    return made


def prepare(folder: Path, *, ours: bool) -> None:
    """The folder is there: made where it is `ours`, and never where somebody named it, since a disk that is not mounted
    would be written under. Raises ArchiveUnwritable."""
    try:
        if ours:
            make_folder(folder)
        elif not folder.is_dir():
            raise ArchiveUnwritable(
                f"there is no folder {folder}",
                hint="mount its disk, or make the folder; nothing was written.",
            )
    except OSError as error:
        raise unwritable(folder, error) from error


def settle(path: Path) -> None:
    """A file that is there is on disk with its name, whoever wrote, copied or moved it; what somebody who was
    killed may have left beside it is gone. Raises ArchiveUnwritable."""
    try:
        _work(path).unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ArchiveUnwritable:
    return ArchiveUnwritable(
        f"the archive {path} cannot be written: {error}",
        hint="make room or mend the disk, then repeat: the events are in the ledger as before.",
    )


def _work(path: Path) -> Path:
    return path.with_name(f".{path.name}{WORK}")


def _name(work: Path, path: Path) -> None:
    """Give it its name, unless somebody has it."""
    try:
        os.link(work, path)
    except FileExistsError as error:
        raise taken(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise taken(path) from error
        work.rename(path)


def taken(path: Path) -> ArchiveTaken:
    return ArchiveTaken(
        f"{path} is there already and is not the archive that is to be written",
        hint="move that file away, or name another folder with --to.",
    )


class _Out:
    """Counts and hashes what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self._packer = zstandard.ZstdCompressor(level=layout.LEVEL)
        self.count = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.count += len(data)

    def frame(self, data: bytes) -> Frame:
        packed = self._packer.compress(data)
        made = Frame(self.count, len(packed), len(data), sha256(packed).hexdigest())
        self.write(packed)
        return made

    def sum(self) -> Sum:
        return Sum(self._digest.hexdigest(), self.count)


def _fill(file: BinaryIO, told: Manifest, tiles: Iterable[Events], fetch: Callable[[str], bytes]) -> Sum:
    out = _Out(file)
    out.write(layout.MAGIC)
    frames, blobs, payloads = list[Frame](), dict[str, Frame](), 0
    for events in tiles:
        frames.append(out.frame(layout.pack(events.headers, events.payloads)))
        payloads += sum(len(payload) for payload in events.payloads if payload is not None)
        for digest in events.blobs:
            if digest not in blobs:
                blobs[digest] = out.frame(fetch(digest))
    offset = out.count
    whole = msgspec.structs.replace(told, frames=frames, blobs=blobs, payloads=payloads)
    manifest = msgspec.json.encode(whole)
    out.write(manifest)
    out.write(layout.trailer(offset, manifest))
    return out.sum()
