"""The same wish, said on the command line or over HTTP, as SPEC_FORMAT lays both down."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from daybreak.agents import naming
from daybreak.agents.entities import Entity
from daybreak.factory.consensus.model import Face
from daybreak.factory.spec.model import Specification

Said = tuple[str, str]
"""The line, and the body."""


class Speaker(Protocol):
    face: Face
    asks_max: int
    """In one probe: what starts often costs much starts less."""

    def add(self, entity: Entity, record: Mapping[str, Any]) -> Said: ...
    def show(self, entity: Entity, id_: int) -> Said: ...
    def find(self, entity: Entity, wishes: Mapping[str, Any]) -> Said: ...
    def edit(self, entity: Entity, id_: int, changes: Mapping[str, Any]) -> Said: ...
    def delete(self, entity: Entity, id_: int) -> Said: ...
    def act(self, entity: Entity, id_: int, action: str, asked: Mapping[str, Any]) -> Said: ...
    def totals(self, entity: Entity) -> Said: ...


class Console:
    face: Face = "console"
    asks_max = 40

    def __init__(self, spec: Specification) -> None:
        self._name = spec.name

    def line(self, entity: Entity, *words: str) -> Said:
        command = naming.words(entity.name).replace(" ", "-")
        return " ".join([self._name, command, *map(shlex.quote, words)]), ""

    def plain(self, *words: str) -> Said:
        """What is no entity's: `bookshelf --help`."""
        return " ".join([self._name, *map(shlex.quote, words)]), ""

    def add(self, entity: Entity, record: Mapping[str, Any], *more: str) -> Said:
        return self.line(entity, "add", *options(record), *more)

    def show(self, entity: Entity, id_: int, *more: str) -> Said:
        return self.line(entity, "show", str(id_), *more)

    def find(self, entity: Entity, wishes: Mapping[str, Any], *more: str) -> Said:
        return self.line(entity, "list", *options(wishes), *more)

    def edit(self, entity: Entity, id_: int, changes: Mapping[str, Any]) -> Said:
        cleared = [name for name, value in changes.items() if value is None]
        given = {name: value for name, value in changes.items() if value is not None}
        return self.line(entity, "edit", str(id_), *options(given), *(w for n in cleared for w in ("--clear", n)))

    def delete(self, entity: Entity, id_: int) -> Said:
        return self.line(entity, "delete", str(id_))

    def act(self, entity: Entity, id_: int, action: str, asked: Mapping[str, Any]) -> Said:
        return self.line(entity, action, str(id_), *options(asked))

    def totals(self, entity: Entity) -> Said:
        return self.line(entity, "totals")


def options(values: Mapping[str, Any]) -> list[str]:
    """`--pages 412 --tag a --tag b`; what is null is left out."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                words += [option, written(one)]
    return words


def written(value: Any) -> str:
    """A JSON value as a word."""
    return value if isinstance(value, str) else json.dumps(value)


class Http:
    face: Face = "http"
    asks_max = 300

    def __init__(self, spec: Specification) -> None:
        trimmed = spec.http.prefix.strip("/")
        self._prefix = f"/{trimmed}" if trimmed else ""

    def plain(self, path: str) -> Said:
        """What is no entity's: `/health`."""
        return f"GET {self._prefix}{path}", ""

    def path(self, entity: Entity, *parts: object) -> str:
        collection = naming.plural_words(entity).replace(" ", "-")
        return "/".join([f"{self._prefix}/{collection}", *map(str, parts)])

    def add(self, entity: Entity, record: Mapping[str, Any]) -> Said:
        return f"POST {self.path(entity)}", json.dumps(record, ensure_ascii=False)

    def show(self, entity: Entity, id_: int) -> Said:
        return f"GET {self.path(entity, id_)}", ""

    def find(self, entity: Entity, wishes: Mapping[str, Any]) -> Said:
        pairs = [
            (name, "" if one is None else written(one))
            for name, value in wishes.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        query = f"?{urlencode(pairs)}" if pairs else ""
        return f"GET {self.path(entity)}{query}", ""

    def edit(self, entity: Entity, id_: int, changes: Mapping[str, Any]) -> Said:
        return f"PATCH {self.path(entity, id_)}", json.dumps(changes, ensure_ascii=False)

    def put(self, entity: Entity, id_: int, record: Mapping[str, Any]) -> Said:
        return f"PUT {self.path(entity, id_)}", json.dumps(record, ensure_ascii=False)

    def delete(self, entity: Entity, id_: int) -> Said:
        return f"DELETE {self.path(entity, id_)}", ""

    def act(self, entity: Entity, id_: int, action: str, asked: Mapping[str, Any]) -> Said:
        return f"POST {self.path(entity, id_, action)}", json.dumps(asked, ensure_ascii=False) if asked else ""

    def totals(self, entity: Entity) -> Said:
        return f"GET {self.path(entity, 'totals')}", ""


def speakers(spec: Specification) -> list[Speaker]:
    """One for each face of the result, the one with the cheaper questions first."""
    found: list[Speaker] = []
    if "http" in spec.interfaces:
        found.append(Http(spec))
    if "cli" in spec.interfaces:
        found.append(Console(spec))
    return found
