"""Numbered lines: `- **FR-001**: System MUST …` and `- **SC-001**: …`."""

from __future__ import annotations

import re

from daybreak.agents.protocol import Requirement
from daybreak.factory.spec.draft import Numbered
from daybreak.factory.spec.model import Criterion
from daybreak.factory.spec.problems import Problems

REQUIREMENT = re.compile(r"FR-\d{1,6}", re.ASCII)
CRITERION = re.compile(r"SC-\d{1,6}", re.ASCII)
_MUST = re.compile(r"\b(MUST|SHALL)\b", re.IGNORECASE)
_MAY = re.compile(r"\b(SHOULD|MAY|COULD)\b", re.IGNORECASE)


def requirements(found: list[Numbered], problems: Problems) -> tuple[Requirement, ...]:
    """Each number once. MUST and SHALL bind; SHOULD, MAY and COULD do not; none of them binds, with a warning."""
    kept = []
    for line in _once(found, problems):
        must = _MUST.search(line.text.text) is not None
        if not must and _MAY.search(line.text.text) is None:
            must = True
            problems.warn(
                line.id.line,
                "S185",
                f"{line.id.text} says neither MUST nor SHOULD nor MAY; it is taken as MUST",
                "write System MUST …, SHOULD … or MAY …",
            )
        kept.append(Requirement(id=line.id.text, text=line.text.text, must=must))
    return tuple(kept)


def criteria(found: list[Numbered], problems: Problems) -> tuple[Criterion, ...]:
    return tuple(Criterion(id=line.id.text, text=line.text.text) for line in _once(found, problems))


def _once(found: list[Numbered], problems: Problems) -> list[Numbered]:
    kept: dict[int, Numbered] = {}
    for line in found:
        number = int(line.id.text.split("-")[1])
        if number in kept:
            first = kept[number].id
            problems.add(
                line.id.line, "S134", f"{line.id.text} is already on line {first.line}", "give it the next free number"
            )
        else:
            kept[number] = line
    return list(kept.values())
