"""Scans untrusted text for what tries to instruct a machine that reads it. Deterministic and linear in the length.

It finds known shapes. It cannot find an instruction that is worded like honest text, and it marks honest text now and
then; so what it says decides little alone (`assessment`), and the worker is fenced in whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from daybreak.policy.injection import fold, markup, phrases, wrapped
from daybreak.policy.injection.marks import Mark, Scan, TextRefused, score

TEXT_MAX = 1_000_000
"""Characters. Longer texts are refused, not cut."""

MARKS_MAX = 200
_DEPTH_MAX = 2
"""Encodings inside encodings."""


def scan(text: str) -> Scan:
    """Marks and score. Raises TextRefused for what is no text or longer than `TEXT_MAX`."""
    given: object = text
    if not isinstance(given, str):
        raise TextRefused(
            f"{type(given).__name__} is no text", hint="decode it first, and scan what the worker will read."
        )
    if len(text) > TEXT_MAX:
        raise TextRefused(
            f"a text of {len(text):,} characters is longer than the {TEXT_MAX:,} that are scanned",
            hint="give the worker a part of it, or the file instead of the text.",
        )
    marks = _scan(text, 0)
    marks = sorted(sorted(marks, key=lambda mark: (-mark.weight, mark.start))[:MARKS_MAX])
    return Scan(tuple(marks), score(marks))


def _scan(text: str, depth: int) -> list[Mark]:
    folded = fold.fold(text)
    marks = [
        Mark(folded.place(start), folded.place(max(start, end - 1)) + 1, rule.kind, rule.weight, rule.why)
        for rule, start, end in phrases.hits(folded.text)
    ]
    marks += markup.forged(text)
    marks = [_mentioned(text, mark) for mark in marks]
    marks += _hidden(text, marks)
    hidden, texts = fold.invisible(text)
    marks += hidden
    if depth < _DEPTH_MAX:
        inners, more = wrapped.inners(text)
        inners += [wrapped.Inner(start, end, inside, "invisible characters") for start, end, inside in texts]
        marks += _wrapped(marks, inners, depth)
        if more:
            marks.append(Mark(0, len(text), "wrapped", 0.4, "more encoded pieces than are looked at"))
    return marks


# -- use and mention

_QUOTES = "\"'`«“„”‘’»「『"
_TALK = re.compile(
    r"inject|jailbreak|attack|adversar|malicious|payload|phrases?\b|patterns?\b|such as|for example|for instance|e\.g\."
    r"|detect|filter|classif|owasp|exfiltrat|untrusted|red.?team|threat|vulnerab|mitigat|test.?case|benchmark|corpus|dataset"
    r"|angriff|beispiel|attaque|exemple|ataque|ejemplo|attacco|esempio|атак|пример|фильтр|攻击|攻擊|示例|例子|注入|过滤|einschleus|inyecci|iniezion",
    re.IGNORECASE,
)
_NEAR = 240
"""Characters before and after a mark in which somebody who talks about attacks would say so."""


def _mentioned(text: str, mark: Mark) -> Mark:
    """Lighter where the text quotes the words and says that it talks about attacks. The mark stays.

    An attacker can write so too; what that costs is said in the threat model.
    """
    if not _quoted(text, mark):
        return mark
    around = f"{text[max(0, mark.start - _NEAR) : mark.start]} … {text[mark.end : mark.end + _NEAR]}"
    if _TALK.search(around) is None:
        return mark
    return replace(mark, weight=round(mark.weight * 0.3, 3), why=f"{mark.why} (quoted by a text about attacks)")


def _quoted(text: str, mark: Mark) -> bool:
    """Does a quotation open shortly before the mark and close after it, on the same line?"""
    line = text.rfind("\n", 0, mark.start) + 1
    before = text[max(line, mark.start - 60) : mark.start]
    opens = max((before.rfind(quote) for quote in _QUOTES), default=-1)
    if opens < 0:
        return False
    stop = text.find("\n", mark.end)
    after = text[mark.end : min(stop if stop >= 0 else len(text), mark.end + 200)]
    return any(quote in after for quote in _QUOTES)


# -- places to hide


def _hidden(text: str, marks: Sequence[Mark]) -> list[Mark]:
    """Marks for what is said in a place that people do not look at."""
    speaking = sorted(mark for mark in marks if mark.weight >= (0.4 if mark.kind == "reveal" else 0.3))
    if not speaking:
        return []
    found: list[Mark] = []
    spoken = iter(speaking)
    mark: Mark | None = next(spoken)
    for hide in sorted(markup.hides(text)):
        while mark is not None and mark.start < hide.start:
            mark = next(spoken, None)
        if mark is None:
            break
        if mark.start < hide.end:
            found.append(Mark(mark.start, mark.end, "hiding", hide.weight, f"instructions {hide.why}"))
    return found


# -- encodings


def _wrapped(marks: Sequence[Mark], inners: Sequence[wrapped.Inner], depth: int) -> list[Mark]:
    """Marks for the pieces in which more is found than the text itself shows in that place."""
    found: list[Mark] = []
    for inner in inners:
        inside = score(mark for mark in _scan(inner.text, depth + 1) if mark.kind != "invisible")
        if inside < 0.3:
            continue
        if inner.whole and inside <= score(mark for mark in marks if inner.start <= mark.start < inner.end):
            continue
        weight = max(inside, 0.6) if inside >= 0.34 or not inner.whole else inside
        found.append(Mark(inner.start, inner.end, "wrapped", weight, f"instructions in {inner.how}"))
    return found
