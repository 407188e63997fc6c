"""YAML 1.2 core schema, strictly: built from parser events, so that nothing is made before it was counted.

Text, whole and broken numbers, true/false, null, mappings and sequences. `yes`, `on` and dates are text (as YAML 1.2
says). Mapping keys are text or whole numbers. Aliases and merge keys work, within limits; what they stand for is
copied. Tags, several documents in one file and NaN are refused.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from daybreak.host.typed import plain
from daybreak.host.typed.refusals import SENTENCE, Bomb, ContentForbidden, DuplicateKey, FileRefused, Malformed, shown
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode, place

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MERGE = "<<"


def parse(source: Source) -> tuple[Any, Text]:
    """One YAML document."""
    text = decode(source, guess=False)
    return loads(text.text, source), text


def loads(text: str, source: Source, first_line: int = 1) -> Any:
    """`text` as a value; the first line has number `first_line`. Raises the refusals of this package."""
    import yaml

    try:
        return _Builder(text, source, first_line).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed.at(
            source.path,
            f"not YAML: {error.problem or error.context}",
            hint="mend the text at this place",
            line=mark.line + first_line if mark else None,
            column=mark.column + 1 if mark else None,
        ) from error
    except yaml.reader.ReaderError as error:
        line, column = place(text, error.position) if 0 <= error.position <= len(text) else (None, None)
        raise Malformed.at(
            source.path,
            f"not YAML: {error.reason}",
            hint="mend the text at this place",
            line=line and line + first_line - 1,
            column=column,
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # some escapes, in the parser written in Python
        raise Malformed.at(source.path, f"not YAML: {shown(str(error), SENTENCE)}", hint="mend the text") from error


def resolve(plain_text: str) -> Any:
    """What a scalar without quotes stands for in the core schema. NaN and infinity come out as such. Raises ValueError
    for whole numbers of more than `plain.digits_max()` decimal digits, however they are written."""
    if plain_text in _WORDS:
        return _WORDS[plain_text]
    if plain_text[0] not in "+-.0123456789":
        return plain_text
    if _INT.fullmatch(plain_text):
        return _whole(plain_text, 10, plain.digits_max() + 1)
    if _OCTAL.fullmatch(plain_text) or _HEX.fullmatch(plain_text):
        return _whole(plain_text, 0, 2 * plain.DIGITS_MAX)
    if _FLOAT.fullmatch(plain_text):
        return float(plain_text)
    if _NOT_FINITE.fullmatch(plain_text):
        return float(plain_text.replace(".", ""))
    return plain_text


def _whole(text: str, base: int, characters_max: int) -> int:
    if len(text) > characters_max or plain.is_huge(number := int(text, base)):
        raise ValueError("too many digits")
    return number


@dataclass(slots=True)
class _Node:
    value: Any
    values: int
    """It and all below."""
    levels: int


class _Builder:
    """Values from the events of a parser, counted as they are made. A duplicate is found at its key."""

    def __init__(self, text: str, source: Source, first_line: int) -> None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        self._yaml, self._source, self._first_line = yaml, source, first_line
        self._anchors: dict[str, _Node] = {}
        self._values = self._alias_values = 0

    def document(self) -> Any:
        yaml = self._yaml
        next(self._events)  # the stream starts
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._node(next(self._events), 0).value
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(Malformed, event, "a second document", "keep one document in one file")
        return value

    def _node(self, event: Any, depth: int) -> _Node:
        yaml = self._yaml
        self._values += 1
        line, column = self._place(event)
        if self._values > self._source.limits.values_max:
            raise plain.too_many(self._source.path, self._source.limits, line, column)
        if depth > self._source.limits.depth_max:
            raise plain.too_deep(self._source.path, self._source.limits, line, column)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if event.tag is not None and not (event.tag == "!" and isinstance(event, yaml.ScalarEvent)):
            self._refuse(
                ContentForbidden, event, f"the tag {shown(event.tag)}", "write the plain value: tags can make objects"
            )
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(self._scalar(event), 1, 0)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(depth)
        else:
            node = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: Any) -> Any:
        if not event.implicit[0]:  # in quotes, or a block
            return event.value
        try:
            value = resolve(event.value)
        except ValueError:
            self._refuse(
                ContentForbidden, event, f"a whole number of {len(event.value)} characters", "write it as a text"
            )
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(ContentForbidden, event, f"{shown(event.value)} is no number that others can read", "use null")
        return value

    def _sequence(self, depth: int) -> _Node:
        node = _Node([], 1, 1)
        while not isinstance(event := next(self._events), self._yaml.SequenceEndEvent):
            self._add(node, inner := self._node(event, depth + 1))
            node.value.append(inner.value)
        return node

    def _mapping(self, depth: int) -> _Node:
        node = _Node({}, 1, 1)
        merged: list[dict[Any, Any]] = []
        while not isinstance(event := next(self._events), self._yaml.MappingEndEvent):
            is_merge = isinstance(event, self._yaml.ScalarEvent) and event.value == _MERGE and event.implicit[0]
            key = _MERGE if is_merge else self._key(event, depth)
            if key in node.value or (is_merge and merged):
                self._refuse(DuplicateKey, event, f"the key {shown(str(key))!r} a second time", "keep one of them")
            self._add(node, inner := self._node(at := next(self._events), depth + 1))
            if is_merge:
                merged = self._merged(inner.value, at)
            else:
                node.value[key] = inner.value
        for table in merged:
            node.value = {**node.value, **{key: value for key, value in table.items() if key not in node.value}}
        return node

    def _merged(self, value: Any, event: Any) -> list[dict[Any, Any]]:
        tables = value if isinstance(value, list) else [value]
        if not tables or not all(isinstance(table, dict) for table in tables):
            self._refuse(Malformed, event, "merges what is no mapping", "name a mapping, or a list of mappings")
        return tables

    def _key(self, event: Any, depth: int) -> str | int:
        key = self._node(event, depth + 1).value
        if not isinstance(key, str | int) or isinstance(key, bool):
            self._refuse(ContentForbidden, event, "a key that is no text and no whole number", "put the key in quotes")
        if isinstance(key, str) and "\0" in key:
            what = f"a NUL character in the key {shown(key)!r}"
            self._refuse(ContentForbidden, event, what, "write the key without it")
        return key

    def _alias(self, event: Any, depth: int) -> _Node:
        node, limits = self._anchors.get(event.anchor), self._source.limits
        if node is None:
            self._refuse(
                Malformed, event, f"the alias {shown(event.anchor)!r} names nothing complete", "write the value out"
            )
        self._alias_values += node.values
        if self._alias_values > limits.alias_values_max:
            self._refuse(
                Bomb,
                event,
                f"aliases stand for more than {limits.alias_values_max} values",
                "write it without aliases, or raise Limits(alias_values_max=…)",
            )
        if depth + node.levels > limits.depth_max:
            raise plain.too_deep(self._source.path, limits, *self._place(event))
        return _Node(copy.deepcopy(node.value), node.values, node.levels)

    @staticmethod
    def _add(node: _Node, inner: _Node) -> None:
        node.values += inner.values
        node.levels = max(node.levels, inner.levels + 1)

    def _place(self, event: Any) -> tuple[int, int]:
        return event.start_mark.line + self._first_line, event.start_mark.column + 1

    def _refuse(self, kind: type[FileRefused], event: Any, what: str, hint: str) -> NoReturn:
        line, column = self._place(event)
        raise kind.at(self._source.path, what, hint=hint, line=line, column=column)


def render(value: object, path: str) -> bytes:
    """Block style, keys in their order; text that any YAML reader could take for something else stands in quotes.
    Raises NotWritable."""
    return dumps(value, path).encode()


def dumps(value: object, path: str) -> str:
    """As `render`, as text."""
    plain.refuse_unwritable(value, path, "YAML", whole_keys=True)
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(str, _quoted)
    Dumper.add_multi_representer(str, _quoted)
    Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
    Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
    return str(
        yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=False, default_flow_style=False, width=1 << 30)
    )


def _quoted(dumper: Any, text: str) -> Any:
    """Quotes for what the core schema would not read as this text; the dumper adds them for what YAML 1.1 would not.
    Several lines and blanks at an end also go in quotes: of all styles only this one has no exceptions."""
    try:
        is_text = text != "" and text != _MERGE and resolve(text) is text
    except ValueError:
        is_text = False
    needs_quotes = not is_text or not text.isprintable() or text != text.strip()
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"' if needs_quotes else None)
