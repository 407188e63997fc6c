"""Grows the tree anew from leaf hashes and compares every stored tile with it. Part of `verification`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daybreak.ledger.tiles import HASH, WIDTH, Edge
from daybreak.ledger.tree import EMPTY_ROOT, Frontier, fold, node_hash


class TreeCheck:
    """Give it leaf hashes in order, then `finish`. `add(place, what)` takes each finding."""

    def __init__(
        self, fetch_tile: Callable[[int, int], object], add: Callable[[str, str], None], stop: int = -1
    ) -> None:
        """`fetch_tile(level, n)` gives what is stored, None for nothing. `root_at_stop` is kept at that size."""
        self.root_at_stop: bytes | None = EMPTY_ROOT if stop == 0 else None
        self._fetch = fetch_tile
        self._add = add
        self._stop = stop
        self._pending: list[bytes] = []  # of the tile being filled
        self._full = Frontier()  # over full tiles
        self._upper: list[list[bytes]] = []  # of level 1, 2, …
        self._begun = 0  # full tiles of level 0 that were there at the beginning

    def begin(self, edge: Edge) -> None:
        """Behind a tree that somebody else vouches for, before anything was given."""
        self._full, self._upper, self._pending = edge.full(), [], []
        self._begun = self._full.size
        for level, number, hashes in edge.partials():
            cut = [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
            if level == 0:
                self._pending = cut
                continue
            self._upper += [[] for _ in range(len(self._upper), level)]
            self._upper[level - 1] = cut
            assert number == self._full.size >> 8 * level
        if self._stop == self.size:
            self.root_at_stop = self.root()

    @property
    def size(self) -> int:
        return self._full.size * WIDTH + len(self._pending)

    def extend(self, leaves: list[bytes]) -> None:
        ahead = self._stop - self.size
        if 0 < ahead <= len(leaves):
            self._extend(leaves[:ahead])
            self.root_at_stop = self.root()
            leaves = leaves[ahead:]
        self._extend(leaves)

    def join(self, subtrees: Iterable[bytes]) -> None:
        """Go on behind full tiles of level 0 that somebody compared; `size` is a multiple of theirs. Their hashes."""
        assert not self._pending
        for subtree in subtrees:
            self._rise(subtree)

    def first_tile(self, level: int) -> int:
        """The first tile of a level that was not full at the beginning."""
        return self._begun >> 8 * level

    def root(self) -> bytes:
        """Over all leaves so far."""
        if not self._pending:
            return self._full.root()
        low = Frontier()
        for leaf in self._pending:
            low.append(leaf)
        root = low.root()
        for left in reversed(self._full.stack):
            root = node_hash(left, root)
        return root

    def finish(self, stored: Iterable[tuple[object, ...]]) -> None:
        """The partial tiles above, and that there are no tiles but those of this tree: `stored` lists (level, n), where
        it did not begin with the first event of those from `first_tile` on."""
        for level, hashes in enumerate(self._upper, 1):
            if hashes:
                self._compare(level, self._full.size >> 8 * level, b"".join(hashes))
        wanted = {(0, number) for number in range(self.first_tile(0), self._full.size)}
        count, level = self._full.size, 1
        while count:
            wanted |= {(level, number) for number in range(self.first_tile(level), (count + WIDTH - 1) // WIDTH)}
            count, level = count // WIDTH, level + 1
        for row in stored:
            if row not in wanted:
                self._add("table tile", f"tile {row[1]!r} of level {row[0]!r} is not of this tree")

    def _extend(self, leaves: list[bytes]) -> None:
        pending = self._pending
        pending += leaves
        at = 0
        while len(pending) - at >= WIDTH:
            self._tile(b"".join(pending[at : at + WIDTH]))
            at += WIDTH
        del pending[:at]

    def _tile(self, hashes: bytes) -> None:
        """A full tile of level 0; its subtree's hash goes above, and further wherever that fills another tile."""
        self._compare(0, self._full.size, hashes)
        self._rise(fold(hashes))

    def _rise(self, subtree: bytes) -> None:
        self._full.append(subtree)
        level, count = 1, self._full.size
        while True:
            if len(self._upper) < level:
                self._upper.append([])
            above = self._upper[level - 1]
            above.append(subtree)
            if len(above) < WIDTH:
                return
            hashes = b"".join(above)
            above.clear()
            self._compare(level, (count - 1) // WIDTH, hashes)
            subtree = fold(hashes)
            level, count = level + 1, count // WIDTH

    def _compare(self, level: int, number: int, expected: bytes) -> None:
        stored = self._fetch(level, number)
        if stored == expected:
            return
        where = f"tile {number} of level {level}"
        if not isinstance(stored, bytes):
            self._add(where, "is missing")
            return
        differing = [
            at // HASH
            for at in range(0, max(len(expected), len(stored)), HASH)
            if stored[at : at + HASH] != expected[at : at + HASH]
        ]
        width = WIDTH**level
        first = (number * WIDTH + differing[0]) * width
        events = f"event {first}" if width == 1 else f"events {first} to {first + width - 1}"
        self._add(
            where,
            f"does not hold the hashes of the events: {len(differing)} differ, the first is that of {events}",
        )
