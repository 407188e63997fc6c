"""Texts with the line they stand on: what every format is turned into before it is understood."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as written. Lines count from 1."""

    text: str
    line: int
    plain: bool = True
    """Written without quotes, so that `null` means none."""
    first_line: int = 0
    """Line where the text itself begins (below the `|` of a YAML block); 0: `line`."""
    by_line: bool = False
    """Each line of the text is a line of the file."""

    @property
    def is_null(self) -> bool:
        return self.plain and self.text.strip() in {"", "~", "null", "Null", "NULL"}

    def line_of(self, offset: int) -> int:
        """The file's line for line `offset` of the text, counted from 0."""
        start = self.first_line or self.line
        return start + offset if self.by_line else start


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    pairs: tuple[tuple[Scalar, Node], ...]
    """In the order written, duplicates included."""
    line: int


Node = Scalar | Sequence | Mapping

DEPTH_MAX = 40
"""Levels of lists and mappings inside each other; a specification needs six."""


def kind(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    return "a list" if isinstance(node, Sequence) else "a single value"
