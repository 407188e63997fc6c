"""How long things take, kept as counts in fixed buckets: a few numbers however many things were measured.

Four buckets for each doubling, from a millisecond to 34 years: what is told of a median or of the 95th percentile lies
within 9 % of the truth, and the bucket's own bounds are told beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

_PER_DOUBLING = 4
_DOUBLINGS = 40

BOUNDS: tuple[int, ...] = tuple(
    sorted({round(2 ** (step / _PER_DOUBLING)) for step in range(_PER_DOUBLING * _DOUBLINGS + 1)})
)
"""The greatest value of each bucket, in milliseconds. What is longer counts as the last."""
COARSE: tuple[int, ...] = tuple(4**power for power in range(1, _DOUBLINGS // 2))
"""Bounds for those who want fewer buckets: each is one of `BOUNDS`, so that what they count is exact."""


def bucket_of(ms: int) -> int:
    """The bound of the bucket that a duration falls into."""
    return BOUNDS[min(bisect_left(BOUNDS, ms), len(BOUNDS) - 1)]


@dataclass(frozen=True, slots=True)
class Quantile:
    """A value that so many lie below, in milliseconds: between `low` and `high`, which `value` is the middle of."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How long things took: how many, and what half of them, and 95 of 100, took at most. Milliseconds."""

    count: int
    p50: Quantile
    p95: Quantile


def spread_of(counts: Mapping[int, int]) -> Spread | None:
    """From counts by bound; None where nothing was measured."""
    total = sum(counts.values())
    if not total:
        return None
    return Spread(total, quantile(counts, 0.5), quantile(counts, 0.95))


def quantile(counts: Mapping[int, int], share: float) -> Quantile:
    """The least value that at least that share of all are not above. There is at least one."""
    bounds = sorted(bound for bound in counts if counts[bound] > 0)
    wanted = share * sum(counts[bound] for bound in bounds)
    sums = accumulate(counts[bound] for bound in bounds)
    high = next(bound for bound, so_far in zip(bounds, sums, strict=True) if so_far >= wanted)
    at = bisect_left(BOUNDS, high)
    low = BOUNDS[at - 1] + 1 if at else 0
    return Quantile(round((max(low, 1) * high) ** 0.5), low, high)
