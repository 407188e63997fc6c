"""Can JSON carry a value so that exactly the same one is read back? Asked before anything is written.

Encoders are obliging: not-a-number becomes null, bytes become base64, a set a list, a date text, the key 1 the key "1".
What comes back is then another value than the one that was kept, and whatever was hashed and signed is not what
somebody said. So these are refused, with the path to them.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
PATH_MAX = 200
"""Characters of a path that are told; of a longer one, its begin and its end."""
_PLAIN = frozenset({str, bool, type(None)})
_ROWS = (list, tuple)
_fields = msgspec.structs.astuple


def is_exact(value: Any) -> bool:
    """Nothing in it but text, numbers, truth values, null, lists (tuples too) and objects with text keys (or structs).

    Whether a text can be encoded is left to the encoder, which refuses that itself. Raises RecursionError.
    """
    return _are_exact(_fields(value) if isinstance(value, msgspec.Struct) else (value,))


def _are_exact(values: Iterable[Any]) -> bool:
    """(One loop for all, because every append passes here.)"""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not INTEGER_MIN <= value <= INTEGER_MAX:
                return False
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif kind is dict or (kind is not list and isinstance(value, dict)):
            for key in value:
                if type(key) is not str:
                    return False
            if not _are_exact(value.values()):
                return False
        elif kind is list or isinstance(value, _ROWS):
            if not _are_exact(value):
                return False
        elif isinstance(value, msgspec.Struct):
            if not _are_exact(_fields(value)):
                return False
        elif not _is_named(value):
            return False
    return True


def _is_named(value: Any) -> bool:
    """A member of an enumeration of texts or numbers, which equals what is read back."""
    return isinstance(value, enum.Enum) and isinstance(value, str | int) and is_exact(value.value)


def why_not(value: Any) -> str:
    """The first thing in it that JSON cannot carry, with the path to it: `args.prices[3]: not a number`. Empty where
    there is none. Ends on a value that contains itself."""
    under_way: set[int] = set()
    waiting: list[tuple[str, Any, bool]] = [("", value, False)]
    while waiting:
        path, one, leaving = waiting.pop()
        if leaving:
            under_way.discard(id(one))
            continue
        if found := _wrong(one):
            return f"{_short(path)}: {found}"
        members = list(_members(one))
        if not members:
            continue
        if id(one) in under_way:
            return f"{_short(path)}: contains itself"
        under_way.add(id(one))
        waiting.append((path, one, True))
        for step, inside in reversed(members):
            if step is None:
                return f"{_short(path)}: {inside}"
            waiting.append((f"{path}{step}" if path or step[0] == "[" else step.removeprefix("."), inside, False))
    return ""


def _short(path: str) -> str:
    if len(path) <= PATH_MAX:
        return path or "the value"
    return f"{path[: PATH_MAX // 2]}…{path[-PATH_MAX // 2 :]}"


def _wrong(one: Any) -> str:
    if isinstance(one, bool) or one is None or _is_named(one):
        return ""
    if isinstance(one, int):
        return "" if INTEGER_MIN <= one <= INTEGER_MAX else "an integer beyond 64 bits"
    if isinstance(one, float):
        return "" if math.isfinite(one) else ("not a number" if math.isnan(one) else "infinity")
    if isinstance(one, str):
        try:
            one.encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair"
        return "" if is_exact(one) else f"{type(one).__name__} is no value of JSON"
    if isinstance(one, (bytes, bytearray, memoryview)):
        return "bytes; keep them as a blob, or as base64 in a text"
    if isinstance(one, (dict, list, tuple, msgspec.Struct)):
        return ""
    return f"{type(one).__name__} is no value of JSON"


def _members(one: Any) -> Iterator[tuple[str | None, Any]]:
    """What is inside, each with its step; None and a complaint for a key that is none."""
    if isinstance(one, dict):
        for key, inside in one.items():
            if type(key) is not str:
                yield None, f"the key {key!r:.80} is no text"
                return
            if _wrong(key):
                yield None, f"the key {key!r:.80}: {_wrong(key)}"
                return
            yield f".{key:.80}", inside
    elif isinstance(one, (list, tuple)):
        for number, inside in enumerate(one):
            yield f"[{number}]", inside
    elif isinstance(one, msgspec.Struct):
        for name in one.__struct_fields__:
            yield f".{name}", getattr(one, name)
