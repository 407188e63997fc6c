"""What a rule measures: from the hours that the view `metrics` keeps, or from how it stands at this moment.

Hours are whole ones, by UTC: a span of 24 hours is the hour under way and the 23 before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from daybreak.clock import stamp
from daybreak.report.metrics.asking import Asked, spreads_by_label
from daybreak.report.metrics.definitions import FAILED, UNVERIFIED, VERIFIED
from daybreak.report.metrics.gauges import Gauges
from daybreak.report.metrics.spread import quantile
from daybreak.report.metrics.statements import EVER
from daybreak.report.metrics.view import hour_of

FIRST = f"SELECT min(period) FROM view_metrics WHERE period > '{EVER}'"

Sums = Mapping[str, Mapping[str, int]]
"""Metric → label → value."""


class Measured(NamedTuple):
    """A value, and on how many cases it rests; None where there are none. A count rests on itself: nothing is also
    a number."""

    value: float | None
    cases: int


class Measure(NamedTuple):
    """How a metric comes from sums."""

    of: tuple[str, ...]
    """Names in the view."""
    measured: Callable[[Sums], Measured]
    adds_up: bool
    """Two spans together have the sum of both: counts and money, not shares and times."""
    is_share: bool = False


def hours(log: Asked, of: Sequence[str], begin: datetime, end: datetime) -> Sums:
    """Sums of what was counted in the hours from one to before another."""
    found: dict[str, dict[str, int]] = {metric: {} for metric in of}
    count = round((end - begin) / timedelta(hours=1))
    spans = [hour_of(stamp(begin + timedelta(hours=number))) for number in range(count)]
    for metric, _, label, bucket, value in spreads_by_label(log, of, spans):
        found[metric][str(bucket) if bucket else label] = value
    return found


def reaches_back(log: Asked, begin: datetime) -> bool:
    """Had anybody used this ledger before that moment? Otherwise nothing from then can be compared with."""
    ((first,),) = log.query(FIRST)
    return first is not None and first <= begin.strftime("%Y-%m-%d")


def whole_hour(moment: datetime) -> datetime:
    """The end of the hour under way."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _total(sums: Sums, metric: str, *labels: str) -> int:
    told = sums.get(metric, {})
    return sum(told.get(label, 0) for label in labels) if labels else sum(told.values())


def _counted(metric: str, *labels: str) -> Measure:
    def count(sums: Sums) -> Measured:
        number = _total(sums, metric, *labels)
        return Measured(float(number), number)

    return Measure((metric,), count, adds_up=True)


def _spent(metric: str, unit: int, cases: str) -> Measure:
    """An amount, which is no number of cases."""

    def count(sums: Sums) -> Measured:
        return Measured(_total(sums, metric) / unit, _total(sums, cases))

    return Measure((metric, cases), count, adds_up=True)


def _share(part: str, whole: str, labels: tuple[str, ...] = (), of: tuple[str, ...] = ()) -> Measure:
    def count(sums: Sums) -> Measured:
        number = _total(sums, whole, *of)
        return Measured(_total(sums, part, *labels) / number if number else None, number)

    return Measure(tuple(dict.fromkeys((part, whole))), count, adds_up=False, is_share=True)


def _took(metric: str, share: float) -> Measure:
    def count(sums: Sums) -> Measured:
        counts = {int(bucket): value for bucket, value in sums.get(metric, {}).items()}
        number = sum(counts.values())
        return Measured(quantile(counts, share).value / 1000 if number else None, number)

    return Measure((metric,), count, adds_up=False)


def _money_per_verified(sums: Sums) -> Measured:
    verified = _total(sums, "runs_ended", VERIFIED)
    return Measured(_total(sums, "money") / 1_000_000 / verified if verified else None, verified)


MEASURES: Mapping[str, Measure] = {
    "success_share": _share("runs_ended", "runs_ended", (VERIFIED,), (VERIFIED, UNVERIFIED, FAILED)),
    "runs_ended": _counted("runs_ended"),
    "runs_verified": _counted("runs_ended", VERIFIED),
    "runs_failed": _counted("runs_ended", FAILED),
    "runs_parked": _counted("runs_parked"),
    "run_p50_s": _took("run_duration", 0.5),
    "run_p95_s": _took("run_duration", 0.95),
    "attempts": _counted("attempts"),
    "attempt_solved_share": _share("attempts_solved", "attempts_counted"),
    "attempt_p50_s": _took("attempt_duration", 0.5),
    "attempt_p95_s": _took("attempt_duration", 0.95),
    "money_usd": _spent("money", 1_000_000, "runs_ended"),
    "money_per_verified_usd": Measure(("money", "runs_ended"), _money_per_verified, adds_up=False),
    "tokens": _spent("tokens", 1, "requests"),
    "requests": _counted("requests"),
    "request_trouble_share": _share("request_troubles", "requests"),
    "gates_failed": _counted("gates", "failed"),
    "step_failures": _counted("step_failures"),
    "step_retries": _counted("step_retries"),
    "deliveries": _counted("deliveries"),
    "rejections": _counted("results", "rejected"),
    "refusals": _counted("refusals"),
    "incidents": _counted("incidents"),
    "breaker_openings": _counted("breaker_openings"),
    "nights_failed": _counted("nights_ended", "failed", "died", "incident"),
    "view_drifts": _counted("view_drifts"),
    "lapses": _counted("lapses"),
}
"""Metrics that are counted over a span."""

MOMENTS: Mapping[str, Callable[[Gauges], float | None]] = {
    "queued": lambda told: float(told.runs.get("queued", 0)),
    "questions": lambda told: float(told.asking),
    "question_age_h": lambda told: told.asking_s / 3600,
    "open_breakers": lambda told: float(len(told.breakers)),
    "open_incidents": lambda told: float(sum(told.incidents.values())),
    "hours_since_night": lambda told: None if told.night_s is None else told.night_s / 3600,
    "ledger_events": lambda told: None if told.events is None else float(told.events),
    "ledger_mb": lambda told: None if told.bytes is None else told.bytes / 1_000_000,
}
"""Metrics of one moment."""
