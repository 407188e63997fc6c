"""`[NEEDS CLARIFICATION: question]`: finding open questions, and reading on without them."""

from __future__ import annotations

import re
from bisect import bisect_left

from daybreak.factory.spec import codespans
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.model import Clarification
from daybreak.factory.spec.problems import Problems

WORDS = "NEEDS CLARIFICATION"
_MARKER = re.compile(r"\[NEEDS CLARIFICATION\b(?:\s*:\s*(?P<question>[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*))?\s*\]", re.I)
_START = re.compile(r"\[NEEDS CLARIFICATION\b", re.I)


def find(text: str, line: int, problems: Problems, *, by_line: bool = True) -> list[Clarification]:
    """The questions in a text that begins on `line`; malformed ones become problems."""
    if WORDS not in text.upper():
        return []
    shown, found = codespans.masked(text), []
    ends = [end.start() for end in re.finditer("\n", text)] if by_line else []
    for marker in _MARKER.finditer(shown):
        place = line + bisect_left(ends, marker.start())
        start, end = marker.span("question")
        question = " ".join(text[start:end].split()) if start >= 0 else ""
        if question:
            found.append(Clarification(question=question, line=place))
        else:
            problems.add(place, "S138", "the open question asks nothing", "write [NEEDS CLARIFICATION: the question]")
    rest = _MARKER.sub(lambda marker: re.sub(r"[^\n]", " ", marker[0]), shown)
    for start_only in _START.finditer(rest):
        place = line + bisect_left(ends, start_only.start())
        problems.add(
            place, "S138", "an open question is not closed", "write [NEEDS CLARIFICATION: the question] with its `]`"
        )
    return found


def find_in(node: Node, problems: Problems) -> list[Clarification]:
    """The questions in all keys and values of a tree."""
    if isinstance(node, Scalar):
        return find(node.text, node.first_line or node.line, problems, by_line=node.by_line)
    if isinstance(node, Sequence):
        return [question for item in node.items for question in find_in(item, problems)]
    return [
        question
        for key, value in node.pairs
        if not (key.text in BLOCK_KEYS and isinstance(value, Scalar))
        for question in [*find_in(key, problems), *find_in(value, problems)]
    ]


BLOCK_KEYS = frozenset({"console", "http", "files"})
"""Where they hold a text, it is an acceptance block, which is code."""


def without(text: str) -> str:
    """The text without its markers."""
    if WORDS not in text.upper():
        return text
    return codespans.substitute(_MARKER, text, "").strip()


def as_scalar(items: tuple[Node, ...], line: int) -> Scalar | None:
    """In YAML an unquoted `[NEEDS CLARIFICATION: a, b]` is a list; this is the text that was meant, or None."""
    if not items or not isinstance(items[0], Mapping) or len(items[0].pairs) != 1:
        return None
    key, value = items[0].pairs[0]
    rest = items[1:]
    if key.text.strip().upper() != WORDS or not isinstance(value, Scalar):
        return None
    if not all(isinstance(item, Scalar) for item in rest):
        return None
    parts = [value.text, *(item.text for item in rest if isinstance(item, Scalar))]
    return Scalar(f"[{WORDS}: {', '.join(parts)}]", line)
