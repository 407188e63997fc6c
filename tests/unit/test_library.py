"""The public library: its names, its page, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import daybreak

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "library.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
HEAVY = {"pydantic", "typer", "rich", "libcst", "ruamel", "tomlkit", "apsw", "cryptography", "anyio", "zstandard"}


@pytest.mark.parametrize("name", daybreak.__all__)
def test_every_public_name_is_there_and_on_the_page(name: str) -> None:
    """Whoever reads the page can import what it names, and nothing public is left out of it."""
    assert getattr(daybreak, name) is not None
    assert name == "__version__" or f"`daybreak.{name}`" in PAGE.read_text()


def test_the_page_names_nothing_that_is_not_there() -> None:
    """And every page that it leads to exists."""
    text = PAGE.read_text()
    named = set(re.findall(r"`daybreak\.(\w+)`", text)) - {"errors"}
    assert named <= set(daybreak.__all__)
    for link in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (PAGE.parent / link).is_file(), link


@pytest.mark.parametrize("page", sorted(PAGE.parents[1].glob("how-to/*.md")), ids=lambda page: page.name)
def test_the_pages_use_public_names(page: Path) -> None:
    """What is public by `daybreak.NAME` is not taken from where it happens to lie, which may change."""
    inner = set(re.findall(r"daybreak\.host\.(\w+)", page.read_text()))
    inner |= set(re.findall(r"from daybreak\.host import (\w+)", page.read_text()))
    assert inner & set(daybreak.__all__) == set()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_of_the_page_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, in an empty folder."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page


def loaded(statement: str) -> set[str]:
    """The top modules that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


DURABLE = frozenset({"Absent", "Context", "Found", "spend", "step_key"})
"""Names that belong to runs: who needs them has an engine and a ledger anyway."""
ALONE = [name for name in daybreak.__all__ if name[0] != "_" and name not in DURABLE]


@pytest.mark.parametrize("statement", ["import daybreak", *(f"from daybreak import {name}" for name in ALONE)])
def test_importing_a_part_loads_no_heavy_library(statement: str) -> None:
    """Heavy libraries are loaded by what needs them, when it needs them."""
    assert loaded(statement) & HEAVY == set()


def test_the_library_writes_nothing_to_anybodys_terminal() -> None:
    """Its warnings are for whoever asks for them: a program that has not configured logging sees none."""
    program = "import daybreak, logging; logging.getLogger('daybreak.engine').warning('a word')"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == ("", "")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        daybreak.nothing  # noqa: B018 - looking is the point
