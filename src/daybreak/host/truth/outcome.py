"""What a probe saw, and the two ways an expectation ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from daybreak.errors import HostError
from daybreak.host.naming import cut

_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Observation:
    """One probe's evidence."""

    expected: str
    """What was asked, in words: `out.csv has changed`."""
    looked_at: str
    """The path, address or command."""
    before: str
    """What was seen before the work; empty where the probe does not look then."""
    seen: str
    """What was seen after it."""
    holds: bool

    def __str__(self) -> str:
        was = f" (before: {self.before})" if self.before else ""
        return f"{'true' if self.holds else 'NOT TRUE'}: {self.expected}: {self.seen}{was}"

    def as_dict(self) -> dict[str, str | bool]:
        """For a log: JSON values only."""
        return {
            "expected": self.expected,
            "looked_at": self.looked_at,
            "before": self.before,
            "seen": self.seen,
            "holds": self.holds,
        }


Look = Callable[[], Observation]
"""Looks once more, after the work."""


class Probe(Protocol):
    """Something that can be looked at. `Probe`s of your own need these two."""

    @property
    def needs_before(self) -> bool:
        """Whether it means nothing without a look before the work."""
        ...

    def start(self) -> Look:
        """Look before the work, and give what looks after it. Raises nothing: what cannot be looked at is
        an Observation that does not hold."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything that was expected was seen."""

    observations: tuple[Observation, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.observations))


class NotTrue(HostError):
    """At least one expectation does not hold. `failing` are those, `observations` all of them."""

    code = "H202"

    def __init__(self, observations: Sequence[Observation]) -> None:
        self.observations = tuple(observations)
        self.failing = tuple(one for one in self.observations if not one.holds)
        shown = [f"{cut(one.expected, 240)}, but: {cut(one.seen, 240)}" for one in self.failing[:_SHOWN_MAX]]
        rest = [f"and {len(self.failing) - _SHOWN_MAX} more"] if len(self.failing) > _SHOWN_MAX else []
        super().__init__(
            f"{len(self.failing)} of {len(self.observations)} expectations do not hold: " + "; ".join([*shown, *rest]),
            hint="nothing was done, or something else: see `failing`, each with what was seen before and after; "
            "do not go by the exit status",
        )


class ProbeMisused(HostError):
    """A probe was asked for in a way that means nothing."""

    code = "H203"
