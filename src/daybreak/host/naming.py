"""Anything in words for a message, however hostile: short, and without an error of its own."""

from __future__ import annotations

from typing import Any

_CHARACTERS_MAX = 80


def named(value: object, most: int = _CHARACTERS_MAX) -> str:
    """`value` as ASCII source text, cut in the middle to about `most` characters. What cannot say what it is (its
    `repr` raises, or is a number of too many digits) is named by its type. Never raises."""
    is_cut = isinstance(value, str | bytes) and len(value) > 2 * most
    given: Any = value
    try:
        text = ascii(given[:most] + given[-most:] if is_cut else given)  # not all of a long one is made into text
    except Exception:  # noqa: BLE001 - somebody else's __repr__ may raise anything, and this is for an error already
        return f"something of type {type(value).__name__}"[:most]
    if is_cut or len(text) > most:
        text = f"{text[: most // 2]}...{text[-(most // 2) :]}"
    return text


def cut(text: str, most: int) -> str:
    """What somebody said, cut in the middle to `most` characters and a sign for what is left out."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2) :]}"


def told(error: BaseException, most: int = 300) -> str:
    """The class of an exception and its text, on one line; only the class where the text cannot be told. Never
    raises."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - as in `named`
        text = ""
    return cut(f"{name}: {text}" if text else name, most)
