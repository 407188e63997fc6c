"""Whether data has the shape of a part: known keys, each once, single values and lists where they belong."""

from __future__ import annotations

from pydantic import BaseModel

from daybreak.factory.spec import questions
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence, kind
from daybreak.factory.spec.problems import Problems, listed, meant


def fields(node: Node, part: type[BaseModel], where: str, problems: Problems) -> dict[str, Node]:
    """The values by key. Keys that are null or only an open question are left out; keys that must be there are told."""
    if not isinstance(node, Mapping):
        problems.add(
            node.line,
            "S124",
            f"{where} must be a mapping, not {kind(node)}",
            f"write key: value lines; the keys are {listed(part.model_fields)}",
        )
        return {}
    found: dict[str, Node] = {}
    seen: dict[str, int] = {}
    for key, value in node.pairs:
        name = key.text
        if name in seen:
            problems.add(
                key.line, "S122", f"{where}: the key {name} is already on line {seen[name]}", "keep one of them"
            )
        elif name not in part.model_fields:
            otherwise = f"remove it; the keys are {listed(part.model_fields)}"
            problems.add(
                key.line, "S121", f"{where}: the key {name!r} is unknown", meant(name, part.model_fields, otherwise)
            )
        elif not _left_out(value):
            found[name] = value
        seen.setdefault(name, key.line)
    for name, field in part.model_fields.items():
        if field.is_required() and name not in found:
            problems.add(node.line, "S123", f"{where}: {name} is missing", f"write {name}: and its value")
    return found


def _left_out(node: Node) -> bool:
    if not isinstance(node, Scalar):
        return False
    rest = questions.without(node.text)
    return node.is_null or (rest != node.text and not rest.strip())


def scalar(node: Node | None, where: str, problems: Problems) -> Scalar | None:
    """The single value, or None, with a problem where it is something else."""
    if node is None or isinstance(node, Scalar):
        return node
    problems.add(
        node.line, "S124", f"{where} must be a single value, not {kind(node)}", "write one value; put text in quotes"
    )
    return None


def items(node: Node | None, where: str, problems: Problems) -> tuple[Node, ...]:
    """The items of a list; none, with a problem, where it is something else."""
    if node is None:
        return ()
    if isinstance(node, Sequence):
        return node.items
    problems.add(
        node.line, "S124", f"{where} must be a list, not {kind(node)}", "write [a, b], or one item a line after `- `"
    )
    return ()


def texts(node: Node | None, where: str, problems: Problems) -> list[Scalar]:
    """The non-empty single values of a list."""
    found = []
    for item in items(node, where, problems):
        value = scalar(item, f"an item of {where}", problems)
        if value is not None and value.text.strip():
            found.append(value)
        elif value is not None:
            problems.add(value.line, "S124", f"{where}: an item is empty", "remove it, or write its text")
    return found
