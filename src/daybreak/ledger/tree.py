"""The Merkle tree of RFC 6962 over all leaves: roots, proofs and their verification. Pure; knows no storage.

A *complete subtree* of height h at position i covers leaves [i * 2**h, (i + 1) * 2**h). Everything is built from
the hashes of complete subtrees, which never change once their leaves exist: that is what tiles store.
Hashes are 32 bytes, never cut.

Proof verification follows RFC 9162, 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()

_leaf_hasher, _node_hasher = sha256(b"\x00").copy, sha256(b"\x01").copy
"""Copying a hash that has begun costs less than beginning one."""

Subtree = Callable[[int, int], bytes]
"""(height, position) -> hash of that complete subtree."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of each."""
    hashes = []
    for data in leaves:
        hasher = _leaf_hasher()
        hasher.update(data)
        hashes.append(hasher.digest())
    return hashes


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: bytes) -> bytes:
    """The hash over a power of two of neighbouring subtree hashes, given as one run of 32 bytes each."""
    while len(hashes) > 32:
        above = []
        for at in range(0, len(hashes), 64):
            hasher = _node_hasher()
            hasher.update(hashes[at : at + 64])
            above.append(hasher.digest())
        hashes = b"".join(above)
    return hashes


def remembered(subtree: Subtree, kept: dict[tuple[int, int], bytes], most: int = 20_000) -> Subtree:
    """The same, looked up in `kept` first: complete subtrees never change, so what one proof needed serves the next,
    also when the tree has grown. `kept` is emptied when it holds `most` hashes (about 4 MB for the default).
    """

    def look(height: int, position: int) -> bytes:
        found = kept.get((height, position))
        if found is None:
            found = subtree(height, position)
            if len(kept) >= most:
                kept.clear()
            kept[height, position] = found
        return found

    return look


class Frontier:
    """The right edge of a growing tree: the complete subtrees that its size in binary names, left to right.

    Enough to append and to give the root; O(log size) memory, amortised one node hash per leaf.
    """

    __slots__ = ("size", "stack")

    def __init__(self, size: int = 0, stack: Iterable[bytes] = ()) -> None:
        self.size = size
        self.stack = list(stack)
        assert len(self.stack) == size.bit_count()

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        size = self.size
        self.size = size + 1
        while size & 1:
            leaf = sha256(b"\x01" + self.stack.pop() + leaf).digest()
            size >>= 1
        self.stack.append(leaf)

    def root(self) -> bytes:
        if not self.stack:
            return EMPTY_ROOT
        root = self.stack[-1]
        for left in reversed(self.stack[:-1]):
            root = sha256(b"\x01" + left + root).digest()
        return root


def range_root(start: int, end: int, subtree: Subtree) -> bytes:
    """MTH(D[start:end]) for a range that occurs in the tree: start is a multiple of the range's rounded-up width."""
    if start == end:
        return EMPTY_ROOT
    parts: list[bytes] = []
    while start < end:
        height = (end - start).bit_length() - 1
        parts.append(subtree(height, start >> height))
        start += 1 << height
    root = parts.pop()
    while parts:
        root = node_hash(parts.pop(), root)
    return root


def _split(width: int) -> int:
    """The largest power of two smaller than `width`."""
    return 1 << ((width - 1).bit_length() - 1)


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, 2.1.1: lowest node first. Raises ValueError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962, 2.1.2. Raises ValueError unless 0 <= old <= new; empty for 0 and for equal."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} does not come before one of {new}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while end - start and old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(range_root(start, end, subtree))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Does this path show that `leaf` is leaf number `index` of the tree of that size and root?"""
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Does this path show that the tree of size `new` begins with the tree of size `old`?"""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, node)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
