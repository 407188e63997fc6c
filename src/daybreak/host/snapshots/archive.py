"""The archive: a GNU tar in Zstandard frames, written and read as a stream.

Every byte of the tar follows from the manifest and the files. The reader therefore parses nothing: it forms each header
itself and compares, so that there is no link, no device, no path, no extra member that an archive could smuggle in, and
nothing is decompressed beyond the size that the manifest names.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from daybreak.host.snapshots.manifest import ARCHIVE, Archive, Entry, Manifest
from daybreak.host.snapshots.problems import CompressorMissing, SourceUnusable, damaged, disk

if TYPE_CHECKING:
    import zstandard

CHUNK_BYTES = 1024 * 1024
FRAME_BYTES = 16 * CHUNK_BYTES
"""So much of the tar goes into one frame, which has a checksum of its own."""
WINDOW_BYTES_MAX = 8 * CHUNK_BYTES
"""Frames that ask for more memory than this are refused; ours ask for a quarter of it."""
LEVEL = 3
BLOCK = 512
END = bytes(2 * BLOCK)

Step = Callable[[int], None]
"""Called with the number of bytes that were just done."""


def library() -> Any:
    """The zstandard module. Raises CompressorMissing."""
    try:
        import zstandard
    except ImportError as error:
        raise CompressorMissing(
            f"snapshots need the library zstandard: {error}", hint="install it: pip install zstandard"
        ) from error
    return zstandard


def header(path: str, size: int, mode: int, modified: int) -> bytes:
    """The tar header of an ordinary file: one block, or three and more where the name is longer than 100 bytes."""
    name = path.encode()
    if len(name) <= 100:
        return _block(name, size, mode, modified, b"0")
    long = name + b"\0"
    return (
        _block(b"././@LongLink", len(long), 0, 0, b"L")
        + long
        + padding(len(long))
        + _block(name[:100], size, mode, modified, b"0")
    )


def padding(size: int) -> bytes:
    """Zeros up to the next full block."""
    return bytes(-size % BLOCK)


def _block(name: bytes, size: int, mode: int, modified: int, kind: bytes) -> bytes:
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            _octal(mode, 8),
            _octal(0, 8),
            _octal(0, 8),
            _octal(size, 12) if size < 8**11 else b"\x80" + size.to_bytes(11, "big"),
            _octal(modified, 12),
            b" " * 8,
            kind,
            bytes(100),
            b"ustar  \0",
            bytes(BLOCK - 265),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


class Packer:
    """Writes the archive. `finish` once, at the end; the file is the caller's to sync and close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._compressor: zstandard.ZstdCompressor = library().ZstdCompressor(level=LEVEL, write_checksum=True)
        self._frame = self._compressor.compressobj()
        self._in_frame = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def add(self, path: str, source: io.FileIO, size: int, mode: int, modified: int, step: Step) -> Entry:
        """The first `size` bytes of `source` as one file. Raises SourceUnusable where there are fewer."""
        self._put(header(path, size, mode, modified))
        digest = hashlib.sha256()
        left = size
        while left:
            try:
                got = source.readinto(self._buffer[: min(left, CHUNK_BYTES)])
            except OSError as error:
                raise SourceUnusable(f"{path} cannot be read: {error}", hint="look at that disk") from error
            if not got:
                raise SourceUnusable(
                    f"{path} became shorter while it was read",
                    hint="take the snapshot again when nothing cuts that file, or leave it out",
                )
            digest.update(self._buffer[:got])
            self._put(self._buffer[:got])
            left -= got
            step(got)
        self._put(padding(size))
        return Entry(path, size, digest.hexdigest(), mode, modified)

    def finish(self) -> Archive:
        self._put(END)
        self._write(self._frame.flush())
        self._file.flush()
        return Archive(self._size, self._digest.hexdigest())

    def _put(self, data: bytes | memoryview) -> None:
        self._write(self._frame.compress(data))
        self._in_frame += len(data)
        if self._in_frame >= FRAME_BYTES:
            self._write(self._frame.flush())
            self._frame = self._compressor.compressobj()
            self._in_frame = 0

    def _write(self, data: bytes) -> None:
        if data:
            self._file.write(data)
            self._digest.update(data)
            self._size += len(data)


class _Counted:
    """A file that knows how much of it was read, and the SHA-256 of that."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.size += len(data)
        self.digest.update(data)
        return data


Sink = Callable[[Entry], contextlib.AbstractContextManager[BinaryIO]]
"""Opens what a file's bytes are written to."""


def unpack(folder: Path, manifest: Manifest, sink: Sink | None, step: Step) -> None:
    """Read the whole archive of a snapshot, comparing everything; files go to `sink`, or nowhere.

    What was written is to be thrown away where it raises: SnapshotDamaged, StoreUnusable, StoreFull.
    """
    name, path = folder.name, folder / ARCHIVE
    zstd = library()
    with disk(path, "reading the snapshot"), path.open("rb", buffering=0) as file:
        size = path.stat().st_size
        if size != manifest.archive.size:
            raise damaged(name, f"{ARCHIVE} has {size} bytes, {manifest.archive.size} were written")
        source = _Counted(file)
        reader = zstd.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).stream_reader(
            source, read_size=CHUNK_BYTES, read_across_frames=True, closefd=False
        )
        stream = _Stream(name, reader, zstd.ZstdError)
        for entry in manifest.files:
            stream.expect(header(entry.path, entry.size, entry.mode, entry.modified), entry.path)
            with contextlib.ExitStack() as stack:
                target = stack.enter_context(sink(entry)) if sink else None
                stream.copy(entry, target, step)
            stream.expect(padding(entry.size), entry.path)
        stream.expect(END, "the end")
        stream.expect_end()
        while source.read(CHUNK_BYTES):
            pass
        if source.size != manifest.archive.size or source.digest.hexdigest() != manifest.archive.sha256:
            raise damaged(name, f"{ARCHIVE} is not the file whose checksum was noted")


class _Stream:
    """The decompressed tar, read in exact pieces."""

    def __init__(self, name: str, reader: Any, complaint: type[Exception]) -> None:
        self._name = name
        self._reader = reader
        self._complaint = complaint
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def expect(self, wanted: bytes, where: str) -> None:
        at = 0
        for piece in self._pieces(len(wanted), where):
            if piece != wanted[at : at + len(piece)]:
                raise damaged(self._name, f"{ARCHIVE} does not hold at {where!r} what its manifest says")
            at += len(piece)

    def copy(self, entry: Entry, target: BinaryIO | None, step: Step) -> None:
        digest = hashlib.sha256()
        for piece in self._pieces(entry.size, entry.path):
            digest.update(piece)
            if target is not None:
                target.write(piece)
            step(len(piece))
        if digest.hexdigest() != entry.sha256:
            raise damaged(self._name, f"{entry.path!r} is not what was stored")

    def expect_end(self) -> None:
        if self._read(1, "the end"):
            raise damaged(self._name, f"{ARCHIVE} goes on behind its end")

    def _pieces(self, size: int, where: str) -> Iterator[memoryview]:
        while size:
            got = self._read(min(size, CHUNK_BYTES), where)
            if not got:
                raise damaged(self._name, f"{ARCHIVE} ends in the middle of {where!r}")
            yield self._buffer[:got]
            size -= got

    def _read(self, most: int, where: str) -> int:
        try:
            return int(self._reader.readinto(self._buffer[:most]))
        except self._complaint as error:
            raise damaged(self._name, f"{ARCHIVE} cannot be decompressed at {where!r}: {error}") from error
