"""The last days, one by one and together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from daybreak.clock import stamp
from daybreak.report.metrics.asking import Asked, added, by_label, counted, counted_of, days_until, spreads_together
from daybreak.report.metrics.definitions import FAILED, OTHERS, SPREADS, UNVERIFIED, VERIFIED
from daybreak.report.metrics.spread import Spread, spread_of

FAILURES: Mapping[str, str] = {
    "run_failures": "error",
    "attempt_troubles": "trouble",
    "check_failures": "check",
    "request_troubles": "model",
    "step_failures": "step",
}
"""Metrics that say why something failed, each with the word that its kinds begin with."""
_BY_LABEL = ("runs_ended", "money", "tokens", "gates", "results", "incidents", "nights_ended")
_TOGETHER = (
    *("tasks_added", "runs_parked", "questions_answered", "attempts", "attempts_solved", "requests", "step_retries"),
    *("deliveries", "refusals", "breaker_openings", "nights_begun", "alerts_fired"),
)
KINDS_BY_DAY = 12
"""So many kinds of failures are told apart day by day; together, all are."""
JUDGED = (VERIFIED, UNVERIFIED, FAILED)
"""Outcomes that success is a share of: what a person cancelled neither succeeded nor failed."""

Counts = Mapping[str, Mapping[str, int]]
"""Metric → label → value."""


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day, or several together. Money in millionths of a US dollar, tokens and requests of models."""

    day: str
    """`2026-11-21`; of several together the first one."""
    tasks: int
    """That were asked for."""
    ended: Mapping[str, int]
    """Runs by outcome: verified, unverified, failed, cancelled."""
    success_share: float | None
    """Verified runs of all that ended and that nobody cancelled; None where there were none."""
    parked: int
    answered: int
    money_microusd: int
    money: Mapping[str, int]
    """By source: `gateway` (seen) and `told` (by workers, beyond that)."""
    requests: int
    input_tokens: int
    cached_tokens: int
    """Of the input."""
    output_tokens: int
    attempts: int
    attempts_solved: int
    run_duration: Spread | None
    """With a worker, until the run ended; None where none did."""
    attempt_duration: Spread | None
    gates: Mapping[str, int]
    failures: Mapping[str, int]
    """By kind: `error E199`, `trouble quota`, `check tests`, `model outage`, `step E203`. Of one day
    only the kinds that are the most frequent of all days together; the rest is `error (others)` and so on."""
    retries: int
    deliveries: int
    results: Mapping[str, int]
    """What people said: accepted, rejected, undone."""
    refusals: int
    incidents: Mapping[str, int]
    breaker_openings: int
    nights: int
    nights_ended: Mapping[str, int]
    alerts: int

    @property
    def failed(self) -> int:
        return self.ended.get(FAILED, 0)


@dataclass(frozen=True, slots=True)
class Trends:
    """What `trends` gives."""

    now: str
    days: Sequence[Day]
    """Every day of the range, the oldest first, also where nothing happened."""
    total: Day
    """All of them together."""


def trends(log: Asked, days: int = 7, *, now: datetime) -> Trends:
    """The last `days` UTC days, with the one of `now`. A few milliseconds, however long the ledger is.
    Raises DaysWrong."""
    named = days_until(now, days)
    by_day: dict[str, dict[str, dict[str, int]]] = defaultdict(_counts)
    for metric, day, label, value in (*counted(log, _BY_LABEL, named), *added(log, _TOGETHER, named)):
        by_day[day][metric][label] = value
    whole = _added(by_day.values())
    for metric, _, label, value in by_label(log, FAILURES, named):
        whole[metric][label] = value
    for metric, day, label, value in _failures(log, named, whole):
        by_day[day][metric][label] = by_day[day][metric].get(label, 0) + value
    took: dict[str, dict[str, dict[int, int]]] = defaultdict(_buckets)
    took_whole = _buckets()
    for metric, day, _, bucket, value in spreads_together(log, (one.name for one in SPREADS), named):
        took[day][metric][bucket] = value
        took_whole[metric][bucket] = took_whole[metric].get(bucket, 0) + value
    return Trends(
        stamp(now),
        [_day(day, by_day[day], took[day]) for day in named],
        _day(named[0], whole, took_whole),
    )


def _failures(log: Asked, named: Sequence[str], whole: Counts) -> Iterator[tuple[str, str, str, int]]:
    """(metric, day, label, value) of the most frequent kinds; the others of a day are one. Workers make up some kinds,
    and a page of ninety days with two hundred of each would take a second."""
    kinds = [(value, metric, label) for metric in FAILURES for label, value in whole.get(metric, {}).items()]
    shown = {(metric, label) for _, metric, label in sorted(kinds, reverse=True)[:KINDS_BY_DAY]}
    rest = {(metric, day): value for metric, day, _, value in added(log, FAILURES, named)}
    for metric, day, label, value in counted_of(log, sorted(shown), named):
        rest[metric, day] -= value
        yield metric, day, label, value
    for (metric, day), value in rest.items():
        if value:
            yield metric, day, OTHERS, value


def as_json(told: Trends) -> dict[str, Any]:
    """As plain JSON values; shares are numbers from 0 to 1."""
    return asdict(told)


def _counts() -> dict[str, dict[str, int]]:
    return defaultdict(dict)


def _buckets() -> dict[str, dict[int, int]]:
    return defaultdict(dict)


def _added(days: Iterable[Counts]) -> dict[str, dict[str, int]]:
    whole = _counts()
    for one in days:
        for metric, labels in one.items():
            for label, value in labels.items():
                whole[metric][label] = whole[metric].get(label, 0) + value
    return whole


def _day(day: str, found: Counts, took: Mapping[str, Mapping[int, int]]) -> Day:
    def of(metric: str) -> dict[str, int]:
        return dict(sorted(found.get(metric, {}).items()))

    def total(metric: str) -> int:
        return sum(found.get(metric, {}).values())

    ended, tokens = of("runs_ended"), of("tokens")
    judged = sum(ended.get(outcome, 0) for outcome in JUDGED)
    failures = {
        f"{word} {label}": value for metric, word in FAILURES.items() for label, value in of(metric).items() if value
    }
    return Day(
        day=day,
        tasks=total("tasks_added"),
        ended=ended,
        success_share=ended.get(VERIFIED, 0) / judged if judged else None,
        parked=total("runs_parked"),
        answered=total("questions_answered"),
        money_microusd=total("money"),
        money=of("money"),
        requests=total("requests"),
        input_tokens=tokens.get("input", 0),
        cached_tokens=tokens.get("cached", 0),
        output_tokens=tokens.get("output", 0),
        attempts=total("attempts"),
        attempts_solved=total("attempts_solved"),
        run_duration=spread_of(took.get("run_duration", {})),
        attempt_duration=spread_of(took.get("attempt_duration", {})),
        gates=of("gates"),
        failures=failures,
        retries=total("step_retries"),
        deliveries=total("deliveries"),
        results=of("results"),
        refusals=total("refusals"),
        incidents=of("incidents"),
        breaker_openings=total("breaker_openings"),
        nights=total("nights_begun"),
        nights_ended=of("nights_ended"),
        alerts=total("alerts_fired"),
    )
