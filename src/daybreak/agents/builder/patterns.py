"""Texts that match a regular expression, so that generated tests have valid values.

`texts` walks the parsed expression and chooses by a seeded generator; what it finds is checked with the real
matcher, so lookarounds and back references only cost more tries. The same pattern gives the same texts.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined] # the parser has no public name
from typing import Any

TRIES = 3000
_REPEAT_EXTRA = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PRINTABLE = [chr(code) for code in range(33, 127)]
_CATEGORIES = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_WORD": _LETTERS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
    "CATEGORY_SPACE": " ",
}


def texts(pattern: str, *, shortest: int = 1, longest: int | None = None) -> Iterator[str]:
    """Different texts of that length range that match the whole pattern; ends when no more are found."""
    rng = random.Random(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = re.compile(pattern, re.ASCII)
        parsed = _parser.parse(pattern, re.ASCII)
    seen: set[str] = set()
    for attempt in range(TRIES):
        text = _Writer(rng, extra=attempt % (_REPEAT_EXTRA + shortest)).write(parsed)
        if text in seen or not text.isprintable() or len(text) < max(shortest, 1):
            continue
        if (longest is None or len(text) <= longest) and compiled.fullmatch(text):
            seen.add(text)
            yield text


class _Writer:
    def __init__(self, rng: random.Random, *, extra: int) -> None:
        self.rng = rng
        self.extra = extra
        self.groups: dict[int, str] = {}

    def write(self, parsed: Any) -> str:
        return "".join(self._one(str(code), argument) for code, argument in parsed)

    def _one(self, code: str, argument: Any) -> str:
        if code == "LITERAL":
            return chr(argument)
        if code == "NOT_LITERAL":
            return self.rng.choice([char for char in _LETTERS if ord(char) != argument])
        if code == "ANY":
            return self.rng.choice(_LETTERS)
        if code == "IN":
            return self._member(argument)
        if code == "BRANCH":
            return self.write(self.rng.choice(argument[1]))
        if code == "SUBPATTERN":
            group, _, _, inner = argument
            text = self.write(inner)
            if group is not None:
                self.groups[group] = text
            return text
        if code in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = argument
            top = low + self.extra if high is _constants.MAXREPEAT else min(int(high), low + self.extra)
            return "".join(self.write(inner) for _ in range(self.rng.randint(low, top)))
        if code == "GROUPREF":
            return self.groups.get(argument, "")
        if code == "ATOMIC_GROUP":
            return self.write(argument)
        if code == "GROUPREF_EXISTS":
            group, yes, no = argument
            chosen = yes if group in self.groups else no
            return self.write(chosen) if chosen else ""
        return ""  # anchors and lookarounds write nothing; the matcher judges

    def _member(self, members: Any) -> str:
        negated = str(members[0][0]) == "NEGATE"
        chars: list[str] = []
        for code, argument in members[1:] if negated else members:
            chars += self._members(str(code), argument)
        if negated:
            chars = [char for char in _PRINTABLE if char not in chars]
        return self.rng.choice(chars) if chars else ""

    def _members(self, code: str, argument: Any) -> list[str]:
        if code == "LITERAL":
            return [chr(argument)]
        if code == "RANGE":
            low, high = argument
            return [chr(char) for char in range(low, min(high, low + 500) + 1)]
        name = str(argument)
        known = _CATEGORIES.get(name.replace("_NOT_", "_"), "")
        if "_NOT_" in name:
            return [char for char in _PRINTABLE if char not in known]
        return list(known)
