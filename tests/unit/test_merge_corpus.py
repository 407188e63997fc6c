"""Every case of the merge corpus comes out as a careful person would have it, and nothing is merged silently wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from daybreak.host.merge import Conflicts, Merged, MergedTree, merge, merge_trees

CORPUS = Path(__file__).parents[1] / "corpus" / "merge"
CASES = sorted(path.name for path in CORPUS.iterdir())
FILES = [name for name in CASES if (CORPUS / name / "base").is_file()]
TREES = [name for name in CASES if (CORPUS / name / "base").is_dir()]


def told(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_corpus_merges_as_expected(name: str) -> None:
    """The bytes that were written down, or exactly the conflicts that were."""
    # shows: N19
    folder = CORPUS / name
    base, ours, theirs = ((folder / side).read_bytes() for side in ("base", "ours", "theirs"))
    result = merge(base, ours, theirs, told(folder, "case.json")["path"])
    if (folder / "conflict.json").exists():
        assert isinstance(result, Conflicts)
        found = [{"where": one.where, "kind": one.kind} for one in result.conflicts]
        assert found == told(folder, "conflict.json")
        assert all(one.suggestion for one in result.conflicts)
    else:
        assert isinstance(result, Merged), result
        assert result.content.decode("latin-1") == (folder / "expected").read_bytes().decode("latin-1")


@pytest.mark.parametrize("name", TREES)
def test_a_tree_of_the_corpus_merges_as_expected(name: str, tmp_path: Path) -> None:
    """Paths, contents and executable bits; where there are conflicts, nothing is written."""
    # shows: N19
    folder = CORPUS / name
    result = merge_trees(folder / "base", folder / "ours", folder / "theirs", tmp_path / "out")
    if (folder / "conflict.json").exists():
        assert isinstance(result, Conflicts)
        found = [{"path": one.path, "where": one.where, "kind": one.kind} for one in result.conflicts]
        assert found == told(folder, "conflict.json")
        assert list(tmp_path.iterdir()) == []
    else:
        assert isinstance(result, MergedTree), result
        assert files(tmp_path / "out") == files(folder / "expected")


def files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 60 cases: 25 of Python, 20 of JSON, YAML and TOML, 10 of text and trees."""
    kinds = [name.split("-")[0] for name in CASES]
    assert len(CASES) >= 60
    assert kinds.count("py") >= 25
    assert sum(kinds.count(kind) for kind in ("json", "yaml", "toml")) >= 20
    assert sum(kinds.count(kind) for kind in ("text", "binary", "tree")) >= 10


@pytest.mark.parametrize("name", FILES)
def test_the_sides_may_change_places(name: str) -> None:
    """What merges one way merges the other way, to the same lines in perhaps another order."""
    folder = CORPUS / name
    path = told(folder, "case.json")["path"]
    base, ours, theirs = ((folder / side).read_bytes() for side in ("base", "ours", "theirs"))
    one, other = merge(base, ours, theirs, path), merge(base, theirs, ours, path)
    assert type(one) is type(other)
    if isinstance(one, Merged) and isinstance(other, Merged):
        assert words(one.content) == words(other.content)


def words(content: bytes) -> list[str]:
    """Without order, and without commas and brackets, which go with the order."""
    return sorted(re.split(r"[\s,\[\]{}]+", content.decode("latin-1")))
