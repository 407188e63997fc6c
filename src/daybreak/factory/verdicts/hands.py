"""What taking back needs, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.errors import DeliveryError
from daybreak.ids import Entropy
from daybreak.ledger import Ledger

NAMED_MAX = 50
"""Changed files that a refusal names."""


class UndoRefused(DeliveryError):
    """What was delivered is not as it was delivered, or somebody builds on it; nothing was touched. `changed` names
    every file or commit."""

    code = "D162"
    changed: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: str, changed: Sequence[str], *, hint: str) -> UndoRefused:
        more = f" and {len(changed) - NAMED_MAX} more" if len(changed) > NAMED_MAX else ""
        made = cls(f"{message}: {', '.join(changed[:NAMED_MAX])}{more}" if changed else message, hint=hint)
        made.changed = tuple(changed)
        return made


def _nothing(point: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Hands:
    """Of one run that is undone."""

    ledger: Ledger
    run: str
    places: Places
    clock: Clock
    entropy: Entropy
    environment: Mapping[str, str]
    into: str = ""
    """Of a branch that is merged into several: the one to revert in."""
    checks: tuple[str, ...] = ()
    """For a revert, beside those that passed before the change."""
    reached: Callable[[str], None] = field(default=_nothing)
    """Told the name of each point between two steps that a crash may come between."""

    @property
    def scratch(self) -> Path:
        """A folder of ours, made and removed by whoever uses it."""
        return self.places.workspaces / f"undo-{self.run}"


@dataclass(frozen=True)
class Part:
    """What becomes of one thing that was delivered."""

    kind: str
    what: str
    done: str
    """In words: what was done, or is to be."""
    kept: str = ""
    """Where it can be got back from."""
    waits: str = ""
    """A run that must be over before this is done."""
