"""Patterns that find a name in a sentence whatever its form: `lend` in "lending", `Category` in "categories".

English, as specifications are. Irregular verbs are there as far as programs are asked to do them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from daybreak.agents import naming

_IRREGULAR = {
    "begin": "began|begun",
    "break": "broken?",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "choose": "chosen?",
    "find": "found",
    "forget": "forgotten|forgot",
    "get": "got|gotten",
    "give": "gave|given",
    "hold": "held",
    "keep": "kept",
    "leave": "left",
    "lend": "lent",
    "lose": "lost",
    "make": "made",
    "pay": "paid",
    "sell": "sold",
    "send": "sent",
    "show": "shown",
    "spend": "spent",
    "take": "taken?|took",
    "tell": "told",
    "write": "wrote|written",
}
_CONSONANT_Y = re.compile(r"[^aeiou]y$")
_BETWEEN = (
    r"(?:[ _-]?| (?:(?:the|an?|this|that|these|those|its|his|her|their) )?(?!(?:and|by|for|in|of|on|or|to|with)\b)\w+ )"
)
"""What may stand between the words of a verb: "give-back" is in "give the book back"."""


def noun(*forms: Sequence[str]) -> str:
    """A pattern for any of these names, each given by its words; also in the plural."""
    found: list[str] = []
    for words in forms:
        whole = [word.lower() for word in words]
        plural = [*whole[:-1], naming.pluralised(whole[-1])]
        found += [r"[ _-]?".join(map(re.escape, one)) for one in (whole, plural)]
    return rf"\b(?:{'|'.join(dict.fromkeys(found))})\b"


def verb(words: Sequence[str]) -> str:
    """A pattern for what is done, in any tense: `close` for "closing", `give back` for "gave it back"."""
    first, *others = (word.lower() for word in words)
    return rf"\b{_BETWEEN.join([_tenses(first), *map(re.escape, others)])}\b"


def _tenses(word: str) -> str:
    plain = re.escape(word)
    if word.endswith("e"):
        forms = rf"{plain[:-1]}(?:e|es|ed|ing)"
    elif _CONSONANT_Y.search(word):
        forms = rf"{plain[:-1]}(?:y|ies|ied|ying)"
    else:
        forms = rf"{plain}(?:s|es|{re.escape(word[-1])}?(?:ed|ing))?"
    irregular = _IRREGULAR.get(word)
    return rf"(?:{forms}|{irregular})" if irregular else forms
