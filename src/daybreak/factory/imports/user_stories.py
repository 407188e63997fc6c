"""`As a reader, I want to lend books, so that I can take them home.`"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daybreak.factory.imports.plain import bare, sentence_start

_FORM = re.compile(
    r"\bas\s+(?:an?\s+|the\s+)?(?P<who>[^,.;]{1,120}?),?\s+I\s+(?:want|need|would like|can|wish)\b\s*"
    r"(?:to\s+(?:be able to\s+)?)?"
    r"(?P<what>.+?)(?:,?\s+so\s+(?:that\s+)?(?P<why>.+?)|,?\s+in order to\s+(?P<aim>.+?))?[.\s]*",
    re.IGNORECASE | re.DOTALL,
)
_LABEL = re.compile(r"^(?:user story|story)\s*(?:\d+)?\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UserStory:
    text: str
    what: str
    why: str
    """What it is good for; empty where it does not say."""


def read(text: str) -> UserStory | None:
    """The story in a text that is one, else None."""
    text = _LABEL.sub("", " ".join(bare(text).split())).strip()
    if len(text) > 2000 or (found := _FORM.fullmatch(text)) is None:
        return None
    why = found["why"] or found["aim"] or ""
    return UserStory(text, sentence_start(found["what"].strip()), sentence_start(why.strip()))
