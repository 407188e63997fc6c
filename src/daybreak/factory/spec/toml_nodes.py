"""TOML as a tree of texts with lines: the standard library understands it, a scan of our own finds the lines."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from daybreak.factory.spec.located import DEPTH_MAX, Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.problems import Problems

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")
KEY_PARTS_MAX = 100
Path = tuple[str | int, ...]


class _Float(str):
    """A float as written."""

    __slots__ = ()


def read(text: str, problems: Problems) -> Node | None:
    """The document as a mapping, or None with a problem."""
    if (line := _long_key(text)) is not None:
        problems.add(line, "S119", f"a key of more than {KEY_PARTS_MAX} parts", "a key has one to three parts")
        return None
    try:
        data = tomllib.loads(text, parse_float=_Float)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        last = len(text.rstrip("\n").split("\n"))
        line = int(at[1]) if at and at[1] else last
        problems.add(
            line,
            "S118",
            f"this is not TOML: {_AT_LINE.sub('', str(error))}",
            "look at the quotes, brackets and the `=` of this line; text stands in quotes",
        )
        return None
    except RecursionError:
        data = None
    if data is None or _deeper(data, DEPTH_MAX):
        problems.add(1, "S119", f"nested deeper than {DEPTH_MAX} levels", "a specification needs six levels at most")
        return None
    places = _Scan(text).places
    return _node(data, (), places, 1)


def _long_key(text: str) -> int | None:
    """The line of a dotted key that the standard library would need gigabytes for."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > KEY_PARTS_MAX:
            parts = [part for part in line.partition("=")[0].split(".") if part.strip()]
            if len(parts) > KEY_PARTS_MAX:
                return number
    return None


def _deeper(value: Any, levels: int) -> bool:
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_deeper(item, levels - 1) for item in inner if isinstance(item, dict | list))


def _node(value: Any, path: Path, places: dict[Path, tuple[int, int, bool]], above: int) -> Node:
    line, first_line, by_line = places.get(path, (above, above, False))
    if isinstance(value, dict):
        pairs = []
        for key, item in value.items():
            at = places.get((*path, key), (line, line, False))[0]
            pairs.append((Scalar(key, at), _node(item, (*path, key), places, line)))
        return Mapping(tuple(pairs), line)
    if isinstance(value, list):
        return Sequence(tuple(_node(item, (*path, n), places, line) for n, item in enumerate(value)), line)
    if isinstance(value, str) and not isinstance(value, _Float):
        return Scalar(value, line, plain=False, first_line=first_line, by_line=by_line)
    return Scalar(_text(value), line)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return str(value)


class _Scan:
    """Lines of keys and items in TOML that is known to be valid.

    `places` gives for each path the line, the line where a text begins, and whether each of its lines is
    one of the file.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.counted_to, self.line = 0, 1
        self.places: dict[Path, tuple[int, int, bool]] = {}
        self.tables: dict[Path, int] = {}
        self.document()

    def here(self) -> int:
        self.line += self.text.count("\n", self.counted_to, self.at)
        self.counted_to = self.at
        return self.line

    def skip(self, letters: str = " \t\n") -> None:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in letters:
                self.at += 1
            else:
                return
            if "\n" not in letters and self.text[self.at : self.at + 1] == "\n":
                return

    def document(self) -> None:
        table: Path = ()
        self.skip()
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)
            self.skip()

    def header(self, brackets: int) -> Path:
        line = self.here()
        self.at += brackets
        keys = self.keys("]")
        self.at += brackets
        path = self.resolved((), keys[:-1])
        path = (*path, keys[-1])
        self.note(path, line)
        if brackets == 2:
            self.tables[path] = self.tables.get(path, -1) + 1
        if path in self.tables:
            path = (*path, self.tables[path])
        self.note(path, line)
        return path

    def resolved(self, base: Path, keys: list[str]) -> Path:
        path = base
        for key in keys:
            path = (*path, key)
            if path in self.tables:
                path = (*path, self.tables[path])
        return path

    def note(self, path: Path, line: int, first_line: int = 0, by_line: bool = False) -> None:
        for length in range(1, len(path)):
            self.places.setdefault(path[:length], (line, line, False))
        self.places[path] = (line, first_line or line, by_line)

    def keys(self, end: str) -> list[str]:
        keys = []
        while True:
            self.skip(" \t")
            letter = self.text[self.at]
            if letter in "\"'":
                keys.append(self.quoted_key(letter))
            else:
                found = re.compile(r"[A-Za-z0-9_-]+").match(self.text, self.at)
                assert found is not None, "the text was parsed before"
                keys.append(found[0])
                self.at = found.end()
            self.skip(" \t")
            if self.text[self.at] == end:
                return keys
            self.at += 1

    def quoted_key(self, quote: str) -> str:
        start = self.at
        self.string()
        literal = self.text[start : self.at]
        if quote == "'":
            return literal[1:-1]
        return str(tomllib.loads(f"key = {literal}")["key"])

    def pair(self, table: Path) -> None:
        line = self.here()
        keys = self.keys("=")
        self.at += 1
        self.skip(" \t")
        path = (*table, *keys)
        self.note(path, line)
        self.value(path, line)

    def value(self, path: Path, line: int) -> None:
        letter = self.text[self.at]
        if letter == "[":
            self.array(path)
        elif letter == "{":
            self.inline(path)
        elif letter in "\"'":
            start, at_line = self.at, self.here()
            self.string()
            triple = self.text[start : start + 3] in ('"""', "'''") and self.at - start >= 6
            below = triple and self.text[start + 3 : start + 4] == "\n"
            folded = triple and letter == '"' and "\\" in self.text[start : self.at]
            self.note(path, line, at_line + 1 if below else at_line, triple and not folded)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}\n#":
                self.at += 1

    def array(self, path: Path) -> None:
        self.at += 1
        number = 0
        self.skip()
        while self.text[self.at] != "]":
            line = self.here()
            self.note((*path, number), line)
            self.value((*path, number), line)
            number += 1
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
                self.skip()
        self.at += 1

    def inline(self, path: Path) -> None:
        self.at += 1
        self.skip()
        while self.text[self.at] != "}":
            self.pair(path)
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
                self.skip()
        self.at += 1

    def string(self) -> None:
        """Past the string that begins here."""
        quote = self.text[self.at]
        triple = quote * 3
        if self.text.startswith(triple, self.at):
            self.at += 3
            while not self.text.startswith(triple, self.at):
                self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            self.at += 3
            while self.text[self.at : self.at + 1] == quote:
                self.at += 1
            return
        self.at += 1
        while self.text[self.at] != quote:
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += 1
