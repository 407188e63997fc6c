"""What kind of failure something was: worth another try, for ever wrong, or not its fault.

Three kinds. *retryable*: the same again may work (a timeout, a dropped connection, 500). *permanent*: it never will
(no such file, 404, a wrong type). *outage*: the other side cannot serve anybody now (quota, 429, 503) and perhaps says
until when; waiting it out is not an attempt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from daybreak.policy.outage import reset_time

FailureKind = Literal["retryable", "permanent", "outage"]

OUTAGE_STATUS = frozenset({429, 503, 529})
RETRYABLE_STATUS = frozenset({408, 409, 421, 423, 425, 500, 502, 504, 520, 521, 522, 523, 524})
PERMANENT = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError,
    SyntaxError, TypeError, UnicodeError, ValueError,
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError,
)  # fmt: skip
"""Raised by code or files that are as wrong the next time."""

_PASSING = ("Timeout", "TimeoutError", "ConnectError", "ConnectionError", "NetworkError", "RemoteProtocolError")
_VARYING = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?|[0-9a-f]{8,}(?:-[0-9a-f]{4,})*", re.IGNORECASE)
"""Addresses, numbers and ids, in which two messages of one failure differ."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure as retry and breaker see it; plain values, so that it can be kept."""

    kind: FailureKind
    what: str
    """Type and message in one line, at most 500 characters."""
    until: datetime | None = None
    """Of an outage: when the other side says that it is over."""
    status: int | None = None
    """HTTP status, where there was one."""
    passes: bool = False
    """Of a sort that is known to pass by itself (no connection, no answer in time, 500), so that the same again and
    again is no sign of a loop."""

    @property
    def fingerprint(self) -> str:
        """Equal for two failures that differ in numbers, addresses and ids only."""
        return _VARYING.sub("#", self.what)


Classify = Callable[[BaseException, datetime], Failure]
"""From what was raised, and now, to a Failure."""


def classify(error: BaseException, now: datetime) -> Failure:
    """The Failure behind an exception of any library.

    An HTTP status counts first (attribute `status_code`, `status` or `code` of the exception or of its
    `response`), then the exception's own type. What is unknown is retryable: repeats that are identical end soon.
    """
    status, headers = _status(error), _headers(error)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    until = reset_time(str(error)[:10_000], headers, now)
    if status is not None and status >= 400:
        kind = _kind_of_status(status, until)
        return Failure(kind, what, until if kind == "outage" else None, status, kind == "retryable")
    if isinstance(error, PERMANENT):
        return Failure("permanent", what)
    if until is not None:
        return Failure("outage", what, until)
    return Failure("retryable", what, passes=_passes(error))


def _kind_of_status(status: int, until: datetime | None) -> FailureKind:
    if status in OUTAGE_STATUS or (status in (402, 403) and until is not None):
        return "outage"
    return "retryable" if status in RETRYABLE_STATUS or status >= 500 else "permanent"


def _passes(error: BaseException) -> bool:
    """By type, and by name for libraries that have types of their own."""
    names = (one.__name__ for one in type(error).__mro__)
    return isinstance(error, ConnectionError | TimeoutError) or any(name.endswith(_PASSING) for name in names)


def _status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if type(value) is int and 100 <= value <= 599:
                return value
    return None


def _headers(error: BaseException) -> Mapping[str, Any]:
    for holder in (error, getattr(error, "response", None)):
        found = getattr(holder, "headers", None)
        if found is not None and hasattr(found, "items"):
            return {str(name).lower(): value for name, value in found.items()}
    return {}
