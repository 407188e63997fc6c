"""How long a run that is under way will still take, from runs that have ended: a range, or an honest "not known".

It draws on the stories that the rehearsal of a night draws on (`engine.experience`): of the same title, else of the
same kind. What is stated is an 80 % range: of many of them, about 80 in 100 hold. From `ENOUGH` stories on it lies
between two of the observed values, which needs no formula; with fewer it is widened as a t distribution of their
logarithms asks for, so that what rests on two runs is wide. Stories that would be over by now do not count any more;
where none is left, nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from daybreak.engine.experience import Basis, Piece, Told

SHARE = 0.8
ENOUGH = 9
"""Of so many values, the smallest and the largest bound the next one in 80 of 100 cases."""
ALONE_SPREAD = 0.8
"""Standard deviation of the logarithm that is taken for granted where one run is all that is known."""
LEAST_SPREAD = 0.03
"""Few runs that took equally long do not show that all do."""
LEAST_S = 1.0
MOST_S = 31 * 86_400.0
GROWTH = 1.5
"""How much more time left than a look before may be shown at once; the rest follows with the next looks."""
_T = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415)
"""90th percentiles of Student's t for 1 to 7 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds left, or why nobody knows."""

    low_s: float = 0.0
    middle_s: float = 0.0
    high_s: float = 0.0
    runs: int = 0
    """Earlier runs that it rests on."""
    unknown: str = ""
    """Why it is not known; empty where it is."""

    @property
    def known(self) -> bool:
        return not self.unknown

    def words(self, *, to: str = "–") -> str:
        """`about 12–25 min, from 9 earlier runs`; `no history yet: not known`."""
        if self.unknown:
            return f"{self.unknown}: not known"
        runs = "1 earlier run" if self.runs == 1 else f"{self.runs} earlier runs"
        return f"about {span(self.low_s, self.high_s, to=to)}, from {runs}"

    def as_json(self) -> dict[str, float | int | str | None]:
        return {
            "low_s": round(self.low_s, 1) if self.known else None,
            "middle_s": round(self.middle_s, 1) if self.known else None,
            "high_s": round(self.high_s, 1) if self.known else None,
            "from_runs": self.runs,
            "unknown": self.unknown,
        }


NO_HISTORY = Left(unknown="no history yet")


Rest = tuple[float, float]
"""Seconds of the piece of work under way, and of everything behind it."""


def rests(basis: Basis | None, steps: int) -> list[Rest]:
    """What was left in earlier runs when they had kept so many outcomes of steps; nothing where nothing is known."""
    if basis is None or not isinstance(basis.source, Told):
        return []
    found = [rest for story in basis.source.stories if (rest := story.after(steps))]
    if not found:  # none came as far as this run has come: it is taken to be at its last piece, as in a rehearsal
        found = [story.pieces[-1:] for story in basis.source.stories]
    return [_seconds(rest) for rest in found]


def _seconds(rest: Sequence[Piece]) -> Rest:
    waits_us = sum(piece.wait_us for piece in rest)
    return rest[0].busy_us / 1e6, (sum(piece.busy_us for piece in rest[1:]) + waits_us) / 1e6


def of_run(known: Sequence[Rest], spent_s: float) -> Left:
    """`spent_s`: since the last outcome was kept, or since the run has its worker."""
    if not known:
        return NO_HISTORY
    lefts = [first_s - spent_s + more_s for first_s, more_s in known if first_s > spent_s]
    if not lefts:
        many = f"all {len(known)} earlier runs" if len(known) > 1 else "the one earlier run"
        return Left(runs=len(known), unknown=f"longer than {many}")
    low, middle, high = bounds(lefts)
    return Left(low, middle, high, len(lefts))


def bounds(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower bound, middle and upper bound of the next value of this kind, in 80 of 100 cases between the bounds."""
    ordered = sorted(min(MOST_S, max(LEAST_S, value)) for value in values)
    number = len(ordered)
    if number >= ENOUGH:
        return _ranked(ordered, (1 - SHARE) / 2), _ranked(ordered, 0.5), _ranked(ordered, (1 + SHARE) / 2)
    logs = [math.log(value) for value in ordered]
    mean = sum(logs) / number
    if number == 1:
        wide = 1.282 * ALONE_SPREAD * math.sqrt(2)
    else:
        spread = math.sqrt(sum((value - mean) ** 2 for value in logs) / (number - 1))
        wide = _T[number - 2] * max(spread, LEAST_SPREAD) * math.sqrt(1 + 1 / number)
    return math.exp(mean - wide), math.exp(mean), min(MOST_S, math.exp(min(mean + wide, 20.0)))


def widened(low_s: float, middle_s: float, high_s: float, runs: int) -> tuple[float, float, float]:
    """A range that was drawn from so many earlier runs as if these were all that can happen: with few of them, as much
    wider as `bounds` would make it."""
    if runs >= ENOUGH or middle_s <= 0:
        return low_s, middle_s, high_s
    if runs == 1:
        low_s, high_s, wide = middle_s / math.e, middle_s * math.e, ALONE_SPREAD * math.sqrt(2) * 1.282
    else:
        wide = _T[runs - 2] * math.sqrt(1 + 1 / runs) / 1.282
    low, high = max(low_s, LEAST_S / 10) / middle_s, max(high_s, LEAST_S) / middle_s
    return middle_s * min(low, 1.0) ** wide, middle_s, min(MOST_S, middle_s * max(high, 1.0) ** wide)


def _ranked(ordered: Sequence[float], share: float) -> float:
    """The value at rank `share * (n + 1)`, between its neighbours where that is no whole number."""
    place = min(max(share * (len(ordered) + 1) - 1, 0), len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Steady:
    """What is shown of a run's time left, from look to look: less at once, more by and by, so that a story that counts
    no more makes nothing leap."""

    def __init__(self) -> None:
        self._shown: Left | None = None

    def show(self, fresh: Left) -> Left:
        last = self._shown
        if last is not None and last.known and fresh.known:
            fresh = replace(
                fresh,
                low_s=min(fresh.low_s, _grown(last.low_s)),
                middle_s=min(fresh.middle_s, _grown(last.middle_s)),
                high_s=min(fresh.high_s, _grown(last.high_s)),
            )
        self._shown = fresh
        return fresh


def _grown(seconds: float) -> float:
    return max(seconds, 5.0) * GROWTH


# -- words


def span(low_s: float, high_s: float, *, to: str = "–") -> str:
    """`12–25 min`: rounded outwards, so that rounding never makes it narrower than it is."""
    unit, size = ("s", 1.0) if high_s < 90 else ("min", 60.0) if high_s < 5400 else ("h", 3600.0)
    if high_s >= 2 * 86_400:
        unit, size = "days", 86_400.0
    low, high = _rounded(low_s / size, math.floor), _rounded(high_s / size, math.ceil)
    return f"{high} {unit}" if low == high else f"{low}{to}{high} {unit}"


def _rounded(value: float, way: Callable[[float], int]) -> str:
    step = 0.1 if value < 1 else 0.5 if value < 10 else 1.0 if value < 20 else 5.0
    return f"{way(round(value / step, 6)) * step:.1f}".removesuffix(".0")
