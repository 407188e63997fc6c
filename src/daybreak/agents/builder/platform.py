"""What makes a program more than one person's: users, keys, relations, counts, lists and how HTTP wraps things.

A specification that declares none of it gives the same files as before any of it was known.
"""

from __future__ import annotations

from typing import Any

from daybreak.agents import addresses, naming
from daybreak.agents.builder import samples
from daybreak.agents.builder.literals import python_literal
from daybreak.agents.entities import Condition, Entity, Field
from daybreak.agents.protocol import Brief, HttpOptions

_SPOKEN = ("use", "uni", "eu", "one")
"""Beginnings of words that take `a` all the same."""
_OF_FIELDS = (
    "key", "slug_of", "owner", "parent", "embedded", "by", "new_allowed", "private", "count_of", "by_me"
)  # fmt: skip


def context(brief: Brief) -> dict[str, Any]:
    """Which parts are needed, and what the one schema says of HTTP."""
    http = _http(brief.http) if "http" in brief.interfaces else []
    users = any(entity.login is not None for entity in brief.entities)
    lists = any(entity.lists for entity in brief.entities)
    fields = [field for entity in brief.entities for field in entity.fields]
    imports = ["Login"] if users else []
    imports += ["Condition", "NamedList"] if lists else []
    imports += ["Count"] if any(field.count_of for field in fields) else []
    imports += ["Key"] if any(_keyed(field, brief.entities) for field in fields) else []
    return {
        "platform": bool(http) or any(_is_more(entity) for entity in brief.entities),
        "users": users,
        "lists": lists,
        "http_more": http,
        "model_imports": imports,
        "statuses": {"added": 201, "deleted": 204} | brief.http.statuses,
        "early": _early(brief.entities),
        "shape_lines": _shape_lines(brief.http, users=users),
    }


def _early(entities: tuple[Entity, ...]) -> tuple[str, ...]:
    """What only users may read or write and is added before there is any."""
    ordered = samples.in_order(entities)
    users = next((number for number, entity in enumerate(ordered) if entity.login is not None), 0)
    closed = (entity for entity in ordered[:users] if (entity.readers, entity.writers) != ("everyone", "everyone"))
    return tuple(naming.words(entity.name) for entity in closed)


def _is_more(entity: Entity) -> bool:
    lines = (entity.login, entity.users_may, entity.lists, entity.order, entity.search, entity.listed_by)
    return any(lines) or any(getattr(field, name) for field in entity.fields for name in _OF_FIELDS)


def _http(options: HttpOptions) -> list[str]:
    """What differs from the defaults, as arguments of `Schema`."""
    usual = HttpOptions()
    names = ("envelope", "errors", "names", "page", "page_max", "put")
    found = [f"{name}={getattr(options, name)!r}" for name in names if getattr(options, name) != getattr(usual, name)]
    if options.statuses:
        found.append(f"statuses={tuple(sorted(options.statuses.items()))!r}")
    return found


def _shape_lines(options: HttpOptions, *, users: bool) -> list[str]:
    """What README.md says of bodies and errors."""
    errors = {
        "problem": "RFC 9457 problem documents: `{type, title, status, detail, errors: [{field, message}]}`",
        "fields": "`{errors: {FIELD: [MESSAGE]}}`",
        "message": "`{error: MESSAGE}`",
    }
    found = [f"Errors are {errors[options.errors]}."]
    if options.envelope:
        found.append("Records stand in an envelope, in requests as in answers.")
    if options.names == "camel":
        found.append("Names in JSON and in queries are in camelCase.")
    if options.put == "some":
        found.append("`PUT` changes what is given, as `PATCH` does.")
    if users:
        found.append("Who asks is said by `Authorization: Bearer TOKEN` (or `Token TOKEN`).")
    return found


def entity(entity: Entity, entities: tuple[Entity, ...]) -> dict[str, Any]:
    """What models.py and README.md say of an entity beyond its table."""
    from daybreak.agents.builder.project import field_source  # late: project puts all of this together

    return {
        "fields": [[*field_source(field), *_bonds(field, entity, entities)] for field in entity.fields],
        "more": _more(entity, entities),
        "lines": _lines(entity),
        "key": "KEY" if addresses.key_of(entity) else "ID",
        **_one(naming.words(entity.name)),
        "parent": next((field.type.target for field in entity.fields if field.parent), None),
        "users_may": entity.users_may,
        "lists": [named.name for named in entity.lists],
        "login": entity.login,
        "address": addresses.within(entity, entities),
        "collection": addresses.of_list(entity, entities),
        "seen_as": naming.words(entity.seen_as) if entity.seen_as else "",
        "record_address": addresses.of_record(entity, entities),
    }


def _one(words: str) -> dict[str, str]:
    """The noun with its article where a vowel that is spoken as a consonant misleads: `a user`."""
    return {"one": f"a {words}"} if words.startswith(_SPOKEN) else {}


def _named(entities: tuple[Entity, ...], name: str | None) -> Entity:
    return next(entity for entity in entities if entity.name == name)


def _users(entities: tuple[Entity, ...]) -> Entity | None:
    return next((entity for entity in entities if entity.login is not None), None)


def _key(target: Entity | None) -> tuple[str, str] | None:
    field = None if target is None else addresses.key_of(target)
    if target is None or field is None:
        return None
    return naming.table(target), f"{field.name}:folded" if field.unique_ignoring_case else field.name


def _keyed(field: Field, entities: tuple[Entity, ...]) -> tuple[str, str] | None:
    """Where the keys are by which the field, or its filter, may be given."""
    if field.by_me is not None:
        return _key(_users(entities))
    target = (field.type.of or field.type).target
    return None if target is None else _key(_named(entities, target))


def _bonds(field: Field, own: Entity, entities: tuple[Entity, ...]) -> list[str]:
    found = []
    if keyed := _keyed(field, entities):
        found.append(f"keyed=Key({keyed[0]!r}, {keyed[1]!r})")
    if field.count_of in own.users_may:
        found.append(f"count_of=Count({naming.table(own) + ':' + str(field.count_of)!r}, 'record')")
    elif field.count_of is not None:
        target, _, ref = field.count_of.partition(".")
        found.append(f"count_of=Count({naming.table(_named(entities, target))!r}, {ref!r})")
    return found


def _more(entity: Entity, entities: tuple[Entity, ...]) -> list[str]:
    found = []
    if entity.login is not None:
        found.append(f"login=Login({entity.login.name!r}, {entity.login.secret!r}, {entity.login.hours})")
    if entity.seen_as is not None:
        noun = naming.words(entity.seen_as)
        found += [f"seen_as={noun!r}", f"seen_as_plural={naming.pluralised(noun)!r}"]
    for name in ("readers", "writers"):
        if (who := getattr(entity, name)) != "everyone":
            found.append(f"{name}={who!r}")
    if entity.listed_by is not None:
        found.append(f"listed_by={entity.listed_by!r}")
    for name in ("users_may", "order", "search"):
        if words := getattr(entity, name):
            found.append(f"{name}={words!r}")
    if entity.lists:
        lists = []
        for named in entity.lists:
            conditions = "".join(f"{_condition(one, entity, entities)}, " for one in named.conditions)
            lists.append(f"NamedList({named.name!r}, ({conditions}))")
        found.append(f"lists=({', '.join(lists)},)")
    return found


def _condition(condition: Condition, entity: Entity, entities: tuple[Entity, ...]) -> str:
    parts = [repr(condition.kind)]
    if condition.field is not None:
        parts.append(repr(condition.field))
    if condition.value is not None:
        parts.append(python_literal(condition.value))
    if condition.relation is not None:
        target = entity
        if condition.field is not None:
            target = _named(entities, entity.field(condition.field).type.target)
        parts.append(f"table={naming.table(target) + ':' + condition.relation!r}")
    return f"Condition({', '.join(parts)})"


# -- for README.md, in the words of the specification


def rules(field: Field) -> list[str]:
    return [
        "key" if field.key else "",
        f"slug of {field.slug_of}" if field.slug_of else "",
        "owner" if field.owner else "",
        "parent" if field.parent else "",
        "embedded" if field.embedded else "",
        f"by {field.by}" if field.by else "",
        "new allowed" if field.new_allowed else "",
        "private" if field.private else "",
        f"count of {field.count_of}" if field.count_of else "",
        f"{field.by_me} by me" if field.by_me else "",
    ]


def _lines(entity: Entity) -> list[str]:
    login = entity.login
    duration = "" if login is None else f"{login.hours} hours" if login.hours % 24 else f"{login.hours // 24} days"
    told = {
        "Login": f"{login.name} with {login.secret}, for {duration}" if login else "",
        "Seen as": entity.seen_as or "",
        "Readers": entity.readers if entity.readers != "everyone" else "",
        "Writers": entity.writers if entity.writers != "everyone" else "",
        "Users may": ", ".join(entity.users_may),
        "Order": ", ".join(entity.order),
        "Search": ", ".join(entity.search),
        "Listed by": entity.listed_by or "",
    }
    lists = [f"List `{named.name}`: {'; '.join(map(_spoken, named.conditions))}" for named in entity.lists]
    return [f"{label}: {text}" for label, text in told.items() if text] + lists


def _spoken(condition: Condition) -> str:
    forms = {
        "my": f"my {condition.relation}",
        "in my": f"{condition.field} in my {condition.relation}",
        "me": f"{condition.field} is me",
        "is": f"{condition.field} is {condition.value}",
    }
    return forms[condition.kind]
