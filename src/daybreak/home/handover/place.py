"""From words to a place in the queue, and whether a task may stand there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from daybreak.errors import cut
from daybreak.home import inputs
from daybreak.home.handover.gathering import Gathered
from daybreak.home.handover.words import PlaceWords, TaskUnclear

if TYPE_CHECKING:
    from daybreak.engine.placement import Placement
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask

T = TypeVar("T")
Place = dict[str, Any]
"""Fields of a Placement, those that were given; `after` has runs as they were named."""


def place(wrong: Gathered, told: PlaceWords, now: datetime) -> Place:
    """What these words say; what is wrong with them goes to `wrong`."""
    from daybreak.home.moments import moment_of
    from daybreak.policy.budget import Limit

    said = {"project": told.project, "priority": told.priority, "dedupe": told.dedupe}
    made: Place = {name: value for name, value in said.items() if value is not None}
    for name, text in (("not_before", told.not_before), ("deadline", told.deadline)):
        if text is not None:
            made[name] = wrong.value(lambda text=text: moment_of(text, now))  # type: ignore[misc]
    if (budget := told.budget) is not None:
        made["budget"] = wrong.value(lambda: Limit.parse(budget))
    dashes = "--" if told.spelled == "options" else ""
    keys = _named(wrong, told.keys, f"{dashes}key", inputs.whole(1, 1_000_000))
    rates = _named(wrong, told.rates, f"{dashes}rate", str)
    made |= {"keys": keys} if told.keys else {}
    made |= {"rates": rates} if told.rates else {}
    if not wrong.found:
        wrong.value(lambda: placement(made))
    return made if not told.after else {**made, "after": told.after}


def placement(place: Place) -> Placement:
    """Raises PlacementWrong."""
    from daybreak.engine.placement import Placement

    return Placement(**{name: value for name, value in place.items() if value is not None})


def checked(found: Asked | BuildTask, place: Place) -> None:
    """May the task stand there? Raises PlacementWrong; for a build also what `deliver.check_target` does."""
    from daybreak.factory.asked import Asked

    told = {name: value for name, value in place.items() if name != "after"}
    if isinstance(found, Asked):
        found.placed(**told)
        return
    from daybreak.factory import deliver

    deliver.check_target(found.output)
    placement(told)


def pair(text: str, option: str, read: Callable[[str], T]) -> tuple[str, T]:
    """`NAME=VALUE`. Raises TaskUnclear, and what `read` does."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise TaskUnclear(f"{option} {cut(text)} names nothing", hint=f"write {option} NAME=VALUE")
    return name.strip(), read(value.strip())


def _named(
    wrong: Gathered, told: Mapping[str, Any] | tuple[str, ...], option: str, read: Callable[[str], T]
) -> dict[str, Any]:
    if isinstance(told, Mapping):
        return dict(told)  # the placement looks at what is in it
    pairs = [wrong.value(lambda text=text: pair(text, option, read)) for text in told]  # type: ignore[misc]
    return dict(filter(None, pairs))
