"""What every format is read into before it is understood: the parts of a specification, as written, with lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from daybreak.factory.spec.located import Node, Scalar
from daybreak.factory.spec.model import Clarification, Story

Kind = Literal["console", "http", "files"]


@dataclass(slots=True)
class DraftRow:
    """One field: its name and type, and its rules, each for itself."""

    name: Scalar
    type: Scalar | None
    """None where it is missing and that was told."""
    rules: list[str]
    line: int


@dataclass(slots=True)
class DraftAction:
    name: Scalar
    changes: Scalar
    """`status in -> out; set lent_at now`."""


@dataclass(slots=True)
class DraftEntity:
    name: Scalar
    about: str = ""
    plural: Scalar | None = None
    rows: list[DraftRow] = field(default_factory=list)
    actions: list[DraftAction] = field(default_factory=list)
    totals: list[Scalar] = field(default_factory=list)
    lists: list[DraftAction] = field(default_factory=list)
    notes: dict[str, Scalar] = field(default_factory=dict)
    """The one-line labels below the table, by label: `Login`, `Order` and so on, but for `Plural`."""
    complete: bool = True
    """False where a part could not be read and was told: what is missing then is no second problem."""


@dataclass(slots=True)
class DraftExample:
    """One block. `title` is None where no heading stands above it."""

    kind: Kind
    title: Scalar | None
    body: Scalar
    first: int = 0
    """Lines [first, last) of the file hold the block with its fence; 0, 0 where the format has none."""
    last: int = 0


@dataclass(slots=True)
class Numbered:
    """`- **FR-001**: text`."""

    id: Scalar
    text: Scalar


@dataclass(slots=True)
class Draft:
    header: dict[str, Node] = field(default_factory=dict)
    """The front matter's values by key; unknown and repeated keys are told and left out."""
    title: Scalar | None = None
    summary: str = ""
    objectives: list[str] = field(default_factory=list)
    objectives_line: int = 1
    stories: list[Story] = field(default_factory=list)
    requirements: list[Numbered] = field(default_factory=list)
    requirements_line: int = 1
    requirements_complete: bool = True
    """False where a line was malformed and told."""
    entities: list[DraftEntity] = field(default_factory=list)
    criteria: list[Numbered] = field(default_factory=list)
    out_of_scope: list[str] = field(default_factory=list)
    examples: list[DraftExample] = field(default_factory=list)
    clarifications: list[Clarification] = field(default_factory=list)
