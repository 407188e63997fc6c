"""What a scan finds: marks in the text, and one score from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal

from daybreak.errors import PolicyError

Kind = Literal[
    "override",  # set earlier instructions aside, take new ones
    "persona",  # be somebody without rules
    "address",  # speaks to a machine that reads
    "conceal",  # do it without telling
    "reveal",  # show prompts or secrets
    "send",  # carry data outside
    "command",  # a dangerous command
    "tamper",  # approve, skip the checks, score high
    "role",  # a forged header of a conversation
    "tool",  # a forged call of a tool
    "image",  # an address that carries data away when it is shown
    "hiding",  # said where a person does not look
    "invisible",  # characters that show nothing, or show something else
    "wrapped",  # the same, encoded
]

SUSPICIOUS = 0.5
"""Scores from here on are taken for an attempt."""


class TextRefused(PolicyError):
    """A text that is too long to be scanned, or no text. Nothing is scanned in part: the rest would be a blind spot."""

    code = "P131"


class InjectionRefused(PolicyError):
    """Untrusted text, private data and a way out may not meet."""

    code = "P132"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the text: characters `start` to `end` of the original."""

    start: int
    end: int
    kind: Kind
    weight: float
    """0 to 1: how much it alone says."""
    why: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, in the order of the text; at most 200 marks, the heaviest."""

    marks: tuple[Mark, ...]
    score: float
    """0 to 1."""

    @property
    def suspicious(self) -> bool:
        return self.score >= SUSPICIOUS


WINDOW = 1500
"""Characters within which marks add up: an attempt is made in one place, and a long text has chance marks anywhere."""


def score(marks: Iterable[Mark]) -> float:
    """The highest of any window: 1 - the product of (1 - the heaviest weight of each kind).

    Different kinds add up, repetition does not.
    """
    ordered = sorted(marks)
    highest = 0.0
    first = 0
    for last, mark in enumerate(ordered):
        while ordered[first].start < mark.start - WINDOW:
            first += 1
        highest = max(highest, _together(ordered[max(first, last - _CROWD) : last + 1]))
    return round(highest, 3)


_CROWD = 100
"""Marks of one window that are looked at: what repeats more often adds nothing."""


def _together(marks: Iterable[Mark]) -> float:
    heaviest: dict[Kind, float] = {}
    for mark in marks:
        heaviest[mark.kind] = max(mark.weight, heaviest.get(mark.kind, 0.0))
    return 1.0 - prod(1.0 - weight for weight in heaviest.values())
