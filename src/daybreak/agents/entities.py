"""What is to be built, as every worker reads it: entities, their fields, actions and totals.

The language is that of the specification's Key Entities. Values (defaults, limits, literals) stay the
text that the specification holds; they are read by the type of their field. A model that exists is
consistent: the specification reader has refused everything else. Plain dataclasses, which both pydantic (the
specification) and msgspec (the brief) read: a worker's process is spared the import of pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TypeName = Literal[
    "text", "integer", "number", "decimal", "boolean", "date", "timestamp", "choice", "list", "ref", "link"
]
OnDelete = Literal["restrict", "cascade", "clear"]
Verb = Literal["move", "set", "clear", "add", "ask"]
MeasureKind = Literal["count", "sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class Type:
    name: TypeName
    choices: tuple[str, ...] = ()
    """For choice: the values, in declared order."""
    of: Type | None = None
    """For list: the type of one element."""
    target: str | None = None
    """For ref: the name of the entity it points to."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One row of an entity's table."""

    name: str
    type: Type
    required: bool = False
    unique: bool = False
    unique_ignoring_case: bool = False
    unique_with: tuple[str, ...] = ()
    """For each `unique with FIELD` the other field's name: the pair (this, other) occurs once."""
    default: str | None = None
    """As written; `today` and `now` for dates and timestamps; a JSON array for lists."""
    min: str | None = None
    """Smallest value; of text the smallest length in characters. As written."""
    max: str | None = None
    pattern: str | None = None
    """A regular expression that the whole value matches; classes are ASCII."""
    after: str | None = None
    """The field that this one must lie after."""
    automatic: bool = False
    """created_at or updated_at: kept by the program."""
    computed: bool = False
    on_delete: OnDelete = "restrict"
    """For ref: what happens to this record when its target is deleted."""
    secret: bool = False
    immutable: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """One part of an action. `move`: field from `source` to `value`; `set`: to the literal `value`, `now`
    or `today`; `clear`; `add`: `value` to it; `ask`: the caller gives the field's value."""

    verb: Verb
    field: str
    source: str | None = None
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class Action:
    name: str
    changes: tuple[Change, ...]
    """In the order written."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    kind: MeasureKind
    field: str | None = None
    """None for count."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """One line of Totals: measures by the values of a field, or by the month of a date or timestamp."""

    measures: tuple[Measure, ...]
    by: str | None = None
    by_month: bool = False


@dataclass(frozen=True, kw_only=True)
class Entity:
    name: str
    """As in its heading: `BookLoan`."""
    about: str = ""
    """What stands between its heading and its table."""
    plural: str | None = None
    """From `Plural:`, in small words with `-` between them: `book-loans`. None: by the rules."""
    fields: tuple[Field, ...]
    actions: tuple[Action, ...] = ()
    totals: tuple[Total, ...] = ()

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)
