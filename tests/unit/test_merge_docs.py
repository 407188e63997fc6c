"""The how-to page says only what is so."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "merging.md"


def test_the_examples_of_the_page_run() -> None:
    """Every example gives what stands below it."""
    # shows: N19
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 20
    assert failed == 0
