"""Finds what somebody asks about: a code, a part of a name, or a whole message as it was told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from daybreak.report.catalogue.entry import Entry, Told

CODE = re.compile(r"(?<![\w-])([A-Za-z][0-9]{3})(?![\w-])")
NAMED_MOST = 12
_LITERAL_LEAST = 10
"""Characters of a message that must be the same, besides what is filled in."""
_ASKED_MOST = 4000
_PIECES = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found. One entry alone is meant for certain; of several, one may be."""

    entries: tuple[Entry, ...]
    told: Told | None = None
    """The message that was asked about, where one was."""
    near: tuple[str, ...] = ()
    """Codes and names that look like it, where nothing was found."""


def find(words: str, known: Mapping[str, Entry]) -> Answer:
    """What `words` ask about: a code in any case; a message, with or without its code; or a part of a class's name."""
    asked = " ".join(words[:_ASKED_MOST].split())
    codes = [code for one in CODE.findall(asked) if (code := one.upper()) in known]
    if codes:
        return Answer((known[codes[0]],), _message(asked, [known[codes[0]]])[1])
    if CODE.fullmatch(asked):
        return Answer((), near=_near_codes(asked.upper(), known))
    folded = _folded(asked)
    if folded and " " not in asked:
        named = [one for one in known.values() if folded in _folded(one.name)]
        exact = [one for one in named if folded == _folded(one.name)]
        if named:
            return Answer(tuple((exact or named)[:NAMED_MOST]))
    entry, told = _message(asked, known.values())
    if entry is not None:
        return Answer((entry,), told)
    by_words = _by_words(asked, known)
    return Answer(by_words) if by_words else Answer((), near=_near_names(asked, known))


def _folded(text: str) -> str:
    return text.replace("_", "").replace("-", "").casefold()


def _message(asked: str, among: Iterable[Entry]) -> tuple[Entry | None, Told | None]:
    """The message that fits what was asked, and of several the one that says most itself."""
    best: tuple[int, Entry | None, Told | None] = (0, None, None)
    for one in among:
        for told in one.told:
            pieces = [piece for piece in _PIECES.split(told.message) if piece.strip()]
            weight = sum(map(len, pieces))
            if weight > max(best[0], _LITERAL_LEAST - 1) and _holds(asked, pieces):
                best = (weight, one, told)
    return best[1], best[2]


def _holds(text: str, pieces: list[str]) -> bool:
    """Whether the pieces stand in the text, one after the other."""
    at = 0
    for piece in pieces:
        at = text.find(piece.strip(), at)
        if at < 0:
            return False
        at += len(piece.strip())
    return True


def _by_words(asked: str, known: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """The entries of which the cause or a message has every word; the ones with the shortest cause first."""
    words = [word.casefold() for word in re.findall(r"\w{3,}", asked)]
    if not words:
        return ()
    found = []
    for one in known.values():
        text = " ".join([one.name, one.cause, *one.examples]).casefold()
        if all(word in text for word in words):
            found.append(one)
    found.sort(key=lambda one: (not all(word in one.cause.casefold() for word in words), len(one.cause)))
    return tuple(found[:NAMED_MOST])


def _near_codes(code: str, known: Mapping[str, Entry]) -> tuple[str, ...]:
    """The codes of the same letter whose numbers are nearest; else those that look like it."""
    same = [one for one in known if one[0] == code[0]]
    if same:
        return tuple(sorted(sorted(same, key=lambda one: (abs(int(one[1:]) - int(code[1:])), one))[:3]))
    return tuple(get_close_matches(code, known, n=3, cutoff=0.5))


def _near_names(asked: str, known: Mapping[str, Entry]) -> tuple[str, ...]:
    names = {_folded(one.name): one.name for one in known.values() if one.name}
    return tuple(names[one] for one in get_close_matches(_folded(asked[:60]), names, n=3, cutoff=0.6))
