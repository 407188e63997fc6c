"""Values at the edges of what a field takes: just inside, just outside, of another type, missing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from daybreak.agents.builder import patterns
from daybreak.agents.entities import Field

Edge = tuple[str, Any]
"""What it tries, and the value as JSON."""
_FAR_TEXT = 400
"""A limit of length beyond this is not tried out."""
_UNICODE = "Zoë \u4f8b \U0001f600"


def edges(field: Field, good: Any) -> Iterator[Edge]:
    """Values to try, `good` being one that fits (None where none is known). The same field gives the same ones."""
    yield "null", None
    if field.type.name == "list" and field.type.of is not None:
        yield from _lists(field, good)
        return
    if field.default is not None or good is not None:
        yield "empty", ""
    yield from _OF_TYPE.get(field.type.name, _nothing)(field, good)
    if good is not None:
        yield "one that fits", good


def fresh(field: Field, good: Any, number: int) -> Any:
    """Another value that fits, the `number`-th (from 1), where one can be made up; `good` where not."""
    name = field.type.name
    if name == "text":
        if field.pattern is not None:
            low, high = _lengths(field)
            found = itertools.islice(patterns.texts(field.pattern, shortest=low, longest=high), number + 3, number + 4)
            return next(found, good)
        text = f"{good} {number}"
        _, high = _lengths(field)
        return text if high is None or len(text) <= high else good
    if name == "integer" and isinstance(good, int):
        return _within(field, good + 7 + number, good)
    if name == "decimal" and isinstance(good, str):
        return str(_within(field, Decimal(good) + 7 + number, good))
    if name == "date" and isinstance(good, str):
        return (date.fromisoformat(good) + timedelta(days=200 + number)).isoformat()
    if name == "timestamp" and isinstance(good, str):
        return (date.fromisoformat(good[:10]) + timedelta(days=200 + number)).isoformat() + good[10:]
    return good


def _within(field: Field, value: Any, otherwise: Any) -> Any:
    return value if field.max is None or value <= Decimal(field.max) else otherwise


def _lengths(field: Field) -> tuple[int, int | None]:
    return max(1, int(field.min or 1)), int(field.max) if field.max is not None else None


def _nothing(field: Field, good: Any) -> Iterator[Edge]:
    return iter(())


def _texts(field: Field, good: Any) -> Iterator[Edge]:
    low, high = _lengths(field)
    if field.pattern is not None:
        yield "no match", "!"
        yield "a match and more", f"{good}\n" if good is not None else "x\n"
        yield "more and a match", f" {good}"
        for text in itertools.islice(patterns.texts(field.pattern, shortest=low, longest=high), 2):
            yield "a match", text
        return
    for length, about in ((low - 1, "1 shorter than its least length"), (low, "its least length")):
        if length and field.min is not None and length <= _FAR_TEXT:
            yield about, "x" * length
    if high is not None and high <= _FAR_TEXT:
        yield "its greatest length", "é" * high
        yield "1 longer than its greatest length", "x" * (high + 1)
    if high is None or high > 20:
        yield "Unicode", _UNICODE
        yield "blanks around", "  a  b  "
        yield "quotes and lines", "a'\"\\\n\tb"
    yield "only blanks", "   "
    yield "a number", 7


def _wholes(field: Field, good: Any) -> Iterator[Edge]:
    yield from _limits(field, Decimal(1), lambda value: int(value))
    yield from (("no number", "twelve"), ("a fraction", 1.5), ("a whole fraction", 2.0), ("true", True))
    yield from (
        ("as text", "12"),
        ("2^63 - 1", 2**63 - 1),
        ("2^63", 2**63),
        ("with a plus", "+3"),
        ("with blanks", " 3 "),
    )
    yield "minus zero", "-0"


def _numbers(field: Field, good: Any) -> Iterator[Edge]:
    yield from _limits(field, Decimal("0.25"), lambda value: float(value))
    yield from (("no number", "much"), ("NaN", "NaN"), ("infinity", "Infinity"), ("an exponent", "1e2"), ("true", True))
    yield from (("as text", "0.50"), ("1.0", 1.0), ("small", 0.1))


def _decimals(field: Field, good: Any) -> Iterator[Edge]:
    yield from _limits(field, Decimal("0.01"), lambda value: format(value, "f"))
    yield from (("no number", "much"), ("an exponent", "1e2"), ("without a zero", ".5"), ("with a plus", "+1"))
    yield from (("a zero more", "2.50"), ("a JSON number", 1.25), ("many digits", "0.123456789012345678901"))
    yield from (("a comma", "1,5"), ("NaN", "NaN"), ("true", True))


def _limits(field: Field, step: Decimal, form: Callable[[Decimal], Any]) -> Iterator[Edge]:
    for limit, outwards, name in ((field.min, -step, "least"), (field.max, step, "greatest")):
        try:
            value = Decimal(limit) if limit is not None else None
        except InvalidOperation:
            continue
        if value is not None:
            yield f"its {name}", form(value)
            yield f"just beyond its {name}", form(value + outwards)
            yield f"just inside its {name}", form(value - outwards)


def _booleans(field: Field, good: Any) -> Iterator[Edge]:
    yield from (("true", True), ("false", False), ("yes", "yes"), ("as text", "true"), ("1", 1), ("capital", "True"))


def _dates(field: Field, good: Any) -> Iterator[Edge]:
    yield from _days(field)
    yield from (("29 February", "2028-02-29"), ("no such day", "2027-02-29"), ("month 13", "2027-13-01"))
    yield from (("short", "2027-3-1"), ("without dashes", "20270301"), ("with a time", "2027-03-01T09:00:00Z"))
    yield from (("no date", "tomorrow"), ("a number", 20270301))


def _stamps(field: Field, good: Any) -> Iterator[Edge]:
    yield from _days(field)
    yield from (("an offset", "2027-03-01T09:00:00+02:00"), ("no offset", "2027-03-01T09:00:00"))
    yield from (
        ("fractions", "2027-03-01T09:00:00.750Z"),
        ("a blank", "2027-03-01 09:00:00"),
        ("day only", "2027-03-01"),
    )
    yield from (("hour 25", "2027-03-01T25:00:00Z"), ("no moment", "soon"), ("small z", "2027-03-01t09:00:00z"))
    yield "over midnight", "2027-03-01T23:30:00-01:00"


def _days(field: Field) -> Iterator[Edge]:
    for limit, days, name in ((field.min, -1, "least"), (field.max, 1, "greatest")):
        if limit is not None:
            try:
                beyond = date.fromisoformat(limit[:10]) + timedelta(days=days)
            except (ValueError, OverflowError):
                continue
            yield f"its {name}", limit
            yield f"a day beyond its {name}", beyond.isoformat() + limit[10:]


def _choices(field: Field, good: Any) -> Iterator[Edge]:
    for choice in field.type.choices[:6]:
        yield "a choice", choice
    first = field.type.choices[0]
    yield from (("no choice", f"{first}x"), ("its first letters", first[:-1]), ("with a blank", f"{first} "))
    if first.swapcase() not in field.type.choices:
        yield "another case", first.swapcase()


def _refs(field: Field, good: Any) -> Iterator[Edge]:
    yield from (
        ("nobody's id", 999),
        ("zero", 0),
        ("a negative id", -1),
        ("no id", "x"),
        ("as text", "1"),
        ("true", True),
    )


def _lists(field: Field, good: Any) -> Iterator[Edge]:
    element = field.type.of
    assert element is not None  # a list has an element type
    plain = Field(name=field.name, type=element, min=field.min, max=field.max, pattern=field.pattern)
    one = good[0] if isinstance(good, list) and good else None
    yield "an empty list", []
    if one is not None:
        yield "one", [one]
        yield "the same twice", [one, one]
    for about, value in itertools.islice(_OF_TYPE.get(element.name, _nothing)(plain, one), 8):
        yield f"a list of {about}", [value]
    yield "no list", "x" if one is None else one
    yield "a list of null", [None]


_OF_TYPE: dict[str, Callable[[Field, Any], Iterator[Edge]]] = {
    "text": _texts,
    "integer": _wholes,
    "number": _numbers,
    "decimal": _decimals,
    "boolean": _booleans,
    "date": _dates,
    "timestamp": _stamps,
    "choice": _choices,
    "ref": _refs,
}
