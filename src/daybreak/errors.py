"""Every error that a caller may handle.

    DaybreakError            code, message, hint
    ├── UsageError      U1xx  the command or configuration is wrong            (exit 2)
    ├── SpecError       S1xx  the specification is wrong; carries all Problems (exit 2)
    ├── HostError       H1xx  this machine: files, space, programs, processes
    ├── LedgerError     L1xx  the log: refused, tampered with, older than what is known outside
    ├── EngineError     E1xx  runs, steps, leases
    │   ├── HistoryDiverged   the code asks for what history does not hold
    │   └── LeaseLost         another owner has the run now
    ├── WorkerError     W1xx  a worker could not do its work
    ├── CheckError      C1xx  a check could not look (not: saw a failure, which is evidence)
    └── DeliveryError   D1xx  the result could not be put in its place

A code never changes its meaning. Broken invariants of our own are assertions, never one of these.
"""

from __future__ import annotations

from typing import ClassVar


class DaybreakError(Exception):
    """What happened, to what; `hint` says what to do next; `code` is stable for machines."""

    code: ClassVar[str] = "X000"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DaybreakError):
    """A command, an option or the configuration is wrong."""

    code = "U100"


class SpecError(DaybreakError):
    """A specification cannot be used."""

    code = "S100"


class HostError(DaybreakError):
    """This machine cannot do what was asked."""

    code = "H100"


class LedgerError(DaybreakError):
    """The ledger refuses."""

    code = "L100"


class EngineError(DaybreakError):
    """A run cannot go on."""

    code = "E100"


class WorkerError(DaybreakError):
    """A worker could not do its work."""

    code = "W100"


class CheckError(DaybreakError):
    """A check could not look."""

    code = "C100"


class DeliveryError(DaybreakError):
    """A result could not be put in its place."""

    code = "D100"
