"""Examples of a document that say everything that is needed to run them, as `http` acceptance blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from daybreak.agents import naming as our_naming
from daybreak.agents.entities import Entity, Field
from daybreak.factory.imports.gathered import Gathered, Shown
from daybreak.factory.imports.openapi_collections import Operation
from daybreak.factory.imports.openapi_refs import Refs
from daybreak.factory.imports.openapi_schemas import Schemas
from daybreak.factory.imports.tree import as_json, get, pairs
from daybreak.factory.spec.located import Mapping, Node, Scalar

_KINDS = {"timestamp": "<timestamp>", "date": "<date>", "link": "<url>"}
_WHY = "an example is run only where it says all: what is sent, what is answered, from an empty database"


class Reader:
    def __init__(self, refs: Refs, schemas: Schemas, gathered: Gathered) -> None:
        self.refs, self.schemas, self.gathered = refs, schemas, gathered
        self.entities = {entity.name: entity for entity in schemas.entities}

    def read(self, operations: list[Operation]) -> None:
        for one in operations:
            sent = dict(self.examples(get(one.node, "requestBody")))
            answered = {
                (status.text, name): value
                for status, node in pairs(one.node, "responses")
                for name, value in self.examples(node)
            }
            if one.method == "post" and one.entity in self.entities and not one.on_record:
                self.added(one, sent, answered)
            else:
                for name, node in sent.items():
                    self.lost(one, name, node, "it needs a record that it does not add")
                for (status, name), node in answered.items():
                    self.lost(one, f"{status} {name}".strip(), node, "it shows a record that it does not add")

    def lost(self, one: Operation, name: str, node: Node, why: str) -> None:
        self.gathered.lost(
            node.line,
            f"example {name} of {one.said}".replace("  ", " "),
            f"{why}; {_WHY}",
            f"write ### {one.requirement} and an http block under ## Acceptance",
        )

    def examples(self, body: Node | None) -> Iterator[tuple[str, Node]]:
        """By name, of JSON bodies; the one without a name is called by an empty text."""
        target = self.refs.target(body).node
        for key, media in pairs(target, "content"):
            if "json" not in key.text:
                continue
            if (single := get(media, "example")) is not None:
                yield "", single
            for name, node in pairs(media, "examples"):
                if (value := get(self.refs.target(node).node, "value")) is not None:
                    yield name.text, value

    # -- adding a record

    def added(self, one: Operation, sent: dict[str, Node], answered: dict[tuple[str, str], Node]) -> None:
        used: set[tuple[str, str]] = set()
        entity = self.entities[one.entity]
        for name, node in sent.items():
            found = self.answer_of(name, answered, alone=len(sent) == 1)
            if found is None:
                self.lost(one, name, node, "no answer has an example of the same name")
                continue
            used.add(found)
            if found[0].startswith("2"):
                fault = self.sent_fault(node, entity) or self.answer_fault(answered[found], entity)
                body = "" if fault else self.answer_body(answered[found], entity)
            else:
                fault, body = "" if found[0].startswith("4") else "it is no answer to expect", ""
            if fault:
                self.lost(one, name, node, fault)
                continue
            if found[0].startswith("4"):
                self.gathered.lost(
                    answered[found].line,
                    f"example {found[0]} {found[1]} of {one.said}",
                    "errors are problem documents (RFC 9457), so only the status is expected",
                    "write the problem document below the status, if its words matter",
                )
            lines = [f"POST {one.path}", as_json(node), "", found[0], *([body] if body else [])]
            title = f"{one.requirement} {one.said}" + (f": {name}" if name else "")
            self.gathered.examples.append(Shown("http", title, "\n".join(lines) + "\n"))
        for key, node in answered.items():
            if key not in used:
                self.lost(one, f"{key[0]} {key[1]}".strip(), node, "nothing says what must be sent for this answer")

    def answer_of(self, name: str, answered: dict[tuple[str, str], Node], *, alone: bool) -> tuple[str, str] | None:
        """The answer of the same name; the only good one where there is one request."""
        same = [key for key in answered if key[1] == name and key[0].isdigit()]
        good = [key for key in answered if key[0].startswith("2")]
        if name and len(same) == 1:
            return same[0]
        return good[0] if alone and len(good) == 1 else None

    def fields(self, entity: Entity) -> dict[str, Field | None]:
        """By the names that JSON has; None for the id."""
        own = {self.spelled(field.name): field for field in entity.fields}
        return {"id": None, **own}

    def spelled(self, name: str) -> str:
        return our_naming.camel(name) if self.schemas.camel else name

    def sent_fault(self, node: Node, entity: Entity) -> str:
        if not isinstance(node, Mapping):
            return "it is no object"
        known, given = self.fields(entity), {key.text for key, _ in node.pairs}
        if strange := sorted(given - known.keys()):
            return f"{entity.name} has no field {', '.join(strange)}"
        missing = [name for name, field in known.items() if field is not None and field.required and name not in given]
        if missing:
            return f"the required {', '.join(missing)} is not sent"
        refs = [name for name in given if (field := known[name]) and (field.type.of or field.type).name == "ref"]
        if refs:
            return f"{', '.join(sorted(refs))} needs a record that it does not add"
        return ""

    def answer_fault(self, node: Node, entity: Entity) -> str:
        if not isinstance(node, Mapping):
            return "its answer is no object"
        known = self.fields(entity)
        for key, _ in node.pairs:
            if key.text not in known:
                return f"{entity.name} has no field {key.text}, which is answered"
            field = known[key.text]
            if field is not None and field.secret:
                return f"{key.text} is secret and never answered"
        return ""

    def answer_body(self, node: Node, entity: Entity) -> str:
        """What changes from run to run stands as its kind: ids, moments, addresses."""
        assert isinstance(node, Mapping), "looked at before"
        known, found = self.fields(entity), []
        for key, value in node.pairs:
            field = known[key.text]
            if field is None:
                shown = "<integer>"
            elif (field.automatic or field.computed) and not _is_null(value):
                shown = _KINDS.get(field.type.name, "<any>")
            else:
                shown = as_json(value)
            found.append(f"{json.dumps(key.text, ensure_ascii=False)}: {shown}")
        answered = {key.text for key, _ in node.pairs}
        shown_fields = {name for name, field in known.items() if field is None or not field.secret}
        if shown_fields - answered:
            found.append("...")
        return "{" + ", ".join(found) + "}"


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null
