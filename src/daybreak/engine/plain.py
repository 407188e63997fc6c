"""Plain values: what JSON can hold, exactly, so that a kept value is the same before and after a crash."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec

from daybreak.errors import NotPlain

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
"""Integers that every JSON reader of ours keeps exactly."""

DEPTH_MAX = 100

_encode = msgspec.json.Encoder(order="sorted").encode


def plain(value: Any, what: object) -> Any:
    """`value` as a reader of its JSON would see it: a copy, tuples as lists.

    Raises NotPlain, which names `what` (turned into text only then) and the place inside it, for anything
    that JSON cannot hold exactly: other types and subclasses, keys that are not text, NaN and infinities,
    integers beyond 64 bits, lone surrogates, values nested deeper than DEPTH_MAX.
    """
    return _plain(value, what, "", 0)


def encode(value: Any) -> bytes:
    """Deterministic JSON of a plain value: keys sorted, no spaces."""
    return _encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the deterministic JSON of a plain value, hexadecimal."""
    return hashlib.sha256(_encode(value)).hexdigest()


def _plain(value: Any, what: object, place: str, depth: int) -> Any:
    kind = type(value)
    if depth > DEPTH_MAX:
        raise _refused(what, place[:80], f"is nested deeper than {DEPTH_MAX}")
    if kind is str:
        return _text(value, what, place)
    if value is None or kind is bool:
        return value
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            raise _refused(what, place, f"is an integer beyond 64 bits ({value.bit_length()} bits)")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _refused(what, place, f"is {value}, which JSON has no word for")
        return value
    if kind is list or kind is tuple:
        return [_plain(item, what, f"{place}[{position}]", depth + 1) for position, item in enumerate(value)]
    if kind is dict:
        return {_key(key, what, place): _plain(item, what, f"{place}.{key}", depth + 1) for key, item in value.items()}
    raise _refused(what, place, f"is a {kind.__module__}.{kind.__qualname__}")


def _key(key: Any, what: object, place: str) -> str:
    if type(key) is not str:
        raise _refused(what, place, f"has the key {key!r}, which is not text")
    return _text(key, what, place)


def _text(value: str, what: object, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise _refused(what, place, f"holds text that UTF-8 cannot ({problem.reason})") from None
    return value


def _refused(what: object, place: str, why: str) -> NotPlain:
    return NotPlain(
        f"{what} is not JSON: {place.lstrip('.') or 'it'} {why}",
        hint="give and return text, numbers, true, false, null, lists and dictionaries with text as keys; "
        "keep bytes as a blob and paths as text",
    )


def decode(data: bytes) -> Any:
    """The plain value of `encode`'s bytes."""
    return msgspec.json.decode(data)
