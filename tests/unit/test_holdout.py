"""Which examples are held out."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.checks.example import Example
from daybreak.factory import holdout

KEY = b"k" * holdout.KEY_BYTES


def examples(count: int) -> list[Example]:
    return [
        Example(id=f"{n:012x}", kind="console", title=f"FR-{n:03}", requirements=(f"FR-{n:03}",), body="$ x", line=n)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(0, 0.33, 0), (1, 0.33, 0), (2, 0.33, 1), (3, 0.33, 1), (10, 0.33, 3), (5, 0.5, 3), (10, 0.8, 8), (7, 0.0, 0)],
)
def test_the_share_is_rounded_halves_up(count: int, share: float, expected: int) -> None:
    """round(n x share) examples are held out."""
    # shows: F1
    assert len(holdout.choose(examples(count), share, KEY)) == expected


@given(st.binary(min_size=32, max_size=32), st.integers(0, 40), st.permutations(list(range(12))))
def test_the_choice_depends_on_the_key_and_not_on_the_order(key: bytes, count: int, order: list[int]) -> None:
    """The same key makes the same choice, however the examples are ordered."""
    some = examples(12)
    assert holdout.choose(some, 0.33, key) == holdout.choose([some[n] for n in order], 0.33, key)


def test_another_key_makes_another_choice() -> None:
    """Without the key nobody can tell which examples are held out."""
    choices = {holdout.choose(examples(20), 0.33, bytes([n]) * 32) for n in range(20)}
    assert len(choices) > 15


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """The key appears on first use, readable by nobody else, and stays."""
    first = holdout.read_or_make_key(tmp_path / "keys")
    assert holdout.read_or_make_key(tmp_path / "keys") == first
    assert stat.S_IMODE((tmp_path / "keys" / holdout.KEY_FILE).stat().st_mode) == 0o600


def test_a_damaged_key_is_refused_and_kept(tmp_path: Path) -> None:
    """A key of the wrong length is an error that says what to do; it is not overwritten."""
    (tmp_path / holdout.KEY_FILE).write_bytes(b"short")
    with pytest.raises(holdout.HoldoutKeyInvalid, match="5 bytes instead of 32") as caught:
        holdout.read_or_make_key(tmp_path)
    assert "backup" in caught.value.hint
    assert (tmp_path / holdout.KEY_FILE).read_bytes() == b"short"
