"""Backticks and comments inside a line of text: what stands between backticks is never taken apart."""

from __future__ import annotations

import re
from collections.abc import Callable

_SPAN_OR_COMMENT = re.compile(r"(?<!`)(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)|(?P<comment><!--.*?-->)", re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_WHOLE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1", re.DOTALL)


def visible(text: str) -> str:
    """Without HTML comments; comments between backticks stay."""
    if "<!--" not in text:
        return text
    return _SPAN_OR_COMMENT.sub(lambda found: "" if found["comment"] else found[0], text)


def masked(text: str) -> str:
    """Of the same length, with blanks for code spans and comments (line ends stay)."""
    if "`" not in text and "<!--" not in text:
        return text
    return _SPAN_OR_COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def code_masked(text: str) -> str:
    """Of the same length, with a letter for each character of a code span."""
    return _SPAN.sub(lambda found: re.sub(r"[^\n]", "c", found[0]), text) if "`" in text else text


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside backticks, stripped."""
    parts, start = [], 0
    shown = code_masked(text)
    while (end := shown.find(separator, start)) >= 0:
        parts.append(text[start:end].strip())
        start = end + len(separator)
    return [*parts, text[start:].strip()]


def unwrap(text: str) -> str:
    """What stands in backticks if the whole text is one code span, else the text; stripped.

    As in Markdown, one blank inside each end goes away where both are there.
    """
    text = text.strip()
    whole = _WHOLE.fullmatch(text)
    if whole is None or (_SPAN.search(whole[2]) is not None and len(whole[1]) == 1 and "`" in whole[2]):
        return text
    inner = whole[2]
    if inner.startswith(" ") and inner.endswith(" ") and inner.strip():
        return inner[1:-1]
    return inner


def is_code(text: str) -> bool:
    return unwrap(text) != text.strip()


def substitute(pattern: re.Pattern[str], text: str, replace: Callable[[re.Match[str]], str]) -> str:
    """Like `pattern.sub`, but only outside code spans and comments."""
    shown, result, end = masked(text), "", 0
    for found in pattern.finditer(shown):
        result += text[end : found.start()] + replace(found)
        end = found.end()
    return result + text[end:]
