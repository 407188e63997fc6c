"""What of an event is shown to whom. Secrets are shown to nobody; payloads to whoever may see evidence; what acceptance
examples say, some of which workers must never see, only to whoever may see those.

An event of a type that this version does not know may hold anything: to others nothing of it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daybreak import events
from daybreak.home.withheld import without_examples
from daybreak.policy.redaction import redact
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from daybreak.web.who import Asker

NOT_SHOWN = "[not shown: it may hold acceptance examples that workers must not see]"
DEPTH_MAX = 100
TOO_DEEP = "[not shown: it is nested too deeply for a page]"


@dataclass(frozen=True, slots=True)
class Sees:
    """What a reader may see."""

    words: bool = False
    """The payloads of events."""
    examples: bool = False
    """Acceptance examples, those too that are held out."""


NOTHING = Sees()


def of(asker: Asker) -> Sees:
    return Sees(words=asker.has("evidence"), examples=asker.has("held-out"))


_MAY_HOLD: dict[str, tuple[str, ...]] = {
    events.TaskAdded.type: ("args",),
    events.ScheduleSet.type: ("task",),
    events.StepDone.type: ("result",),
    events.CheckLooked.type: ("evidence",),
    events.SpecificationDrafted.type: ("text",),
}
"""Fields that hold a specification, or what a check has seen of an example."""


def fields(kind: str, told: Any, sees: Sees) -> Any:
    """The payload of an event of type `kind` as somebody may see it who may see words at all."""
    if sees.examples:
        return _words_as(str, told)
    if kind not in events.BY_TYPE or not isinstance(told, Mapping):
        return NOT_SHOWN
    hidden = _MAY_HOLD.get(kind, ())
    if kind == events.CheckLooked.type and told.get("held_out") is False:
        hidden = ()
    return {name: NOT_SHOWN if name in hidden else _words_as(without_examples, value) for name, value in told.items()}


def holds_something(kind: str) -> bool:
    """May an event of this type hold what not everybody may see?"""
    return kind in _MAY_HOLD or kind not in events.BY_TYPE


def words(told: str, sees: Sees) -> str:
    """A sentence of a run's (what it asks), with what it says of examples only for whoever may see those."""
    return told if sees.examples else without_examples(told)


def _words_as(said: Callable[[str], str], value: Any, depth: int = 0) -> Any:
    """The value with its texts as `said` makes them, and no deeper than whoever looks at it next can go."""
    if isinstance(value, str):
        return said(value)
    if not isinstance(value, Mapping | list):
        return value
    if depth == DEPTH_MAX:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {name: _words_as(said, one, depth + 1) for name, one in value.items()}
    return [_words_as(said, one, depth + 1) for one in value]


def text(told: object, most: int | None = None) -> str:
    """Anybody's text as a page may hold it: without secrets, with what steers terminals or turns the direction of
    writing round written out, cut to `most` characters. Redacted before it is cut, so that no half of a secret is left.
    """
    safe = shown(redact(str(told)).text)
    return safe if most is None or len(safe) <= most else f"{safe[: most - 1]}…"
