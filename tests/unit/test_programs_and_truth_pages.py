"""The how-to pages on programs and ground truth: each example runs and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
EXAMPLE = re.compile(r"^```python\n(?P<code>.*?)^```\n\n^```text\n(?P<prints>.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Page, code, what it prints (`...` stands for anything in a line)."""
    return [
        (page, match["code"], match["prints"])
        for page in ("programs.md", "ground-truth.md")
        for match in EXAMPLE.finditer((PAGES / page).read_text())
    ]


def test_every_example_of_the_pages_is_run() -> None:
    """No block of code is without its output, so none escapes."""
    for page in ("programs.md", "ground-truth.md"):
        blocks = (PAGES / page).read_text().count("```python\n")
        assert blocks == sum(name == page for name, _, _ in examples()) > 0


@pytest.mark.parametrize(("page", "code", "prints"), examples(), ids=lambda value: value.split("\n")[0][:40])
def test_an_example_prints_what_the_page_says(page: str, code: str, prints: str, tmp_path: Path) -> None:
    """Each runs alone, in an empty folder, as a reader would run it."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    expected = re.escape(prints).replace(r"\.\.\.", ".*")
    assert re.fullmatch(expected, ran.stdout), ran.stdout
