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
Readers = Literal["everyone", "users", "owner"]
Writers = Literal["everyone", "users"]


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
    key: bool = False
    """Stands for the record in addresses and on the command line, in place of its id."""
    slug_of: str | None = None
    """The field that this key is made from when a record is added."""
    owner: bool = False
    """The user who added the record; kept by the program."""
    parent: bool = False
    """The record that this one lies within: `/articles/ARTICLE/comments`."""
    embedded: bool = False
    """Shown in JSON as the record that it points to."""
    by: str | None = None
    """Shown and given by this field of the target, its key, in place of the id."""
    new_allowed: bool = False
    """With `by`: what is not there yet is added."""
    private: bool = False
    """Shown only to the record's owner."""
    count_of: str | None = None
    """A relation of this entity, or `ENTITY.FIELD`: how many there are."""
    by_me: str | None = None
    """A relation of this entity: whether whoever asks has it."""


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
class Login:
    """The entity's records are the users: they log in with two of its fields."""

    name: str
    """A unique text."""
    secret: str
    hours: int = 720
    """How long a session lasts."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Of a named list: `my` (records with my `relation`), `in my` (whose `field` has my `relation`), `me` (whose
    `field` is the user who asks), `is` (whose `field` is `value`)."""

    kind: Literal["my", "in my", "me", "is"]
    field: str | None = None
    relation: str | None = None
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class NamedList:
    """Some of the records, under a name of their own: all conditions hold."""

    name: str
    conditions: tuple[Condition, ...]


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
    login: Login | None = None
    seen_as: str | None = None
    """Of users: what others see, in small words with `-` between them: `profile`."""
    readers: Readers = "everyone"
    writers: Writers = "everyone"
    users_may: tuple[str, ...] = ()
    """Relations between users and records, such as `favorite`."""
    lists: tuple[NamedList, ...] = ()
    order: tuple[str, ...] = ()
    """Fields that lists are sorted by unless asked otherwise; `-` in front: descending."""
    search: tuple[str, ...] = ()
    """Fields that are searched by words; empty: all texts, by what they contain."""
    listed_by: str | None = None
    """The key that stands for each record in JSON lists."""

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)
