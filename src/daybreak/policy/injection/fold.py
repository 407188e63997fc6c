"""Text as a rule sees it: lower case, one width, without marks over letters, without characters that show nothing.

`Folded` knows for each place where it stood in the original. What was hidden is said as marks.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

from daybreak.policy.injection.marks import Mark

_LOOKALIKES = dict(
    zip(
        "авсԁеёһіїјкӏмпоорԛгѕтуԝхѵзαβεϵγηικκνορτυωχ",
        "abcdeehiijklmnoopqrstuwxvzabeeynikkvoptuwx",
        strict=True,
    )
)
"""Letters of other scripts that look like Latin ones; used only inside words that mix scripts."""

_MIXED = re.compile(r"(?=[^\W\d_]{0,40}[a-z])(?=[^\W\d_]{0,40}[\u0370-\u03ff\u0400-\u052f])[^\W\d_]{2,40}")
_LOOKALIKE_SCRIPT = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")
_OTHER = re.compile(r"[^\x00-\x7f]")
_SPLIT_WORD = re.compile(r"(?<=[A-Za-z])[\u200b-\u200d\u2060-\u2064\ufeff\u180e]{1,20}(?=[A-Za-z])")
_OVERRIDE = re.compile(r"[\u202d\u202e](?P<inner>[^\u202c\n]{1,2000})")
_EMBED = re.compile(r"[\u202a\u202b\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_TAGS = re.compile(r"(?P<flag>\U0001f3f4)?(?P<tags>[\U000e0020-\U000e007f]{1,4000})")
_SELECTORS = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,4000}")


class Folded:
    """`text` is what rules look at; `place(i)` is where its i-th character stood in the original."""

    __slots__ = ("_at", "_from", "text")

    def __init__(self, text: str, at: list[int], origin: list[int]) -> None:
        """`at[k]` and `origin[k]`: from folded place `at[k]` on, places run in step from `origin[k]`."""
        self.text = text
        self._at = at
        self._from = origin

    def place(self, index: int) -> int:
        step = bisect_right(self._at, index) - 1
        return self._from[step] + index - self._at[step]


def fold(original: str) -> Folded:
    """Linear in the length."""
    if original.isascii():
        return Folded(original.lower(), [0], [0])
    parts: list[str] = []
    at, origin = [0], [0]
    length = end = 0
    for match in _OTHER.finditer(original):
        start = match.start()
        parts.append(original[end:start].lower())
        length += start - end
        end = match.end()
        letter = _folded_letter(match[0])
        parts.append(letter)
        if len(letter) != 1:
            at.append(length + len(letter))
            origin.append(end)
        length += len(letter)
    parts.append(original[end:].lower())
    text = "".join(parts)
    return Folded(_MIXED.sub(_as_latin, text) if _LOOKALIKE_SCRIPT.search(text) else text, at, origin)


def plain(text: str) -> str:
    """How a rule's own words are written: folded like the text."""
    return "".join(letter if letter.isascii() else _folded_letter(letter) for letter in text)


@lru_cache(maxsize=65536)
def _folded_letter(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind == "Cf" or "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef":
        return ""
    apart = unicodedata.normalize("NFKD", letter)
    kept = "".join(one for one in apart if not unicodedata.combining(one))
    return unicodedata.normalize("NFC", kept).lower()  # lower: `ß` stays one letter


def _as_latin(match: re.Match[str]) -> str:
    """The same length, so that places stay."""
    return "".join(_LOOKALIKES.get(letter, letter) for letter in match[0])


# -- what was hidden


def invisible(original: str) -> tuple[list[Mark], list[tuple[int, int, str]]]:
    """Marks for characters that show nothing or something else, and the texts hidden in them, with their places."""
    if original.isascii():
        return [], []
    marks: list[Mark] = []
    texts: list[tuple[int, int, str]] = []
    _tags(original, marks, texts)
    _selectors(original, marks, texts)
    for match in _OVERRIDE.finditer(original):
        marks.append(Mark(*match.span(), "invisible", 0.5, "text shown in another order than it is read"))
        texts.append((*match.span(), match["inner"][::-1]))
    if not _RIGHT_TO_LEFT.search(original):
        marks += [
            Mark(*match.span(), "invisible", 0.3, "direction controls without right-to-left text")
            for match in _EMBED.finditer(original)
        ]
    split = list(_SPLIT_WORD.finditer(original))
    weight = 0.2 if len(split) < 3 else 0.5
    marks += [Mark(*match.span(), "invisible", weight, "invisible characters inside a word") for match in split]
    marks += _mixed(original)
    return marks, texts


def _tags(original: str, marks: list[Mark], texts: list[tuple[int, int, str]]) -> None:
    for match in _TAGS.finditer(original):
        said = "".join(chr(ord(letter) - 0xE0000) for letter in match["tags"] if letter != "\U000e007f")
        if match["flag"] and len(said) <= 6 and match["tags"].endswith("\U000e007f"):
            continue  # a flag of a region: England, Scotland
        marks.append(Mark(*match.span(), "invisible", 0.7, "text in invisible tag characters"))
        texts.append((*match.span(), said))


def _selectors(original: str, marks: list[Mark], texts: list[tuple[int, int, str]]) -> None:
    for match in _SELECTORS.finditer(original):
        octets = bytes(
            ord(letter) - 0xFE00 if letter <= "\ufe0f" else ord(letter) - 0xE0100 + 16 for letter in match[0]
        )
        marks.append(Mark(*match.span(), "invisible", 0.7, "data in variation selectors"))
        texts.append((*match.span(), octets.decode("utf-8", "replace")))


def _mixed(original: str) -> list[Mark]:
    """Words of Latin letters with look-alikes of other scripts among them."""
    if not _LOOKALIKE_SCRIPT.search(original):
        return []
    found = [
        match
        for match in _MIXED.finditer(original.lower() if len(original.lower()) == len(original) else original)
        if all(letter.isascii() or letter in _LOOKALIKES for letter in match[0])
    ]
    weight = 0.2 if len(found) < 2 else 0.5
    return [
        Mark(*match.span(), "invisible", weight, "letters of another script that look like Latin") for match in found
    ]
