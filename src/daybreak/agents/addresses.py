"""Where the parts of a program are reached over HTTP, as people write it: `/articles/ARTICLE/comments/ID`."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.agents import naming
from daybreak.agents.entities import Entity, Field


def key_of(entity: Entity) -> Field | None:
    """What stands for its records in addresses, in place of the id."""
    return next((field for field in entity.fields if field.key or field.slug_of is not None), None)


def parent_of(entity: Entity) -> Field | None:
    """What its records lie within."""
    return next((field for field in entity.fields if field.parent), None)


def within(entity: Entity, entities: Sequence[Entity]) -> str:
    """Of all records, where they are added; without the prefix."""
    path = "/" + naming.plural_words(entity).replace(" ", "-")
    parent = parent_of(entity)
    if parent is None:
        return path
    target = next(one for one in entities if one.name == parent.type.target)
    return f"{within(target, entities)}/{naming.words(target.name).replace(' ', '_').upper()}{path}"


def of_record(entity: Entity, entities: Sequence[Entity]) -> str:
    """Of one record; of users as others see them."""
    key = "KEY" if key_of(entity) else "ID"
    if entity.login is not None and entity.seen_as:
        return f"/{naming.pluralised(naming.words(entity.seen_as)).replace(' ', '-')}/{key}"
    return f"{within(entity, entities)}/{key}"


def of_list(entity: Entity, entities: Sequence[Entity]) -> str:
    """Of all records, where they are listed."""
    return of_record(entity, entities).rpartition("/")[0]
