"""How many columns a text takes on a terminal, and as much of it as there is room for. Text is hostile here."""

from __future__ import annotations

import unicodedata

from rich.cells import get_character_cell_size

from daybreak.report.shown import shown

_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
"""They make one picture of several where a terminal knows it, and no terminals agree on which."""
_MARKS_MAX = 2
"""Accents on one letter; more of them climb into other lines."""
CHARS_MAX = 4_000
"""Of a text that is looked at; no terminal is as wide."""


def clean(text: str) -> str:
    """One line without anything that has no place of its own: what steers, turns round or hides is written out."""
    found: list[str] = []
    marks = 0
    for char in shown(" ".join(text[:CHARS_MAX].split())):
        if char in _JOINERS:
            continue
        if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
            marks += 1
            if marks > _MARKS_MAX or not found:
                continue
        else:
            marks = 0
        found.append(char if char == " " or char.isprintable() else char.encode("unicode_escape").decode())
    return "".join(found)


def width(text: str) -> int:
    """Columns of a text that was cleaned."""
    return len(text) if text.isascii() else sum(map(get_character_cell_size, text))


def cut(text: str, most: int, more: str = "…") -> str:
    """As much of a cleaned text as takes at most so many columns; what is missing is shown by `more`."""
    if width(text) <= most:
        return text
    room = most - width(more)
    if room < 0:
        return ""
    taken = 0
    for place, char in enumerate(text):
        taken += get_character_cell_size(char)
        if taken > room:
            return text[:place] + more
    return text
