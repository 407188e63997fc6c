"""What a person writes about a result: hostile until it was looked at, since it is pasted from anywhere."""

from __future__ import annotations

import re
from typing import Any

from daybreak.errors import UsageError
from daybreak.policy import redaction

CHARS_MAX = 1_000
_STEERING = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]{0,1000}[\x07\x1b\x9c]?"
)
"""Whole, so that nothing is left of them that reads like a word."""
_WORD = re.compile(r"[^\W\d_]{2,}")


class ReasonUnfit(UsageError):
    """A text that says nothing, or that no event could keep."""

    code = "U273"


def checked(text: Any, what: str = "the reason") -> str:
    """The text on one line, with nothing in it that steers a terminal, and without secrets. Raises ReasonUnfit."""
    if not isinstance(text, str) or len(text) > CHARS_MAX:
        raise ReasonUnfit(f"{what} is no text of at most {CHARS_MAX:,} characters", hint="say what matters most")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ReasonUnfit(f"{what} is not UTF-8", hint="write it in other words") from error
    line = _STEERING.sub(" ", _SEQUENCES.sub("", redaction.redact(text).text)).strip()
    if not _WORD.search(line):
        raise ReasonUnfit(f"{what} says nothing", hint="say in a sentence what is wrong with it")
    return line
