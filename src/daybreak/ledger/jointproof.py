"""One proof for many events: the hashes that are needed beside their own to come to the tree's root.

Neighbours share their paths, so a thousand events of one night need a few thousand hashes and not twenty thousand.
Pure; knows no storage. The order is that of the tree from left to right, so one set of events has one proof.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from daybreak.ledger.tree import EMPTY_ROOT, Subtree, node_hash, range_root


def joint_proof(indexes: Sequence[int], size: int, subtree: Subtree) -> list[bytes]:
    """For the leaves `indexes` of a tree of `size`. Raises ValueError unless each is in it."""
    wanted = sorted(set(indexes))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < size:
        raise ValueError(f"leaves {wanted[0]} to {wanted[-1]} are not all in a tree of {size}")
    found: list[bytes] = []

    def walk(start: int, end: int) -> None:
        low = bisect_left(wanted, start)
        if low == len(wanted) or wanted[low] >= end:
            found.append(range_root(start, end, subtree))
        elif end - start > 1:
            middle = _middle(start, end)
            walk(start, middle)
            walk(middle, end)

    if size:
        walk(0, size)
    return found


def joint_root(leaves: Mapping[int, bytes], size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root of the tree of `size` in which these hashes stand at these places; None where the proof does not fit.
    The size has to be one that was signed with the root: it is no part of what is hashed.

    Whoever compares it with a signed root knows that every one of them is in that tree."""
    wanted = sorted(leaves)
    if not size:
        return EMPTY_ROOT if not wanted and not proof else None
    if wanted and not 0 <= wanted[0] <= wanted[-1] < size:
        return None
    given: Iterator[bytes] = iter(proof)

    def walk(start: int, end: int) -> bytes:
        low = bisect_left(wanted, start)
        if low == len(wanted) or wanted[low] >= end:
            return next(given)
        if end - start == 1:
            return leaves[start]
        middle = _middle(start, end)
        left = walk(start, middle)
        return node_hash(left, walk(middle, end))

    try:
        root = walk(0, size)
    except StopIteration:
        return None
    return root if next(given, None) is None else None


def _middle(start: int, end: int) -> int:
    """Behind the left one of the two trees that a tree of these leaves is made of (RFC 6962, 2.1)."""
    return start + (1 << ((end - start - 1).bit_length() - 1))
