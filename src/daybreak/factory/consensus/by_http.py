"""Scenes that only HTTP has: malformed requests, and users who ask for what is not theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daybreak.factory.consensus.edges import fresh
from daybreak.factory.consensus.model import Ask
from daybreak.factory.consensus.speaking import Http

if TYPE_CHECKING:
    from daybreak.factory.consensus.scenes import Stage

USER = "user {}"
FIRST = USER.format(1)
"""As whom requests are sent where there are users."""


def owners(stage: Stage) -> Iterator[Ask]:
    """What belongs to the first user, asked for by the second, and by nobody."""
    speaker, entity = stage.speaker, stage.entity
    yield from stage.world()
    for bearer, who in ((USER.format(2), "as another user"), ("", "as nobody"), (FIRST, "as its owner")):
        asks = [stage.look(1, f"show {who}"), stage.ask(speaker.find(entity, {}), f"list {who}", "list")]
        changes = stage.editable(stage.records[-1])
        asks.append(stage.ask(speaker.edit(entity, 1, changes), f"edit {who}", "edit"))
        asks.append(stage.ask(speaker.add(entity, stage.another(8)), f"add {who}", "add"))
        for action in entity.actions:
            said = speaker.act(entity, 1, action.name, stage.asked(action, 0))
            asks.append(stage.ask(said, f"{action.name} {who}", action.name))
        asks.append(stage.ask(speaker.delete(entity, 1), f"delete {who}", "delete"))
        for ask in asks:
            yield ask.model_copy(update={"bearer": bearer})
    yield stage.all()


def requests(stage: Stage) -> Iterator[Ask]:
    """What only HTTP has."""
    speaker, entity = stage.speaker, stage.entity
    assert isinstance(speaker, Http)
    one, many = speaker.path(entity, 1), speaker.path(entity)
    yield from stage.world()
    for number, record in enumerate(stage.records, 1):
        said = speaker.put(entity, number, {**stage.least(), **record})
        yield stage.ask(said, "put the same", "edit", "http")
    yield stage.ask(speaker.put(entity, 1, stage.least()), "put the least", "edit", "http")
    yield stage.look(1)
    yield stage.ask(speaker.put(entity, 999, stage.records[0]), "put nobody", "edit", "http")
    yield stage.ask(speaker.put(entity, 2, {}), "put nothing", "edit", "invalid", "http")
    sent_back = {**stage.records[1 % len(stage.records)], "id": 77, "created_at": "2000-01-01T00:00:00Z", "url": "x"}
    known = {field.name for field in entity.fields} | {"id"}
    sent_back = {name: value for name, value in sent_back.items() if name in known}
    yield stage.ask(speaker.put(entity, 2, sent_back), "put with an id and computed fields", "edit", "http")
    for field in entity.fields:
        if field.immutable and stage.records[0].get(field.name) is not None:
            changed = {field.name: fresh(field, stage.records[0][field.name], 9)}
            yield stage.ask(speaker.edit(entity, 1, changed), "change it", "edit", "invalid", field=field.name)
    for line, body, media, about in (
        (f"POST {many}", "{", "", "malformed JSON"),
        (f"POST {many}", "[]", "", "a list instead of an object"),
        (f"POST {many}", "{}", "text/plain", "another media type"),
        (f"PATCH {one}", '"x"', "", "a text instead of an object"),
        (f"PATCH {many}", "{}", "", "a method that it has not"),
        (f"DELETE {many}", "", "", "delete all"),
        (f"POST {one}", "{}", "", "post to a record"),
        (f"GET {many}/x", "", "", "an id that is none"),
        (f"GET {many}/-1", "", "", "a negative id"),
        (f"GET {many}/1/nothing", "", "", "nothing below a record"),
        (f"GET {many}/totals", "", "", "totals"),
        (f"OPTIONS {many}", "", "", "options"),
    ):
        ask = stage.ask((line, body), about, "http", "invalid", exact=not about.endswith(("JSON", "type", "object")))
        yield ask.model_copy(update={"media": media})
    fitting = json.dumps(stage.another(6), ensure_ascii=False)
    for line, sent in (
        *((f"GET {one}", ""), (f"POST {many}", fitting), (f"PATCH {one}", "{}"), (f"PUT {one}", fitting)),
        *((f"DELETE {one}", ""), (f"GET {many}/totals", ""), (f"DELETE {many}", "")),
        *((f"POST {one}/{action.name}", "") for action in entity.actions),
    ):
        yield stage.ask((f"{line}?no_such_field=1", sent), "a query that it has not", "http", "invalid")
    for path in ("/health", "/openapi.json", "/nothing"):
        yield stage.ask(speaker.plain(path), f"what is at {path}", "http", exact=False)
    yield stage.all()
