"""Ratios of now beside the last recorded ones: what CI prints, and when it fails.

Machines are noisy, and a gate that fails for no reason is soon ignored. So a figure fails only if its ratio is three
times worse than the last one in each of three measurements. New figures and those that are gone are told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.figures import Figure, number
from benchmarks.running import Outcome

TIMES_WORSE = 3.0
TRIES = 3
"""Measurements of a figure before it fails, the first one counted."""

Last = Mapping[str, Sequence[Figure]]
"""By benchmark."""


@dataclass(frozen=True)
class Row:
    """One figure, now and then; one of both may be missing."""

    benchmark: str
    name: str
    now: Figure | None
    last: Figure | None

    @property
    def worse(self) -> float:
        """How many times worse than it was; below 1 where it is better; 1 where nothing can be compared."""
        return times_worse(self.now, self.last) if self.now and self.last else 1.0

    @property
    def fails(self) -> bool:
        return self.worse >= TIMES_WORSE


def times_worse(now: Figure, last: Figure) -> float:
    """By the ratios; 1 where one says nothing about the other."""
    if redefined(now, last) or now.ratio == last.ratio:
        return 1.0
    bad, good = (now.ratio, last.ratio) if now.better == "lower" else (last.ratio, now.ratio)
    return bad / good if good else math.inf


def redefined(now: Figure, last: Figure) -> bool:
    """Has the figure another baseline now, or is another end better?"""
    return (now.better, now.baseline) != (last.better, last.baseline)


def compare(outcomes: Sequence[Outcome], last: Last) -> list[Row]:
    """Of the benchmarks that ran, in their order."""
    rows = []
    for outcome in outcomes:
        now = {one.name: one for one in outcome.figures}
        then = {one.name: one for one in last.get(outcome.name, ())}
        rows += [Row(outcome.name, name, now.get(name), then.get(name)) for name in {**now, **then}]
    return rows


def settled(outcomes: Sequence[Outcome], last: Last, again: Callable[[str], Outcome]) -> list[Outcome]:
    """With whatever fails measured again; of a figure that failed, the best measurement counts."""
    return [_settled(one, last, again) for one in outcomes]


def _settled(outcome: Outcome, last: Last, again: Callable[[str], Outcome]) -> Outcome:
    for _ in range(TRIES - 1):
        bad = {row.name for row in compare([outcome], last) if row.fails}
        if not bad and outcome.state != "failed":
            return outcome
        more = again(outcome.name)
        if outcome.state == "failed":
            outcome = more
            continue
        better = {one.name: one for one in more.figures if one.name in bad}
        figures = [_best(one, better.get(one.name, one)) for one in outcome.figures]
        outcome = replace(outcome, figures=tuple(figures), seconds=outcome.seconds + more.seconds)
    return outcome


def _best(one: Figure, other: Figure) -> Figure:
    return other if times_worse(other, one) < 1 else one


def table(rows: Sequence[Row]) -> list[str]:
    """A line each: benchmark and figure, ratio now, ratio then, change."""
    lines = [f"{'figure':<70}{'now':>12}{'last':>12}  change"]
    for row in rows:
        now, last = (number(one.ratio) if one else "-" for one in (row.now, row.last))
        lines.append(f"{row.benchmark + ': ' + row.name:<70}{now:>12}{last:>12}  {_change(row)}")
    return lines


def _change(row: Row) -> str:
    if row.now is None:
        return "gone"
    if row.last is None:
        return "new"
    if redefined(row.now, row.last):
        return "means something else now"
    if row.fails:
        return f"{row.worse:.1f} TIMES WORSE"
    change = row.now.ratio / row.last.ratio - 1 if row.last.ratio else 0.0
    word = "" if abs(change) < 0.005 else "  better" if row.worse < 1 else "  worse"
    return f"{change:+.0%}{word}"
