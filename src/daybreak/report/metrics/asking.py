"""What the metrics need of a ledger, and the few questions that they ask of the view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from daybreak.errors import UsageError

DAYS_MAX = 3_660


class DaysWrong(UsageError):
    """So many days cannot be looked back."""

    code = "U280"


class Asked(Protocol):
    """Whatever answers questions about the views."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


COUNTED = "SELECT metric, day, label, value FROM view_metrics WHERE metric IN ({}) AND day BETWEEN ? AND ?"
ADDED = """SELECT metric, day, '', sum(value) FROM view_metrics
  WHERE metric IN ({}) AND day BETWEEN ? AND ? GROUP BY metric, day"""
SPREAD = (
    "SELECT metric, day, label, bucket, value FROM view_metrics_spread WHERE metric IN ({}) AND day BETWEEN ? AND ?"
)


def days_until(now: datetime, days: int) -> list[str]:
    """The UTC days up to the one of `now`, the oldest first: `2026-11-21`. Raises DaysWrong."""
    if isinstance(days, bool) or not 1 <= days <= DAYS_MAX:
        raise DaysWrong(f"{days} days cannot be shown", hint=f"1 to {DAYS_MAX}")
    today = now.astimezone(UTC).date()
    return [(today - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)]


def counted(log: Asked, metrics: Iterable[str], first: str, last: str) -> Sequence[tuple[str, str, str, int]]:
    """(metric, day, label, value) of these from one day to another; an empty day means all time."""
    return _among(log, COUNTED, metrics, first, last)


def added(log: Asked, metrics: Iterable[str], first: str, last: str) -> Sequence[tuple[str, str, str, int]]:
    """As `counted`, all labels of a metric together."""
    return _among(log, ADDED, metrics, first, last)


def spreads(log: Asked, metrics: Iterable[str], first: str, last: str) -> Sequence[tuple[str, str, str, int, int]]:
    """(metric, day, label, bucket, value), as `counted`."""
    return _among(log, SPREAD, metrics, first, last)


def _among(log: Asked, sql: str, metrics: Iterable[str], first: str, last: str) -> Sequence[Any]:
    named = tuple(metrics)
    return log.query(sql.format(", ".join("?" * len(named))), (*named, first, last))
