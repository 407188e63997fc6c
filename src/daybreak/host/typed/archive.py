"""What is inside an archive, told without unpacking it: zip, tar, and tar or one file in gz, bz2, xz, zst.

`list_members` tells what there is and what is wrong with it; `inspect` refuses what is unsafe to unpack. Sizes of
compressed data are counted by expanding it in small parts, up to the limits, and throwing it away. Where parts of an
archive say different things (the directory of a zip and its headers or content), that is a problem too.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from daybreak.host.typed import kinds, zips
from daybreak.host.typed.limits import DEFAULT, Limits, checked
from daybreak.host.typed.members import Member, What, problems
from daybreak.host.typed.refusals import (
    SENTENCE,
    ArchiveUnsafe,
    Bomb,
    KindUnknown,
    Malformed,
    TooComplex,
    WrongKind,
    shown,
)
from daybreak.host.typed.source import Source, path_text, read_bytes

if TYPE_CHECKING:
    import tarfile

__all__ = ["Listing", "Member", "What", "inspect", "list_members"]

_PART_BYTES = 1 << 16
_RATIO_FROM_BYTES = 1_000_000
_TAR_BLOCK = 512
_TAR_NAMES_MAX = 1 << 20
"""Bytes of one extended header."""
_XZ_MEMORY_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Listing:
    """What an archive holds."""

    form: str
    """`zip`, `tar`, `tar.gz`, …, or `gz`, `bz2`, `xz`, `zst` for a single compressed file."""
    members: tuple[Member, ...]
    expanded_bytes: int
    """Of all members together."""
    problems: tuple[str, ...]
    """Why it is unsafe to unpack; empty where nothing speaks against it."""


def list_members(path: str | os.PathLike[str], *, limits: Limits = DEFAULT) -> Listing:
    """The members of an archive, and what is wrong with them. Raises WrongKind, Malformed, Bomb (counted, not
    unpacked), TooComplex, and as `read` for a file that cannot be read."""
    name = path_text(path)
    return listing(Source(name, read_bytes(name, checked(limits).bytes_max), limits))


def inspect(path: str | os.PathLike[str], *, limits: Limits = DEFAULT) -> Listing:
    """As `list_members`, and raises ArchiveUnsafe where a member could land outside, point anywhere, or overwrite
    another one."""
    found = list_members(path, limits=limits)
    refuse_problems(found, path_text(path))
    return found


def refuse_problems(found: Listing, path: str) -> None:
    """Raises ArchiveUnsafe where there are any."""
    if found.problems:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise ArchiveUnsafe.at(path, found.problems[0] + more, hint="do not unpack it; list_members() tells all")


def listing(source: Source) -> Listing:
    """As `list_members`, of bytes that are there already."""
    kind = kinds.of_bytes(source.data).name
    if kind == "zip":
        members, lies = _zip_members(source)
        form = "zip"
    elif kind == "tar":
        members, lies = _tar_members(io.BytesIO(source.data), source)
        form = "tar"
    elif kind in ("gz", "bz2", "xz", "zst"):
        form, members, lies = _compressed(source, kind)
    elif kind in ("7z", "rar"):
        raise KindUnknown.at(source.path, f"{kind} archives cannot be looked into", hint="repack it as zip or tar")
    else:
        raise WrongKind.at(source.path, f"is no archive but {kind}", hint="check the file")
    total = sum(member.size for member in members)
    _refuse_bomb(total, source)
    return Listing(form, tuple(members), total, (*lies, *problems(members)))


def _refuse_bomb(expanded: int, source: Source) -> None:
    limits = source.limits
    if expanded > limits.expanded_bytes_max:
        _bomb(source, f"expands to more than {limits.expanded_bytes_max} bytes", "expanded_bytes_max")
    if expanded > _RATIO_FROM_BYTES and expanded > limits.ratio_max * max(len(source.data), 1):
        _bomb(source, f"expands to more than {limits.ratio_max} times its size", "ratio_max")


def _bomb(source: Source, what: str, limit: str) -> NoReturn:
    raise Bomb.at(source.path, what, hint=f"do not unpack it; raise Limits({limit}=…) if it is yours")


def _malformed(source: Source, what: str) -> NoReturn:
    raise Malformed.at(source.path, f"the archive is damaged: {shown(what, SENTENCE)}", hint="get a fresh copy")


def _too_many(source: Source) -> NoReturn:
    raise TooComplex.at(
        source.path, f"more than {source.limits.members_max} members", hint="raise Limits(members_max=…) if it is yours"
    )


# -- zip


def _zip_members(source: Source) -> tuple[list[Member], list[str]]:
    try:
        if zips.entries_claimed(source.data) > source.limits.members_max:
            _too_many(source)
        entries, start = zips.directory(source.data)
        _refuse_bomb(sum(entry.file_size for entry in entries), source)
        found = zips.look(source.data, entries, start)
    except zips.Damaged as error:
        _malformed(source, str(error))
    except zips.Overlapping as error:
        _bomb(source, f"members overlap at {shown(str(error))!r}", "ratio_max")
    return found.members, found.problems


# -- tar


def _tar_members(file: Any, source: Source) -> tuple[list[Member], list[str]]:
    """And what is wrong with it as a whole; `file` is read to its end. By our own walk over the headers: the standard
    library reads extended headers of any size into memory, and recurses over chains of them."""
    import tarfile

    members: list[Member] = []
    longer: dict[str, str] = {}
    while block := _take(file, _TAR_BLOCK):
        if len(block) < _TAR_BLOCK:
            _malformed(source, "it ends in the middle of a header")
        if not block.strip(b"\0"):
            break
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            _malformed(source, f"a header is wrong: {error}")
        if info.size < 0:
            _malformed(source, "a member of negative size")
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X"):
            if info.size > _TAR_NAMES_MAX:
                _bomb(source, f"a header of {info.size} bytes", "expanded_bytes_max")
            content = _take(file, info.size)
            _skip(file, -info.size % _TAR_BLOCK, source)
            _longer(info, content, longer, source)
            continue
        member = _tar_member(info, longer, source)
        longer = {key: value for key, value in longer.items() if key.startswith("global ")}
        members.append(member)
        if len(members) > source.limits.members_max:
            _too_many(source)
        if member.what == "file" or info.type not in (
            *(tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE),
            *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
        ):
            _skip(file, member.size + -member.size % _TAR_BLOCK, source)
    return members, ["it holds more after its end, which some readers take for members"] if _goes_on(file) else []


def _goes_on(file: Any) -> bool:
    """Whether anything but zeros is left."""
    found = False
    while part := file.read(_PART_BYTES):
        found = found or part.count(0) < len(part)
    return found


def _longer(info: tarfile.TarInfo, content: bytes, longer: dict[str, str], source: Source) -> None:
    """What an extended header says about the next member: `path`, `linkpath`, `size`, and whether it is sparse."""
    if info.type in (b"L", b"K"):
        longer["path" if info.type == b"L" else "linkpath"] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        return
    prefix, at = "global " if info.type == b"g" else "", 0
    while at < len(content) and content[at : at + 1] != b"\0":
        digits, blank, _ = content[at : at + 20].partition(b" ")
        if not blank or not digits.isdigit() or not 5 <= int(digits) <= len(content) - at:
            _malformed(source, "an extended header is wrong")
        key, equals, value = content[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if not equals:
            _malformed(source, "an extended header is wrong")
        longer[prefix + key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += int(digits)


def _tar_member(info: tarfile.TarInfo, longer: dict[str, str], source: Source) -> Member:
    def said(key: str, otherwise: str) -> str:
        return longer.get(key, longer.get("global " + key, otherwise))

    name, target = said("path", info.name), said("linkpath", info.linkname)
    digits = said("size", str(info.size))
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        _malformed(source, f"a size of {digits!r}")
    if any("GNU.sparse" in key for key in longer) or info.type == b"S":
        return Member(name, "special", int(digits))
    if info.issym() or info.islnk():
        return Member(name, "link", 0, target)
    if info.isdir():
        return Member(name, "folder", 0)
    if info.isreg():
        return Member(name, "file", int(digits))
    return Member(name, "special", int(digits))


def _take(file: Any, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    while size and (part := file.read(min(size, _PART_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _skip(file: Any, size: int, source: Source) -> None:
    if isinstance(file, io.BytesIO):
        if file.tell() + size > len(source.data):
            _malformed(source, "it ends in the middle of a member")
        file.seek(size, os.SEEK_CUR)
        return
    while size:
        part = file.read(min(size, _PART_BYTES))
        if not part:
            _malformed(source, "it ends in the middle of a member")
        size -= len(part)


# -- compressed


class _Expanded:
    """A compressed file's content as a stream: bounded parts, counted, refused at the limits."""

    def __init__(self, source: Source, kind: str) -> None:
        self._source = source
        self.count = 0
        try:
            self._file = _openers()[kind](source.data)
        except Exception as error:  # noqa: BLE001 - as in `read`
            _malformed(source, str(error) or type(error).__name__)

    def read(self, size: int) -> bytes:
        try:
            part: bytes = self._file.read(min(size, _PART_BYTES))
        except Exception as error:  # noqa: BLE001 - five decompressors, each with its own errors, all meaning damage
            _malformed(self._source, str(error) or type(error).__name__)
        self.count += len(part)
        _refuse_bomb(self.count, self._source)
        return part


def _openers() -> dict[str, Callable[[bytes], Any]]:
    return {"gz": _open_gz, "bz2": _open_bz2, "xz": _Xz, "zst": _open_zst}


def _open_gz(data: bytes) -> Any:
    import gzip

    return gzip.GzipFile(fileobj=io.BytesIO(data))


def _open_bz2(data: bytes) -> Any:
    import bz2

    return bz2.BZ2File(io.BytesIO(data))


def _open_zst(data: bytes) -> Any:
    import zstandard

    _refuse_cut_zst(data)
    return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(data), read_across_frames=True)


def _refuse_cut_zst(data: bytes) -> None:
    """Raises ValueError unless the data is a row of complete frames (RFC 8878): the library takes the end of the data
    for the end of a frame, in silence."""
    import zstandard

    at = 0
    while at < len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        if magic >> 4 == 0x184D2A5:  # a frame to be skipped
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        head = data[at : at + 18]
        checksum = 4 if zstandard.get_frame_parameters(head).has_checksum else 0
        at += zstandard.frame_header_size(head)
        last = 0
        while not last:
            block = int.from_bytes(data[at : at + 3], "little")
            last, form, size = block & 1, block >> 1 & 3, block >> 3
            at += 3 + (1 if form == 1 else size)  # 1: one byte, repeated
            if at > len(data) or form == 3:
                raise ValueError("a block is cut or wrong")
        at += checksum
    if at != len(data):
        raise ValueError("it ends too early")


class _Xz:
    """The standard library's file takes no memory limit, its decompressor does."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes = data
        self._fresh()

    def _fresh(self) -> None:
        import lzma

        self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)

    def read(self, size: int) -> bytes:
        while True:
            if self._decompressor.eof:
                self._data = self._decompressor.unused_data.lstrip(b"\0")  # between streams there may be padding
                if not self._data:
                    return b""
                self._fresh()
            if self._decompressor.needs_input and not self._data:
                raise EOFError("it ends too early")
            data, self._data = self._data, b""
            if part := self._decompressor.decompress(data, size):
                return part


def _compressed(source: Source, kind: str) -> tuple[str, list[Member], list[str]]:
    """Members of a tar inside, or the one file; always read to its end, so that all is counted and checked."""
    stream = _Expanded(source, kind)
    head = _take(stream, _TAR_BLOCK)
    if kinds.of_bytes(head).name == "tar":
        members, lies = _tar_members(_Again(head, stream), source)
        return f"tar.{kind}", members, lies
    while stream.read(_PART_BYTES):
        pass
    name = os.path.basename(source.path)
    stem, dot, extension = name.rpartition(".")
    inner = stem if dot and extension.lower() in (kind, "bz", "lzma") and stem else "content"
    return kind, [Member(inner, "file", stream.count)], []


class _Again:
    """A stream with what was already taken from it in front."""

    def __init__(self, head: bytes, stream: _Expanded) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._stream.read(size)
