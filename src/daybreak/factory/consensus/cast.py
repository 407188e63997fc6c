"""The records that a scene plays with: valid ones, in an order in which they can be added, and others like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daybreak.agents.builder import samples
from daybreak.agents.entities import Action, Entity, Field
from daybreak.factory.consensus.edges import edges, fresh
from daybreak.factory.spec.model import Specification


class Cast:
    """Of one entity: its own valid records, and those of all that it needs."""

    def __init__(self, spec: Specification, entity: Entity) -> None:
        self.spec, self.entity = spec, entity
        self.samples = samples.for_entities(spec.entities)
        self.records = self.samples[entity.name]
        needed = self.needed(entity.name, set()) | {one.name for one in spec.entities if one.login is not None}
        self.order = [one for one in samples.in_order(spec.entities) if one.name in needed]
        """Whose records have to be there, in the order in which they are added."""

    def least(self) -> dict[str, Any]:
        """Required fields only, with values that no other record has where one can be made up."""
        another = self.another(1)
        return {
            field.name: another[field.name] for field in self.entity.fields if field.required and field.name in another
        }

    def another(self, number: int) -> dict[str, Any]:
        """A record that fits, unlike the samples where something has to be unique."""
        record = dict(self.records[-1])
        for field in self.entity.fields:
            if (field.unique or field.unique_ignoring_case or field.unique_with) and record.get(field.name) is not None:
                record[field.name] = fresh(field, record[field.name], number)
        return record

    def stuck(self) -> bool:
        """No other record can be made up."""
        return any(
            (field.unique or field.unique_ignoring_case)
            and field.name in self.records[-1]
            and self.another(1)[field.name] == self.records[-1][field.name]
            for field in self.entity.fields
        )

    def editable(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A change that every program takes: one field of the record that may be edited."""
        moved = {change.field for action in self.entity.actions for change in action.changes if change.verb == "move"}
        names = [field.name for field in self.entity.fields if not field.immutable and field.name not in moved]
        return {name: record[name] for name in names[:1] if name in record}

    def asked(self, action: Action, turn: int) -> dict[str, Any]:
        """What an action asks for, with values that fit."""
        given = {}
        for change in action.changes:
            if change.verb == "ask":
                value = self.records[-1].get(change.field)
                if value is None:
                    value = next(
                        (value for about, value in edges(self.entity.field(change.field), None) if value), None
                    )
                given[change.field] = fresh(self.entity.field(change.field), value, turn) if value is not None else ""
        return given

    def plain(self) -> list[Field]:
        """Fields that lists can be sorted by."""
        return [f for f in self.entity.fields if not f.secret and f.type.name not in ("link", "list")]

    def needed(self, name: str, seen: set[str]) -> set[str]:
        """The entity and all whose ids its samples hold."""
        if name not in seen:
            seen.add(name)
            for field in self.called(name).fields:
                target = (field.type.of or field.type).target
                if target and any(field.name in record for record in self.samples[name]):
                    self.needed(target, seen)
        return seen

    def called(self, name: str) -> Entity:
        """The entity of that name."""
        return next(one for one in self.spec.entities if one.name == name)

    def referring(self) -> list[Entity]:
        """Entities whose records point to this one's."""
        return [
            one
            for one in samples.in_order(self.spec.entities)
            if any((field.type.of or field.type).target == self.entity.name for field in one.fields)
        ]
