"""Messages between processes of ours: a JSON object, and bytes beside it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from daybreak.engine.dispatch.problems import JobBroken

HEAD = struct.Struct(">II")
JSON_BYTES_MAX = 64 * 1024 * 1024
DATA_BYTES_MAX = 1024 * 1024 * 1024
"""Of one message, as what its length says: more is never waited for."""

Message = tuple[dict[str, Any], bytes]


def encoded(said: Mapping[str, Any], data: bytes = b"") -> bytes:
    """Raises JobBroken where it is more than a message may be."""
    text = msgspec.json.encode(said)
    _check(len(text), len(data))
    return HEAD.pack(len(text), len(data)) + text + data


def decoded(message: bytes) -> Message:
    """Of exactly one message. Raises JobBroken for anything else."""
    if len(message) < HEAD.size:
        raise _nonsense("it is too short")
    text_bytes, data_bytes = HEAD.unpack_from(message)
    if len(message) != HEAD.size + text_bytes + data_bytes:
        raise _nonsense("its length is another")
    view = memoryview(message)[HEAD.size :]
    return _object(bytes(view[:text_bytes])), bytes(view[text_bytes:])


def write(file: BinaryIO, said: Mapping[str, Any], data: bytes = b"") -> None:
    text = msgspec.json.encode(said)
    _check(len(text), len(data))
    file.write(HEAD.pack(len(text), len(data)) + text)
    if data:
        file.write(data)
    file.flush()


def read(file: BinaryIO) -> Message | None:
    """The next message; None at the end. Raises JobBroken for what is none."""
    head = _whole(file, HEAD.size)
    if head is None:
        return None
    text_bytes, data_bytes = HEAD.unpack(head)
    _check(text_bytes, data_bytes)
    text, data = _whole(file, text_bytes), _whole(file, data_bytes)
    if text is None or data is None:
        return None
    return _object(text), data


def _whole(file: BinaryIO, size: int) -> bytes | None:
    parts = []
    while size:
        part = file.read(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _object(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _nonsense(str(error)) from None


def _check(text_bytes: int, data_bytes: int) -> None:
    if text_bytes > JSON_BYTES_MAX or data_bytes > DATA_BYTES_MAX:
        raise _nonsense(f"{text_bytes:,} and {data_bytes:,} bytes are too much")


def _nonsense(why: str) -> JobBroken:
    return JobBroken(f"a message between processes makes no sense: {why}", hint="all must have the same Daybreak")
