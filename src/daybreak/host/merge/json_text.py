"""JSON as text: read strictly, written in the layout of what it replaces.

Numbers keep their text. Duplicate keys, NaN and infinities are refused. Written anew, the indentation, key order,
colons and escapes are as in our text, and a list or map that stood on one line stays on one.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # it is there, and documented nowhere
from typing import Any

from daybreak.host.merge.outcome import NotStructural
from daybreak.host.merge.structured import Format
from daybreak.host.merge.values import Plain, Scalar

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_DEPTH_MAX = 200


class _Reader:
    """Values with the places where they stand: `inline` holds the ids of containers that stand on one line."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self.inline: set[int] = set()

    def whole(self) -> Plain:
        value = self._value()
        self._skip()
        if self._at != len(self._text):
            raise self._wrong("more after the end")
        return value

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None, "it matches nothing, too"
        self._at = found.end()

    def _wrong(self, what: str) -> NotStructural:
        return NotStructural(f"line {self._text.count(chr(10), 0, self._at) + 1}: {what}")

    def _peek(self) -> str:
        self._skip()
        return self._text[self._at : self._at + 1]

    def _value(self) -> Plain:
        first = self._peek()
        if first == '"':
            return self._string()
        if first and first in "{[":
            self._depth += 1
            if self._depth > _DEPTH_MAX:
                raise self._wrong("nested too deeply")
            start = self._at
            self._at += 1
            container: Any = self._map() if first == "{" else self._list()
            if "\n" not in self._text[start : self._at]:
                self.inline.add(id(container))
            self._depth -= 1
            return container
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        if found := _NUMBER.match(self._text, self._at):
            self._at = found.end()
            return Scalar("number", found[0])
        raise self._wrong("no JSON value")

    def _string(self) -> str:
        try:
            value, self._at = scanstring(self._text, self._at + 1, True)
        except ValueError as error:
            raise self._wrong(str(error)) from None
        return str(value)

    def _map(self) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        while self._peek() != "}":
            if self._peek() != '"':
                raise self._wrong("a key is missing")
            key = self._string()
            if key in found:
                raise self._wrong(f"the key {key!r} stands twice")
            if self._peek() != ":":
                raise self._wrong("a colon is missing")
            self._at += 1
            found[key] = self._value()
            self._comma("}")
        self._at += 1
        return found

    def _list(self) -> list[Plain]:
        found: list[Plain] = []
        while self._peek() != "]":
            found.append(self._value())
            self._comma("]")
        self._at += 1
        return found

    def _comma(self, end: str) -> None:
        if self._peek() == ",":
            self._at += 1
            if self._peek() == end:
                raise self._wrong("a comma too many")
        elif self._peek() != end:
            raise self._wrong("a comma is missing")


def read(text: str) -> Plain:
    return _Reader(text).whole()


def show(value: Plain) -> str:
    return _Writer(ascii=False, indent="  ", colon=": ").text(value, [], "")


class _Writer:
    def __init__(self, *, ascii: bool, indent: str | None, colon: str, padded: bool = False) -> None:
        """`padded`: maps on one line have a space inside their braces."""
        self._ascii, self._indent, self._colon, self._padded = ascii, indent, colon, padded
        self._inline: set[int] = set()

    def learn(self, text: str) -> Plain:
        """Read a text to write like it."""
        reader = _Reader(text)
        value = reader.whole()
        self._inline |= reader.inline
        return value

    def text(self, value: Plain, guides: list[Plain], margin: str) -> str:
        """`guides`: what stood at this place on each side; kept alive by the caller, because ids are looked up."""
        if isinstance(value, Scalar):
            return value.text
        if not isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=self._ascii)
        brackets = "{}" if isinstance(value, dict) else "[]"
        if not value:
            return brackets
        like = next((guide for guide in guides if isinstance(guide, type(value)) and guide), None)
        inline = self._indent is None or (like is not None and id(like) in self._inline)
        below = margin if inline else margin + (self._indent or "")
        parts = self._parts(value, guides, below)
        if inline:
            tight = self._indent is None and self._colon == ":"
            padding = " " if brackets == "{}" and self._padded else ""
            return brackets[0] + padding + ("," if tight else ", ").join(parts) + padding + brackets[1]
        return f"{brackets[0]}\n{below}" + f",\n{below}".join(parts) + f"\n{margin}{brackets[1]}"

    def _parts(self, value: Plain, guides: list[Plain], below: str) -> list[str]:
        if isinstance(value, dict):
            maps = [guide for guide in guides if isinstance(guide, dict)]
            return [
                json.dumps(key, ensure_ascii=self._ascii)
                + self._colon
                + self.text(one, [guide[key] for guide in maps if key in guide], below)
                for key, one in value.items()
            ]
        lists = [guide for guide in guides if isinstance(guide, list)]
        inner = [element for guide in lists for element in guide if isinstance(element, dict | list)]
        equal = {repr(element): element for element in reversed(inner)}
        parts = []
        for one in value:
            like = equal.get(repr(one)) if inner and isinstance(one, dict | list) else None
            parts.append(self.text(one, inner[:1] if like is None else [like], below))
        return parts


def write(ours: str, theirs: str, merged: Plain) -> str:
    found = re.search(r"^[\[{]\s*?\n([ \t]+)\S", ours.lstrip())
    spaced = re.search(r'"\s*:(\s)', ours)
    escaped = bool(re.search(r"\\u[0-9a-fA-F]{4}", ours)) and ours.isascii()
    writer = _Writer(
        ascii=escaped, indent=found[1] if found else None, colon=": " if spaced else ":", padded='{ "' in ours
    )
    guides = [writer.learn(ours), writer.learn(theirs)]
    return writer.text(merged, guides, "") + ("\n" if ours.endswith("\n") else "")


FORMAT = Format("json", read, show, write, lambda text: [])
