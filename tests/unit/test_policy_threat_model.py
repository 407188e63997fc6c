"""The threat model names code and tests that exist, and says plainly what is not held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from daybreak.policy.incident import REPEATS, RULES, WINDOW

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
PLAYBOOK = ROOT / "docs" / "how-to" / "incidents.md"
STATES = ("held", "built", "not yet")


class Row(NamedTuple):
    id: str
    threat: str
    code: list[str]
    tests: list[str]
    state: str


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and re.fullmatch(r"[STRIDE]\d+|LLM\d\d", cells[0]):
            code, tests = (re.findall(r"`([^`]+)`", cell) for cell in cells[2:4])
            found.append(Row(cells[0], cells[1], code, tests, cells[4]))
    return found


def test_every_family_of_threats_has_rows_and_no_id_is_used_twice() -> None:
    """The six letters of STRIDE, and all ten of the list for language models."""
    # shows: N9
    ids = [row.id for row in rows()]
    assert len(ids) == len(set(ids))
    assert {one[0] for one in ids if not one.startswith("LLM")} == set("STRIDE")
    assert [one for one in ids if one.startswith("LLM")] == [f"LLM{number:02}" for number in range(1, 11)]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_what_a_row_names_exists(row: Row) -> None:
    """Code that enforces it and a test that shows it; or `not yet`, and nothing that looks like either."""
    # shows: N9
    assert row.state in STATES
    if row.state == "not yet":
        assert not row.code
        assert not row.tests
        return
    assert row.code
    assert row.tests
    for path in row.code:
        assert path.startswith("src/daybreak/")
        assert (ROOT / path).exists(), path
    for test in row.tests:
        path, _, name = test.partition("::")
        assert path.startswith("tests/")
        text = (ROOT / path).read_text("utf-8")
        assert re.search(rf"^(async )?def {name or 'test_'}", text, re.M), test


def test_every_path_in_the_page_exists() -> None:
    """Outside of the tables too."""
    for path in re.findall(r"`((?:src|tests|docs)/[^`:]+)`", PAGE.read_text("utf-8") + PLAYBOOK.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_the_playbook_has_every_kind_at_its_level() -> None:
    """And the numbers of the rule that raises a level."""
    # shows: N9
    lines = PLAYBOOK.read_text("utf-8").splitlines()
    table = {int(line[2]): line for line in lines if re.match(r"\| [123] \|", line)}
    for kind, rule in RULES.items():
        assert f"`{kind}`" in table[rule.level], kind
    words = {5: "five", 10: "ten"}
    assert (
        f"{words[REPEATS]} of one kind of level 1 in one run within {words[WINDOW.seconds // 60]} minutes" in table[2]
    )
    assert all(f"## Level {level}" in "\n".join(lines) for level in (1, 2, 3))
