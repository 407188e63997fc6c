"""What of others' words an asker may see: never a secret, held-out examples only with that scope."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from daybreak import events
from daybreak.web.pages import withheld
from daybreak.web.pages.withheld import Sees
from daybreak.web.who import Asker

TEXT_MAX = 2_000
SHORT = 300
"""Characters of a text that is kept as it is shown,"""
KEPT = 16_384
"""so many of them."""

Run = Annotated[
    str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$", description="A run's whole name.", examples=["run-0k3"])
]
Words = Annotated[str, Field(max_length=1_000, pattern="^[^\\x00]*$")]
"""Somebody's reason or remark."""
Said = Annotated[str, Field(min_length=1, max_length=1_000, pattern="^[^\\x00]*\\S[^\\x00]*$")]
"""The same, where something has to be said."""
Name = Annotated[str, Field(min_length=1, max_length=100, pattern="^[A-Za-z0-9][A-Za-z0-9_.:@/-]*$")]


def sees(asker: Asker) -> Sees:
    return Sees(words=asker.has("evidence"), examples=asker.has("held-out"))


def text(told: str, asker: Asker, most: int = TEXT_MAX) -> str:
    """A sentence of a run's (why it failed, what it asks)."""
    if not asker.has("held-out"):
        told = without_examples({"why": told})["why"]
    return _kept_text(told, most) if len(told) <= SHORT else withheld.text(told, most)


def without_examples(plain: Any) -> Any:
    """JSON values of a run, without what gates say of examples that did not pass."""
    return withheld.fields(events.RunMoved.type, plain, Sees())


def values(kind: str, told: Any, asker: Asker) -> Any:
    """The payload of an event of that type, for somebody who may see evidence."""
    return clean(withheld.fields(kind, told, sees(asker)))


def clean(value: Any) -> Any:
    """JSON values without secrets. The text itself stays as it was, for programs."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {redacted(str(name)): clean(one) for name, one in value.items()}
    return [clean(one) for one in value] if isinstance(value, list | tuple) else value


def redacted(told: str) -> str:
    return _kept_redacted(told) if len(told) <= SHORT else _redacted(told)


def _redacted(told: str) -> str:
    from daybreak.policy.redaction import redact

    return redact(told.encode("utf-8", "replace").decode()).text


# The same titles, streams and reasons are shown again and again, and redaction is most of what an answer costs.
_kept_text = lru_cache(KEPT)(withheld.text)
_kept_redacted = lru_cache(KEPT)(_redacted)
