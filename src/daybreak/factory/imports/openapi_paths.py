"""Paths and operations: a requirement for each, and where they differ from what is built for an entity."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from daybreak.agents.entities import Entity
from daybreak.factory.imports import plain
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.openapi_collections import Collections, Operation, collection_of
from daybreak.factory.imports.openapi_refs import Refs
from daybreak.factory.imports.openapi_schemas import Schemas
from daybreak.factory.imports.tree import get, is_true, items, pairs, text, told
from daybreak.factory.spec.located import Node

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_WRITING = ("post", "put", "patch")
_OTHER_STATUSES = {"added": ("200",), "deleted": ("200",), "invalid": ("400",)}
"""What may be answered instead of 201, 204 and 422, where it is for the whole result."""
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)
_LISTED = frozenset({"search", "sort", "limit", "offset"})
_READ = frozenset(
    {
        "summary",
        "description",
        "operationId",
        "parameters",
        "requestBody",
        "responses",
        "tags",
        "deprecated",
        "security",
    }
)
_NOTHING_SAID = frozenset({"", "ok", "okay", "success", "successful response", "successful operation"})
_ON_COLLECTION = {"get": "200", "post": "201", "delete": "204"}
_ON_RECORD = {"get": "200", "put": "200", "patch": "200", "delete": "204"}


@dataclass(slots=True)
class Paths:
    operations: list[Operation] = field(default_factory=list)
    prefix: str = ""


class Reader:
    def __init__(
        self, root: Node, refs: Refs, schemas: Schemas, gathered: Gathered, noted: Callable[[str, int], None]
    ) -> None:
        self.root, self.refs, self.schemas, self.gathered, self.noted = root, refs, schemas, gathered, noted
        self.collections: dict[str, str] = {}
        """By path: the entity whose collection it is."""
        self.entities: dict[str, Entity] = {}
        self.answers: list[tuple[str, Operation, str, str]] = []
        """(what happened, where, the status there, ours), of operations that are served."""

    def read(self) -> Paths:
        operations = list(self.operations())
        collections = Collections(self.root, self.refs, self.schemas, self.gathered, operations)
        self.collections = collections.by_path
        self.entities = {entity.name: entity for entity in self.schemas.entities}
        found = Paths(prefix=collections.prefix)
        if found.prefix and _PREFIX.fullmatch(found.prefix) is None:
            self.gathered.lost(1, found.prefix, "no prefix can look like this", "write http: {prefix: /api} in front")
            found.prefix = ""
        for one in operations:
            found.operations.append(self.operation(replace(one, path=collections.server + one.path)))
        self.tell_answers()
        return found

    def operations(self) -> list[Operation]:
        found = []
        for path, node in pairs(self.root, "paths"):
            target = self.refs.target(node).node
            if not path.text.startswith("/") or target is None:
                if not path.text.startswith("x-"):
                    self.gathered.lost(path.line, path.text, "no path, or it stands in another file", "write it out")
                continue
            for key, value in pairs(target):
                if key.text in METHODS:
                    found.append(Operation(key.text, path.text, key.line, value, target))
                elif key.text not in ("parameters", "summary", "description") and not key.text.startswith("x-"):
                    self.gathered.lost(
                        key.line, f"{key.text}: {told(value)}", "paths have no such part", "leave it out"
                    )
                elif key.text.startswith("x-"):
                    self.noted(key.text, key.line)
        return found

    # -- one operation

    def operation(self, one: Operation) -> Operation:
        one = self.served(one)
        statuses = [key.text for key, _ in pairs(one.node, "responses")]
        good = [status for status in statuses if status.startswith(("1", "2", "3"))]
        bad = [status for status in statuses if status.startswith(("4", "5"))]
        said = {key.text: self.answer(key.text, node) for key, node in pairs(one.node, "responses")}
        words = [text(one.node, "summary"), text(one.node, "description")]
        about = ". ".join(dict.fromkeys(plain.flat(word).rstrip(".") for word in words if word)) or text(
            one.node, "operationId"
        )
        verb = "MAY" if is_true(one.node, "deprecated") else "MUST"
        answers = f" with {_any([said[status] for status in good])}" if good else ""
        refusals = f", and refuse what cannot be done with {_any([said[status] for status in bad])}" if bad else ""
        requirement = self.gathered.require(
            f"System {verb} answer `{one.said}`{answers}{refusals}{': ' + about if about else ''}",
            theirs=" ".join(filter(None, [one.said, f"({text(one.node, 'operationId')})"])).removesuffix(" ()"),
            line=one.line,
        )
        one = replace(one, requirement=requirement)
        self.parameters(one)
        self.media(one)
        self.others(one)
        if one.entity:
            self.compare(one, good)
        else:
            self.gathered.lost(
                one.line,
                one.said,
                "nothing is built for it by itself: it is no collection of an entity and none of its records",
                f"an agent can build it from {requirement}; if it changes one record, write it as an action",
            )
        return one

    def answer(self, status: str, node: Node) -> str:
        """`409 (that name is taken)`."""
        about = plain.flat(text(self.target(node), "description")).rstrip(".")
        return status if about.casefold() in _NOTHING_SAID else f"{status} ({about})"

    def target(self, node: Node | None) -> Node | None:
        """What a reference leads to; listed where nothing in this file stands there."""
        found = self.refs.target(node)
        if found.missing and node is not None:
            self.gathered.lost(node.line, found.missing, "nothing in this file stands there", "write it out")
        return found.node

    def served(self, one: Operation) -> Operation:
        path = one.path.rstrip("/")
        if path in self.collections and one.method in _ON_COLLECTION:
            return replace(one, entity=self.collections[path])
        head = collection_of(path)
        if head in self.collections and one.method in _ON_RECORD:
            return replace(one, entity=self.collections[head], on_record=True)
        return one

    def compare(self, one: Operation, good: list[str]) -> None:
        """What the embedded builder answers otherwise, kept until all operations are known."""
        if one.method == "delete" and not one.on_record:
            self.gathered.http = replace(self.gathered.http, delete_all=True)
        ours = (_ON_RECORD if one.on_record else _ON_COLLECTION)[one.method]
        what = {"post": "added", "delete": "deleted"}.get(one.method, "other")
        self.answers += [(what, one, status, ours) for status in good if status != "2XX"]
        if one.method in _WRITING:
            refused = {key.text for key, _ in pairs(one.node, "responses")} & {"400", "422"}
            self.answers += [("invalid", one, status, "422") for status in sorted(refused)]

    def tell_answers(self) -> None:
        """Where the whole document answers alike, its status is an option of ours; else each difference is listed."""
        for what in ("added", "deleted", "invalid", "other"):
            found = [answer for answer in self.answers if answer[0] == what]
            statuses = {status for _, _, status, _ in found}
            if len(statuses) == 1 and (status := next(iter(statuses))) in _OTHER_STATUSES.get(what, ()):
                chosen = {**self.gathered.http.statuses, what: int(status)}
                self.gathered.http = replace(self.gathered.http, statuses=chosen)
                continue
            for _, one, status, ours in found:
                if status != ours:
                    self.gathered.lost(
                        one.line,
                        f"{one.said} {status}",
                        f"what is built answers {ours}",
                        f"let {one.said} answer {ours}",
                    )

    def parameters(self, one: Operation) -> None:
        entity = self.entities.get(one.entity)
        spelled = self.schemas.spelled.get(one.entity, {})
        for node in [*items(one.shared, "parameters"), *items(one.node, "parameters")]:
            target = self.target(node)
            if text(target, "description"):
                self.noted("description of parameters", node.line)
            place, name = text(target, "in"), text(target, "name")
            if place == "path":
                kind = text(self.refs.target(get(target, "schema")).node, "type")
                if one.entity and kind not in ("", "integer"):
                    self.gathered.lost(
                        node.line,
                        f"{{{name}}}: {kind}",
                        "records are found by their id, a whole number",
                        "leave it out",
                    )
            elif place == "query" and not one.on_record and _is_filter(name, entity, spelled):
                continue
            else:
                self.gathered.lost(
                    node.line,
                    f"{place or 'parameter'} {name}".strip(),
                    f"{one.said} takes no such parameter by itself",
                    f"write into {one.requirement} what it does",
                )

    def media(self, one: Operation) -> None:
        """Bodies that are not JSON, headers and links."""
        places = [get(one.node, "requestBody"), *(value for _, value in pairs(one.node, "responses"))]
        for place in places:
            target = self.refs.target(place).node
            if place is places[0] and text(target, "description"):
                self.noted("description of bodies", one.line)
            for key, media in pairs(target, "content"):
                self.unnamed(one, key.line, get(media, "schema"))
                if "json" not in key.text:
                    self.gathered.lost(
                        key.line, f"{one.said}: {key.text}", "bodies are JSON", "leave it out, or write a requirement"
                    )
            for word in ("headers", "links"):
                for key, _ in pairs(target, word):
                    self.noted(f"{word[:-1]} {key.text}", key.line)

    def unnamed(self, one: Operation, line: int, schema: Node | None) -> None:
        """A schema that stands in the body itself describes no entity."""
        found = self.refs.target(schema)
        inner = self.refs.target(get(found.node, "items"))
        if found.name or inner.name or found.node is None or not pairs(found.node):
            return
        self.gathered.lost(
            line,
            f"{one.said}: {told(found.node)}",
            "a schema without a name is no entity",
            "write #### Name and its table, if records look like this",
        )

    def others(self, one: Operation) -> None:
        for key, value in pairs(one.node):
            if key.text == "deprecated" and is_true(one.node, "deprecated"):
                self.gathered.lost(key.line, one.said, "it is deprecated, so it MAY be there", "leave it out")
            elif key.text == "security":
                self.noted("security", key.line)
            elif key.text.startswith("x-") or key.text in ("externalDocs", "servers"):
                self.noted(key.text, key.line)
            elif key.text not in _READ:
                self.gathered.lost(
                    key.line, f"{key.text}: {told(value)}", f"{one.said}: there is no such part", "write a requirement"
                )


def _is_filter(name: str, entity: Entity | None, spelled: dict[str, str]) -> bool:
    """Whether lists take the parameter by themselves."""
    base = re.sub(r"_(min|max)$", "", name)
    return name in _LISTED or (entity is not None and (name in spelled or base in spelled))


def _any(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
