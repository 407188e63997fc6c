"""The workers' copy: a specification without the examples that they must not see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache

import yaml

from daybreak.factory.spec import acceptance, codespans, json_nodes, source, toml_nodes, yaml_nodes
from daybreak.factory.spec.blocks import parts
from daybreak.factory.spec.data import KINDS
from daybreak.factory.spec.draft import DraftExample
from daybreak.factory.spec.located import Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.problems import Problems, SpecInvalid
from daybreak.factory.spec.reading import drafted
from daybreak.factory.spec.source import Format

_KEY = "acceptance"


def without_examples(text: str, held_out_ids: Collection[str], *, format: Format) -> str:
    """The text without the blocks of these ids.

    Markdown stays as it is, line for line; a heading whose blocks all go takes its prose with it, for that
    speaks of them. YAML, TOML and JSON are written anew (their comments go), and an item of `acceptance`
    whose blocks all go leaves with its title. Line ends become `\\n`. Raises SpecInvalid where the text cannot be
    read at all; ids that do not occur are ignored.
    """
    return _without_examples(text, frozenset(held_out_ids), format)


@lru_cache(maxsize=8)
def _without_examples(text: str, held_out_ids: frozenset[str], format: Format) -> str:
    """Kept, since every attempt of a run asks for the same, and reading a specification takes milliseconds."""
    problems = Problems("the specification")
    clean = source.clean(text, problems)
    draft = None if clean is None else drafted(clean, format, problems)
    if clean is None or draft is None:
        raise SpecInvalid(problems.sorted())
    ids = acceptance.identities(draft.examples)
    gone = {number for number, id_ in enumerate(ids) if id_ in held_out_ids}
    if not gone:
        return clean
    if format == "md":
        return _markdown(clean, draft.examples, gone)
    return _data(clean, format, gone)


# -- Markdown


def _markdown(text: str, examples: list[DraftExample], gone: set[int]) -> str:
    lines = text.split("\n")
    dropped = {line for number in gone for line in range(examples[number].first, examples[number].last)}
    left = {example.title.line for number, example in enumerate(examples) if example.title and number not in gone}
    titles = {examples[number].title for number in gone}
    emptied = {title.line for title in titles if title is not None} - left
    found, _ = parts(_without_front_matter(lines), Problems(""))
    for part in found:
        if part.level > 1 and part.first in emptied:
            dropped.update(range(part.first, part.last))
    for number, part in enumerate(found):
        if part.level == 2 and part.title.text.casefold().startswith(_KEY):
            section = range(part.body, next((p.first for p in found[number + 1 :] if p.level <= 2), len(lines) + 1))
            left_over = "\n".join(lines[line - 1] for line in section if line not in dropped)
            if not codespans.visible(left_over).strip():
                dropped.update(range(part.first, section.stop))
    kept = "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)
    return re.sub(r"\n{2,}\Z", "\n", kept)


def _without_front_matter(lines: list[str]) -> str:
    if lines[0].rstrip() != "---":
        return "\n".join(lines)
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), 0)
    return "\n".join([""] * (end + 1) + lines[end + 1 :])


# -- data


def _data(text: str, format_: Format, gone: set[int]) -> str:
    read = {"yaml": yaml_nodes.read, "toml": toml_nodes.read, "json": json_nodes.read}[format_]
    node = read(text, Problems(""))
    assert isinstance(node, Mapping), "the text was read before, with examples in it"
    pairs = []
    for key, value in node.pairs:
        kept = _kept(value, gone) if key.text == _KEY and isinstance(value, Sequence) else value
        if kept is not None:
            pairs.append((key, kept))
    write: dict[str, Callable[[Mapping], str]] = {"yaml": _yaml, "toml": _toml, "json": _json}
    return write[format_](Mapping(tuple(pairs), node.line))


def _kept(acceptances: Sequence, gone: set[int]) -> Sequence | None:
    """The list without these blocks, None where nothing is left. Blocks count from 0 in the order written."""
    number = -1
    items: list[Node] = []
    for item in acceptances.items:
        if not isinstance(item, Mapping):
            items.append(item)
            continue
        pairs: list[tuple[Scalar, Node]] = []
        for key, value in item.pairs:
            is_block = key.text in KINDS and isinstance(value, Scalar) and not value.is_null
            number += is_block
            if not is_block or number not in gone:
                pairs.append((key, value))
        if len(pairs) == len(item.pairs) or any(key.text in KINDS for key, _ in pairs):
            items.append(Mapping(tuple(pairs), item.line))
    return Sequence(tuple(items), acceptances.line) if items else None


def _json(node: Node, indent: int = 0) -> str:
    if isinstance(node, Scalar):
        return node.text if node.plain else json.dumps(node.text, ensure_ascii=False)
    pad, end = "  " * (indent + 1), "  " * indent
    if isinstance(node, Sequence):
        inner = [_json(item, indent + 1) for item in node.items]
        opened, closed = "[", "]"
    else:
        inner = [f"{json.dumps(k.text, ensure_ascii=False)}: {_json(v, indent + 1)}" for k, v in node.pairs]
        opened, closed = "{", "}"
    body = f",\n{pad}".join(inner)
    text = f"{opened}\n{pad}{body}\n{end}{closed}" if inner else opened + closed
    return text if indent else text + "\n"


def _toml(node: Mapping) -> str:
    return "".join(f"{json.dumps(key.text)} = {_toml_value(value)}\n" for key, value in node.pairs)


def _toml_value(node: Node) -> str:
    if isinstance(node, Scalar):
        # A JSON string is a TOML string, but for DEL, which the reader has refused.
        return node.text if node.plain else json.dumps(node.text, ensure_ascii=False)
    if isinstance(node, Sequence):
        return "[" + "".join(f"\n  {_toml_value(item)}," for item in node.items) + "\n]" if node.items else "[]"
    return "{" + ", ".join(f"{json.dumps(k.text, ensure_ascii=False)} = {_toml_value(v)}" for k, v in node.pairs) + "}"


def _yaml(node: Mapping) -> str:
    return str(yaml.serialize(_yaml_node(node), Dumper=yaml.SafeDumper, allow_unicode=True, width=10_000))


def _yaml_node(node: Node) -> yaml.Node:
    if isinstance(node, Sequence):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [_yaml_node(item) for item in node.items], flow_style=False)
    if isinstance(node, Mapping):
        pairs = [(_yaml_node(key), _yaml_node(value)) for key, value in node.pairs]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)
    if node.is_null:
        return yaml.ScalarNode("tag:yaml.org,2002:null", "null")
    style = "|" if "\n" in node.text else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", node.text, style=style)
