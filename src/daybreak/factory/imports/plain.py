"""Texts of other formats as texts of a specification: on one line, and read as text, never as markup."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]")
_NUMBER = re.compile(r"\*\*([A-Z]{2}-\d+)\*\*")
_MARK = re.compile(
    r"(?P<digits>\d{1,9})(?=[.)](?:\s|$))|[-*+](?=\s|$)|#{1,6}(?=\s|$)"
    r"|[-*_](?=[ ]*[-*_][ ]*[-*_])|[>|<=]|`{3}|~{3}"
)
_MODAL = re.compile(r"\b(MUST|SHALL|SHOULD|MAY|COULD)\b", re.IGNORECASE)
_MARKER = re.compile(r"\[NEEDS CLARIFICATION\b", re.IGNORECASE)
_GOES_ON = re.compile(r"[*_]*(When|Then|And|But)\b", re.IGNORECASE)
_TWO_THENS = re.compile(r"\bThen\b.*\bThen\b", re.IGNORECASE)
_EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")


def one_line(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())


def flat(text: str) -> str:
    """The text on one line; nothing in it is taken for a comment or for the number of a requirement."""
    text = one_line(text)
    return _NUMBER.sub(r"\1", text.replace("<!--", "<! --"))


def item(text: str) -> str:
    """`flat`, and what would begin a list, a heading or a block of code is escaped as Markdown does."""
    text = flat(text)
    found = _MARK.match(text)
    if found is None:
        return text
    digits = found["digits"] or ""
    return f"{digits}\\{text[len(digits) :]}"


def bare(text: str) -> str:
    """Without the marks of bold type around words."""
    return _EMPHASIS.sub(r"\2", text)


def paragraphs(text: str) -> str:
    """A longer text: its paragraphs, each on one line."""
    found = (item(part) for part in re.split(r"\n[ \t]*\n", text))
    return "\n\n".join(part for part in found if part)


def question(text: str) -> str:
    """The marker of an open question."""
    inner = flat(text).replace("[", "(").replace("]", ")").replace("`", "'")
    return f"[NEEDS CLARIFICATION: {inner}]"


def asks(text: str) -> bool:
    return _MARKER.search(text) is not None


def binds(text: str) -> bool:
    """Whether it says MUST, SHALL, SHOULD, MAY or COULD."""
    return _MODAL.search(text) is not None


def sentence_start(text: str) -> str:
    return text[:1].upper() + text[1:]


def story_title(text: str) -> str:
    """What can stand behind `### User Story 1 - `."""
    return re.sub(r"\(\s*Priority:", "(priority", flat(text), flags=re.IGNORECASE).lstrip("-–—: ").strip()


def scenarios(items: list[str]) -> tuple[str, ...]:
    """Each scenario on one line; items that begin with When, Then, And or But go on with the one before."""
    found: list[str] = []
    for text in map(item, items):
        if _GOES_ON.match(text) and found and not _TWO_THENS.search(f"{found[-1]} {text}"):
            found[-1] = f"{found[-1].rstrip(',')}, {text}"
        elif text:
            found.append(text)
    return tuple(found)
