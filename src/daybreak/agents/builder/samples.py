"""Valid example records for the generated tests.

`for_entities` gives, for each entity in an order in which refs can be followed, up to three records as JSON
objects that a store accepts one after the other into an empty data file: refs point to the ids that the
earlier ones get, unique values differ, and every rule of every field holds. An optional field for which no
value is found is left out; an entity whose required field has none gives no record.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from daybreak.agents.builder import patterns
from daybreak.agents.entities import Entity, Field, Type

RECORDS = 3
_START = date(2027, 3, 1)
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_INTEGER_MAX = 2**63 - 1

Sample = dict[str, Any]


def for_entities(entities: tuple[Entity, ...]) -> dict[str, list[Sample]]:
    """By entity name, in an order in which the records can be added."""
    found: dict[str, list[Sample]] = {}
    for entity in in_order(entities):
        found[entity.name] = _Maker(entity, found).records()
    return found


def in_order(entities: tuple[Entity, ...]) -> list[Entity]:
    """Targets of required refs before what refers to them, users as early as that goes; otherwise as declared."""
    waiting = list(entities)
    done: list[Entity] = []
    while waiting:
        names = {entity.name for entity in waiting}
        free = [entity for entity in waiting if not _needs(entity) & names]
        ready = next((entity for entity in free if entity.login is not None), (free or waiting)[0])
        waiting.remove(ready)
        done.append(ready)
    return done


def _needs(entity: Entity) -> set[str]:
    needed = [field for field in entity.fields if field.required or field.owner]
    return {target for field in needed if (target := _element(field.type).target)}


def _element(kind: Type) -> Type:
    return kind.of if kind.of is not None else kind


class _Maker:
    def __init__(self, entity: Entity, others: dict[str, list[Sample]]) -> None:
        self.entity = entity
        self.others = others
        self.made: list[Sample] = []

    def records(self) -> list[Sample]:
        for number in range(RECORDS):
            record = self._record(number)
            if record is None:
                break
            self.made.append(record)
        return self.made

    def _record(self, number: int) -> Sample | None:
        record: Sample = {}
        for field in self._ordered():
            value = self._value(field, record, number)
            if value is not None:
                record[field.name] = value
            elif field.required:
                return None
        return {field.name: record[field.name] for field in self.entity.fields if field.name in record}

    def _ordered(self) -> list[Field]:
        """The fields that callers give, each after the one that it must lie after."""
        given = [f for f in self.entity.fields if not f.automatic and not f.computed and f.type.name != "link"]
        names = {field.name: field for field in given}
        done: dict[str, Field] = {}

        def place(field: Field) -> None:
            if field.after in names and field.after not in done and field.after != field.name:
                place(names[field.after])
            done.setdefault(field.name, field)

        for field in given:
            place(field)
        return list(done.values())

    def _value(self, field: Field, record: Sample, number: int) -> Any:
        """The first value that fits, beginning with the number-th so that records differ."""
        candidates = list(itertools.islice(self._candidates(field, record), 40))
        turned = candidates[number:] + candidates[:number]
        for candidate in turned:
            value = [candidate] if field.type.name == "list" else candidate
            if self._fits(field, record, value):
                return value
        return None

    def _fits(self, field: Field, record: Sample, value: Any) -> bool:
        if field.key and not _is_key(str(value)):
            return False
        if field.after is not None:
            other = record.get(field.after)
            automatic = self.entity.field(field.after).automatic
            if automatic and str(value) < "2900":
                return False
            if other is not None and not _order(field, value, other):
                return False
        for earlier in self.made:
            same = _folded(value) == _folded(earlier.get(field.name))
            if same and (field.unique or field.unique_ignoring_case):
                return False
            if same and any(record.get(name) == earlier.get(name) for name in field.unique_with):
                return False
        # The other half of a pair may come later in the table; this value then has to be free by itself.
        later = [f for f in self.entity.fields if field.name in f.unique_with and f.name in record]
        return not any(
            _folded(value) == _folded(earlier.get(field.name))
            and any(record[f.name] == earlier.get(f.name) for f in later)
            for earlier in self.made
        )

    def _candidates(self, field: Field, record: Sample) -> Iterator[Any]:
        kind = _element(field.type)
        if field.by is not None:
            yield from (sample[field.by] for sample in self.others.get(kind.target or "", []) if field.by in sample)
        elif kind.name == "ref":
            yield from range(1, len(self.others.get(kind.target or "", [])) + 1)
        elif kind.name == "choice":
            yield from kind.choices
        elif kind.name == "boolean":
            yield from (True, False)
        elif kind.name == "text":
            yield from _texts(field)
        else:
            bases = [record[field.after]] if field.after is not None and field.after in record else []
            yield from _RANGES[kind.name](field, bases)


def _is_key(text: str) -> bool:
    """Whether it fits into an address, and stands for nothing else there."""
    is_number = text.removeprefix("-").isdecimal()
    return not is_number and "/" not in text and text == text.strip() and text not in (".", "..")


def _order(field: Field, value: Any, other: Any) -> bool:
    if field.type.name == "decimal":
        return Decimal(value) > Decimal(other)
    return bool(value > other)


def _folded(value: Any) -> Any:
    if isinstance(value, list):
        return [_folded(item) for item in value]
    return value.casefold() if isinstance(value, str) else value


def _texts(field: Field) -> Iterator[str]:
    low, high = int(field.min or 1), int(field.max) if field.max is not None else None
    if field.pattern is not None:
        yield from patterns.texts(field.pattern, shortest=low, longest=high)
        return
    label = field.name.replace("_", " ")
    for number in itertools.count(1):
        text = f"{label} {number}"
        if len(text) < low:
            text += "." * (low - len(text))
        if high is not None and len(text) > high:
            text = _short(number, max(low, 1), high)
        if text:
            yield text
        elif number > 60:
            return


def _short(number: int, low: int, high: int) -> str:
    """A text of at most `high` characters that differs with the number; empty when there is none."""
    digits = ""
    while number:
        number, place = divmod(number - 1, 26)
        digits = chr(ord("a") + place) + digits
    return digits.rjust(low, "x") if len(digits) <= high else ""


def _wholes(field: Field, bases: list[Any]) -> Iterator[int]:
    low = Decimal(field.min) if field.min is not None else None
    high = Decimal(field.max) if field.max is not None else None
    start = int(bases[0]) + 1 if bases else _first(low, high)
    for number in range(start, start + 40):
        if (low is None or number >= low) and (high is None or number <= high) and number <= _INTEGER_MAX:
            yield number


def _first(low: Decimal | None, high: Decimal | None) -> int:
    """The smallest whole number in the range, or near its upper end where it is open below."""
    if low is not None:
        return int(low.to_integral_value("ROUND_CEILING"))
    return 1 if high is None or high >= 3 else int(high.to_integral_value("ROUND_FLOOR")) - 2


def _fractions(field: Field, bases: list[Any]) -> Iterator[Decimal]:
    low = Decimal(field.min) if field.min is not None else None
    high = Decimal(field.max) if field.max is not None else None
    start = Decimal(str(bases[0])) if bases else Decimal(_first(low, high))
    if low is not None and high is not None:
        steps = [low + (high - low) * part / 4 for part in range(5)]
    else:
        steps = [start + Decimal(part) / 4 for part in range(40)]
    for number in steps:
        if (low is None or number >= low) and (high is None or number <= high):
            yield number


def _decimals(field: Field, bases: list[Any]) -> Iterator[str]:
    for number in _fractions(field, bases):
        yield format(number, "f")


def _numbers(field: Field, bases: list[Any]) -> Iterator[int | float]:
    for number in _fractions(field, bases):
        value = float(number)
        yield int(value) if value.is_integer() and abs(value) < 10**15 else value


def _days(field: Field, bases: list[Any]) -> Iterator[date]:
    """Days in the range: after the other field's where there is one, else from a fixed one on."""
    low = date.fromisoformat(field.min[:10]) if field.min else date.min
    high = date.fromisoformat(field.max[:10]) if field.max else date.max
    start = date.fromisoformat(bases[0][:10]) if bases else _START
    if not bases and field.after is not None:
        start = date(2999, 1, 1)
    start = max(start, low)
    if start > high:
        start = max(low, high - timedelta(days=20) if high > date.min + timedelta(days=20) else low)
    for number in range(40):
        if start > date.max - timedelta(days=number):
            return
        day = start + timedelta(days=number)
        if low <= day <= high:
            yield day


def _dates(field: Field, bases: list[Any]) -> Iterator[str]:
    for day in _days(field, bases):
        yield day.isoformat()


def _stamps(field: Field, bases: list[Any]) -> Iterator[str]:
    low, high = _moment(field.min), _moment(field.max)
    for day in _days(field, bases):
        for hour in (9, 0, 23):
            text = datetime(day.year, day.month, day.day, hour, tzinfo=UTC).isoformat()[:19] + "Z"
            if (low is None or text >= low) and (high is None or text <= high):
                yield text
                break
    for limit in (low, high):
        if limit is not None:
            yield limit


def _moment(text: str | None) -> str | None:
    """A limit in UTC seconds."""
    if text is None:
        return None
    moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.isoformat()[:19] + "Z"


_RANGES: dict[str, Callable[[Field, list[Any]], Iterator[Any]]] = {
    "integer": _wholes,
    "number": _numbers,
    "decimal": _decimals,
    "date": _dates,
    "timestamp": _stamps,
}
