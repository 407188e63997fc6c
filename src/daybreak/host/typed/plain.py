"""Plain values: tables, lists, text, numbers, truth and nothing; how deep they are, and whether two are the same."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from functools import cache
from typing import Any

from daybreak.host.naming import named
from daybreak.host.typed.limits import Limits
from daybreak.host.typed.refusals import NotWritable, TooComplex, shown

Key = tuple[str | int, ...]

DIGITS_MAX = 4300
"""Of a whole number, in decimal: what the interpreter turns into text unless told otherwise. Hexadecimal, octal and
binary digits know no such limit of the interpreter's, so it is looked up here for all formats."""
_WHERE_CHARACTERS = 100
_SMALL_BITS = 2000
"""A number of no more bits is within every limit that the interpreter can be given (640 digits at least)."""


def digits_max() -> int:
    """DIGITS_MAX, or less where the interpreter was told to convert less."""
    return min(sys.get_int_max_str_digits() or DIGITS_MAX, DIGITS_MAX)


def is_huge(number: int) -> bool:
    """Whether it has more decimal digits than `digits_max()`; told without making text of it."""
    return number.bit_length() > _SMALL_BITS and abs(number) > _largest(digits_max())


@cache
def _largest(digits: int) -> int:
    return int(10**digits - 1)


def each(value: object) -> Iterator[object]:
    """`value` and every value inside. Never recurses."""
    todo = [value]
    while todo:
        one = todo.pop()
        yield one
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def keys(value: object) -> Iterator[Any]:
    """Every key inside."""
    return (key for one in each(value) if isinstance(one, dict) for key in one)


def measure(value: object) -> Iterator[tuple[int, int]]:
    """Walk a value level by level: yields (levels so far, values so far), the innermost last. Never
    recurses. Of a value that holds itself there is no end: stop at a limit."""
    level, depth, count = [value], 0, 1
    while level:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if any(isinstance(one, dict | list) for one in level):
            depth += 1
        count += len(inner)
        yield depth, count
        level = inner


def refuse_large(value: object, path: str, limits: Limits) -> None:
    """Raises TooComplex for a value beyond the limits."""
    for depth, count in measure(value):
        if depth > limits.depth_max:
            raise too_deep(path, limits)
        if count > limits.values_max:
            raise too_many(path, limits)


def too_deep(path: str, limits: Limits, line: int | None = None, column: int | None = None) -> TooComplex:
    return TooComplex.at(
        path,
        f"nested deeper than {limits.depth_max} levels",
        hint="raise Limits(depth_max=…), to 200 at most, if it may be that deep",
        line=line,
        column=column,
    )


def too_many(path: str, limits: Limits, line: int | None = None, column: int | None = None) -> TooComplex:
    return TooComplex.at(
        path,
        f"more than {limits.values_max} values",
        hint="raise Limits(values_max=…) if it may be that many",
        line=line,
        column=column,
    )


def refuse_unwritable(
    value: object, path: str, kind: str, *, whole_keys: bool = False, none: bool = True, times: bool = False
) -> None:
    """Raises NotWritable, naming the place inside, for what is not plain: other types, NaN and infinity, keys that
    are no text (`whole_keys`: whole numbers too) or hold NUL, None and dates where the format has none, half
    surrogate pairs, whole numbers of more than `digits_max()` digits."""
    todo: list[tuple[str, object]] = [("", value)]
    while todo:
        where, one = todo.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                _refuse_key(key, path, kind, where, whole=whole_keys)
                todo.append((_inside(where, f".{key}"), inner))
        elif isinstance(one, list):
            todo += [(_inside(where, f"[{at}]"), inner) for at, inner in enumerate(one)]
        elif isinstance(one, str):
            _refuse_surrogates(one, path, kind, where)
        elif isinstance(one, float):
            if not math.isfinite(one):
                raise unwritable(path, kind, where, f"{one} is no number that others can read")
        elif isinstance(one, int):
            if is_huge(one):
                raise unwritable(path, kind, where, f"is a whole number of more than {digits_max()} digits")
        elif not (one is None and none) and not (times and isinstance(one, date | time | datetime)):
            raise unwritable(path, kind, where, f"holds a {type(one).__name__[:80]}")


def _inside(where: str, step: str) -> str:
    """The place one step further in; of a long one only its end, because there may be one for each of many values."""
    return where + step if len(where) + len(step) <= _WHERE_CHARACTERS else f"…{(where + step)[-_WHERE_CHARACTERS:]}"


def _refuse_key(key: object, path: str, kind: str, where: str, *, whole: bool) -> None:
    if whole and type(key) is int:
        if is_huge(key):
            raise unwritable(path, kind, where, f"has a key of more than {digits_max()} digits")
    elif not isinstance(key, str):
        raise unwritable(path, kind, where, f"the key {named(key)} is no text")
    elif "\0" in key:  # some readers end the name there, and take two keys for one
        raise unwritable(path, kind, where, f"has a key with a NUL character: {named(key)}")
    else:
        _refuse_surrogates(key, path, kind, where)


def _refuse_surrogates(text: str, path: str, kind: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unwritable(path, kind, where, "holds half a surrogate pair") from None


def unwritable(path: str, kind: str, where: str, what: str) -> NotWritable:
    return NotWritable.at(
        path,
        f"the value{shown(where)} {what}",
        hint=f"turn it into something that {kind} can hold; nothing was written",
    )


def same(one: object, other: object) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three things, and so are 0.0 and -0.0.
    The order of keys does not count. Never recurses."""
    todo = [(one, other)]
    while todo:
        a, b = todo.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if len(a) != len(b) or any(key not in b for key in a):
                return False
            todo += [(a[key], b[key]) for key in a]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            todo += zip(a, b, strict=True)
        elif type_of(a) is not type_of(b) or a != b or _sign(a) != _sign(b):
            return False
    return True


def _sign(value: object) -> float:
    return math.copysign(1, value) if isinstance(value, float) else 0


def type_of(value: object) -> type:
    """The plain type that a value counts as: subclasses of text and numbers count as those."""
    if isinstance(value, bool | datetime):  # which are numbers and dates too
        return bool if isinstance(value, bool) else datetime
    return next((kind for kind in (str, int, float, dict, list) if isinstance(value, kind)), type(value))
