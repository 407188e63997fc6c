"""What the metrics need of a ledger, and the few questions that they ask of the view."""

from __future__ import annotations

import json
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


_AMONG = """FROM json_each(?1) AS day CROSS JOIN json_each(?2) AS name CROSS JOIN view_metrics
  WHERE period = day.value AND metric = name.value"""
"""Each day and metric is looked up by itself: days lie apart, and one has many metrics that nobody asked for."""
COUNTED = f"SELECT metric, period, label, view_metrics.value {_AMONG}"
COUNTED_OF = """SELECT metric, period, label, view_metrics.value
  FROM json_each(?1) AS day CROSS JOIN json_each(?2) AS one CROSS JOIN view_metrics
  WHERE period = day.value AND metric = one.value ->> 0 AND label = one.value ->> 1 AND bucket = 0"""
ADDED = """SELECT * FROM (SELECT name.value, day.value, '', (SELECT sum(view_metrics.value) FROM view_metrics
    WHERE period = day.value AND metric = name.value) AS added
  FROM json_each(?1) AS day CROSS JOIN json_each(?2) AS name) WHERE added > 0"""
BY_LABEL = f"SELECT metric, '', label, sum(view_metrics.value) {_AMONG} GROUP BY metric, label"
SPREAD = f"SELECT metric, period, label, bucket, view_metrics.value {_AMONG}"
SPREAD_TOGETHER = f"{SPREAD} AND label = ''"
SPREAD_BY_LABEL = f"SELECT metric, '', label, bucket, sum(view_metrics.value) {_AMONG} GROUP BY metric, label, bucket"


def days_until(now: datetime, days: int) -> list[str]:
    """The UTC days up to the one of `now`, the oldest first: `2026-11-21`. Raises DaysWrong."""
    if isinstance(days, bool) or not 1 <= days <= DAYS_MAX:
        raise DaysWrong(f"{days} days cannot be shown", hint=f"1 to {DAYS_MAX}")
    today = now.astimezone(UTC).date()
    return [(today - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)]


def counted(log: Asked, metrics: Iterable[str], days: Iterable[str]) -> Sequence[tuple[str, str, str, int]]:
    """(metric, day, label, value) of these on these days; an empty day means all time."""
    return _among(log, COUNTED, metrics, days)


def counted_of(
    log: Asked, labels: Iterable[tuple[str, str]], days: Iterable[str]
) -> Sequence[tuple[str, str, str, int]]:
    """As `counted`, of these (metric, label) alone."""
    return log.query(COUNTED_OF, (json.dumps([*days]), json.dumps([*labels])))


def added(log: Asked, metrics: Iterable[str], days: Iterable[str]) -> Sequence[tuple[str, str, str, int]]:
    """As `counted`, all labels of a metric together."""
    return _among(log, ADDED, metrics, days)


def by_label(log: Asked, metrics: Iterable[str], days: Iterable[str]) -> Sequence[tuple[str, str, str, int]]:
    """As `counted`, all days together."""
    return _among(log, BY_LABEL, metrics, days)


def spreads(log: Asked, metrics: Iterable[str], days: Iterable[str]) -> Sequence[tuple[str, str, str, int, int]]:
    """(metric, day, label, bucket, value), as `counted`."""
    return _among(log, SPREAD, metrics, days)


def spreads_together(
    log: Asked, metrics: Iterable[str], days: Iterable[str]
) -> Sequence[tuple[str, str, str, int, int]]:
    """As `spreads`, all labels of a metric together."""
    return _among(log, SPREAD_TOGETHER, metrics, days)


def spreads_by_label(
    log: Asked, metrics: Iterable[str], days: Iterable[str]
) -> Sequence[tuple[str, str, str, int, int]]:
    """As `spreads`, all days together."""
    return _among(log, SPREAD_BY_LABEL, metrics, days)


def _among(log: Asked, sql: str, metrics: Iterable[str], days: Iterable[str]) -> Sequence[Any]:
    return log.query(sql, (json.dumps([*days]), json.dumps([*metrics])))
