"""Remembers: append, read, verify, prove."""

from typing import TYPE_CHECKING, Any

from daybreak.ledger.ledger import Ledger
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.record import Draft, Record, UnknownEvent
from daybreak.ledger.views import Difference, Statement, View

if TYPE_CHECKING:
    from daybreak.ledger.verification import Problem, Verification, verify

__all__ = [
    "Checkpoint",
    "Difference",
    "Draft",
    "Ledger",
    "Problem",
    "Record",
    "Statement",
    "UnknownEvent",
    "Verification",
    "View",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Verification is imported where somebody verifies: whoever only appends starts without it."""
    if name in ("Problem", "Verification", "verify"):
        from daybreak.ledger import verification

        return getattr(verification, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
