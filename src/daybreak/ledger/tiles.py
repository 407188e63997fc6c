"""The tree as C2SP tlog-tiles of height 8: what is stored of it, and how any part is found again.

A tile of level L holds up to 256 hashes of complete subtrees of height 8 * L. Level 0 is stored when full; its
partial tile is the tail of event rows, so nothing is outside the tree. Higher levels are stored partial too.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from daybreak.ledger.tree import EMPTY_ROOT, Frontier, fold

WIDTH = 256
HASH = 32

TileRow = tuple[int, int, bytes]
"""(level, number, hashes)"""


class Edge:
    """The right edge of the stored tree: what a writer keeps in memory, at most 256 hashes a level."""

    __slots__ = ("_high", "_low", "_tail", "_upper")

    def __init__(self) -> None:
        self._low = Frontier()  # inside the partial tile of level 0
        self._high = Frontier()  # over full tiles of level 0
        self._tail: list[bytes] = []
        self._upper: list[bytes] = []  # partial tiles of level 1, 2, …

    @classmethod
    def load(cls, size: int, tiles: TileReader) -> Edge:
        """The edge of the first `size` leaves."""
        edge = cls()
        full = size // WIDTH
        heights = [bit for bit in reversed(range(full.bit_length())) if full >> bit & 1]
        stack, start = [], 0
        for height in heights:
            stack.append(tiles.subtree(height + 8, start >> height))
            start += 1 << height
        edge._high = Frontier(full, stack)
        count, level = full, 1
        while count:
            edge._upper.append(tiles.hashes(level, count - count % WIDTH, count % WIDTH))
            count, level = count // WIDTH, level + 1
        for leaf in tiles.leaves(full * WIDTH, size):
            edge._low.append(leaf)
            edge._tail.append(leaf)
        return edge

    @property
    def size(self) -> int:
        return self._high.size * WIDTH + self._low.size

    def full(self) -> Frontier:
        """Over the full tiles of level 0: another one, with the same in it."""
        return Frontier(self._high.size, list(self._high.stack))

    def root(self) -> bytes:
        if not self._low.size:
            return self._high.root()
        root = self._low.root()
        for left in reversed(self._high.stack):
            root = sha256(b"\x01" + left + root).digest()
        return root

    def extend(self, leaves: list[bytes]) -> list[TileRow]:
        """Append leaf hashes; the tiles that are new or have grown, each once, in its last form."""
        rows: dict[tuple[int, int], bytes] = {}
        low, tail = self._low, self._tail
        for leaf in leaves:
            low.append(leaf)
            tail.append(leaf)
            if len(tail) == WIDTH:
                rows[0, self._high.size] = b"".join(tail)
                self._climb(low.root(), rows)
                low.size = 0
                low.stack.clear()
                tail.clear()
        return [(level, number, hashes) for (level, number), hashes in rows.items()]

    def partials(self) -> list[TileRow]:
        """The tiles at the right edge that are not full, that of level 0 too."""
        rows = [(0, self._high.size, b"".join(self._tail))] if self._tail else []
        for level, hashes in enumerate(self._upper, 1):
            if hashes:
                rows.append((level, self._high.size >> 8 * level, hashes))
        return rows

    def _climb(self, subtree: bytes, rows: dict[tuple[int, int], bytes]) -> None:
        """A tile of level 0 is full: its hash goes up, and further wherever that fills another tile."""
        self._high.append(subtree)
        level, count = 1, self._high.size
        while True:
            if len(self._upper) < level:
                self._upper.append(b"")
            hashes = self._upper[level - 1] + subtree
            rows[level, (count - 1) // WIDTH] = hashes
            if len(hashes) < WIDTH * HASH:
                self._upper[level - 1] = hashes
                return
            self._upper[level - 1] = b""
            subtree = fold(hashes)
            level, count = level + 1, count // WIDTH


class TileReader:
    """Finds the hash of any complete subtree from stored tiles and the tail of leaves.

    `fetch_tile(level, n)` gives a tile's hashes or b"" when there is none; `fetch_leaves(start, end)` gives leaf
    hashes from the event rows, needed only behind the last full tile. Raises LookupError where something is
    missing or too short.
    """

    def __init__(
        self,
        size: int,
        fetch_tile: Callable[[int, int], bytes],
        fetch_leaves: Callable[[int, int], list[bytes]],
    ) -> None:
        self._size = size
        self._fetch_tile = fetch_tile
        self._fetch_leaves = fetch_leaves

    def leaves(self, start: int, end: int) -> list[bytes]:
        found = self._fetch_leaves(start, end) if start < end else []
        if len(found) != end - start:
            raise LookupError(f"leaves {start} to {end - 1}: {len(found)} of {end - start} are there")
        return found

    def hashes(self, level: int, start: int, count: int) -> bytes:
        """`count` neighbouring hashes of a level; they must lie in one tile."""
        if not count:
            return b""
        if level == 0 and start >= self._size // WIDTH * WIDTH:
            return b"".join(self.leaves(start, start + count))
        at = start % WIDTH * HASH
        found = self._fetch_tile(level, start // WIDTH)[at : at + count * HASH]
        if len(found) != count * HASH:
            raise LookupError(f"tile {start // WIDTH} of level {level} holds too little")
        return found

    def subtree(self, height: int, position: int) -> bytes:
        """The hash of leaves [position * 2**height, (position + 1) * 2**height)."""
        level, rest = divmod(height, 8)
        return fold(self.hashes(level, position << rest, 1 << rest))

    def root(self, size: int) -> bytes:
        """The root when the tree had this many leaves."""
        if not 0 <= size <= self._size:
            raise LookupError(f"there are {self._size} leaves, not {size}")
        if not size:
            return EMPTY_ROOT
        return Edge.load(size, TileReader(size, self._fetch_tile, self._leaves_anywhere)).root()

    def _leaves_anywhere(self, start: int, end: int) -> list[bytes]:
        """Leaf hashes from wherever they are stored: a full tile, or the tail of rows."""
        hashes = self.hashes(0, start, end - start)
        return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
