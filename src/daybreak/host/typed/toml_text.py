"""TOML 1.0, read by the standard library after a look at what would take it too long, and written in its order."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime, time
from typing import Any

from daybreak.host.typed import plain
from daybreak.host.typed.refusals import ContentForbidden, DuplicateKey, Malformed
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode, place

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|' r"'''.*?'''|" r'"(?:[^"\\\n]|\\.)*+"|' r"'[^'\n]*+'|#[^\n]*+|[A-Za-z0-9_+-]++|[ \t]++|.",
    re.DOTALL,
)
_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")
_AT_END = " (at end of document)"
_DUPLICATES = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline table key")
_LONG = re.compile(r"\b[0-9][0-9A-Za-z_]{600,}+")
"""What may be a number of many digits; from the start of a word only, so that no word is looked at twice."""
_NUL = re.compile(r"\\u0000|\\U00000000")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class _NotFinite(Exception):
    """Inside the decoder, which knows no places."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def parse(source: Source) -> tuple[dict[str, Any], Text]:
    """A TOML document. UTF-8 only, as TOML says; a mark in front is taken."""
    text = decode(source, guess=False)
    return loads(text.text, source), text


def loads(text: str, source: Source) -> dict[str, Any]:
    """`text` as a table. Raises the refusals of this package."""
    import tomllib

    _refuse_slow(text, source)
    try:
        value = tomllib.loads(text, parse_float=_number)
    except _NotFinite as error:
        # It may also stand like this in a string further up; then this names that line, which helps as well.
        found = re.search(r"[=,\[]\s*" + re.escape(error.word), text)
        line, column = place(text, found.end() - len(error.word) if found else 0)
        raise ContentForbidden.at(
            source.path,
            f"{error.word} is no number that others can read",
            hint="leave it out",
            line=line,
            column=column,
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise _malformed(str(error), text, source) from error
    except RecursionError:
        raise plain.too_deep(source.path, source.limits) from None
    except ValueError:  # whole numbers of more digits than the interpreter converts
        raise _too_long(text, source) from None
    plain.refuse_large(value, source.path, source.limits)
    if _LONG.search(text) and any(isinstance(one, int) and plain.is_huge(one) for one in plain.each(value)):
        raise _too_long(text, source)
    if (nul := _NUL.search(text)) and any(
        "\0" in key for one in plain.each(value) if isinstance(one, dict) for key in one
    ):
        line, column = place(text, nul.start())  # of the first one, which may stand in a value further up
        raise ContentForbidden.at(
            source.path, "a NUL character in a key", hint="write the key without it", line=line, column=column
        )
    return value


def _too_long(text: str, source: Source) -> Exception:
    """At the first long word that starts with a digit; it may be part of a text further up, which helps as well."""
    found = _LONG.search(text)
    line, column = place(text, found.start() if found else 0)
    return ContentForbidden.at(
        source.path,
        f"a whole number of more than {plain.digits_max()} digits",
        hint="write it as a text",
        line=line,
        column=column,
    )


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotFinite(digits)
    return number


def _malformed(said: str, text: str, source: Source) -> Exception:
    if match := _AT.search(said):
        what, line, column = said[: match.start()], int(match[1]), int(match[2])
    else:
        what, (line, column) = said.removesuffix(_AT_END), place(text, len(text))
    kind = DuplicateKey if what.startswith(_DUPLICATES) else Malformed
    return kind.at(
        source.path, f"not TOML: {what}", hint="mend the text just before this place", line=line, column=column
    )


def _refuse_slow(text: str, source: Source) -> None:
    """Deep brackets overflow the decoder's stack; dotted keys of n parts take it n² steps."""
    limits, brackets, parts, values = source.limits, 0, 0, 0
    most = limits.depth_max
    if text.count(".") + text.count("[") + text.count("{") <= most and text.count(",") <= limits.values_max:
        return
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first in "[{":
            brackets += 1
            parts, values = 0, values + 1
        elif first in "]}":
            brackets, parts = max(brackets - 1, 0), 0
        elif first == ".":
            parts += 1
        elif first in ",=\n\r#":
            parts = 0
            values += first in ",="
        if brackets > most or parts >= most:
            raise plain.too_deep(source.path, limits, *place(text, match.start()))
        if values > limits.values_max:
            raise plain.too_many(source.path, limits, *place(text, match.start()))


def render(value: object, path: str) -> bytes:
    """Plain values of a table first, then its tables, each in its order. Raises NotWritable."""
    plain.refuse_unwritable(value, path, "TOML", none=False, times=True)
    if not isinstance(value, dict):
        raise plain.unwritable(path, "TOML", "", "is no table")
    lines: list[str] = []
    _table(value, (), lines)
    return ("\n".join(lines).lstrip("\n") + "\n").encode()


def _table(table: dict[str, Any], name: tuple[str, ...], lines: list[str], *, row: bool = False) -> None:
    """A table under its name; `row`: one of an array of tables."""
    tables = [key for key, value in table.items() if _is_table(value) or _is_tables(value)]
    if row:
        lines += ["", f"[[{'.'.join(map(_key, name))}]]"]
    elif name and (not tables or len(tables) < len(table)):
        lines += ["", f"[{'.'.join(map(_key, name))}]"]
    lines += [f"{_key(key)} = {_inline(value)}" for key, value in table.items() if key not in tables]
    for key in tables:
        is_row = not _is_table(table[key])
        for one in table[key] if is_row else [table[key]]:
            _table(one, (*name, key), lines, row=is_row)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value)
