"""Backticks and comments inside a text: what stands between backticks is never taken apart. All in linear time."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

_RUN = re.compile(r"`+")
_TOKEN = re.compile(r"`+|<!--")
_NOT_LINE_END = re.compile(r"[^\n]")


@dataclass(frozen=True, slots=True)
class Region:
    """A code span with its backticks, or an HTML comment: text[start:end]."""

    start: int
    end: int
    is_code: bool
    ticks: int = 0


def regions(text: str, *, comments: bool = True) -> list[Region]:
    """The code spans and comments, in order; they never overlap. A run of backticks closes by one of its length."""
    runs: dict[int, list[int]] = defaultdict(list)
    for run in _RUN.finditer(text):
        runs[len(run[0])].append(run.start())
    found: list[Region] = []
    pattern = _TOKEN if comments else _RUN
    at = 0
    while token := pattern.search(text, at):
        at = token.end()
        if token[0].startswith("`"):
            starts = runs[len(token[0])]
            following = bisect_left(starts, at)
            if following < len(starts):
                at = starts[following] + len(token[0])
                found.append(Region(token.start(), at, is_code=True, ticks=len(token[0])))
        elif (end := text.find("-->", at)) >= 0:
            at = end + 3
            found.append(Region(token.start(), at, is_code=False))
        else:
            pattern = _RUN  # No comment ends from here on, so none begins.
    return found


def _replaced(text: str, found: list[Region], replace: Callable[[str], str]) -> str:
    parts, at = [], 0
    for region in found:
        parts += [text[at : region.start], replace(text[region.start : region.end])]
        at = region.end
    return "".join([*parts, text[at:]])


def visible(text: str) -> str:
    """Without HTML comments; comments between backticks stay."""
    if "<!--" not in text:
        return text
    return _replaced(text, [region for region in regions(text) if not region.is_code], lambda _: "")


def masked(text: str) -> str:
    """Of the same length, with blanks for code spans and comments (line ends stay)."""
    if "`" not in text and "<!--" not in text:
        return text
    return _replaced(text, regions(text), lambda hidden: _NOT_LINE_END.sub(" ", hidden))


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside backticks, stripped."""
    parts, start = [], 0
    shown = text
    if "`" in text:
        shown = _replaced(text, regions(text, comments=False), lambda code: "c" * len(code))
    while (end := shown.find(separator, start)) >= 0:
        parts.append(text[start:end].strip())
        start = end + len(separator)
    return [*parts, text[start:].strip()]


def unwrap(text: str) -> str:
    """What stands in backticks if the whole text is one code span, else the text; stripped.

    As in Markdown, one blank inside each end goes away where both are there.
    """
    text = text.strip()
    found = regions(text, comments=False) if text.startswith("`") else []
    if len(found) != 1 or found[0].end < len(text):
        return text
    inner = text[found[0].ticks : -found[0].ticks]
    if inner.startswith(" ") and inner.endswith(" ") and inner.strip():
        return inner[1:-1]
    return inner


def is_code(text: str) -> bool:
    return unwrap(text) != text.strip()


def substitute(pattern: re.Pattern[str], text: str, replacement: str) -> str:
    """Like `pattern.sub` with a plain text, but only outside code spans and comments."""
    parts, at = [], 0
    for found in pattern.finditer(masked(text)):
        parts += [text[at : found.start()], replacement]
        at = found.end()
    return "".join([*parts, text[at:]])
