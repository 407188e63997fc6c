"""Schemas of objects: their properties, with those of `allOf` merged in, and the keywords that say something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daybreak.factory.imports.openapi_refs import CHAIN_MAX, Refs
from daybreak.factory.imports.refusals import ImportBomb, ImportCircular
from daybreak.factory.imports.tree import get, items, pairs, text, told
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence

Lost = Callable[[int, str, str, str], None]
"""(line, text, why, remedy)"""

SILENT = frozenset({"type", "properties", "required", "allOf", "$ref", "description", "title", "readOnly", "nullable"})
ANNOTATIONS = frozenset(
    {"example", "examples", "xml", "externalDocs", "deprecated", "title", "$comment", "$id", "$schema", "$anchor"}
)
"""Keywords that change no value; they are listed once for the whole document."""


@dataclass(slots=True)
class Object:
    properties: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    description: str = ""


def types_of(node: Node | None) -> tuple[list[str], bool]:
    """The names behind `type` without `null`, and whether the value may be null."""
    found = get(node, "type")
    names = (
        [found.text]
        if isinstance(found, Scalar)
        else [one.text for one in items(node, "type") if isinstance(one, Scalar)]
    )
    nullable = "null" in names or text(node, "nullable").lower() == "true"
    return [name for name in names if name != "null"], nullable


def unwrapped(node: Node, refs: Refs) -> tuple[Node, bool]:
    """Without a wrapping of one: `anyOf: [X, {type: null}]` is X that may be null, `allOf: [X]` is X."""
    nullable = False
    for _ in range(20):
        for word in ("anyOf", "oneOf"):
            parts = items(node, word)
            kept = [part for part in parts if types_of(refs.target(part).node) != ([], True)]
            if parts and len(kept) == 1 and not pairs(node, "properties"):
                nullable, node = nullable or len(kept) < len(parts), kept[0]
                break
        else:
            parts = items(node, "allOf")
            if len(parts) != 1 or pairs(node, "properties") or get(node, "$ref") is not None:
                return node, nullable
            nullable, node = nullable or types_of(node)[1], parts[0]
    return node, nullable


def is_object(node: Node | None, refs: Refs) -> bool:
    """Whether it has properties, its own or those of `allOf`. Each part is looked at once."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        found = refs.target(stack.pop()).node
        if id(found) in seen:
            continue
        seen.add(id(found))
        if pairs(found, "properties"):
            return True
        stack += items(found, "allOf")
    return False


class Objects:
    def __init__(self, refs: Refs, lost: Lost, noted: Callable[[str, int], None]) -> None:
        self.refs, self.lost, self.noted = refs, lost, noted
        self.told: set[int] = set()
        """Parts that are merged in at several places are told once."""
        self.merged: set[str] = set()
        """Names of the schemas that were merged into others."""

    def read(self, node: Node, where: str) -> Object:
        """Raises ImportCircular where `allOf` holds itself."""
        found = Object()
        self._merge(node, where, found, [], set())
        return found

    def _merge(self, node: Node, where: str, into: Object, above: list[int], done: set[int]) -> None:
        target = self.refs.target(node)
        if target.node is None:
            self.lost(node.line, target.missing, f"{where}: nothing in this file stands there", "write its fields out")
            return
        if id(target.node) in above:
            raise ImportCircular(
                f"{self.refs.file}:{node.line}: {where} is a part of itself by allOf", hint="take one of them out"
            )
        if len(above) > CHAIN_MAX:
            raise ImportBomb(
                f"{self.refs.file}:{node.line}: {where} holds more than {CHAIN_MAX} schemas inside each other by allOf",
                hint="write its fields out",
            )
        if above:
            self.merged.add(target.name)
        if id(target.node) in done:
            return
        done.add(id(target.node))
        for part in items(target.node, "allOf"):
            self._merge(part, where, into, [*above, id(target.node)], done)
        for key, value in pairs(target.node, "properties"):
            into.properties[key.text] = (key, value)
        into.required |= {one.text for one in items(target.node, "required") if isinstance(one, Scalar)}
        into.description = text(target.node, "description") or into.description
        self._others(target.node, where)

    def _others(self, node: Node, where: str) -> None:
        if id(node) in self.told or not isinstance(node, Mapping):
            return
        self.told.add(id(node))
        for key, value in node.pairs:
            if key.text in ANNOTATIONS or key.text.startswith("x-"):
                self.noted(key.text, key.line)
            elif key.text == "additionalProperties" and isinstance(value, Scalar) and value.text == "false":
                continue  # Unknown fields are refused anyway.
            elif key.text not in SILENT:
                self.lost(
                    key.line,
                    f"{key.text}: {told(value)}",
                    f"{where}: entities have no {key.text}",
                    _remedy(key.text, value),
                )


def _remedy(keyword: str, value: Node) -> str:
    match keyword:
        case "oneOf" | "anyOf" | "discriminator":
            return "write one entity with a choice field that says which kind it is"
        case "additionalProperties" | "patternProperties":
            return "write each field as a row of the table"
        case "minProperties" | "maxProperties" | "dependentRequired":
            return "write required at the fields that must be there"
        case _:
            return "write it as a requirement" if not isinstance(value, Sequence) else "write each as a requirement"
