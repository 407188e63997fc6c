"""Ratios of now beside the last recorded ones: what CI prints, and when it fails.

Machines are noisy, and a gate that fails for no reason is soon ignored. So a figure fails only if its ratio is three
times worse than the last one in each of three measurements. New figures and those that are gone are told.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
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
    why: str = "gone"
    """Where it is not there now."""

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


def compare(outcomes: Sequence[Outcome], last: Last, *, whole: bool = False) -> list[Row]:
    """Of the benchmarks that ran, in their order. `whole`: these are all; other recorded ones are gone."""
    found = {one.name: {figure.name: figure for figure in one.figures} for one in outcomes}
    whys = {one.name: "not measured" for one in outcomes if one.state != "done"}
    rows = []
    for benchmark in {**found, **last} if whole else found:
        why = whys.get(benchmark, "gone")
        now = found.get(benchmark, {})
        then = {one.name: one for one in last.get(benchmark, ())}
        rows += [Row(benchmark, name, now.get(name), then.get(name), why) for name in {**now, **then}]
    return rows


def settled(outcomes: Sequence[Outcome], last: Last, again: Callable[[str], Outcome]) -> list[Outcome]:
    """With whatever fails measured again; of a figure that failed, the best measurement counts."""
    return [_settled(one, last, again) for one in outcomes]


def _settled(outcome: Outcome, last: Last, again: Callable[[str], Outcome]) -> Outcome:
    """Until each figure that fails has been measured TRIES times, or the benchmark has ended with an error as often."""
    broken, times = 0, Counter(one.name for one in outcome.figures)
    for _ in range(2 * TRIES - 1):  # a figure that comes and goes is not asked for without end
        failed = outcome.state == "failed"
        broken += failed
        bad = {row.name for row in compare([outcome], last) if row.fails}
        if broken >= TRIES or outcome.state == "interrupted":
            return outcome
        if not failed and all(times[name] >= TRIES for name in bad):
            return outcome
        more = again(outcome.name)
        times.update(one.name for one in more.figures)
        outcome = _joined(outcome, more, bad)
    return outcome


def _joined(outcome: Outcome, more: Outcome, bad: Set[str]) -> Outcome:
    """The state of the later one; of a figure that was bad the better measurement, of one that was not the first."""
    old = {one.name: one for one in outcome.figures}
    new = {one.name: one for one in more.figures}
    figures = {name: _best(old[name], new[name]) if name in bad and name in new else old[name] for name in old}
    return replace(more, figures=tuple({**new, **figures}.values()), seconds=outcome.seconds + more.seconds)


def _best(one: Figure, other: Figure) -> Figure:
    return other if times_worse(other, one) < 1 else one


def table(rows: Sequence[Row]) -> list[str]:
    """A line each: benchmark and figure, ratio now, ratio then, change."""
    names = [f"{row.benchmark}: {row.name}" for row in rows]
    width = max(map(len, ["figure", *names]))
    lines = [f"{'figure':<{width}}{'now':>12}{'last':>12}  change"]
    for name, row in zip(names, rows, strict=True):
        now, last = (number(one.ratio) if one else "-" for one in (row.now, row.last))
        lines.append(f"{name:<{width}}{now:>12}{last:>12}  {_change(row)}")
    return lines


def _change(row: Row) -> str:
    if row.now is None:
        return row.why
    if row.last is None:
        return "new"
    if redefined(row.now, row.last):
        return "means something else now"
    if row.fails:
        return f"{row.worse:.1f} TIMES WORSE"
    change = row.now.ratio / row.last.ratio - 1 if row.last.ratio else 0.0
    word = "" if abs(change) < 0.005 else "  better" if row.worse < 1 else "  worse"
    return f"{change:+.0%}{word}"
