"""What comes out of a merge: the merged content, or the list of what a person or a task has to decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

How = Literal["same", "ours", "theirs", "python", "json", "yaml", "toml", "text", "binary", "tree"]
"""By which rule the result was found: `same`, `ours`, `theirs` mean that only one side had changed anything."""

Kind = Literal[
    "modify/modify",  # both changed the same thing differently
    "delete/modify",  # one removed what the other changed
    "add/add",  # both added something different under one name
    "rename/rename",  # both gave it another name or place
    "order",  # the order matters, and it cannot be known
    "meaning",  # the pieces fit, but one side's piece no longer means what the other relied on
    "mode",
    "file/folder",
    "binary",
]


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing to decide. The texts are None where that side has nothing there."""

    path: str
    where: str
    """For people: `class A.method b`, `dependencies.httpx`, `steps[name=Test].run`, `lines 3-5`, or empty: the file."""
    kind: Kind
    base: str | None
    ours: str | None
    theirs: str | None
    suggestion: str
    """What would probably be done, in a sentence."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A result that holds what both sides did."""

    content: bytes
    how: How
    steps_down: tuple[str, ...] = ()
    """What was done less well than it could be, in words: merged as text because one side does not parse, and so on."""


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Nothing was merged. Never empty."""

    path: str
    conflicts: tuple[Conflict, ...]
    how: How
    steps_down: tuple[str, ...] = ()
    marked: bytes | None = None
    """The text with conflict markers, only where it was asked for and the file is text."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One file in three versions."""

    path: str
    base: bytes
    ours: bytes
    theirs: bytes

    def map(self, change: Callable[[bytes], bytes]) -> Sides:
        return Sides(self.path, change(self.base), change(self.ours), change(self.theirs))


class NotStructural(Exception):
    """This content cannot be merged by its structure; the message says why."""
