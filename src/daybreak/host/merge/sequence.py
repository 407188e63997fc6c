"""Sequences in three versions: which elements are the same, what each side did, in which order it all goes."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)

_CELLS_MAX = 250_000
"""Above so many pairs of elements between two anchors, the stretch counts as rewritten: no quadratic surprises."""


def match(one: Sequence[H], other: Sequence[H]) -> list[tuple[int, int]]:
    """Indices of elements that correspond, growing on both sides. Patience diff: unique elements are anchors."""
    pairs: list[tuple[int, int]] = []
    stretches = [(0, len(one), 0, len(other))]
    while stretches:
        low, high, other_low, other_high = stretches.pop()
        while low < high and other_low < other_high and one[low] == other[other_low]:
            pairs.append((low, other_low))
            low, other_low = low + 1, other_low + 1
        while low < high and other_low < other_high and one[high - 1] == other[other_high - 1]:
            high, other_high = high - 1, other_high - 1
            pairs.append((high, other_high))
        if low == high or other_low == other_high:
            continue
        anchors = _anchors(one[low:high], other[other_low:other_high])
        if anchors:
            at, other_at = low, other_low
            for index, other_index in [*anchors, (high - low, other_high - other_low)]:
                stretches.append((at, low + index, other_at, other_low + other_index))
                at, other_at = low + index + 1, other_low + other_index + 1
            pairs += [(low + index, other_low + other_index) for index, other_index in anchors]
        elif (high - low) * (other_high - other_low) <= _CELLS_MAX:
            matcher = difflib.SequenceMatcher(None, one[low:high], other[other_low:other_high], autojunk=False)
            for block in matcher.get_matching_blocks():
                pairs += [(low + block.a + step, other_low + block.b + step) for step in range(block.size)]
    return sorted(pairs)


def _anchors(one: Sequence[H], other: Sequence[H]) -> list[tuple[int, int]]:
    """The longest growing run of elements that stand exactly once on each side."""
    counts, other_counts = Counter(one), Counter(other)
    places = {element: index for index, element in enumerate(other) if other_counts[element] == 1}
    found = [
        (index, places[element]) for index, element in enumerate(one) if counts[element] == 1 and element in places
    ]
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for number, (_, place) in enumerate(found):
        at = bisect_left(ends, place)
        before.append(last[at - 1] if at else None)
        if at == len(ends):
            ends.append(place)
            last.append(number)
        else:
            ends[at], last[at] = place, number
    run: list[tuple[int, int]] = []
    step = last[-1] if last else None
    while step is not None:
        run.append(found[step])
        step = before[step]
    return run[::-1]


@dataclass(frozen=True, slots=True)
class Chunk(Generic[H]):
    """A stretch between two things that all three have."""

    base: Sequence[H]
    ours: Sequence[H]
    theirs: Sequence[H]
    at: tuple[int, int, int]
    """Where it begins in base, ours, theirs."""

    @property
    def resolved(self) -> Sequence[H] | None:
        """What it becomes, or None where both changed it differently."""
        if self.ours == self.theirs or self.theirs == self.base:
            return self.ours
        if self.ours == self.base:
            return self.theirs
        return None


def chunks(base: Sequence[H], ours: Sequence[H], theirs: Sequence[H]) -> Iterator[Chunk[H]]:
    """diff3: stable and changed stretches in turn; together they are the whole of each side."""
    to_ours, to_theirs = dict(match(base, ours)), dict(match(base, theirs))
    at = (0, 0, 0)
    stable: list[int] = [index for index in range(len(base)) if index in to_ours and index in to_theirs]
    index = 0
    while index <= len(stable):
        ends_here = index == len(stable)
        here = (
            (len(base), len(ours), len(theirs))
            if ends_here
            else (stable[index], to_ours[stable[index]], to_theirs[stable[index]])
        )
        if at != here:
            yield Chunk(base[at[0] : here[0]], ours[at[1] : here[1]], theirs[at[2] : here[2]], at)
        if ends_here:
            return
        run = 1
        while index + run < len(stable) and _follows(stable, index + run, to_ours, to_theirs):
            run += 1
        same = base[here[0] : here[0] + run]
        yield Chunk(same, same, same, here)
        at = (here[0] + run, here[1] + run, here[2] + run)
        index += run


def _follows(stable: list[int], index: int, to_ours: dict[int, int], to_theirs: dict[int, int]) -> bool:
    here, before = stable[index], stable[index - 1]
    return here == before + 1 and to_ours[here] == to_ours[before] + 1 and to_theirs[here] == to_theirs[before] + 1


@dataclass(frozen=True, slots=True)
class Order(Generic[H]):
    keys: list[H]
    clash: bool
    """Both sides moved things, and differently; then ours counts."""


def merge_order(base: Sequence[H], ours: Sequence[H], theirs: Sequence[H], keep: set[H]) -> Order[H]:
    """An order of the unique keys in `keep`: as on the side that moved something, additions after what they followed.

    Where both add at one place, ours come first."""
    moved_ours, moved_theirs = _moved(base, ours, keep), _moved(base, theirs, keep)
    known, common = set(base), set(ours) & set(theirs) & keep
    clash = moved_ours and moved_theirs and _only(ours, common) != _only(theirs, common)
    first, second = (theirs, ours) if moved_theirs and not moved_ours else (ours, theirs)
    result = _only(first, keep)
    after = _additions(second, keep, set(result))
    keys: list[H] = []
    waiting = after.get(None, [])
    for key in result:
        added_by_ours = first is ours and key not in common and key not in known
        if not added_by_ours:
            keys += waiting
            waiting = []
        keys.append(key)
        waiting = waiting + after.get(key, [])
    return Order(keys + waiting, clash)


def _only(side: Sequence[H], keep: set[H]) -> list[H]:
    return [key for key in side if key in keep]


def _additions(side: Sequence[H], keep: set[H], present: set[H]) -> dict[H | None, list[H]]:
    """What the side has and `present` does not, by the nearest key before it that is present."""
    after: dict[H | None, list[H]] = {}
    last: H | None = None
    for key in side:
        if key in present:
            last = key
        elif key in keep:
            after.setdefault(last, []).append(key)
    return after


def replaced(base: Sequence[H], ours: Sequence[H], theirs: Sequence[H]) -> list[H]:
    """Keys that both sides took away while each put other ones in that place: two replacements of one thing."""
    known, here, there = set(base), set(ours), set(theirs)
    for chunk in chunks(base, ours, theirs):
        gone = [key for key in chunk.base if key not in here and key not in there]
        added = set(chunk.ours) - known, set(chunk.theirs) - known
        if gone and chunk.resolved is None and added[0] - added[1] and added[1] - added[0]:
            return gone
    return []


def _moved(base: Sequence[H], side: Sequence[H], keep: set[H]) -> bool:
    known, there = set(base), set(side)
    return [key for key in side if key in known and key in keep] != [
        key for key in base if key in there and key in keep
    ]


def pick(base: T, ours: T, theirs: T) -> tuple[T, bool]:
    """The three-way choice of one value, and whether there was one."""
    if ours == theirs or theirs == base:
        return ours, True
    if ours == base:
        return theirs, True
    return ours, False
