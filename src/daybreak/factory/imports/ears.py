"""EARS, the Easy Approach to Requirements Syntax (Mavin et al., 2009): WHEN, IF, WHILE, WHERE … THE SYSTEM SHALL …"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from daybreak.factory.imports.plain import bare, sentence_start
from daybreak.factory.spec import codespans

Word = Literal["when", "if", "while", "where"]
_SHALL = re.compile(r"\b(SHALL|MUST)\b")
_SHALL_ANY_CASE = re.compile(r"\b(shall|must)\b", re.IGNORECASE)
_WORD = re.compile(r"(?:^|,\s*|\s)(?:AND\s+)?(WHEN|IF|WHILE|WHERE|THEN)\s")
_WORD_AT_START = re.compile(r"\s*(when|if|while|where)\s", re.IGNORECASE)
_SYSTEM = re.compile(r",\s*(?:then\s+)?(?=(?:the\s|an?\s)?[^,]{1,80}$)|\s(?=THE\s[^,]{1,60}$)|\sthen\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Criterion:
    """`WHEN a book is lent THE SYSTEM SHALL mark it` in its parts."""

    clauses: tuple[tuple[Word, str], ...]
    system: str
    response: str
    """What follows SHALL, `NOT` included."""

    def requirement(self) -> str:
        """As a requirement of ours: `When a book is lent, the system MUST mark it`."""
        told = [f"{word} {text}" for word, text in self.clauses]
        return sentence_start(", ".join([*told, f"{self.system} MUST {self.response}"]))

    def scenario(self) -> str:
        """As Given, When, Then; empty where it holds always, since there is nothing to be in and nothing to do."""
        given = [text for word, text in self.clauses if word != "when"]
        when = [text for word, text in self.clauses if word == "when"]
        parts = [f"**Given** {' and '.join(given)}"] if given else []
        parts += [f"**When** {' and '.join(when)}"] if when else []
        return ", ".join([*parts, f"**Then** {self.system} must {self.response}"]) if parts else ""


def read(text: str) -> Criterion | None:
    """The criterion, or None where it is none: no SHALL, nobody who shall, or nothing that shall be."""
    text = " ".join(bare(text).split()).rstrip(".")
    shown = codespans.masked(text)
    shall = _SHALL.search(shown) or _SHALL_ANY_CASE.search(shown)
    if shall is None:
        return None
    before, response = text[: shall.start()].strip(), text[shall.end() :].strip()
    response = re.sub(r"\bSHALL\b", "MUST", response)
    clauses, system = _clauses(before)
    if not system or not response or response.upper() == "NOT" or not all(clause for _, clause in clauses):
        return None
    return Criterion(tuple(clauses), system, response)


def _clauses(before: str) -> tuple[list[tuple[Word, str]], str]:
    """The clauses and who shall; nobody where it cannot be told where the last clause ends."""
    marks = list(_WORD.finditer(codespans.masked(before)))
    if not marks and (start := _WORD_AT_START.match(before)) is not None:
        marks = [start]
    if not marks:
        return [], _named(before)
    if marks[0].start() > 0 and before[: marks[0].start()].strip(" ,"):
        return [], ""
    found: list[tuple[Word, str]] = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        text = before[mark.end() : following.start() if following else None].strip(" ,")
        word = mark[1].lower()
        if word == "then":
            return (found, _named(text)) if following is None and found else ([], "")
        found.append((next(one for one in ("when", "if", "while", "where") if one == word), text))
    word, last = found.pop()
    ends = list(_SYSTEM.finditer(last))
    if not ends:
        return [], ""
    return [*found, (word, last[: ends[-1].start()].strip(" ,"))], _named(last[ends[-1].end() :])


def _named(system: str) -> str:
    """`THE SYSTEM` is the system; other names stay as they are."""
    system = re.sub(r"^THE\b", "the", system.strip(" ,"))
    return "the system" if system.casefold() in ("the system", "system") else system
