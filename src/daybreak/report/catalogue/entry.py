"""One code of the catalogue, and the file that has all of them. Reads nothing but that file: `explain` is instant."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).with_name("errors.json")


@dataclass(frozen=True, slots=True)
class Told:
    """A message as it is told; what is filled in stands in angle brackets: `there is no run <run>`."""

    message: str
    hint: str
    """What to do next; empty where only the occasion knows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about a code."""

    code: str
    name: str
    """Of the class, for programs; empty where the code is that of a problem within a file."""
    within: tuple[str, ...]
    """Codes of the classes above it, the nearest first; or of the error that lists this problem."""
    cause: str
    """What happened, in sentences."""
    raised: tuple[str, ...]
    """Modules with the places that raise it, sorted."""
    told: tuple[Told, ...]
    """In the order of the sources; none for a code that only stands for those below it."""

    @property
    def remedies(self) -> list[str]:
        """What to do, each once."""
        return list(dict.fromkeys(one.hint for one in self.told if one.hint))

    @property
    def examples(self) -> list[str]:
        """Messages, each once."""
        return list(dict.fromkeys(one.message for one in self.told))

    @property
    def groups(self) -> list[tuple[list[str], str]]:
        """Messages that have one hint, and the hint; in the order of the first of each."""
        found: dict[str, list[str]] = {}
        for one in self.told:
            found.setdefault(one.hint, []).append(one.message)
        return [(messages, hint) for hint, messages in found.items()]

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Family:
    """All codes that begin alike: with a letter (`H`), or a letter and a digit (`H2`)."""

    prefix: str
    meaning: str
    """Of the letter: the cause of its first code. Of letter and digit: the parts of Daybreak that raise most."""
    codes: int


@cache
def entries() -> dict[str, Entry]:
    """By code, sorted."""
    return parsed(DATA.read_text(encoding="utf-8"))


def parsed(text: str) -> dict[str, Entry]:
    """What `written` wrote."""
    found = {}
    for one in json.loads(text):
        told = tuple(Told(**each) for each in one["told"])
        entry = Entry(one["code"], one["name"], tuple(one["within"]), one["cause"], tuple(one["raised"]), told)
        found[entry.code] = entry
    return found


def written(found: Iterable[Entry]) -> str:
    """As text, an entry a line, so that a change shows as one."""
    lines = [json.dumps(one.plain(), ensure_ascii=False) for one in sorted(found, key=lambda one: one.code)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def below(code: str, known: dict[str, Entry]) -> list[Entry]:
    """The codes that this one stands for as well."""
    return [one for one in known.values() if code in one.within]


def families(known: dict[str, Entry]) -> list[Family]:
    """Letters, each followed by its digits."""
    found = []
    for letter in dict.fromkeys(code[0] for code in known):
        its = [one for code, one in known.items() if code[0] == letter]
        found.append(Family(letter, its[0].cause, len(its)))
        for digit in dict.fromkeys(one.code[1] for one in its):
            same = [one for one in its if one.code[1] == digit]
            found.append(Family(letter + digit, ", ".join(_areas(same)), len(same)))
    return found


def _areas(its: list[Entry]) -> list[str]:
    """The parts of Daybreak that raise most of these codes, six at most."""
    counted: dict[str, int] = {}
    for one in its:
        for area in dict.fromkeys(_area(module) for module in one.raised):
            counted[area] = counted.get(area, 0) + 1
    return sorted(counted, key=lambda area: (-counted[area], area))[:6]


def _area(module: str) -> str:
    parts = module.split(".")[1:]
    return " ".join(parts[:2])
