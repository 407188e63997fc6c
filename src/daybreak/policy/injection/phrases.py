"""Phrases that give instructions to a machine that reads.

A rule begins at a word, so clean text costs one look-up a word.
Every gap is bounded in words and characters, so that a rule costs a constant at each place: linear altogether.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from daybreak.policy.injection.fold import plain
from daybreak.policy.injection.marks import Kind

SEPARATOR = r"(?:(?![.!?][\s\"')]|[\"'][:,)\]]|\n[ \t]{0,8}\n)[^\w(){}=<>\[\];|]|_){1,12}"
"""Between two words of one sentence; not between those of a program."""

WORD = r"(?!(?:it|its|their|his|her|with|by|using|when|if|than|who)(?![^\W_]))[^\W_]{1,30}"
"""One that may stand in a gap; after these somebody tells or explains, and does not command."""


class Rule(NamedTuple):
    """`pattern` is tried where one of `firsts` stands."""

    kind: Kind
    weight: float
    why: str
    firsts: tuple[str, ...]
    pattern: re.Pattern[str]


def rule(kind: Kind, weight: float, why: str, firsts: str, *rest: str) -> Rule:
    """`firsts` are plain words; each of `rest` are alternatives, patterns of words. Blanks separate; `_` is a gap.

    `~n` at the beginning of one of `rest` allows up to n words in between; `?` makes one optional.
    """
    pattern = f"(?:{_alternatives(firsts)})"
    for part in rest:
        gap, part = _gap(part)
        optional = part.startswith("?")
        words = f"{gap}{SEPARATOR}(?:{_alternatives(part.removeprefix('?'))})"
        pattern += f"(?:{words})?" if optional else words
    return raw(kind, weight, why, firsts, pattern + r"(?![^\W_])")


def raw(kind: Kind, weight: float, why: str, firsts: str, pattern: str) -> Rule:
    """A whole pattern; `firsts` are the words that it begins with."""
    words = {plain(first).split("_")[0] for first in firsts.split()}
    assert all(word.isalnum() for word in words), words
    return Rule(kind, weight, why, tuple(sorted(words)), re.compile(pattern))


def _gap(part: str) -> tuple[str, str]:
    match = re.match(r"~(\d)\s", part)
    if match is None:
        return "", part
    return f"(?:{SEPARATOR}{WORD}){{0,{match[1]}}}?", part[match.end() :]


def _alternatives(words: str) -> str:
    return "|".join(
        re.sub(r"_\??", lambda gap: f"(?:{SEPARATOR})?" if gap[0] == "_?" else SEPARATOR, plain(word))
        for word in words.split()
    )


@cache
def table() -> tuple[dict[str, tuple[Rule, ...]], re.Pattern[str], tuple[Rule, ...]]:
    """Rules by first word; and for scripts without spaces one pattern of beginnings, and its rules."""
    from daybreak.policy.injection.english import ENGLISH
    from daybreak.policy.injection.languages import SPACED, UNSPACED

    by_word: dict[str, list[Rule]] = {}
    for one in (*ENGLISH, *SPACED):
        for first in one.firsts:
            by_word.setdefault(first, []).append(one)
    starts = "|".join(sorted({re.escape(first) for one in UNSPACED for first in one.firsts}))
    return {word: tuple(rules) for word, rules in by_word.items()}, re.compile(starts), UNSPACED


_WORDS = re.compile(r"[^\W_]+")
_UNSPACED_SCRIPT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def hits(text: str) -> Iterator[tuple[Rule, int, int]]:
    """Every rule that matches in a folded text, with the place."""
    by_word, starts, unspaced = table()
    get = by_word.get
    for word in _WORDS.finditer(text):
        rules = get(word[0])
        if rules is None or _in_identifier(text, word.start()):
            continue
        for one in rules:
            match = one.pattern.match(text, word.start())
            if match is not None and not _PAIR.fullmatch(match[0]):
                yield one, match.start(), match.end()
    if _UNSPACED_SCRIPT.search(text):
        for start in starts.finditer(text):
            for one in unspaced:
                match = one.pattern.match(text, start.start())
                if match is not None:
                    yield one, match.start(), match.end()


_PAIR = re.compile(r"[a-z0-9]+_[a-z0-9]+")
"""`output_tokens` is a name of a program; three words and more are a sentence written as one."""


def _in_identifier(text: str, start: int) -> bool:
    """Is this the middle of `a_name` or `a.name`? Instructions begin at a word of their own."""
    return start > 1 and text[start - 1] in "_." and text[start - 2].isalnum()
