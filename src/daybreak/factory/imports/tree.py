"""YAML and JSON documents of other tools as the same tree of texts with lines that specifications are read into.

Aliases are followed, unlike in specifications, but counted: a document that would grow beyond all measure when
they are written out is refused, and so is one that contains itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import yaml

from daybreak.factory.imports.refusals import ImportBomb, ImportBroken, ImportCircular
from daybreak.factory.spec import json_nodes
from daybreak.factory.spec.located import DEPTH_MAX, Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.problems import Problems

NODES_MAX = 1_000_000
"""With all aliases written out."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_FLATTER = "no description of an interface is that deep; look for a missing end of a list or mapping"


def read_json(text: str, name: str) -> Node:
    """The one value. Raises ImportBroken, ImportBomb."""
    problems = Problems(name)
    node = json_nodes.read(text, problems)
    if node is not None:
        return node
    first = problems.found[0]
    kind, hint = (ImportBomb, _FLATTER) if first.code == "S119" else (ImportBroken, first.remedy)
    raise kind(f"{name}:{first.line}: {first.message}", hint=hint)


@dataclass(slots=True)
class _Open:
    is_mapping: bool
    line: int
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    size: int = 1


def read_yaml(text: str, name: str) -> Node | None:
    """The one document; None where it is empty. Raises ImportBroken, ImportBomb, ImportCircular."""
    try:
        return _Builder(name).build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "it cannot be parsed"
        raise ImportBroken(
            f"{name}:{mark.line + 1 if mark else 1}: this is not YAML: {what}",
            hint="look at the indentation, quotes and brackets of this line and the one above",
        ) from error
    except yaml.YAMLError as error:
        first = str(error).split("\n")[0]
        raise ImportBroken(f"{name}: this is not YAML: {first}", hint="remove that character") from error


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.known: dict[str, tuple[Node, int, int]] = {}
        """By anchor: the node, how many nodes and how many levels it stands for."""
        self.documents = 0
        self.size = 0
        self.depths: list[int] = []

    def build(self, text: str) -> Node | None:
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            match event:
                case yaml.DocumentStartEvent():
                    self.documents += 1
                    if self.documents > 1:
                        raise ImportBroken(
                            f"{self.name}:{line}: a second document begins here", hint="import a file with one document"
                        )
                case yaml.AliasEvent():
                    self.alias(str(event.anchor), line)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    if len(self.stack) >= DEPTH_MAX:
                        raise self.deep(line)
                    self.stack.append(_Open(isinstance(event, yaml.MappingStartEvent), line, event.anchor))
                    self.depths.append(1)
                case yaml.ScalarEvent():
                    self.add(_scalar(event, line), event.anchor, 1, 0)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    opened, depth = self.stack.pop(), self.depths.pop()
                    self.add(self.closed(opened), opened.anchor, opened.size, depth)
                case _:
                    pass
        return self.root

    def deep(self, line: int) -> ImportBomb:
        return ImportBomb(f"{self.name}:{line}: nested deeper than {DEPTH_MAX} levels", hint=_FLATTER)

    def alias(self, anchor: str, line: int) -> None:
        if any(opened.anchor == anchor for opened in self.stack):
            raise ImportCircular(f"{self.name}:{line}: *{anchor} stands inside itself", hint="write the value out")
        if anchor not in self.known:
            raise ImportBroken(f"{self.name}:{line}: nothing is called &{anchor}", hint="write the value out")
        node, size, depth = self.known[anchor]
        if len(self.stack) + depth > DEPTH_MAX:
            raise self.deep(line)
        self.add(node, None, size, depth)

    def add(self, node: Node, anchor: str | None, size: int, depth: int) -> None:
        if anchor is not None:
            self.known[anchor] = (node, size, depth)
        if not self.stack:
            self.root = node
            return
        self.stack[-1].items.append(node)
        self.stack[-1].size += size
        self.depths[-1] = max(self.depths[-1], depth + 1)
        if self.stack[-1].size > NODES_MAX:
            raise ImportBomb(
                f"{self.name}:{node.line}: with its aliases written out it has more than {NODES_MAX} values",
                hint="write the values out where they are needed",
            )

    def closed(self, opened: _Open) -> Node:
        if not opened.is_mapping:
            return Sequence(tuple(opened.items), opened.line)
        pairs = []
        for key, value in zip(opened.items[::2], opened.items[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise ImportBroken(f"{self.name}:{key.line}: a key must be a single word", hint="write `key: value`")
            pairs.append((key, value))
        return Mapping(tuple(pairs), opened.line)


def _scalar(event: yaml.ScalarEvent, line: int) -> Scalar:
    return Scalar(event.value, line, plain=event.style in (None, ""))


# -- asking a tree


def get(node: Node | None, *keys: str) -> Node | None:
    """The value below those keys; None where a key is missing or a value is no mapping. The last of two equal keys."""
    for key in keys:
        if not isinstance(node, Mapping):
            return None
        node = next((value for name, value in reversed(node.pairs) if name.text == key), None)
    return node


def text(node: Node | None, *keys: str) -> str:
    """The single value below those keys; empty where there is none."""
    found = get(node, *keys)
    return found.text if isinstance(found, Scalar) and not found.is_null else ""


def pairs(node: Node | None, *keys: str) -> list[tuple[Scalar, Node]]:
    found = get(node, *keys)
    return list(found.pairs) if isinstance(found, Mapping) else []


def items(node: Node | None, *keys: str) -> list[Node]:
    found = get(node, *keys)
    return list(found.items) if isinstance(found, Sequence) else []


def is_true(node: Node | None, *keys: str) -> bool:
    return text(node, *keys).lower() == "true"


def as_json(node: Node) -> str:
    """The value as JSON on one line; numbers keep the digits that they are written with."""
    if isinstance(node, Mapping):
        inner = ", ".join(f"{json.dumps(key.text, ensure_ascii=False)}: {as_json(value)}" for key, value in node.pairs)
        return f"{{{inner}}}"
    if isinstance(node, Sequence):
        return f"[{', '.join(as_json(one) for one in node.items)}]"
    if node.is_null:
        return "null"
    if node.plain and (node.text in ("true", "false") or _NUMBER.fullmatch(node.text)):
        return node.text
    return json.dumps(node.text, ensure_ascii=False)


def told(node: Node) -> str:
    """The value as people read it in a list of what was not understood; of a large one what it holds."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        flat = [one.text for one in node.items[:12] if isinstance(one, Scalar)]
        return f"[{', '.join(flat)}]" if len(flat) == len(node.items) else f"a list of {len(node.items)}"
    return "{" + ", ".join(key.text for key, _ in node.pairs[:12]) + "}"
