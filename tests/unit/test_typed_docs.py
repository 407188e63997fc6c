"""The pages on typed files and batches: every example on them runs."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from daybreak.errors import DaybreakError
from daybreak.host import batch, typed

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(page: Path) -> list[tuple[int, str]]:
    """The Python blocks of a page: first line, and text."""
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    return [(one.map[0] + 1, one.content) for one in tokens if one.type == "fence" and one.info == "python" and one.map]


@pytest.mark.parametrize("page", ["typed-files.md", "batch.md"])
def test_the_examples_on_the_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in an empty folder; an error names the line of the page."""
    # shows: X1, X2
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where dataclasses look up the types of their fields
    found = blocks(PAGES / page)
    assert len(found) >= 5
    for line, text in found:
        code = compile("\n" * line + text, str(PAGES / page), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - examples of our own pages


def test_the_page_on_typed_files_names_every_refusal_and_extension() -> None:
    """Codes and classes in the table are those of the code; every extension of a handler is there or in a group."""
    page = (PAGES / "typed-files.md").read_text("utf-8")
    for name in typed.__all__:
        kind = getattr(typed, name)
        if isinstance(kind, type) and issubclass(kind, DaybreakError) and kind is not typed.FileRefused:
            usage = kind in (typed.LimitsRefused, typed.HandlerRefused)
            assert (kind.code if usage else f"| {kind.code} | `{name}` |") in page


def test_the_page_on_batches_names_every_status() -> None:
    """The table holds the closed list."""
    from typing import get_args

    page = (PAGES / "batch.md").read_text("utf-8")
    assert all(f"| {status} |" in page for status in get_args(batch.Status))
