"""The Merkle tree and its tiles, against a naive reading of RFC 6962 and an independent library."""

from __future__ import annotations

import copy
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from daybreak.ledger import tree
from daybreak.ledger.tiles import Edge, TileReader
from daybreak.ledger.treecheck import TreeCheck


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word; takes leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def some_leaves(count: int) -> list[bytes]:
    return [tree.leaf_hash(b"%d" % number) for number in range(count)]


LEAVES = some_leaves(70_000)


class Shelf:
    """Tiles in a dictionary, written by `Edge` as the ledger does."""

    def __init__(self) -> None:
        self.edge = Edge()
        self.tiles: dict[tuple[int, int], bytes] = {}

    def extend(self, count: int) -> None:
        start = self.edge.size
        for level, number, hashes in self.edge.extend(LEAVES[start : start + count]):
            assert hashes.startswith(self.tiles.get((level, number), b"")), "a tile only grows"
            self.tiles[level, number] = hashes

    def reader(self) -> TileReader:
        def fetch_leaves(start: int, end: int) -> list[bytes]:
            assert start >= self.edge.size // 256 * 256, "what is in a full tile is read from the tile"
            return LEAVES[start:end]

        return TileReader(self.edge.size, lambda level, number: self.tiles.get((level, number), b""), fetch_leaves)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 511, 512, 513])
def test_the_frontier_gives_the_root_of_the_rfc(size: int) -> None:
    """Growing leaf by leaf ends where the recursive definition does."""
    # shows: N3
    frontier = tree.Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root() == naive_root(LEAVES[:size])


@given(st.lists(st.integers(0, 700), max_size=6))
def test_tiles_hold_the_tree_however_it_grew(batches: list[int]) -> None:
    """Batches of any size leave an edge that equals one loaded from what was stored."""
    # shows: N3
    shelf = Shelf()
    for count in batches:
        shelf.extend(count)
    size = shelf.edge.size
    assert shelf.edge.root() == naive_root(LEAVES[:size])
    loaded = Edge.load(size, shelf.reader())
    assert loaded.root() == shelf.edge.root()
    assert loaded.extend(LEAVES[size : size + 300]) == copy.deepcopy(shelf.edge).extend(LEAVES[size : size + 300])


def test_tiles_hold_a_tree_of_three_levels() -> None:
    """Past 65,536 leaves a second level fills; roots of every earlier size are still found."""
    # shows: N3
    shelf = Shelf()
    shelf.extend(65_000)
    shelf.extend(5_000)
    assert len(shelf.tiles[1, 0]) == 8192
    assert len(shelf.tiles[2, 0]) == 32
    assert shelf.edge.root() == naive_root(LEAVES)
    for size in (1, 256, 1000, 65_535, 65_536, 65_537, 69_999, 70_000):
        assert shelf.reader().root(size) == naive_root(LEAVES[:size])
    assert Edge.load(70_000, shelf.reader()).root() == shelf.edge.root()


@given(st.data())
def test_an_inclusion_proof_shows_its_leaf_and_no_other(data: st.DataObject) -> None:
    """The path verifies for its index, leaf, size and root, and for nothing else."""
    # shows: N3
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    shelf = Shelf()
    shelf.extend(size)
    root = shelf.edge.root()
    proof = tree.inclusion_proof(index, size, shelf.reader().subtree)
    assert tree.verify_inclusion(index, size, LEAVES[index], proof, root)
    assert not tree.verify_inclusion(index, size, LEAVES[index + 1], proof, root)
    assert not tree.verify_inclusion(index, size, LEAVES[index], proof, LEAVES[0][::-1])
    assert not tree.verify_inclusion(index, size, LEAVES[index], [*proof, root], root)
    assert not proof or not tree.verify_inclusion(index, size, LEAVES[index], proof[:-1], root)
    other = data.draw(st.integers(0, size))
    assert other == index or not tree.verify_inclusion(other, size, LEAVES[index], proof, root)


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_consistency_proof_shows_its_two_roots_and_no_others(first: int, second: int) -> None:
    """The path verifies for the two trees; a forked history does not."""
    # shows: N3
    old, new = sorted((first, second))
    shelf = Shelf()
    shelf.extend(new)
    before, after = naive_root(LEAVES[:old]), shelf.edge.root()
    proof = tree.consistency_proof(old, new, shelf.reader().subtree)
    assert tree.verify_consistency(old, new, before, after, proof)
    forged = before[::-1]
    assert not tree.verify_consistency(old, new, forged, after, proof)
    assert old == 0 or not tree.verify_consistency(old, new, before, forged, proof)
    assert not tree.verify_consistency(old, new, before, after, [*proof, after])
    assert old == new or not tree.verify_consistency(new, old, after, before, proof)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 13, 64, 100])
def test_an_independent_library_finds_the_same_roots_and_proofs(size: int) -> None:
    """pymerkle, which shares no code with us, agrees on every leaf and every earlier size."""
    # shows: N3
    oracle = InmemoryTree(algorithm="sha256")
    for number in range(size):
        oracle.append_entry(b"%d" % number)
    shelf = Shelf()
    shelf.extend(size)
    assert oracle.get_root() == shelf.edge.root()
    for index in range(size):
        theirs = oracle.prove_inclusion(index + 1)
        ours = tree.inclusion_proof(index, size, shelf.reader().subtree)
        assert [bytes.fromhex(node) for node in theirs.serialize()["path"]][1:] == ours
        assert oracle.get_root(index + 1) == naive_root(LEAVES[: index + 1])


def test_a_proof_of_what_is_not_there_is_refused() -> None:
    """Indexes and sizes outside the tree are errors, not empty proofs."""
    shelf = Shelf()
    shelf.extend(5)
    subtree = shelf.reader().subtree
    with pytest.raises(ValueError, match="leaf 5"):
        tree.inclusion_proof(5, 5, subtree)
    with pytest.raises(ValueError, match="does not come before"):
        tree.consistency_proof(6, 5, subtree)
    with pytest.raises(LookupError):
        shelf.reader().root(6)
    assert not tree.verify_inclusion(5, 5, LEAVES[5], [], LEAVES[5])
    assert not tree.verify_consistency(3, 5, LEAVES[0], LEAVES[1], [])


def test_a_missing_tile_is_an_error_that_names_it() -> None:
    """A tile that was lost is never read as an empty one."""
    shelf = Shelf()
    shelf.extend(1000)
    del shelf.tiles[0, 1]
    with pytest.raises(LookupError, match="tile 1 of level 0"):
        shelf.reader().root(300)


def test_verification_checks_tiles_of_every_level() -> None:
    """70,000 leaves: a wrong, a missing and a foreign tile of the second level are named, a right one is not."""
    # shows: N3
    shelf = Shelf()
    shelf.extend(70_000)

    def problems(tiles: dict[tuple[int, int], bytes]) -> list[str]:
        found: list[str] = []
        check = TreeCheck(lambda *key: tiles.get(key), lambda place, what: found.append(f"{place}: {what}"), 66_000)
        for start in range(0, 70_000, 999):
            check.extend(LEAVES[start : min(start + 999, 70_000)])
        check.finish(list(tiles))
        assert check.root() == shelf.edge.root()
        assert check.root_at_stop == naive_root(LEAVES[:66_000])
        return found

    good = shelf.tiles
    assert problems(good) == []
    (wrong,) = problems({**good, (2, 0): bytes(32)})
    assert wrong.startswith("tile 0 of level 2: does not hold")
    assert "events 0 to 65535" in wrong
    assert problems({key: tile for key, tile in good.items() if key != (1, 0)}) == ["tile 0 of level 1: is missing"]
    (foreign,) = problems({**good, (2, 1): bytes(32)})
    assert "tile 1 of level 2 is not of this tree" in foreign
