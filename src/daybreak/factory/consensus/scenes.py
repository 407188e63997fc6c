"""What is tried with one entity: its life, its edges, its conflicts, its questions. Each scene starts from nothing.

A scene is a list of asks for one speaker. What a program answers is not known here and not needed: candidates are
compared with each other. Ids are those that a right program gives, so that a conversation stays one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from daybreak.agents.builder import samples
from daybreak.agents.entities import Action, Entity, Field
from daybreak.factory.consensus import by_console, by_http
from daybreak.factory.consensus.by_http import FIRST, USER
from daybreak.factory.consensus.cast import Cast
from daybreak.factory.consensus.edges import edges
from daybreak.factory.consensus.model import Ask
from daybreak.factory.consensus.speaking import Console, Http, Said, Speaker
from daybreak.factory.consensus.touching import Touching
from daybreak.factory.spec.model import Specification

Scene = Callable[[], Iterator[Ask]]
_RANGED = ("integer", "number", "decimal", "date", "timestamp")
_WRONG = (
    *("no number", "just beyond its least", "just beyond its greatest", "no date", "no moment", "no choice"),
    *("1 longer than its greatest length", "1 shorter than its least length", "no match", "nobody's id", "yes"),
    "no list",
)
"""Edges that no field takes."""
WALK = 40
"""Asks of a random walk."""
MOMENTS = ("now", "today")
"""Values that are another one each time."""


class Stage(Cast):
    """One entity of a specification, spoken to in one way."""

    def __init__(self, spec: Specification, entity: Entity, speaker: Speaker, chance: random.Random) -> None:
        super().__init__(spec, entity)
        self.speaker, self.chance = speaker, chance
        self.touching = Touching(spec)

    def scenes(self) -> dict[str, Scene]:
        """By name, what matters most first: in each way of speaking what only it can show comes before what the
        other one shows as well."""
        if not self.records:
            return {"nothing can be added": self.bare}
        found: dict[str, Scene] = {"its life": self.life}
        console = isinstance(self.speaker, Console)
        if console:
            found["its files"] = partial(by_console.files, self)
        else:
            found["its edges"] = self.edges
        if self.entity.actions:
            found["its actions"] = self.actions
        if not console and any(one.login is not None for one in self.spec.entities):
            found["its owners"] = partial(by_http.owners, self)
        if self.referring():
            found["its deletes"] = self.deletes
        found["its conflicts"] = self.conflicts
        if console:
            found["its usage"] = partial(by_console.usage, self)
            found["its edges"] = self.edges
        else:
            found["its requests"] = partial(by_http.requests, self)
        found["its questions"] = self.questions
        found["a walk"] = self.walk
        return found

    # -- asks

    def ask(
        self, said: Said, about: str, *verbs: str, field: str = "", exact: bool = True, entity: Entity | None = None
    ) -> Ask:
        entity = entity or self.entity
        name = f"{entity.name}.{field}" if field else entity.name
        touched = self.touching.ids(entity, verbs, field)
        bearer = FIRST if isinstance(self.speaker, Http) else ""
        return Ask(
            line=said[0],
            body=said[1],
            exact=exact,
            bearer=bearer,
            about=f"{name}: {about}",
            requirements=touched,
        )

    def world(self, *, own: int = 3) -> Iterator[Ask]:
        """The records that this entity needs, and `own` of its own."""
        for entity in self.order:
            for number, record in enumerate(self.samples[entity.name][: own if entity is self.entity else 3], 1):
                ask = self.ask(self.speaker.add(entity, record), "add", "add", entity=entity)
                yield ask if entity.login is None else ask.model_copy(update={"keeps": USER.format(number)})

    def all(self, entity: Entity | None = None) -> Ask:
        """Everything that is kept of an entity."""
        entity = entity or self.entity
        said = self.speaker.find(entity, {})
        if isinstance(self.speaker, Console):
            said = self.speaker.find(entity, {}, "--json")
        return self.ask(said, "what is kept", "list", entity=entity)

    def look(self, id_: int, about: str = "show") -> Ask:
        return self.ask(self.speaker.show(self.entity, id_), about, "show")

    # -- scenes

    def bare(self) -> Iterator[Ask]:
        yield self.ask(self.speaker.add(self.entity, {}), "add without anything", "add", "invalid")
        yield self.all()

    def life(self) -> Iterator[Ask]:
        speaker, entity = self.speaker, self.entity
        yield self.ask(speaker.find(entity, {}), "list of nothing", "list")
        if entity.totals:
            yield self.ask(speaker.totals(entity), "totals of nothing", "totals")
        yield from self.world()
        yield self.ask(speaker.find(entity, {}), "list", "list")
        for number in range(1, len(self.records) + 1):
            yield self.look(number)
        if entity.totals:
            yield self.ask(speaker.totals(entity), "totals", "totals")
            if isinstance(speaker, Console):
                yield self.ask(speaker.line(entity, "totals", "--json"), "totals as JSON", "totals")
        yield self.ask(speaker.add(entity, self.least()), "add with required fields only", "add")
        yield self.look(len(self.records) + 1)
        yield self.ask(speaker.delete(entity, len(self.records)), "delete", "delete")
        yield self.look(len(self.records), "show what was deleted")
        yield self.ask(speaker.delete(entity, len(self.records)), "delete twice", "delete")
        yield self.ask(speaker.add(entity, self.records[-1]), "add again, under a new id", "add")
        yield self.look(999, "show nobody")
        yield self.ask(speaker.edit(entity, 1, {}), "edit nothing", "edit")
        yield self.ask(speaker.edit(entity, 999, self.editable(self.records[0])), "edit nobody", "edit")
        yield self.all()

    def edges(self) -> Iterator[Ask]:
        """Each field's edges, added with a record that is fine otherwise, and put into one that is there."""
        yield from self.world(own=1)
        number = 0
        for field in self.entity.fields:
            good = self.records[-1].get(field.name)
            for about, value in edges(field, good):
                number += 1
                verbs = ("add", "invalid") if number % 2 else ("edit", "invalid")
                if number % 2 and not self.stuck():
                    record = {**self.another(number), field.name: value}
                    said = self.speaker.add(self.entity, record)
                else:
                    said = self.speaker.edit(self.entity, 1, {field.name: value})
                yield self.ask(said, about, *verbs, field=field.name)
        for field in self.entity.fields:
            if field.required:
                record = {name: value for name, value in self.another(number).items() if name != field.name}
                yield self.ask(self.speaker.add(self.entity, record), "left out", "add", "invalid", field=field.name)
            if field.after is not None:
                yield from self._after(field)
        yield from self._much_wrong()
        yield self.ask(self.speaker.add(self.entity, {}), "add without anything", "add", "invalid")
        unknown = {**self.another(number + 1), "no_such_field": "1"}
        yield self.ask(self.speaker.add(self.entity, unknown), "a field that it has not", "add", "invalid")
        yield self.look(1)
        yield self.all()

    def _much_wrong(self) -> Iterator[Ask]:
        """Several problems at once, whose order is laid down too."""
        wrong: dict[str, Any] = {"zzz_unknown": "1", "no_such_field": "1"}
        for field in reversed(self.entity.fields):
            tried = [value for about, value in edges(field, self.records[-1].get(field.name)) if about in _WRONG]
            if tried:
                wrong[field.name] = tried[0]
        yield self.ask(self.speaker.add(self.entity, wrong), "much wrong at once", "add", "invalid")
        yield self.ask(self.speaker.edit(self.entity, 1, wrong), "much wrong at once", "edit", "invalid")
        for left_out in ({"zzz_unknown"}, {"zzz_unknown", "no_such_field"}):
            less = {name: value for name, value in wrong.items() if name not in left_out}
            yield self.ask(self.speaker.edit(self.entity, 1, less), "more than one thing wrong", "edit", "invalid")

    def _after(self, field: Field) -> Iterator[Ask]:
        record = self.another(77)
        other = record.get(field.after or "")
        if other is None:
            return
        yield self.ask(
            self.speaker.add(self.entity, {**record, field.name: other}),
            f"the same as {field.after}", "add", "invalid", field=field.name,
        )  # fmt: skip
        later = {name: record[name] for name in (field.name, field.after) if name in record}
        swapped = {field.name: later.get(field.after or ""), field.after or "": later.get(field.name)}
        yield self.ask(
            self.speaker.edit(self.entity, 1, swapped), f"before {field.after}", "edit", "invalid", field=field.name
        )
        yield self.ask(
            self.speaker.edit(self.entity, 1, {field.after or "": later.get(field.name)}),
            f"{field.after} moved up to it", "edit", "invalid", field=field.name,
        )  # fmt: skip

    def questions(self) -> Iterator[Ask]:
        speaker, entity = self.speaker, self.entity
        yield from self.world()
        yield self.ask(speaker.add(entity, self.least()), "add with required fields only", "add")
        for about, wishes, field in self._wishes():
            if not self._by_chance(str(wishes.get("sort", "")), done=False):
                yield self.ask(speaker.find(entity, wishes), about, "list", field=field)

    def _wishes(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        for field in self.entity.fields:
            if field.secret or field.type.name == "link":
                continue
            name = field.name
            values = [record[name] for record in self.records if name in record]
            for direction in ("", "-"):
                if field.type.name != "list":
                    yield f"sorted {'down' if direction else 'up'}", {"sort": f"{direction}{name}"}, name
            yield "those without", {name: ""}, name
            for value in values[:2]:
                wanted = value[0] if isinstance(value, list) and value else value
                yield "those with", {name: wanted}, name
            if field.type.name in _RANGED and values:
                middle = sorted(values, key=lambda value: (str(type(value)), value))[len(values) // 2]
                yield "from a value on", {f"{name}_min": middle}, name
                yield "up to a value", {f"{name}_max": middle}, name
                yield "between two equal values", {f"{name}_min": middle, f"{name}_max": middle}, name
                yield "a limit that is none", {f"{name}_min": "x"}, name
            words = [value[0] if isinstance(value, list) else value for value in values if value]
            if (field.type.of or field.type).name in ("text", "choice") and words:
                text = str(words[0])
                yield "search", {"search": text[-2:].upper()}, name
                if field.type.of is None:
                    yield "search and sort", {"search": text[:2], "sort": f"-{name}"}, name
            if field.type.name == "choice":
                yield "no such choice", {name: "no-such"}, name
        for limit, offset in ((1, 0), (2, 1), (0, 0), (100, 2), (1, 100), (-1, 0), (1, -1)):
            yield f"limit {limit}, offset {offset}", {"limit": limit, "offset": offset}, ""
        yield "offset alone", {"offset": 1}, ""
        yield "search for nothing", {"search": ""}, ""
        yield "search for what is not there", {"search": "zzz-nowhere"}, ""
        yield "sorted by two", {"sort": ",".join(f"-{field.name}" for field in self.plain()[:2]) or "id"}, ""
        yield "sorted by id, down", {"sort": "-id"}, ""
        yield "sorted by nothing it has", {"sort": "no_such_field"}, ""
        yield "a wish for a field that it has not", {"no_such_field": "1"}, ""

    def conflicts(self) -> Iterator[Ask]:
        speaker, entity = self.speaker, self.entity
        yield from self.world()
        for record in self.records:
            yield self.ask(speaker.add(entity, record), "add the same again", "add", "conflict")
        first, last = self.records[0], self.records[-1]
        for field in entity.fields:
            if not (field.unique or field.unique_ignoring_case or field.unique_with) or field.name not in first:
                continue
            name = field.name
            value = first[name]
            other = {**self.another(3), name: value}
            yield self.ask(speaker.add(entity, other), "somebody else's", "add", "conflict", field=name)
            if isinstance(value, str):
                shouted = {**self.another(4), name: value.swapcase()}
                yield self.ask(
                    speaker.add(entity, shouted), "somebody's in another case", "add", "conflict", field=name
                )
            moved = {one: last[one] for one in (name, *field.unique_with) if one in last}
            yield self.ask(speaker.edit(entity, 1, moved), "edit into somebody's", "edit", "conflict", field=name)
            yield self.ask(speaker.edit(entity, 1, {name: value}), "edit to its own", "edit", "conflict", field=name)
            for partner in field.unique_with:
                if partner in last:
                    half = {**first, partner: last[partner]}
                    yield self.ask(speaker.add(entity, half), f"one half with {partner}", "add", "conflict", field=name)
        yield self.ask(speaker.add(entity, self.least()), "add with required fields only", "add")
        yield self.ask(speaker.add(entity, self.least()), "that again", "add", "conflict")
        yield self.all()

    def actions(self) -> Iterator[Ask]:
        speaker, entity = self.speaker, self.entity
        yield from self.world()
        for turn in range(3):
            for action in self._shuffled(entity.actions) if turn else entity.actions:
                for number in (1, 2) if turn == 0 else (1,):
                    given = self.asked(action, turn)
                    yield self.ask(speaker.act(entity, number, action.name, given), action.name, action.name)
                yield self.look(1, f"after {action.name}")
        for action in entity.actions:
            asked = self.asked(action, 0)
            yield self.ask(speaker.act(entity, 999, action.name, asked), f"{action.name} nobody", action.name)
            if asked:
                said = speaker.act(entity, 2, action.name, {})
                yield self.ask(said, f"{action.name} without what it asks for", action.name, "invalid")
                for field_name, value in asked.items():
                    for about, edge in list(edges(entity.field(field_name), value))[:12]:
                        said = speaker.act(entity, 2, action.name, {field_name: edge})
                        yield self.ask(said, f"{action.name} with {about}", action.name, "invalid", field=field_name)
            for change in action.changes:
                if change.verb == "move":
                    said = speaker.edit(entity, 1, {change.field: change.value})
                    yield self.ask(said, "edit what actions move", "edit", "invalid", field=change.field)
        if entity.totals:
            yield self.ask(speaker.totals(entity), "totals afterwards", "totals")
        yield self.all()

    def deletes(self) -> Iterator[Ask]:
        """This entity's records while others refer to them."""
        speaker = self.speaker
        yield from self.world()
        referring = self.referring()
        needed = {name for one in referring for name in self.needed(one.name, set())}
        told = {one.name for one in self.order}
        for entity in samples.in_order(self.spec.entities):
            if entity.name in needed - told:
                for record in self.samples[entity.name]:
                    yield self.ask(speaker.add(entity, record), "add", "add", entity=entity)
        for number in range(1, len(self.records) + 1):
            yield self.ask(speaker.delete(self.entity, number), "delete what others refer to", "delete")
        for entity in referring:
            yield self.all(entity)
            yield self.ask(speaker.delete(entity, 1), "delete what refers", "delete", entity=entity)
        for number in range(1, len(self.records) + 1):
            yield self.ask(speaker.delete(self.entity, number), "delete once less refers", "delete")
        for entity in (self.entity, *referring):
            yield self.all(entity)

    def walk(self) -> Iterator[Ask]:
        """Everything in any order, by the seed."""
        yield from self.world(own=2)
        pool: list[Ask] = [ask for scene in (self.edges, self.questions, self.conflicts) for ask in scene()]
        if self.entity.actions:
            pool += list(self.actions())
        pool += [self.ask(self.speaker.delete(self.entity, number), "delete", "delete") for number in (1, 2, 3)]
        chosen = self.chance.sample(pool, min(WALK, len(pool)))
        by_chance = {said for said, order in self._ordered() if self._by_chance(order, done=True)}
        yield from (ask for ask in chosen if ask.line not in by_chance)
        yield self.all()

    def _ordered(self) -> Iterator[tuple[str, str]]:
        """Each list that is asked for in an order, and the order."""
        for _, wishes, _ in self._wishes():
            if "sort" in wishes:
                yield self.speaker.find(self.entity, wishes)[0], str(wishes["sort"])

    def _by_chance(self, order: str, *, done: bool) -> bool:
        """Whether a list in that order says when things were done, so that two right programs may differ in it: what
        happens in one second is in the order of ids, and in another order where the second ends in between. Of what is
        stamped when it is added that is so downwards only; of what is stamped later (`done`), in both directions."""
        added = {one.name for one in self.entity.fields if one.automatic or one.default in MOMENTS}
        later = {name for name in added if name == "updated_at"}
        later |= {
            change.field
            for action in self.entity.actions
            for change in action.changes
            if change.verb == "set" and change.value in MOMENTS
        }
        names = order.split(",")
        return any(name.startswith("-") and name[1:] in added for name in names) or (
            done and bool(later & {name.removeprefix("-") for name in names})
        )

    def _shuffled(self, actions: Iterable[Action]) -> list[Action]:
        mixed = list(actions)
        self.chance.shuffle(mixed)
        return mixed
