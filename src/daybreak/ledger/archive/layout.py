"""The bytes of an archive file.

    "daybreak archive 1\n"
    frames          Zstandard, one after the other without gaps: one for each tile of 256 events, and after it one for
                    each payload of those that a ledger keeps as a blob
    manifest        JSON: whose events these are, which, the tree after them, and where each frame lies
    trailer         64 bytes: offset and length of the manifest (64-bit big-endian), its SHA-256, "\ndaybreak end 1\n"

A frame of events holds three bundles, in the encoding that replicas have (`replicas.layout`): the headers, the payloads
(nothing in the place of one that has a frame of its own), and the headers that are too long for the first bundle.
Every byte is under a checksum: of its frame, of the manifest, and that of the whole file, which is in the log.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from daybreak.ledger.replicas.layout import (
    HEADER_MAX,
    pack_entries,
    pack_payloads,
    unpack_entries,
    unpack_payloads,
)
from daybreak.ledger.tiles import WIDTH
from daybreak.ledger.tree import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
MAGIC = b"daybreak archive 1\n"
EVENTS_MAX = 65_536
"""Of one file."""
LEVEL = 1
"""Of Zstandard. Most of what is left is hashes: higher levels take three times as long, for 2 % less or none."""
MANIFEST_MAX = 32 * 1024 * 1024
EVENTS_BYTES_MAX = 48 * 1024 * 1024
"""Of one frame of events, unpacked: 256 headers and payloads of the longest kind that a row has."""
BLOB_BYTES_MAX = 128 * 1024 * 1024
"""Of one payload, unpacked: the longest one, sealed."""
WINDOW_MAX = 8 * 1024 * 1024
"""Frames that ask for more memory than this are refused."""

_END = b"\ndaybreak end 1\n"
_TRAILER = struct.Struct(">QQ32s16s")
TRAILER = _TRAILER.size


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where one lies."""

    offset: int
    length: int
    size: int
    """Bytes, unpacked."""
    sha256: str
    """Of the packed bytes."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says of itself."""

    format: int = FORMAT
    origin: str
    """The log's name."""
    start: int
    end: int
    """Events from `start` to before `end`, both multiples of 256."""
    root: str
    """Of the tree of `end` events, in hex."""
    head: str
    """The signed head at the time."""
    proof: list[str]
    """That its tree begins with the one of `end` events: a consistency proof, in hex."""
    payloads: int = 0
    """Bytes of the payloads in the frames of events, unpacked."""
    frames: list[Frame] = []
    blobs: dict[str, Frame] = {}
    """By the SHA-256 of the payload."""


class Stretch(NamedTuple):
    """The 256 events of a tile."""

    first: int
    headers: list[bytes]
    hashes: list[bytes]
    payloads: list[bytes | None]
    """None: kept as a blob."""


def name_of(start: int, end: int) -> str:
    return f"events-{start:012}-{end:012}.dbarchive"


def pack(headers: Sequence[bytes], payloads: Sequence[bytes | None]) -> bytes:
    """A frame of events, not yet compressed."""
    long = [header for header in headers if len(header) > HEADER_MAX]
    return pack_payloads([pack_entries(headers), pack_payloads(payloads), pack_payloads(long)])


def unpack(first: int, data: bytes) -> Stretch:
    """Raises ValueError where it is not one of 256 events."""
    entries, inline, long = _three(unpack_payloads(data))
    rest = iter(unpack_payloads(long))
    headers = []
    for header in unpack_entries(entries):
        found = header or next(rest, None)
        if not found:
            raise ValueError("a header is missing")
        headers.append(found)
    payloads = unpack_payloads(inline)
    if next(rest, None) is not None or len(headers) != WIDTH or len(payloads) != WIDTH:
        raise ValueError(f"it holds {len(headers)} headers and {len(payloads)} payloads, not {WIDTH}")
    return Stretch(first, headers, [leaf_hash(header) for header in headers], payloads)


def _three(parts: list[bytes | None]) -> tuple[bytes, bytes, bytes]:
    if len(parts) != 3 or parts[0] is None or parts[1] is None or parts[2] is None:
        raise ValueError("it is not one of events")
    return parts[0], parts[1], parts[2]


def trailer(offset: int, manifest: bytes) -> bytes:
    return _TRAILER.pack(offset, len(manifest), sha256(manifest).digest(), _END)


def read_trailer(data: bytes) -> tuple[int, int, bytes]:
    """Offset, length and SHA-256 of the manifest. Raises ValueError."""
    if len(data) != TRAILER:
        raise ValueError("it is cut short")
    offset, length, digest, end = _TRAILER.unpack(data)
    if end != _END:
        raise ValueError("it does not end as an archive does")
    if length > MANIFEST_MAX:
        raise ValueError("its manifest is too long to be one")
    return offset, length, digest


def read_manifest(data: bytes, digest: bytes, offset: int) -> Manifest:
    """Checked to describe a file without gaps whose manifest begins at `offset`. Raises ValueError."""
    if sha256(data).digest() != digest:
        raise ValueError("its manifest is not the one that was written")
    try:
        told = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"its manifest cannot be read: {error}") from error
    if told.format != FORMAT:
        raise ValueError(f"it has format {told.format}, this program knows {FORMAT}")
    if told.start % WIDTH or told.end % WIDTH or not 0 <= told.start < told.end <= told.start + EVENTS_MAX:
        raise ValueError(f"its range, {told.start} to {told.end}, is none of an archive")
    if len(told.frames) != (told.end - told.start) // WIDTH:
        raise ValueError(f"it has {len(told.frames)} frames for {told.end - told.start} events")
    at = len(MAGIC)
    for frame in sorted([*told.frames, *told.blobs.values()], key=lambda frame: frame.offset):
        if frame.offset != at or frame.length <= 0:
            raise ValueError(f"its frames do not follow each other at byte {at}")
        at += frame.length
    if at != offset:
        raise ValueError(f"its frames end at byte {at}, its manifest begins at byte {offset}")
    if any(not 0 < frame.size <= EVENTS_BYTES_MAX for frame in told.frames) or any(
        not 0 < frame.size <= BLOB_BYTES_MAX for frame in told.blobs.values()
    ):
        raise ValueError("a frame says that it unpacks to more than any can hold")
    return told
