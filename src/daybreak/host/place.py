"""Arguments that should be paths, looked at before anything is done with them, and cut short in messages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from daybreak.errors import DaybreakError

SHOWN_MAX = 80
"""Characters of an argument in a message."""
PATH_BYTES_MAX = 4095
"""What Linux takes; other systems refuse more by themselves."""
PARTS_MAX = 256
"""Folders in folders: deeper ones are nobody's, and what walks them is in danger of running out of stack."""


def shown(value: object) -> str:
    """Any argument for a message: its `repr` on one line, at most about 80 characters, whatever it is."""
    if isinstance(value, str | bytes):
        value = value[: SHOWN_MAX + 1]
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except Exception:  # noqa: BLE001 - it cannot even be named, and that is all there is to say
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def cut(text: str) -> str:
    """A path or a name for a message: whole where it is short."""
    return text if len(text) <= SHOWN_MAX and text.isprintable() else shown(text)


def why_not(path: object) -> str | None:
    """What keeps an argument from being a path, in words that go on with `is`; None where it may be one."""
    if not isinstance(path, str | os.PathLike):
        return "no path but " + ("nothing" if path is None else f"of type {type(path).__name__}")
    try:
        text = os.fspath(path)
        encoded = os.fsencode(text)
    except (UnicodeError, TypeError):
        return "no name that this system can write"
    if not isinstance(text, str):
        return "no text"
    if not text:
        return "empty"
    if b"\0" in encoded:
        return "no path: there is a null character in it"
    if len(encoded) > PATH_BYTES_MAX:
        return f"longer than {PATH_BYTES_MAX:,} bytes"
    parts = text.replace("\\", "/").split("/") if sys.platform == "win32" else text.split("/")
    if sum(part not in ("", ".") for part in parts) > PARTS_MAX:
        return f"more than {PARTS_MAX} folders deep"
    return None


def checked(path: object, refusal: type[DaybreakError], *, hint: str) -> Path:
    """The path, of whatever kind of path it was given as. Raises `refusal` for what can be
    none."""
    why = why_not(path)
    if why is not None:
        raise refusal(f"{shown(path)} is {why}", hint=hint)
    assert isinstance(path, str | os.PathLike), "looked at"
    return Path(path)
