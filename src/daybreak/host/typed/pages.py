"""Markdown: text, with YAML front matter between two lines of `---` or without."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from daybreak.host.typed import plain, yaml_text
from daybreak.host.typed.refusals import Malformed
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode

_FENCE = re.compile(r"---[ \t]*(?:\r?\n|\Z)")
_CLOSED = re.compile(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file. `front` is {} where there is no front matter, or an empty one."""

    text: str
    """What follows the front matter, unchanged."""
    front: dict[str, Any] = field(default_factory=dict)


def parse(source: Source) -> tuple[Page, Text]:
    """Raises Malformed where front matter is opened and not closed, or is no mapping; and as YAML does."""
    text = decode(source, guess=True)
    opened = _FENCE.match(text.text)
    if not opened:
        return Page(text.text), text
    closed = _CLOSED.search(text.text, opened.end())
    if not closed:
        raise Malformed.at(
            source.path,
            "front matter is opened and never closed",
            hint="close it with a line of ---, or write *** for a rule",
            line=1,
            column=1,
        )
    front = yaml_text.loads(text.text[opened.end() : closed.start()], source, first_line=2)
    if front is None:
        front = {}
    if not isinstance(front, dict) or not all(isinstance(key, str) for key in front):
        raise Malformed.at(source.path, "front matter is no mapping of names", hint="write `name: value`", line=2)
    return Page(text.text[closed.end() :], front), text


def render(value: object, path: str) -> bytes:
    """Raises NotWritable."""
    said: Any = (value.text, value.front) if isinstance(value, Page) else ()
    if not said or not isinstance(said[0], str) or not isinstance(said[1], dict):
        raise plain.unwritable(path, "Markdown", "", "is no Page of text and table")
    assert isinstance(value, Page)
    plain.refuse_unwritable([value.text, list(value.front)], path, "Markdown")
    front = ""
    if value.front:
        front = f"---\n{yaml_text.dumps(value.front, path)}---\n"
    elif _FENCE.match(value.text) or value.text.startswith("\ufeff"):
        front = "---\n---\n"  # so that what follows is not taken for front matter
    return (front + value.text).encode()


def same(one: object, other: object) -> bool:
    """The same text and the same front matter."""
    return (
        isinstance(one, Page)
        and isinstance(other, Page)
        and one.text == other.text
        and plain.same(one.front, other.front)
    )
