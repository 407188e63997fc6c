"""Joining what several parts did to one tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from daybreak.factory.phases.sides import Side, Sides
from daybreak.host import merge, tree


def side(folder: Path, files: dict[str, str]) -> Side:
    folder.mkdir()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Side(folder, {entry.path: entry for entry in tree.scan(folder).entries})


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides(tmp_path, side(tmp_path / "before", {}), side(tmp_path / "here", {}))


def test_what_nobody_else_touched_is_taken_as_it_is(sides: Sides, tmp_path: Path) -> None:
    """Content and the right to be executed; what is noted is what lies there."""
    other = side(tmp_path / "other", {"a/b": "1", "run": "2"})
    (other.folder / "run").chmod(0o755)
    other = Side(other.folder, {entry.path: entry for entry in tree.scan(other.folder).entries})
    assert sides.join(other) is None
    assert sides.join(side(tmp_path / "third", {"a/c": "3"})) is None
    assert {entry.path: entry for entry in tree.scan(sides.here.folder).entries} == sides.here.entries
    assert sides.here.entries["run"].executable
    assert sides.here.entries.keys() == {"a/b", "a/c", "run"}


@pytest.mark.parametrize(("one", "two"), [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b")])
def test_a_file_where_another_part_made_a_folder_is_a_contradiction(
    sides: Sides, tmp_path: Path, one: str, two: str
) -> None:
    """Never a crash, and never one of them inside the other."""
    # shows: F5
    assert sides.join(side(tmp_path / "first", {one: "1"})) is None
    found = sides.join(side(tmp_path / "second", {two: "2"}))
    assert isinstance(found, merge.Conflicts)
    assert [conflict.kind for conflict in found.conflicts] == ["file/folder"]
    assert sides.here.entries.keys() == {one}
