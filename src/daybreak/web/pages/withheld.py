"""What of an event is shown to whom. Secrets are shown to nobody; payloads to whoever may see evidence; what acceptance
examples say, some of which workers must never see, only to whoever may see those.

An event of a type that this version does not know may hold anything: to others nothing of it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daybreak import events
from daybreak.policy.redaction import redact
from daybreak.report.shown import shown

NOT_SHOWN = "[not shown: it may hold acceptance examples that workers must not see]"


@dataclass(frozen=True, slots=True)
class Sees:
    """What a reader may see."""

    words: bool = False
    """The payloads of events."""
    examples: bool = False
    """Acceptance examples, those too that are held out."""


_MAY_HOLD: dict[str, tuple[str, ...]] = {
    events.TaskAdded.type: ("args",),
    events.ScheduleSet.type: ("task",),
    events.StepDone.type: ("result",),
    events.CheckLooked.type: ("evidence",),
    events.SpecificationDrafted.type: ("text",),
}
"""Fields that hold a specification, or what a check has seen of an example."""
_SAID = re.compile(r"(example:[0-9a-f]{12} (?:failed|could not look)): [^\n]*")
"""How gates tell of an example that did not pass: its words may be those of a held-out one."""


def fields(kind: str, told: Any, sees: Sees) -> Any:
    """The payload of an event of type `kind` as somebody may see it who may see words at all."""
    if sees.examples:
        return told
    if kind not in events.BY_TYPE or not isinstance(told, Mapping):
        return NOT_SHOWN
    hidden = _MAY_HOLD.get(kind, ())
    if kind == events.CheckLooked.type and told.get("held_out") is False:
        hidden = ()
    return {name: NOT_SHOWN if name in hidden else _without_words(value) for name, value in told.items()}


def holds_something(kind: str) -> bool:
    """May an event of this type hold what not everybody may see?"""
    return kind in _MAY_HOLD or kind not in events.BY_TYPE


def _without_words(value: Any) -> Any:
    if isinstance(value, str):
        return _SAID.sub(r"\1: (not shown)", value)
    if isinstance(value, Mapping):
        return {name: _without_words(one) for name, one in value.items()}
    return [_without_words(one) for one in value] if isinstance(value, list) else value


def text(told: object, most: int | None = None) -> str:
    """Anybody's text as a page may hold it: without secrets, with what steers terminals or turns the direction of
    writing round written out, cut to `most` characters. Redacted before it is cut, so that no half of a secret is left.
    """
    safe = shown(redact(str(told)).text)
    return safe if most is None or len(safe) <= most else f"{safe[: most - 1]}…"
