"""The files of a replica: a static C2SP tlog-tiles log (https://c2sp.org/tlog-tiles), and the payloads beside it.

    checkpoint                    the signed head; written last, so everything that it covers is there
    tile/L/N[.p/W]                hashes of level L: 256, or W where the tile is not full yet
    tile/entries/N[.p/W]          headers: each a 16-bit big-endian length and the bytes
    header/HASH                   a header that is too long for that, by its leaf hash; its entry is empty
    payload/N[.p/W]               payloads of the same events: each a 32-bit big-endian length and the bytes
    blob/AB/DIGEST                payloads longer than `INLINE`, and what events refer to, by the SHA-256

N is written in groups of three digits, all but the last with an x: 1234067 is x001/x234/067. Every file but the
checkpoint is written once and never changed; a partial one goes once the full one is there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daybreak.ledger.tiles import WIDTH

CHECKPOINT = "checkpoint"
INLINE = 4096
"""A payload longer than this is a file of its own: a partial file of payloads is written anew for each commit or so."""

HEADER_MAX = 0xFFFF
ELSEWHERE = 0xFFFF_FFFF
"""In place of a payload's length: it is the blob that its header names."""

_SIZE = re.compile(rb"0|[1-9][0-9]{0,15}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Claim(NamedTuple):
    """What a checkpoint says, before anybody has looked at its signature."""

    origin: str
    size: int
    root: bytes


def claim(note: bytes) -> Claim | None:
    """None where it is no checkpoint."""
    lines = note.split(b"\n")
    if len(lines) < 4 or not _SIZE.fullmatch(lines[1]):
        return None
    try:
        root = base64.b64decode(lines[2], validate=True)
        return Claim(lines[0].decode(), int(lines[1]), root) if len(root) == 32 else None
    except (binascii.Error, ValueError):
        return None


def number(n: int) -> str:
    """A tile's number as a path."""
    text = f"{n % 1000:03}"
    while n := n // 1000:
        text = f"x{n % 1000:03}/{text}"
    return text


def _width(path: str, width: int) -> str:
    return path if width == WIDTH else f"{path}.p/{width}"


def tile(level: int, n: int, width: int = WIDTH) -> str:
    return _width(f"tile/{level}/{number(n)}", width)


def entries(n: int, width: int = WIDTH) -> str:
    return _width(f"tile/entries/{number(n)}", width)


def payloads(n: int, width: int = WIDTH) -> str:
    return _width(f"payload/{number(n)}", width)


def blob(digest: str) -> str:
    assert _DIGEST.fullmatch(digest), "the blob store has checked it"
    return f"blob/{digest[:2]}/{digest}"


def header(leaf: bytes) -> str:
    return f"header/{leaf.hex()}"


def partials(size: int) -> Iterator[tuple[str, int]]:
    """(path of the full file, width) of those that are not full in a tree of that size, the entries' last."""
    level, count = 0, size
    while count:
        if width := count % WIDTH:
            yield tile(level, count // WIDTH), width
        level, count = level + 1, count // WIDTH
    if width := size % WIDTH:
        yield payloads(size // WIDTH), width
        yield entries(size // WIDTH), width


# -- bundles


def pack_entries(headers: Sequence[bytes]) -> bytes:
    parts = []
    for one in headers:
        kept = one if len(one) <= HEADER_MAX else b""
        parts += [len(kept).to_bytes(2, "big"), kept]
    return b"".join(parts)


def unpack_entries(data: bytes) -> list[bytes]:
    """Empty where the header is a file of its own. Raises ValueError."""
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        at += 2 + length
        if at > len(data):
            raise ValueError("it ends in the middle of an entry")
        found.append(data[at - length : at])
    return found


def pack_payloads(payloads: Sequence[bytes | None]) -> bytes:
    """None for one that is a blob."""
    parts = []
    for one in payloads:
        if one is None:
            parts.append(ELSEWHERE.to_bytes(4, "big"))
        else:
            parts += [len(one).to_bytes(4, "big"), one]
    return b"".join(parts)


def unpack_payloads(data: bytes) -> list[bytes | None]:
    """Raises ValueError."""
    found: list[bytes | None] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if length == ELSEWHERE and at <= len(data):
            found.append(None)
            continue
        at += length
        if at > len(data):
            raise ValueError("it ends in the middle of a payload")
        found.append(data[at - length : at])
    return found
