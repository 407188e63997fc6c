"""JSON and JSON Lines, strictly: one value per key, numbers that everybody can read, places for every refusal."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from daybreak.host.typed import plain
from daybreak.host.typed.refusals import ContentForbidden, DuplicateKey, FileRefused, Malformed, shown
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode, place

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class _Refused(Exception):
    """Inside the decoder, which knows no places: look for the place."""


def parse(source: Source) -> tuple[Any, Text]:
    """One JSON value (RFC 8259). Text that is not UTF-8 is refused unless a mark or the caller says what it is."""
    text = decode(source, guess=False)
    return loads(text.text, source), text


def parse_lines(source: Source) -> tuple[list[Any], Text]:
    """One JSON value per line. Lines end at `\\n`; the last one may do without. Empty lines are refused."""
    text = decode(source, guess=False)
    lines = text.text.split("\n")
    if lines[-1] == "":
        lines.pop()
    values = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise Malformed.at(source.path, "an empty line", hint="put one JSON value on each line", line=number)
        values.append(loads(line, source, first_line=number))
        if number > source.limits.values_max:
            raise plain.too_many(source.path, source.limits, number, 1)
    plain.refuse_large(values, source.path, source.limits)
    return values, text


def render(value: object, path: str) -> bytes:
    """Indented by two, keys in their order, ends with a newline. Raises NotWritable."""
    plain.refuse_unwritable(value, path, "JSON")
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def render_lines(value: object, path: str) -> bytes:
    """Each value of a list on its line. Raises NotWritable."""
    plain.refuse_unwritable(value, path, "JSONL")
    if not isinstance(value, list):
        raise plain.unwritable(path, "JSONL", "", "is no list")
    return "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in value).encode()


def loads(text: str, source: Source, first_line: int = 1) -> Any:
    """`text` as a value; the first line has number `first_line`. Raises the refusals of this package."""
    limits = source.limits
    if text.count(",") + text.count("[") + text.count("{") > limits.values_max:
        _explain(text, source, first_line)  # before memory is spent; comes back where commas stand in strings
    try:
        value = _decoder(_counting()).decode(text)
    except (_Refused, RecursionError):
        _explain(text, source, first_line)
        raise plain.too_deep(source.path, limits) from None
    except json.JSONDecodeError as error:
        line, column = place(text, error.pos)
        raise Malformed.at(
            source.path,
            f"not JSON: {error.msg}",
            hint="mend the text at this place",
            line=line + first_line - 1,
            column=column,
        ) from error
    except ValueError as error:  # whole numbers of more digits than the interpreter converts
        _explain(text, source, first_line)
        raise Malformed.at(source.path, f"not JSON: {error}", hint="mend the text", line=first_line) from error
    for depth, count in plain.measure(value):
        if depth > limits.depth_max or count > limits.values_max:
            _explain(text, source, first_line)
    if "\\u0000" in text or _HALF_PAIR.search(text):
        _explain(text, source, first_line)
    return value


@cache
def _decoder(counting: bool) -> json.JSONDecoder:
    """Made once: `json.loads` makes one per call, which is most of the time of a short line."""
    whole = _whole if counting else None
    return json.JSONDecoder(object_pairs_hook=_table, parse_constant=_refuse, parse_float=_number, parse_int=whole)


def _counting() -> bool:
    """Whether we count digits ourselves: the interpreter, which does so in no time, was told to allow more."""
    return not 0 < sys.get_int_max_str_digits() <= plain.DIGITS_MAX


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > plain.DIGITS_MAX:
        raise _Refused
    return int(digits)


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise _Refused
    return table


def _refuse(constant: str) -> NoReturn:
    raise _Refused


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Refused
    return number


@dataclass(slots=True)
class _Level:
    keys: set[str] | None
    """None in a list."""
    key_next: bool = False


def _explain(text: str, source: Source, first_line: int) -> None:
    """Go through the text token by token and raise at the first place that is refused; return where there is none."""
    levels: list[_Level] = []
    values = 1

    def refuse(kind: type[FileRefused], at: int, what: str, hint: str) -> NoReturn:
        line, column = place(text, at)
        raise kind.at(source.path, what, hint=hint, line=line + first_line - 1, column=column)

    for match in _TOKEN.finditer(text):
        token, at = match[0], match.start()
        if token in ("[", "{"):
            levels.append(_Level(set() if token == "{" else None, token == "{"))
            if len(levels) > source.limits.depth_max:
                line, column = place(text, at)
                raise plain.too_deep(source.path, source.limits, line + first_line - 1, column)
        elif token in ("]", "}"):
            if levels:
                levels.pop()
        elif token == ",":
            if levels:
                levels[-1].key_next = levels[-1].keys is not None
        elif token[0] == '"':
            said = _string(token)
            if said is None:
                refuse(Malformed, at, "half a surrogate pair", "write the character itself")
            level = levels[-1] if levels else None
            if level is not None and level.keys is not None and level.key_next:
                if "\0" in said:
                    refuse(
                        ContentForbidden, at, f"a NUL character in the key {shown(said)!r}", "write the key without it"
                    )
                if said in level.keys:
                    refuse(DuplicateKey, at, f"the key {shown(said)!r} a second time", "keep one of them")
                level.keys.add(said)
                level.key_next = False
        elif token != ":":
            _explain_word(token, at, refuse)
        values += token == "," or token in ("[", "{")
        if values > source.limits.values_max:
            line, column = place(text, at)
            raise plain.too_many(source.path, source.limits, line + first_line - 1, column)


def _explain_word(token: str, at: int, refuse: Any) -> None:
    if token.lstrip("-") in ("NaN", "Infinity"):
        refuse(ContentForbidden, at, f"{token} is not JSON", "use null, or a text")
    digits = token.lstrip("-")
    if digits[:1].isdigit():
        if digits.isdigit():
            if len(digits) > plain.digits_max():
                refuse(ContentForbidden, at, f"a whole number of {len(digits)} digits", "write it as a text")
        else:
            try:
                infinite = math.isinf(float(token))
            except ValueError:
                return
            if infinite:
                refuse(ContentForbidden, at, f"{shown(token)} is beyond every float", "write it as a text")


def _string(token: str) -> str | None:
    """The text that a string token stands for; None where it holds half a surrogate pair."""
    try:
        said = str(json.loads(token, strict=False))
        said.encode()
    except UnicodeEncodeError:
        return None
    except ValueError:
        return token
    return said
