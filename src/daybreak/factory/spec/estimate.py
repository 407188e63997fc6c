"""How complex a specification is, where it does not say so itself."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.agents.entities import Entity
from daybreak.agents.protocol import Requirement
from daybreak.factory.spec.model import Complexity, Interface

MODERATE_FROM, COMPLEX_FROM = 24, 70


def points(requirements: Sequence[Requirement], entities: Sequence[Entity], interfaces: Sequence[Interface]) -> int:
    """1 for each requirement, action and line of totals, 2 for each ref, 3 for each entity, 3 for each interface
    after the first."""
    refs = sum((field.type.of or field.type).name == "ref" for entity in entities for field in entity.fields)
    work = sum(len(entity.actions) + len(entity.totals) for entity in entities)
    return len(requirements) + work + 2 * refs + 3 * len(entities) + 3 * max(0, len(interfaces) - 1)


def complexity(
    requirements: Sequence[Requirement], entities: Sequence[Entity], interfaces: Sequence[Interface]
) -> Complexity:
    """simple below 24 points, moderate below 70, else complex. An entity with its requirements is about 8."""
    found = points(requirements, entities, interfaces)
    return "simple" if found < MODERATE_FROM else "moderate" if found < COMPLEX_FROM else "complex"
