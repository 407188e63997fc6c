"""One proof for many leaves: right for every set, wrong after any change."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from daybreak.ledger.jointproof import joint_proof, joint_root
from daybreak.ledger.tree import Frontier, leaf_hash, node_hash


def _tree(size: int) -> tuple[list[bytes], bytes]:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return leaves, frontier.root()


def _subtree(leaves: list[bytes]):  # type: ignore[no-untyped-def]
    def look(height: int, position: int) -> bytes:
        if height == 0:
            return leaves[position]
        return node_hash(look(height - 1, 2 * position), look(height - 1, 2 * position + 1))

    return look


def test_every_set_of_leaves_of_every_small_tree_is_proved() -> None:
    for size in range(1, 9):
        leaves, root = _tree(size)
        for many in range(size + 1):
            for chosen in combinations(range(size), many):
                proof = joint_proof(chosen, size, _subtree(leaves))
                assert joint_root({at: leaves[at] for at in chosen}, size, proof) == root


def test_a_thousand_neighbours_need_few_hashes() -> None:
    leaves, root = _tree(5_000)
    chosen = range(2_000, 3_000)
    proof = joint_proof(chosen, 5_000, _subtree(leaves))
    assert len(proof) < 30
    assert joint_root({at: leaves[at] for at in chosen}, 5_000, proof) == root


def test_any_change_leads_to_another_root_or_to_none() -> None:
    leaves, root = _tree(37)
    dice = Random(1)
    for _ in range(100):
        chosen = dice.sample(range(37), dice.randrange(1, 9))
        proof = joint_proof(chosen, 37, _subtree(leaves))
        told = {at: leaves[at] for at in chosen}
        moved = {(at + 1) % 37 if at == chosen[0] else at: leaf for at, leaf in told.items()}
        for wrong in (
            joint_root({**told, chosen[0]: leaf_hash(b"x")}, 37, proof),
            joint_root(moved, 37, proof),
            joint_root(told, 37, proof[:-1]),
            joint_root(told, 37, [*proof, root]),
            joint_root(told, 37, proof[::-1]) if proof != proof[::-1] else None,
        ):
            assert wrong != root


def test_leaves_that_are_not_there_are_refused() -> None:
    leaves, _ = _tree(4)
    for wrong in ([-1], [4], [0, 9]):
        with pytest.raises(ValueError, match="not all in a tree"):
            joint_proof(wrong, 4, _subtree(leaves))
    assert joint_root({7: leaves[0]}, 4, []) is None
    assert joint_root({}, 0, [leaves[0]]) is None
