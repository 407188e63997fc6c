"""Whether a text is a value of a type."""

from __future__ import annotations

import json
import math
import re
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal

from daybreak.agents.entities import Type

INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
DIGITS_MAX = 1000
"""Of a decimal or number."""

Comparable = int | float | Decimal | date | datetime
_NOW = {"date": "today", "timestamp": "now"}


def comparable(type_: Type, text: str) -> Comparable | None:
    """The value of an integer, number, decimal, date or timestamp; None where the text is none."""
    try:
        match type_.name:
            case "integer":
                return _integer(text)
            case "decimal":
                return Decimal(text) if DECIMAL.fullmatch(text) and len(text) <= DIGITS_MAX else None
            case "number":
                found = float(text) if NUMBER.fullmatch(text) and len(text) <= DIGITS_MAX else math.inf
                return found if math.isfinite(found) else None
            case "date":
                return date.fromisoformat(text) if DATE.fullmatch(text) else None
            case "timestamp":
                return _timestamp(text)
    except (ValueError, OverflowError):
        return None
    return None


def _integer(text: str) -> int | None:
    if INTEGER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if INTEGER_MIN <= value <= INTEGER_MAX else None


def _timestamp(text: str) -> datetime | None:
    if TIMESTAMP.fullmatch(text) is None:
        return None
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def fault(type_: Type, text: str, *, moving: bool = True) -> str | None:
    """Why the text is no value of the type, as what it must be; None where it is one.

    `moving`: `today` for a date and `now` for a timestamp are allowed too.
    """
    if moving and text == _NOW.get(type_.name):
        return None
    match type_.name:
        case "text":
            return None if text else "must not be empty"
        case "boolean":
            return None if text in ("true", "false") else "must be true or false"
        case "choice":
            return None if text in type_.choices else f"must be one of {', '.join(type_.choices)}"
        case "list":
            return _list_fault(type_, text)
        case "ref" | "link":
            return "cannot be written in advance"
    return None if comparable(type_, text) is not None else f"must be {_MUST[type_.name]}"


_MUST = {
    "integer": "a whole number of 64 bits",
    "number": "a number, such as 0.25",
    "decimal": "a decimal, such as 12.50",
    "date": "a date such as 2027-03-01, or today",
    "timestamp": "a timestamp such as 2027-03-01T09:00:00Z, or now",
}


def _list_fault(type_: Type, text: str) -> str | None:
    wanted = 'must be a JSON array in backticks, such as `["a", "b"]`'
    try:
        values = json.loads(text, parse_float=_Written, parse_int=_Written, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return wanted
    if not isinstance(values, list):
        return wanted
    assert type_.of is not None, "a list has a type of its elements"
    for value in values:
        if problem := _element_fault(type_.of, value):
            return f"holds {json.dumps(value, ensure_ascii=False)[:60]}, which {problem}"
    return None


class _Written(str):
    """A JSON number as written."""

    __slots__ = ()


def _refuse(word: str) -> None:
    raise ValueError(word)


def _element_fault(type_: Type, value: object) -> str | None:
    if isinstance(value, bool):
        return None if type_.name == "boolean" else "is a boolean"
    if isinstance(value, _Written):
        if type_.name not in ("integer", "number", "decimal"):
            return "is a number"
        return fault(type_, value, moving=False)
    if not isinstance(value, str):
        return "is no single value"
    if type_.name in ("integer", "number", "boolean"):
        return "is a text"
    return fault(type_, value, moving=False)


def pattern_fault(pattern: str) -> str | None:
    """Why a regular expression cannot be used; classes are ASCII, it is matched against the whole value."""
    if not pattern:
        return "it is empty"
    if len(pattern) > 1000:
        return "it has more than 1000 characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern, re.ASCII)
    except (re.error, ValueError, OverflowError) as error:
        return str(error)
    except RecursionError:
        return "it is nested too deep"
    return None


_NESTED_REPEAT = re.compile(r"[*+}][^()]*\)[*+{]")


def may_be_slow(pattern: str) -> bool:
    """A repeat of something that repeats: some values would take for ever."""
    return _NESTED_REPEAT.search(pattern) is not None


def matches(pattern: str, text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.fullmatch(pattern, text, re.ASCII) is not None
