"""What kind of file some bytes are, told by the bytes.

Our own table: it holds only marks that are long or checked for sense, so that text is never taken for something
else. (The general library that was tried takes the text "BMW is a car" for a bitmap, does not know a plain tar, and
costs 40 ms to import.)
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["text", "image", "archive", "document", "database", "program", "media", "unknown"]

SAMPLE_BYTES = 65_536
"""How much of a file is enough to tell its kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. Two kinds of the same name are the same kind."""

    name: str
    family: Family
    media_type: str


def _known(*kinds: tuple[str, Family, str]) -> dict[str, Kind]:
    return {name: Kind(name, family, media) for name, family, media in kinds}


KINDS = _known(
    ("text", "text", "text/plain"),
    ("json", "text", "application/json"),
    ("jsonl", "text", "application/jsonl"),
    ("yaml", "text", "application/yaml"),
    ("toml", "text", "application/toml"),
    ("csv", "text", "text/csv"),
    ("tsv", "text", "text/tab-separated-values"),
    ("markdown", "text", "text/markdown"),
    ("xml", "text", "application/xml"),
    ("svg", "text", "image/svg+xml"),
    ("png", "image", "image/png"),
    ("jpeg", "image", "image/jpeg"),
    ("gif", "image", "image/gif"),
    ("webp", "image", "image/webp"),
    ("bmp", "image", "image/bmp"),
    ("tiff", "image", "image/tiff"),
    ("zip", "archive", "application/zip"),
    ("tar", "archive", "application/x-tar"),
    ("gz", "archive", "application/gzip"),
    ("bz2", "archive", "application/x-bzip2"),
    ("xz", "archive", "application/x-xz"),
    ("zst", "archive", "application/zstd"),
    ("7z", "archive", "application/x-7z-compressed"),
    ("rar", "archive", "application/vnd.rar"),
    ("pdf", "document", "application/pdf"),
    ("sqlite", "database", "application/vnd.sqlite3"),
    ("elf", "program", "application/x-executable"),
    ("pe", "program", "application/vnd.microsoft.portable-executable"),
    ("mach-o", "program", "application/x-mach-binary"),
    ("wasm", "program", "application/wasm"),
    ("ogg", "media", "application/ogg"),
    ("mp3", "media", "audio/mpeg"),
    ("binary", "unknown", "application/octet-stream"),
)
"""Every kind that is known without registration, by name."""

_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # without members
    (b"PK\x07\x08", "zip"),  # in parts
    (b"\x1f\x8b\x08", "gz"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\x7fELF", "elf"),
    (b"\0asm", "wasm"),
    (b"\xcf\xfa\xed\xfe", "mach-o"),
    (b"\xca\xfe\xba\xbe", "mach-o"),
    (b"OggS\0", "ogg"),
    (b"ID3\x02\0", "mp3"),
    (b"ID3\x03\0", "mp3"),
    (b"ID3\x04\0", "mp3"),
)

BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the codec that reads what follows."""

CONTROL_BYTES = bytes(sorted({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0C, 0x0D}))
"""Bytes that stand in no text of an old 8-bit encoding."""
_SVG = re.compile(
    rb"(?:<\?xml[^>]{0,500}?\?>)?\s*+(?:<!--(?:(?!-->).){0,2000}+-->\s*+)*+<(?:[a-zA-Z0-9]{1,20}:)?svg[\s>/]", re.DOTALL
)
"""An SVG from its start; never looked at twice, or many comments would take for ever."""


def of_bytes(head: bytes) -> Kind:
    """The kind of a file that starts with `head` (SAMPLE_BYTES of it are enough). Text is `text`, `xml` or `svg`:
    what else it means is told by the extension. Bytes that are nothing known and no text are `binary`."""
    head = head[:SAMPLE_BYTES]
    name = _marked(head) or _text(head)
    return KINDS[name]


def _marked(head: bytes) -> str | None:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if head[:4] == b"RIFF" and head[7:8] < b"\x09" and head[8:12] == b"WEBP":  # a size, which no text has there
        return "webp"
    if head[:4] == b"BZh" + head[3:4] and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    if head[257:262] == b"ustar" and head[262:265] in (b"\x0000", b"  \0"):
        return "tar"
    if head[:5] == b"%PDF-" and head[5:6].isdigit():
        return "pdf"
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 13 and _has_binary(head[6:13] + head[-1:]):
        return "gif"
    if head[:2] == b"BM" and len(head) >= 18 and head[6:10] == b"\0\0\0\0" and head[14:18] in _BITMAP_HEADS:
        return "bmp"
    if head[:2] == b"MZ" and len(head) >= 64 and _has_binary(head[:64]):
        return "pe"
    return None


_BITMAP_HEADS = tuple(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))


def _has_binary(head: bytes) -> bool:
    return len(head.translate(None, CONTROL_BYTES)) < len(head)


def _text(head: bytes) -> str:
    if any(head.startswith(mark) for mark, _ in BOMS[1:]):
        return "text"
    body = head.removeprefix(codecs.BOM_UTF8)
    if b"\0" in body or not (_is_utf8(body) or not _has_binary(body)):
        return "binary"
    if _SVG.match(body):
        return "svg"
    return "xml" if body.startswith(b"<?xml") else "text"


def has_stray_nul(head: bytes) -> bool:
    """Whether bytes that are `binary` would be text but for NUL: a place can be told, and what a crash left of a text
    is often nothing but NUL."""
    return b"\0" in head and _is_utf8(head[:SAMPLE_BYTES])


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return False
    return True
