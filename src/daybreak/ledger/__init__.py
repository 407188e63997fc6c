"""Remembers: append, read, verify, prove."""

from daybreak.ledger.ledger import Ledger
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.record import Draft, Record, UnknownEvent
from daybreak.ledger.verification import Problem, Verification, verify
from daybreak.ledger.views import Difference, Statement, View

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
