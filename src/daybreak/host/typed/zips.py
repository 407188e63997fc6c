"""Zip archives, looked at three times: the directory at the end, the header in front of each member, its content.

Readers go by any of these. Where they say different things, each reader sees another archive, and that is told.
Content is expanded in small parts and thrown away, never more of it than the directory says there is.
"""

from __future__ import annotations

import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak.host.typed.members import NAME_BYTES_MAX, Member
from daybreak.host.typed.refusals import shown

if TYPE_CHECKING:
    import zipfile

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 0x1, 0x8, 0x800
_FLAGS_THAT_COUNT = _ENCRYPTED | _UTF8
"""Readers unpack something else, or under another name, where these differ."""
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14
_IN_EXTRA = 0xFFFFFFFF
"""A size that stands in an extra field, because it needs 64 bits."""
_PART_BYTES = 1 << 16
_FEED_BYTES = 1 << 14
_LZMA_MEMORY_BYTES = 256 << 20


class Damaged(Exception):
    """The archive cannot be read as it says it is."""


class Overlapping(Exception):
    """Two members share bytes: small on disk, huge when unpacked. The argument is the later one's name."""


@dataclass(slots=True)
class Found:
    """What a zip holds."""

    members: list[Member] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Where its parts say different things, or nothing can be looked at."""


def entries_claimed(data: bytes) -> int:
    """How many entries the directory may have, counted in its bytes before objects are made of them. Raises Damaged."""
    ends = {data.rfind(_END), len(data) - 22 if data[-22:-18] == _END else -1} - {-1}  # two ways to find the end
    if not ends:
        raise Damaged("it has no directory at its end")
    return max(_entries_before(data, end) for end in ends)


def _entries_before(data: bytes, end: int) -> int:
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    start = 0 if size >= _IN_EXTRA else max(0, end - size - 76)  # 76: the records of large archives between them
    return data.count(_CENTRAL, start, end)


def directory(data: bytes) -> tuple[list[zipfile.ZipInfo], int]:
    """The entries as the standard library reads them, and where the directory starts. Raises Damaged."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.infolist(), archive.start_dir
    except Exception as error:
        raise Damaged(str(error) or type(error).__name__) from error


def look(data: bytes, entries: list[zipfile.ZipInfo], start: int) -> Found:
    """The members with their content counted. Expands no more than the sizes in `entries` add up to: check those
    first. Raises Damaged and Overlapping."""
    locals_ = {id(entry): _local(data, entry) for entry in entries}
    found = Found(problems=list(_between(data, entries, locals_, start)))
    for entry in entries:
        member, problems = _member(data, entry, locals_[id(entry)])
        found.members.append(member)
        found.problems += problems
    return found


# -- the header in front


@dataclass(slots=True)
class _Local:
    name: bytes
    flags: int
    method: int
    packed_size: int
    size: int
    content_at: int


def _local(data: bytes, entry: zipfile.ZipInfo) -> _Local:
    at = entry.header_offset
    if at < 0 or at + _LOCAL_HEADER.size > len(data) or data[at : at + 4] != _LOCAL:
        raise Damaged(f"no header in front of {shown(entry.filename)!r}")
    _, _, flags, method, _, _, _, packed, size, name_size, extra_size = _LOCAL_HEADER.unpack_from(data, at)
    name_at = at + _LOCAL_HEADER.size
    content_at = name_at + name_size + extra_size
    if content_at + entry.compress_size > len(data):
        raise Damaged(f"{shown(entry.filename)!r} ends after the archive")
    extra = data[name_at + name_size : content_at]
    large = _extra(extra).get(0x0001, b"")
    if size == _IN_EXTRA and len(large) >= 8:
        size, large = int.from_bytes(large[:8], "little"), large[8:]
    if packed == _IN_EXTRA and len(large) >= 8:
        packed = int.from_bytes(large[:8], "little")
    return _Local(data[name_at : name_at + name_size], flags, method, packed, size, content_at)


def _extra(data: bytes) -> dict[int, bytes]:
    """Extra fields by their number. What is cut is left out."""
    found, at = {}, 0
    while at + 4 <= len(data):
        number, size = struct.unpack_from("<HH", data, at)
        found[number] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _between(data: bytes, entries: list[zipfile.ZipInfo], locals_: dict[int, _Local], start: int) -> Iterator[str]:
    """What lies outside of the members that the directory lists. Raises Overlapping."""
    end, hidden, ends = 0, False, 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:  # many members that share one compressed block
            raise Overlapping(entry.filename)
        hidden |= data.find(_LOCAL, end, entry.header_offset) >= 0
        ends += data.count(_END, end, entry.header_offset)
        end = locals_[id(entry)].content_at + entry.compress_size
    if hidden or data.find(_LOCAL, end, start) >= 0:
        yield "it holds a member that its directory does not list"
    if ends + data.count(_END, end) > 1:
        yield "it has two directories"


# -- one member


def _member(data: bytes, entry: zipfile.ZipInfo, local: _Local) -> tuple[Member, list[str]]:
    name = entry.orig_filename  # the other one is cut at NUL
    said = shown(name)
    problems = [f"member {said!r} {why}" for why in _differences(entry, local)]
    content = _Content(data[local.content_at : local.content_at + entry.compress_size], entry)
    if why := content.count():
        problems.append(f"member {said!r} {why}")
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        target = content.head if content.size <= NAME_BYTES_MAX else b""
        return Member(name, "link", content.size, target.decode("utf-8", "replace")), problems
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Member(name, "special", content.size), problems
    return Member(name, "folder" if name.endswith("/") else "file", content.size), problems


def _differences(entry: zipfile.ZipInfo, local: _Local) -> Iterator[str]:
    """Between the directory and the header in front."""
    name = entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437", "replace")
    unicode_name = _extra(entry.extra).get(0x7075, b"")[5:]  # which some readers prefer
    if local.name != name or unicode_name not in (b"", entry.orig_filename.encode()):
        other = unicode_name if local.name == name else local.name
        yield f"has another name elsewhere: {shown(other.decode('utf-8', 'backslashreplace'))!r}"
    if local.method != entry.compress_type or (local.flags ^ entry.flag_bits) & _FLAGS_THAT_COUNT:
        yield "is packed in two ways: its header and the directory differ"
    unsaid = (0, _IN_EXTRA) if local.flags & _SIZES_BEHIND else ()
    for here, there in ((local.size, entry.file_size), (local.packed_size, entry.compress_size)):
        if here != there and here not in unsaid:
            yield f"has two sizes: {here} in its header, {there} in the directory"


class _Content:
    """A member's bytes, expanded and thrown away."""

    def __init__(self, packed: bytes, entry: zipfile.ZipInfo) -> None:
        self._packed, self._entry = packed, entry
        self.size = entry.file_size
        """As counted; as claimed where it cannot be looked at."""
        self.head = b""
        """Its first bytes."""
        self._left = 0
        """Packed bytes after its end."""

    def count(self) -> str | None:
        """What is wrong with it. Raises Damaged."""
        entry = self._entry
        if entry.flag_bits & _ENCRYPTED:
            return "is encrypted: what it holds cannot be looked at"
        if entry.compress_type not in (_STORED, _DEFLATED, _BZIP2, _LZMA):
            return f"is packed by method {entry.compress_type}, which cannot be looked into"
        size = checksum = 0
        try:
            for part in self._parts():
                size += len(part)
                if size > entry.file_size:
                    return f"holds more than the {entry.file_size} bytes it says"
                checksum = zlib.crc32(part, checksum)
                self.head = (self.head + part)[:NAME_BYTES_MAX] if len(self.head) < NAME_BYTES_MAX else self.head
        except Exception as error:
            raise Damaged(f"{shown(entry.filename)!r}: {str(error) or type(error).__name__}") from error
        self.size = size
        if size < entry.file_size:
            return f"says {entry.file_size} bytes and holds {size} bytes"
        if checksum != entry.CRC:
            raise Damaged(f"the checksum of {shown(entry.filename)!r} is wrong")
        return f"has {self._left} packed bytes more than its content" if self._left else None

    def _parts(self) -> Iterator[bytes]:
        method = self._entry.compress_type
        if method == _STORED:
            yield from (self._packed[at : at + _PART_BYTES] for at in range(0, len(self._packed), _PART_BYTES))
        elif method == _DEFLATED:
            yield from self._inflated()
        else:
            yield from self._through(_bz2() if method == _BZIP2 else self._lzma())

    def _inflated(self) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-15)
        for at in range(0, len(self._packed), _FEED_BYTES):  # what is not taken is copied: so in small parts
            feed = self._packed[at : at + _FEED_BYTES]
            while feed and not inflate.eof:
                yield inflate.decompress(feed, _PART_BYTES)
                feed = inflate.unconsumed_tail
            if inflate.eof:
                self._left = len(inflate.unused_data) + len(self._packed) - min(at + _FEED_BYTES, len(self._packed))
                return
        yield inflate.flush()
        if not inflate.eof:
            raise EOFError("it ends too early")

    def _through(self, expand: Any) -> Iterator[bytes]:
        at, marked = 0, self._entry.compress_type == _BZIP2 or bool(self._entry.flag_bits & 0x2)
        while not expand.eof:
            feed = b""
            if expand.needs_input:
                if at >= len(self._packed):
                    if marked:
                        raise EOFError("it ends too early")
                    return  # without an end mark it ends where its bytes end
                feed = self._packed[at : at + _FEED_BYTES]
                at += len(feed)
            yield expand.decompress(feed, _PART_BYTES)
        self._left = len(expand.unused_data) + len(self._packed) - at

    def _lzma(self) -> Any:
        import lzma

        head, self._packed = self._packed[:9], self._packed[9:]
        if len(head) < 9 or head[2:4] != b"\x05\0" or head[4] >= 225:
            raise ValueError("its header is wrong")
        rest, lc = divmod(head[4], 9)
        pb, lp = divmod(rest, 5)
        memory = int.from_bytes(head[5:9], "little")
        if memory > _LZMA_MEMORY_BYTES:
            raise MemoryError(f"it asks for {memory} bytes of memory")
        one = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(memory, 4096)}
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[one])


def _bz2() -> Any:
    import bz2

    return bz2.BZ2Decompressor()
