"""How far the ledger is kept elsewhere: *witnessed* and *replicated*, as status and reports tell it.

Two things are never mixed: what is *proved* by a signature that lies here and was checked just now, and what is only
*remembered* of the last time a witness or a target was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class WitnessLine:
    """One witness. Moments are texts as in the ledger."""

    name: str
    kind: str
    required: bool
    size: int
    """Events that it had when it was last asked, as that was written down here; none where it contradicts."""
    at: str
    proved: int
    """Events under its own signature that is kept here and fits this ledger; 0 where it gives none, or none is kept."""
    proved_at: str
    problem: str
    """Empty where it is well."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """By the rule of the settings."""

    remembered: int | None
    """Events that all who must had when they were last asked; None where the rule requires nobody."""
    proved: int | None
    """The same, counting signatures alone."""
    at: str
    """When the last one of those who make up `remembered` was asked; empty for none."""
    witnesses: Sequence[WitnessLine]


@dataclass(frozen=True, slots=True)
class TargetLine:
    """One target of the replicas."""

    target: str
    size: int
    """Events that it acknowledged; none while it is lost."""
    problem: str
    """Empty where it acknowledges."""


@dataclass(frozen=True, slots=True)
class Replicated:
    size: int
    """Events that as many targets as the rule wants have acknowledged."""
    wanted: int
    targets: Sequence[TargetLine]

    @property
    def held(self) -> int:
        """Targets that acknowledge."""
        return sum(1 for one in self.targets if not one.problem)


@dataclass(frozen=True, slots=True)
class Marks:
    """Of one ledger; None for what the settings do not name."""

    size: int
    """Events in it."""
    witnessed: Witnessed | None = None
    replicated: Replicated | None = None
    wrong: Sequence[str] = field(default_factory=list)
    """What cannot be told, and why."""


def as_json(marks: Marks, last: int | None = None) -> dict[str, Any]:
    """`last`: the index of the last event of what is reported on."""
    told = asdict(marks)
    for name, size in _marked(marks).items():
        told[name]["behind"] = None if size is None else max(0, marks.size - size)
        if last is not None:
            told[name]["covered"] = size is not None and last < size
    return told


def lines(marks: Marks, last: int | None = None) -> list[str]:
    """For people; none where nothing is configured and nothing is wrong. `last` as for `as_json`."""
    found = list(marks.wrong)
    if marks.witnessed is not None:
        found += _witnessed(marks.witnessed, marks.size, last)
    if marks.replicated is not None:
        found += _replicated(marks.replicated, marks.size, last)
    return found


def _witnessed(told: Witnessed, size: int, last: int | None) -> list[str]:
    if told.remembered is None:
        first = "witnessed: nobody is required, so nothing is called witnessed (`[witness]` in daybreak.toml)"
    else:
        names = ", ".join(one.name for one in told.witnesses if one.size >= told.remembered and one.size)
        first = f"witnessed: {_of(told.remembered, size)}"
        if told.remembered:
            first += f", as remembered of {names}, last asked {_moment(told.at)}"
        first += f"; proved by signatures kept here: {_number(told.proved or 0)}"
        first += _covered(last, told.remembered)
    found = [first]
    for one in told.witnesses:
        if one.problem or told.remembered is None:
            must = ", required" if one.required else ""
            state = one.problem or f"remembered with {_number(one.size)} events, {_number(one.proved)} proved"
            found.append(f"  witness {one.name} ({one.kind}{must}): {state}")
    return found


def _replicated(told: Replicated, size: int, last: int | None) -> list[str]:
    first = f"replicated: {_of(told.size, size)}, as acknowledged; {told.held} of {len(told.targets)} targets hold"
    first += f", {told.wanted} must" + _covered(last, told.size)
    return [first, *(f"  replica {one.target} {one.problem}" for one in told.targets if one.problem)]


def _marked(marks: Marks) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    if marks.witnessed is not None:
        found["witnessed"] = marks.witnessed.remembered
    if marks.replicated is not None:
        found["replicated"] = marks.replicated.size
    return found


def _of(have: int, size: int) -> str:
    behind = "everything" if have >= size else f"{_number(size - have)} behind"
    return f"{_number(min(have, size))} of {_number(size)} events ({behind})"


def _covered(last: int | None, have: int) -> str:
    if last is None:
        return ""
    return "; this report is covered" if last < have else f"; this report ends at event {last}, NOT covered"


def _number(count: int) -> str:
    return f"{count:,}"


def _moment(text: str) -> str:
    if not text:
        return "never"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
