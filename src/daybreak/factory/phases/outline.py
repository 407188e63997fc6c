"""The parts of a design: what is kept, and what users reach, each with the requirements that name it.

They follow from the specification's key entities and interfaces. `agents.links` says what naming is; the embedded
builder writes the same links into what it generates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from daybreak.agents import addresses, naming
from daybreak.agents.entities import Entity, Field
from daybreak.agents.links import Faculty, Ids, Links, without_ids
from daybreak.factory.spec.model import Specification


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Datum(_Model):
    """Something that is kept, or counted from what is kept."""

    kind: Literal["entity", "relation", "list", "count"] = "entity"
    """relation: between users and records; list: of many records to many; count: computed when it is read."""
    name: str
    """`Article`, `Article favorite`, `Article.tag_list`."""
    fields: tuple[str, ...]
    """`name: type`, in the table's order; of a count what is counted."""
    requirements: tuple[str, ...] = ()


class Face(_Model):
    """Something that a user meets: a command or a route, what is said where something is wrong, a document."""

    kind: Literal["command", "route", "errors", "document"]
    name: str
    requirements: tuple[str, ...] = ()


def links(spec: Specification, held_out: Iterable[str] = ()) -> Links:
    """Between the requirements and the entities; headings of held-out examples say nothing."""
    hidden = set(held_out)
    headings: dict[str, list[str]] = {}
    for example in spec.examples:
        if example.id not in hidden:
            for one in example.requirements:
                headings.setdefault(one, []).append(without_ids(example.title, example.requirements))
    return Links(requirements=spec.requirements, entities=spec.entities, headings=headings)


# -- what is kept


def data(entities: Iterable[Entity], asked: Links) -> Iterator[Datum]:
    for entity in entities:
        named = [asked.of_entity(entity), *(asked.of_field(entity, field) for field in entity.fields)]
        yield Datum(
            name=entity.name,
            fields=tuple(f"{field.name}: {_type(field)}" for field in entity.fields),
            requirements=_united(asked, *named),
        )
        for name in entity.users_may:
            users = next(one.name for one in asked.entities if one.login is not None)
            yield Datum(
                kind="relation",
                name=f"{entity.name} {name}",
                fields=(f"user: ref {users}", f"record: ref {entity.name}"),
                requirements=asked.of_relation(entity, name),
            )
        yield from filter(None, (_beyond(entity, field, asked) for field in entity.fields))


def _beyond(entity: Entity, field: Field, asked: Links) -> Datum | None:
    """What a field stands for that has no column in the entity's own table."""
    name, ids = f"{entity.name}.{field.name}", asked.of_field(entity, field)
    if field.count_of is not None:
        return Datum(kind="count", name=name, fields=(f"count of {field.count_of}",), requirements=ids)
    if field.type.of is not None and field.type.of.target is not None:
        ends = (f"{naming.words(entity.name)}: ref {entity.name}", f"{field.name}: ref {field.type.of.target}")
        return Datum(kind="list", name=name, fields=ends, requirements=ids)
    return None


def _type(field: Field) -> str:
    kind = field.type
    if kind.of is not None:
        return f"list of {kind.of.name} {kind.of.target or ''}".rstrip()
    return f"{kind.name} {kind.target or ''}".rstrip()


# -- what users meet


def faces(spec: Specification, asked: Links) -> Iterator[Face]:
    refused = asked.of_faculty("refuse")
    if "cli" in spec.interfaces:
        for entity in spec.entities:
            yield from _commands(f"{spec.name} {naming.words(entity.name).replace(' ', '-')}", entity, asked)
        yield Face(kind="errors", name="a line each on standard error, with an exit status", requirements=refused)
    if "http" in spec.interfaces:
        prefix = "/" + spec.http.prefix.strip("/") if spec.http.prefix.strip("/") else ""
        for entity in spec.entities:
            yield from _routes(prefix, entity, asked)
        yield Face(kind="errors", name=_ERRORS[spec.http.errors], requirements=refused)
    yield Face(kind="document", name="README.md", requirements=asked.of_faculty("readme"))


_ERRORS = {
    "problem": "problem documents over HTTP (RFC 9457)",
    "fields": "messages by field over HTTP",
    "message": "one message over HTTP",
}


def _commands(base: str, entity: Entity, asked: Links) -> Iterator[Face]:
    def face(words: str, ids: Ids) -> Face:
        return Face(kind="command", name=f"{base} {words}".rstrip(), requirements=ids)

    def can(faculty: Faculty) -> Ids:
        return asked.of_faculty(faculty, entity)

    yield face("", asked.of_entity(entity))
    yield face("list --search", can("search"))
    yield from (face(action.name, asked.of_action(entity, action)) for action in entity.actions)
    yield from (face(named.name, asked.of_list(entity, named)) for named in entity.lists)
    for name in entity.users_may:
        yield face(name, asked.of_relation(entity, name))
        yield face(f"un{name}", asked.of_relation(entity, name))
    if entity.login is not None:
        for word, faculty in _ACCOUNT_COMMANDS.items():
            yield face(word, asked.of_faculty(faculty))
    if entity.totals:
        yield face("totals", can("total"))
    yield face("export", can("export"))
    yield face("import", can("import"))


def _routes(prefix: str, entity: Entity, asked: Links) -> Iterator[Face]:
    """A route without a method in front answers several."""
    within, record = addresses.within(entity, asked.entities), addresses.of_record(entity, asked.entities)
    listed = addresses.of_list(entity, asked.entities)

    def face(method: str, path: str, ids: Ids) -> Face:
        return Face(kind="route", name=f"{method} {prefix}{path}".lstrip(), requirements=ids)

    yield face("", listed, asked.of_entity(entity))
    yield face("GET", f"{listed}?search=", asked.of_faculty("search", entity))
    yield from (face("POST", f"{record}/{one.name}", asked.of_action(entity, one)) for one in entity.actions)
    yield from (face("GET", f"{listed}/{one.name}", asked.of_list(entity, one)) for one in entity.lists)
    for name in entity.users_may:
        yield face("POST", f"{record}/{name}", asked.of_relation(entity, name))
        yield face("DELETE", f"{record}/{name}", asked.of_relation(entity, name))
    if entity.login is not None:
        yield face("POST", within, asked.of_faculty("register"))
        yield face("POST", f"{within}/login", asked.of_faculty("login"))
        yield face("POST", f"{within}/logout", asked.of_faculty("logout"))
        yield face("", "/" + naming.words(entity.name).replace(" ", "-"), asked.of_faculty("account"))
    if entity.totals:
        yield face("GET", f"{listed}/totals", asked.of_faculty("total", entity))


_ACCOUNT_COMMANDS: dict[str, Faculty] = {
    "add": "register",
    "login": "login",
    "logout": "logout",
    "whoami": "account",
}


def _united(asked: Links, *ids: Ids) -> Ids:
    """All of them, in the order of the specification."""
    wanted = {one for some in ids for one in some}
    return tuple(one.id for one in asked.requirements if one.id in wanted)
