"""What a check of a ledger found. Part of `verification`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from daybreak.ledger.verified import VerifiedHead

PROBLEMS_MAX = 1000
"""Findings listed; further ones are counted."""


class Problem(NamedTuple):
    """One thing that is not as it should be."""

    place: str
    """Table, stream, seq, event index, tile or file."""
    what: str


@dataclass(slots=True)
class Verification:
    """What a check found. `ok` means: nothing."""

    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    """Problems beyond those listed."""
    events: int = 0
    """Events read and checked."""
    streams: int = 0
    """Streams that they belong to."""
    size: int = 0
    """Events that the signed head covers; 0 where there is none that can be read."""
    root: str = ""
    """Root over all events, in hex."""
    head: str = ""
    """The signed head; empty where there is none that can be read."""
    witnessed: int | None = None
    """Size of the head known outside; None where there is none or it was not asked for."""
    seconds: float = 0.0
    since: VerifiedHead | None = None
    """An incremental check began behind it. What is before it was taken from the check that it tells of."""
    kept: VerifiedHead | None = None
    """What is kept for the next incremental check now; None where this check has changed nothing."""
    notes: list[str] = field(default_factory=list)
    """What somebody should know although nothing is wrong."""

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def mode(self) -> Literal["full", "incremental"]:
        return "full" if self.since is None else "incremental"

    @property
    def taken(self) -> int:
        """Events that were not read, because an earlier check had read them."""
        return 0 if self.since is None else self.since.size

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds else 0.0

    def add(self, where: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(where, what))
        else:
            self.more += 1
