"""What names alone cannot decide: definitions that occur twice, and docstrings that must come first."""

from __future__ import annotations

from daybreak.host.merge import Merged, merge

BASE = b"def f():\n    return 1\n\n\ndef f():\n    return 2\n"


def test_each_side_changes_another_definition_of_one_name() -> None:
    """The lines decide, and that is told; the last definition, which counts, is the one that was meant."""
    # shows: N19
    ours, theirs = BASE.replace(b"2", b"3"), BASE.replace(b"1", b"9")
    merged = merge(BASE, ours, theirs, "a.py")
    assert isinstance(merged, Merged)
    assert merged.content == b"def f():\n    return 9\n\n\ndef f():\n    return 3\n"
    assert "more than once" in merged.steps_down[0]


def test_a_docstring_stays_before_what_the_other_side_put_first() -> None:
    """Below an import it would be no docstring any more."""
    # shows: N19
    merged = merge(b"x = 1\n", b"import os\n\nx = 1\n", b'"""Doc."""\n\nx = 1\n', "a.py")
    assert isinstance(merged, Merged)
    assert merged.content.startswith(b'"""Doc."""\n')
