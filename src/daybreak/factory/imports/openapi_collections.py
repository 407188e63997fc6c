"""Which path is the collection of which entity, and what stands in front of all of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from daybreak.agents import naming
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.openapi_refs import Refs
from daybreak.factory.imports.openapi_schemas import Schemas
from daybreak.factory.imports.tree import get, items, pairs, text
from daybreak.factory.spec import names
from daybreak.factory.spec.located import Node

PARAMETER = re.compile(r"\{[^{}/]+\}")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    """In small letters."""
    path: str
    """With the prefix that all paths have."""
    line: int
    node: Node
    shared: Node
    """The path's own node: parameters of all its operations."""
    requirement: str = ""
    entity: str = ""
    """What it is served for; empty where nothing is built for it by itself."""
    on_record: bool = False

    @property
    def said(self) -> str:
        return f"{self.method.upper()} {self.path}"


class Collections:
    """`server` is the path of the server's address, `prefix` what stands in front of all collections, `by_path` the
    entity of each collection. The entities of `schemas` get the plurals that their paths have."""

    def __init__(
        self, root: Node, refs: Refs, schemas: Schemas, gathered: Gathered, operations: list[Operation]
    ) -> None:
        self.root, self.refs, self.schemas, self.gathered = root, refs, schemas, gathered
        self.words: dict[str, str] = {}
        """By name and plural of each entity: its name."""
        for entity in schemas.entities:
            self.words.setdefault(names.command(entity.name), entity.name)
            self.words.setdefault(names.path(entity), entity.name)
        found = self.find(operations)
        self.server = self.first_server()
        inner = _common_prefix(list(found))
        self.prefix = self.server + inner
        self.by_path = {self.server + path: name for path, name in self.placed(found, inner).items()}

    def find(self, operations: list[Operation]) -> dict[str, str]:
        """Paths that end in a word and whose records have paths below them, or that add or list records."""
        of_records = {head for one in operations if (head := collection_of(one.path))}
        found: dict[str, str] = {}
        for one in operations:
            last = one.path.rstrip("/").rsplit("/", 1)[-1]
            if PARAMETER.search(last) or not last or one.path.rstrip("/") in found:
                continue
            entity = self.shown_by(one) or self.called(last)
            if entity and (one.path.rstrip("/") in of_records or one.method in ("get", "post")):
                found[one.path.rstrip("/")] = entity
        return found

    def shown_by(self, one: Operation) -> str:
        """The entity that is added by a POST, or listed by a GET."""
        if one.method == "post":
            return self.schemas.by_schema.get(self.body(get(one.node, "requestBody")), "")
        for status in ("200", "default"):
            node = self.content(get(one.node, "responses", status))
            target = self.refs.target(node)
            listed = self.refs.target(get(target.node, "items")).name if get(target.node, "items") is not None else ""
            name = self.schemas.wrappers.get(target.name, "") or listed
            if one.method == "get" and name in self.schemas.by_schema:
                return self.schemas.by_schema[name]
        return ""

    def content(self, node: Node | None) -> Node | None:
        """The JSON schema of a body."""
        target = self.refs.target(node).node
        media = next((value for key, value in pairs(target, "content") if "json" in key.text), None)
        return get(media, "schema")

    def body(self, node: Node | None) -> str:
        schema = self.content(node)
        return self.refs.target(schema).name if schema is not None else ""

    def called(self, word: str) -> str:
        """The entity whose name, or plural, the word is."""
        return self.words.get(naming.words(word).replace(" ", "-"), "")

    def first_server(self) -> str:
        """The path of the first server's address."""
        servers = items(self.root, "servers")
        for extra in servers[1:]:
            self.gathered.lost(extra.line, text(extra, "url"), "one server is served, at any address", "leave it out")
        url = text(servers[0], "url") if servers else ""
        if pairs(servers[0] if servers else None, "variables"):
            self.gathered.lost(
                servers[0].line, url, "addresses have no variables", "write http: {prefix: /api} in front"
            )
            url = ""
        found = re.fullmatch(r"(?:https?://[^/\s]*)?(?P<path>/[^?#\s]*)?", url)
        return (found["path"] or "").rstrip("/") if found is not None else ""

    def placed(self, collections: dict[str, str], inner: str) -> dict[str, str]:
        """The plural of each entity is the word in its path; the first path wins."""
        placed: dict[str, str] = {}
        done: set[str] = set()
        entities = {entity.name: entity for entity in self.schemas.entities}
        taken = {names.path(entity): entity.name for entity in entities.values()}
        for path, name in collections.items():
            word = path[len(inner) :].strip("/")
            entity = entities.get(name)
            if not path.startswith(inner) or entity is None or name in done:
                continue
            usable = names.PLURAL.fullmatch(word) is not None and len(word) <= names.LENGTH_MAX
            if not usable or taken.get(word, name) != name or word in names.RESERVED_PATHS:
                continue
            done.add(name)
            placed[path] = name
            taken[word] = name
            if word != names.path(entity):
                entities[name] = replace(entity, plural=word)
        self.schemas.entities = [entities[entity.name] for entity in self.schemas.entities]
        return placed


def collection_of(path: str) -> str:
    """`/books` of `/books/{id}`; empty where the path is not that of one record."""
    head, _, last = path.rstrip("/").rpartition("/")
    return head if PARAMETER.fullmatch(last) else ""


def _common_prefix(paths: list[str]) -> str:
    """What stands in front of the last word of most paths: `/api/v1` of `/api/v1/books`."""
    heads = Counter(path.rstrip("/").rpartition("/")[0] for path in paths)
    usable = [(count, head) for head, count in heads.items() if not PARAMETER.search(head)]
    return max(usable, key=lambda pair: (pair[0], -len(pair[1])))[1] if usable else ""
