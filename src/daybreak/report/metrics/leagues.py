"""The table of workers: who solves what is asked of them, at what price, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from daybreak.report.metrics.asking import Asked, by_label, days_until, spreads_by_label
from daybreak.report.metrics.spread import Spread, spread_of

_COUNTED = ("attempts", "attempts_counted", "attempts_solved", "attempt_money")
_Z = 1.959963984540054
"""So many standard deviations hold 95 of 100."""


@dataclass(frozen=True, slots=True)
class Line:
    """One worker. Money in millionths of a US dollar."""

    worker: str
    attempts: int
    """That were judged."""
    counted: int
    """Of them, those that say something about it: no quota, no outage."""
    solved: int
    share: float | None
    """Solved of the counted; None where none counts."""
    low: float
    high: float
    """With 95 of 100 the true share lies between (Wilson's interval): 0 and 1 where nothing is known."""
    money_microusd: int
    money_per_solved_microusd: int | None
    """All that its attempts cost, by each that was solved; None where none was."""
    duration: Spread | None


def league(log: Asked, days: int = 7, *, now: datetime) -> list[Line]:
    """Everybody whose attempts were judged in these UTC days, whoever is surely good first: by the low end of the
    interval, then by price. Raises DaysWrong."""
    named = days_until(now, days)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COUNTED, 0))
    for metric, _, worker, value in by_label(log, _COUNTED, named):
        sums[worker][metric] = value
    took: dict[str, dict[int, int]] = defaultdict(dict)
    for _, _, worker, bucket, value in spreads_by_label(log, ("attempt_duration",), named):
        if worker:  # without one: all of them
            took[worker][bucket] = value
    lines = [_line(worker, told, took.get(worker, {})) for worker, told in sums.items()]
    return sorted(lines, key=lambda line: (-line.low, line.money_per_solved_microusd or 0, -line.attempts, line.worker))


def wilson(solved: int, tried: int) -> tuple[float, float]:
    """The interval in which a share lies with 95 of 100, from so many of so many: honest also for few."""
    if not tried:
        return 0.0, 1.0
    share, spread = solved / tried, _Z * _Z / tried
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * (share * (1 - share) / tried + spread / (4 * tried)) ** 0.5
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # also where it was rounded


def _line(worker: str, told: dict[str, int], took: dict[int, int]) -> Line:
    tried, solved, money = told["attempts_counted"], told["attempts_solved"], told["attempt_money"]
    low, high = wilson(solved, tried)
    return Line(
        worker=worker,
        attempts=told["attempts"],
        counted=tried,
        solved=solved,
        share=solved / tried if tried else None,
        low=low,
        high=high,
        money_microusd=money,
        money_per_solved_microusd=round(money / solved) if solved else None,
        duration=spread_of(took),
    )
