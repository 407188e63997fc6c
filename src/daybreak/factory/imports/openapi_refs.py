"""`$ref` in an OpenAPI document: followed inside the document, never outside of it, and never in a circle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from daybreak.factory.imports.refusals import ImportBomb, ImportCircular
from daybreak.factory.imports.tree import get
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence

CHAIN_MAX = 50
"""References that lead to references, one after another."""
_SCHEMA = re.compile(r"#/components/schemas/([^/]+)")


def schema_name(pointer: str) -> str:
    """The schema that a pointer names; empty where it points to something else."""
    found = _SCHEMA.fullmatch(pointer)
    return _unescaped(found[1]) if found else ""


def _unescaped(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")


@dataclass(slots=True)
class Target:
    """What stands at the end of a chain of references."""

    node: Node | None
    """None: nothing is there, or it lies outside of the document; `missing` says which reference led there."""
    name: str = ""
    """The last schema of a name that was passed on the way."""
    missing: str = ""


@dataclass(slots=True)
class Refs:
    root: Node
    file: str

    def target(self, node: Node | None) -> Target:
        """Follow the references of a node. Raises ImportCircular, ImportBomb."""
        seen: list[str] = []
        name = ""
        while isinstance(node, Mapping) and isinstance(pointer := get(node, "$ref"), Scalar):
            if pointer.text in seen:
                way = " -> ".join([*seen, pointer.text])
                raise ImportCircular(
                    f"{self.file}:{pointer.line}: $ref goes in a circle: {way}", hint="let one of them hold a schema"
                )
            if len(seen) > CHAIN_MAX:
                raise ImportBomb(
                    f"{self.file}:{pointer.line}: more than {CHAIN_MAX} references lead to each other",
                    hint="let them lead to the schema itself",
                )
            seen.append(pointer.text)
            name = schema_name(pointer.text) or name
            node = self.at(pointer.text)
            if node is None:
                return Target(None, name, pointer.text)
        return Target(node, name)

    def at(self, pointer: str) -> Node | None:
        """What a pointer such as `#/components/schemas/Book` points to; None where there is nothing."""
        if not pointer.startswith("#/"):
            return None
        node: Node | None = self.root
        for part in pointer[2:].split("/"):
            key = _unescaped(part)
            if isinstance(node, Sequence):
                inside = key.isascii() and key.isdigit() and len(key) < 6 and int(key) < len(node.items)
                node = node.items[int(key)] if inside else None
            else:
                node = get(node, key)
        return node
