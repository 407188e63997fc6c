"""What is to be shown at one moment. A value: laid out by `page`, told in words by `plain`, written as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daybreak.policy.accounts import AccountRow
from daybreak.policy.budget import NAMES, Amounts
from daybreak.report.timeleft import Left
from daybreak.report.tree import Node


@dataclass(frozen=True, slots=True)
class Bar:
    """One limited amount of an account."""

    name: str
    what: str
    used: int
    reserved: int
    limit: int

    @property
    def words(self) -> str:
        """`2usd of 20usd used, 1usd reserved`."""
        reserved = f", {_amount(self.what, self.reserved)} reserved" if self.reserved else ""
        return f"{_amount(self.what, self.used)} of {_amount(self.what, self.limit)} used{reserved}"


def bars(name: str, row: AccountRow) -> list[Bar]:
    """What is limited in an account; time is shown elsewhere."""
    return [
        Bar(name, what, getattr(row.spent, what), getattr(row.reserved, what), most)
        for what in NAMES
        if what != "time_ms" and (most := getattr(row.limit, what)) is not None
    ]


def _amount(what: str, value: int) -> str:
    return Amounts(**{what: value}).words if value else "0"


@dataclass(frozen=True, slots=True)
class Said:
    """A line at the end of the picture: what happened, or a line of the log."""

    text: str
    word: str = ""
    """Its style, by what it is."""


@dataclass(frozen=True, slots=True)
class Scene:
    now: datetime
    head: str
    """What this is about, in one line."""
    waits: tuple[str, ...] = ()
    """What waits for a person; told first."""
    notes: tuple[str, ...] = ()
    """What else a person should know: dead nights, breakers, replicas."""
    tree: tuple[Node, ...] = ()
    fraction: float | None = None
    """0 to 1; None: not known."""
    left: Left | None = None
    """None where nothing is under way."""
    bars: tuple[Bar, ...] = ()
    counts: str = ""
    tail: tuple[Said, ...] = ()
    """The newest last."""
    details: dict[str, Any] = field(default_factory=dict)
    """Of runs under way, for JSON."""
