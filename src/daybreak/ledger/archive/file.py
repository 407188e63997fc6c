"""One archive file: whose it is, one stretch of its events, or all of it checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from daybreak.ledger.archive import layout
from daybreak.ledger.archive.layout import Frame, Manifest, Stretch
from daybreak.ledger.archive.problems import ArchiveDamaged
from daybreak.ledger.note import NoteError, Verifier
from daybreak.ledger.record import decode_header
from daybreak.ledger.tiles import HASH, WIDTH
from daybreak.ledger.tree import verify_consistency

_CHUNK = 1 << 20
_HINT = (
    "nothing of it was used. Put a good copy of the file back (replicas and snapshots have the events, too); "
    "`daybreak ledger archives --check` looks at every file."
)

Progress = Callable[[int, int], None]
"""(events done, events in all)"""


def damaged(path: Path, what: str) -> ArchiveDamaged:
    return ArchiveDamaged(f"the archive {path}: {what}", hint=_HINT)


class Sum(NamedTuple):
    """Of a whole file."""

    sha256: str
    bytes: int


def sum_of(path: Path) -> Sum:
    """Raises OSError."""
    found, count = sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            found.update(block)
            count += len(block)
    return Sum(found.hexdigest(), count)


class ArchiveFile:
    """A file whose manifest was read. What it gives was unpacked within limits and is what the manifest says; whether
    that is what the ledger holds is for the caller to compare."""

    def __init__(self, path: Path) -> None:
        """Raises ArchiveDamaged, OSError (FileNotFoundError where there is none)."""
        self.path = path
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                if file.read(len(layout.MAGIC)) != layout.MAGIC:
                    raise ValueError("it does not begin as an archive does")
                file.seek(max(0, size - layout.TRAILER))
                offset, length, digest = layout.read_trailer(file.read(layout.TRAILER))
                if offset + length + layout.TRAILER != size:
                    raise ValueError(f"it has {size} bytes, and {offset + length + layout.TRAILER} are said to be its")
                file.seek(offset)
                self.manifest: Manifest = layout.read_manifest(file.read(length), digest, offset)
        except ValueError as error:
            raise damaged(path, str(error)) from error

    def stretch(self, n: int) -> Stretch:
        """The events of tile `n` of the ledger, which must be in the range. Raises ArchiveDamaged, OSError."""
        at = n - self.manifest.start // WIDTH
        what = f"events {n * WIDTH} to {(n + 1) * WIDTH - 1}"
        try:
            return layout.unpack(n * WIDTH, self._unpacked(self.manifest.frames[at], what))
        except ValueError as error:
            raise damaged(self.path, f"{what}: {error}") from error

    def blob(self, digest: str) -> bytes | None:
        """A payload that has a frame of its own; None where it is not in here. Raises ArchiveDamaged, OSError."""
        frame = self.manifest.blobs.get(digest)
        if frame is None:
            return None
        data = self._unpacked(frame, f"payload {digest}")
        if sha256(data).hexdigest() != digest:
            raise damaged(self.path, f"payload {digest}: it holds other bytes than its name says")
        return data

    def _unpacked(self, frame: Frame, what: str) -> bytes:
        with self.path.open("rb") as file:
            file.seek(frame.offset)
            data = file.read(frame.length)
        if sha256(data).hexdigest() != frame.sha256:
            raise damaged(self.path, f"{what}: other bytes than were written")
        try:
            if zstandard.frame_content_size(data) != frame.size:
                raise damaged(self.path, f"{what}: its frame unpacks to another size than is said")
            unpacker = zstandard.ZstdDecompressor(max_window_size=layout.WINDOW_MAX)
            found = unpacker.decompress(data, max_output_size=frame.size, allow_extra_data=False)
        except (zstandard.ZstdError, MemoryError) as error:
            raise damaged(self.path, f"{what}: its frame cannot be unpacked: {error}") from error
        if len(found) != frame.size:
            raise damaged(self.path, f"{what}: its frame unpacks to {len(found)} bytes, not {frame.size}")
        return found

    # -- all of it

    def stretches(self) -> Iterator[Stretch]:
        for n in range(self.manifest.start // WIDTH, self.manifest.end // WIDTH):
            yield self.stretch(n)

    def check(
        self,
        tile: Callable[[int], bytes],
        *,
        wanted: Sum | None = None,
        origin: str = "",
        verifier: Verifier | None = None,
        progress: Progress | None = None,
    ) -> Sum:
        """Read every byte: is it the file of that checksum and that log, are its events those whose hashes `tile(n)`
        gives (tile `n` of level 0), is each payload what its header says, and is its head one of that log? Gives its
        checksum. Raises ArchiveDamaged, OSError."""
        told, found = self.manifest, sum_of(self.path)
        if wanted is not None and found != wanted:
            raise damaged(self.path, f"its SHA-256 is {found.sha256}, that of the archive was {wanted.sha256}")
        if origin and told.origin != origin:
            raise damaged(self.path, f"it has events of {told.origin[:200]}, not of {origin}")
        used = set()
        total = 0
        for stretch in self.stretches():
            if b"".join(stretch.hashes) != tile(stretch.first // WIDTH):
                raise self._other(stretch, tile(stretch.first // WIDTH))
            for at, (raw, payload) in enumerate(zip(stretch.headers, stretch.payloads, strict=True)):
                digest = self._digest(stretch.first + at, raw)
                if payload is None:
                    if digest not in used and self.blob(digest) is None:
                        raise damaged(self.path, f"the payload of event {stretch.first + at} is not in it")
                    used.add(digest)
                    continue
                if sha256(payload).hexdigest() != digest:
                    raise damaged(self.path, f"the payload of event {stretch.first + at} is not what was signed")
                total += len(payload)
            if progress is not None:
                progress(stretch.first + WIDTH - told.start, told.end - told.start)
        if used != set(told.blobs):
            raise damaged(self.path, "it holds payloads that none of its events has")
        if total != told.payloads:
            raise damaged(self.path, f"its payloads have {total} bytes, and {told.payloads} are said")
        if verifier is not None:
            self._check_head(verifier)
        return found

    def _other(self, stretch: Stretch, expected: bytes) -> ArchiveDamaged:
        differing = [
            stretch.first + at
            for at, leaf in enumerate(stretch.hashes)
            if leaf != expected[at * HASH : (at + 1) * HASH]
        ]
        return damaged(self.path, f"event {differing[0] if differing else stretch.first} in it is not the ledger's")

    def _digest(self, leaf: int, raw: bytes) -> str:
        try:
            return decode_header(raw).payload
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise damaged(self.path, f"the header of event {leaf} cannot be read: {error}") from error

    def _check_head(self, verifier: Verifier) -> None:
        told = self.manifest
        try:
            head = verifier.open(told.head)
            proof = [bytes.fromhex(node) for node in told.proof]
            same = verify_consistency(told.end, head.size, bytes.fromhex(told.root), head.root, proof)
        except (NoteError, ValueError) as error:
            raise damaged(self.path, f"its signed head is not to be believed: {error}") from error
        if not same:
            raise damaged(self.path, f"its signed head does not continue its tree of {told.end} events")
