"""JSON that an answer must match: JSON with `...` and kinds.

    {"id": <integer as book>, "title": "Dune", "tags": ["sf", ...], ...}

Objects match exactly, unless `...` allows more; in a list `...` skips elements, also none. Numbers compare by
value and exactly (1 = 1.0, 0.1 is a tenth). `<kind>` stands for any value of that kind, `<kind as name>` also
catches it as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urlsplit

NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
KIND = re.compile(rf"<([A-Za-z]+)(?: as ({NAME}))?>")
DEPTH_MAX = 100
"""Nesting of a pattern or of an answer."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\s,:{}\[\]\"]+")


class NotAPattern(Exception):
    """The text is not JSON with kinds. `offset` is where, in characters from its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.offset = message, offset


class NotJson(Exception):
    """An answer's body is not JSON."""


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number: its exact value, and how it was written."""

    value: Decimal
    raw: str


@dataclass(frozen=True, slots=True)
class Kind:
    kind: str
    name: str | None = None

    def __str__(self) -> str:
        return f"<{self.kind} as {self.name}>" if self.name else f"<{self.kind}>"


@dataclass(frozen=True, slots=True)
class Skip:
    """`...` in a list."""


@dataclass(frozen=True, slots=True)
class Object:
    members: Mapping[str, Pattern]
    more: bool


@dataclass(frozen=True, slots=True)
class List:
    items: tuple[Pattern | Skip, ...]


Pattern: TypeAlias = "Object | List | Kind | Number | str | bool | None"
Value: TypeAlias = "dict[str, Value] | list[Value] | Number | str | bool | None"


# -- kinds


def _is_integer(value: Value) -> bool:
    return isinstance(value, Number) and value.value == value.value.to_integral_value()


def _is_decimal(value: Value) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None


def _is_date(value: Value) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    return _readable(date.fromisoformat, value)


_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def _is_timestamp(value: Value) -> bool:
    """RFC 3339, with its offset."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return False
    return _readable(datetime.fromisoformat, value)


def _readable(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _is_url(value: Value) -> bool:
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


KINDS: dict[str, Callable[[Value], bool]] = {
    "any": lambda value: True,
    "integer": _is_integer,
    "number": lambda value: isinstance(value, Number),
    "decimal": _is_decimal,
    "boolean": lambda value: isinstance(value, bool),
    "text": lambda value: isinstance(value, str),
    "date": _is_date,
    "timestamp": _is_timestamp,
    "url": _is_url,
}


def kind_of(text: str) -> Kind | None:
    """The kind that the whole text is, known or not; None where it is none."""
    found = KIND.fullmatch(text)
    return Kind(found[1], found[2]) if found else None


def from_text(kind: Kind, text: str) -> bool:
    """Whether a text (of a header) is of that kind: numbers and booleans as JSON writes them."""
    if kind.kind in ("integer", "number"):
        return bool(_NUMBER.fullmatch(text)) and KINDS[kind.kind](_number(text))
    if kind.kind == "boolean":
        return text in ("true", "false")
    return KINDS[kind.kind](text)


# -- reading a pattern


def read(text: str) -> Pattern:
    """Raises NotAPattern."""
    reader = _Reader(text)
    found = reader.value(0)
    reader.space()
    if reader.at != len(text):
        reader.fail("the JSON ends here, but more follows")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise NotAPattern(message, self.at if at is None else at)

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def takes(self, token: str) -> bool:
        self.space()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def value(self, depth: int) -> Pattern:
        if depth > DEPTH_MAX:
            self.fail(f"nested deeper than {DEPTH_MAX}")
        if self.takes("{"):
            return self.object(depth)
        if self.takes("["):
            return self.list(depth)
        if self.text.startswith('"', self.at):
            return self.string()
        if self.text.startswith("<", self.at):
            return self.kind()
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return _number(number[0])
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        self.fail(f"a JSON value or a <kind> is missing before {self.text[self.at : self.at + 20]!r}")

    def object(self, depth: int) -> Object:
        members: dict[str, Pattern] = {}
        more = False
        while not self.takes("}"):
            if (members or more) and not self.takes(","):
                self.fail("a comma or } is missing")
            if self.takes("..."):
                more = True
                continue
            self.space()
            start = self.at
            name = self.string()
            if name in members:
                self.fail(f"the member {name!r} is there twice", start)
            if not self.takes(":"):
                self.fail(f"a colon is missing after {name!r}")
            members[name] = self.value(depth + 1)
        return Object(members, more)

    def list(self, depth: int) -> List:
        items: list[Pattern | Skip] = []
        while not self.takes("]"):
            if items and not self.takes(","):
                self.fail("a comma or ] is missing")
            items.append(Skip() if self.takes("...") else self.value(depth + 1))
        return List(tuple(items))

    def string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if not found:
            self.fail("text in double quotes is missing")
        self.at = found.end()
        read_back: str = json.loads(found[0])
        return read_back

    def kind(self) -> Kind:
        found = KIND.match(self.text, self.at)
        if not found:
            self.fail("a kind is written <kind> or <kind as name>")
        if found[1] not in KINDS:
            self.fail(f"there is no kind <{found[1]}>; there are {', '.join(f'<{kind}>' for kind in KINDS)}")
        self.at = found.end()
        return Kind(found[1], found[2])


_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def catches(pattern: Pattern) -> list[str]:
    """The names that a pattern catches values under."""
    if isinstance(pattern, Kind):
        return [pattern.name] if pattern.name else []
    if isinstance(pattern, Object):
        return [name for member in pattern.members.values() for name in catches(member)]
    if isinstance(pattern, List):
        return [name for item in pattern.items if not isinstance(item, Skip) for name in catches(item)]
    return []


# -- reading an answer


def read_value(text: str) -> Value:
    """Strict JSON with exact numbers. Raises NotJson: no NaN, no member twice, not deeper than 100."""
    try:
        found = json.loads(
            text,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_members,
        )
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError as error:
        raise NotJson(str(error)) from None
    if _depth_over(found, DEPTH_MAX):
        raise NotJson(f"it is nested deeper than {DEPTH_MAX}")
    value: Value = found
    return value


def _number(raw: str) -> Number:
    try:
        return Number(Decimal(raw), raw)
    except InvalidOperation:
        raise ValueError(f"the number {raw[:40]} is out of range") from None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _depth_over(value: Value, left: int) -> bool:
    if left < 0:
        return True
    if isinstance(value, dict):
        return any(_depth_over(member, left - 1) for member in value.values())
    return isinstance(value, list) and any(_depth_over(item, left - 1) for item in value)


def show(value: Value) -> str:
    """A value as JSON, numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(name)}: {show(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(show, value)) + "]"
    return value.raw if isinstance(value, Number) else _quoted(value)


def show_pattern(pattern: Pattern | Skip) -> str:
    if isinstance(pattern, Object):
        members = [f"{_quoted(name)}: {show_pattern(member)}" for name, member in pattern.members.items()]
        return "{" + ", ".join([*members, *["..."] * pattern.more]) + "}"
    if isinstance(pattern, List):
        return "[" + ", ".join(map(show_pattern, pattern.items)) + "]"
    if isinstance(pattern, Skip):
        return "..."
    if isinstance(pattern, Kind):
        return str(pattern)
    return pattern.raw if isinstance(pattern, Number) else _quoted(pattern)


def _quoted(value: str | bool | None) -> str:
    return json.dumps(value, ensure_ascii=False)


# -- comparing


@dataclass(frozen=True, slots=True)
class Match:
    """What comparing gave: no differences, or what differs, each with its path such as `$.tags[0]`."""

    differences: tuple[str, ...] = ()
    caught: tuple[tuple[str, str], ...] = ()


def match(pattern: Pattern, value: Value, path: str = "$") -> Match:
    if isinstance(pattern, Object):
        return _match_object(pattern, value, path)
    if isinstance(pattern, List):
        return _match_list(pattern, value, path)
    if isinstance(pattern, Kind):
        if not KINDS[pattern.kind](value):
            return _differs(pattern, value, path)
        return Match(caught=((pattern.name, raw(value)),) if pattern.name else ())
    if isinstance(pattern, Number):
        same = isinstance(value, Number) and value.value == pattern.value
    else:
        same = type(value) is type(pattern) and value == pattern
    return Match() if same else _differs(pattern, value, path)


def raw(value: Value) -> str:
    """A value as text to put in again: a text itself, anything else as JSON."""
    return value if isinstance(value, str) else show(value)


def _differs(pattern: Pattern, value: Value, path: str) -> Match:
    return Match((f"{path}: expected {_cut(show_pattern(pattern))}, got {_cut(show(value))}",))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text)} characters)"


_SHOWN_MAX = 300


def _match_object(pattern: Object, value: Value, path: str) -> Match:
    if not isinstance(value, dict):
        return _differs(pattern, value, path)
    parts = [
        match(member, value[name], f"{path}.{name}")
        if name in value
        else Match((f"{path}.{name}: expected {_cut(show_pattern(member))}, but it is missing",))
        for name, member in pattern.members.items()
    ]
    if not pattern.more:
        parts += [
            Match((f"{path}.{name}: not expected, got {_cut(show(value[name]))}",))
            for name in value
            if name not in pattern.members
        ]
    return _together(parts)


def _match_list(pattern: List, value: Value, path: str) -> Match:
    if not isinstance(value, list):
        return _differs(pattern, value, path)
    if any(isinstance(item, Skip) for item in pattern.items):
        return _match_with_skips(pattern, value, path)
    exact = [item for item in pattern.items if not isinstance(item, Skip)]
    parts = [
        match(item, found, f"{path}[{at}]")
        for at, (item, found) in enumerate(zip(exact, value, strict=False))
    ]
    if len(exact) != len(value):
        parts.append(Match((f"{path}: expected {len(exact)} elements, got {len(value)}",)))
    return _together(parts)


def _match_with_skips(pattern: List, value: list[Value], path: str) -> Match:
    """The first way to lay the pattern along the list, trying the earliest elements first."""
    ways: dict[int, Match] = {0: Match()}  # by how many elements are used up so far
    for item in pattern.items:
        if isinstance(item, Skip):
            first = min(ways)
            reached = dict(ways)
            for at in range(first, len(value) + 1):
                reached.setdefault(at, reached[at - 1] if at > first else ways[first])
            ways = reached
            continue
        reached = {}
        for at, way in ways.items():
            here = match(item, value[at], path) if at < len(value) else Match(("",))
            if not here.differences:
                reached.setdefault(at + 1, _together([way, here]))
        if not reached:
            return Match(
                (f"{path}: no element {_cut(show_pattern(item))} in its place in {_cut(show(value))}",)
            )
        ways = reached
    if len(value) in ways:
        return ways[len(value)]
    return _differs(pattern, value, path)


def _together(parts: list[Match]) -> Match:
    return Match(
        tuple(difference for part in parts for difference in part.differences),
        tuple(caught for part in parts for caught in part.caught),
    )
