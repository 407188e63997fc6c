"""Bad arguments, content that wants to break the merge, machines without git: a typed answer each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import process
from daybreak.host.merge import Conflicts, Merged, MergeRefused, TooLarge, TreeUnreadable, merge, merge_trees, merging

BAD_PATHS = st.sampled_from(["", "\0", "a" * 5000, "/etc/passwd", "../../x.py", "\ud800.json", "-rf", "a\nb.toml", "."])
ANYTHING = (
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.binary(max_size=20)
)


@settings(deadline=None, max_examples=150)
@given(ANYTHING, ANYTHING, ANYTHING, BAD_PATHS | ANYTHING)
@example(b"a", b"b", b"c", "../../x.py")
def test_senseless_arguments_get_a_typed_error(base: Any, ours: Any, theirs: Any, path: Any) -> None:
    """Either an answer or a DaybreakError with a hint; the path is a name and never opened."""
    # shows: X1
    try:
        result: object = merge(base, ours, theirs, path)
    except DaybreakError as error:
        result = error
    assert isinstance(result, Merged | Conflicts | MergeRefused)
    assert not isinstance(result, MergeRefused) or result.hint


@settings(deadline=None, max_examples=120)
@given(
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.sampled_from(["a.py", "a.json", "a.yaml", "a.toml"]),
)
def test_bytes_of_any_kind_get_an_answer(base: bytes, ours: bytes, theirs: bytes, path: str) -> None:
    """Not UTF-8, not parseable, control characters: merged as text or a conflict, with the step down recorded."""
    result = merge(base, ours, theirs, path)
    if isinstance(result, Merged) and result.how == "text":
        assert any("merged as text" in note for note in result.steps_down)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", b"[" * 50_000 + b"%d" + b"]" * 50_000),
        ("a.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nn: %d\n"),
        ("a.json", b'{"a": 1, "a": 2, "n": %d}'),
        ("a.json", b'{"a": NaN, "n": %d}'),
        ("a.toml", b"a = 1\na = 2\nn = %d\n"),
        ("a.yaml", b"!!python/object/apply:os.system ['touch /tmp/owned-%d']\n"),
        ("a.py", b"(" * 5000 + b"%d" + b")" * 5000 + b"\n"),
        ("a.py", b"x = " + b"-" * 30_000 + b"%d\n"),
        ("a.py", b"x = 1" + b" and 1" * 30_000 + b" and %d\n"),
        ("a.py", b"import a" + b".a" * 30_000 + b" as b%d\n"),
        ("a.py", b"x = (\n" + b"-\n" * 30_000 + b"%d ) oops\n"),
        ("a.py", b"match a:\n    case " + b"[" * 60 + b"%d" + b"]" * 60 + b":\n        pass\n"),
        ("a.py", b"if 1:\n    pass\n" + b"elif 1:\n    pass\n" * 5_000 + b"x = %d\n"),
        ("a.yaml", b"---\na: 1\n---\nb: %d\n"),
    ],
)
def test_bombs_and_doubled_keys_are_not_taken_apart(path: str, content: bytes) -> None:
    """What cannot be read without danger or loss is compared by lines, so two changes of one line conflict."""
    # shows: X1 N19
    result = merge(content % 1, content % 2, content % 3, path)
    assert isinstance(result, Conflicts)
    assert any("merged as text" in note for note in result.steps_down)


def test_markers_stand_only_where_they_were_asked_for() -> None:
    """A conflict has no content; with `markers` it carries the text with both versions."""
    quiet = merge(b"a\n", b"b\n", b"c\n", "a.txt")
    assert isinstance(quiet, Conflicts)
    assert quiet.marked is None
    marked = merge(b"a\n", b"b\n", b"c\n", "a.txt", markers=True)
    assert isinstance(marked, Conflicts)
    assert marked.marked == b"<<<<<<< ours\nb\n||||||| base\na\n=======\nc\n>>>>>>> theirs\n"


def test_without_git_the_answer_is_the_same_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in diff3 steps in, recorded."""
    # shows: X3 N19
    base, ours, theirs = b"1\n2\n3\n4\n5\n", b"1\n2x\n3\n4\n5\n", b"1\n2\n3\n4\n5y\n"
    with_git = merge(base, ours, theirs, "a.txt")
    monkeypatch.setattr(process, "DEFAULT_PATH", "/nonexistent")
    without = merge(base, ours, theirs, "a.txt")
    assert isinstance(with_git, Merged)
    assert isinstance(without, Merged)
    assert without.content == with_git.content == b"1\n2x\n3\n4\n5y\n"
    assert with_git.steps_down == ()
    assert "built-in diff3" in without.steps_down[0]


def test_a_users_git_configuration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration is read, so no driver of it is run and no style of it is used."""
    (tmp_path / ".gitconfig").write_text("[merge]\n\tconflictStyle = merge\n[core]\n\tpager = false\n[this is broken")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    result = merge(b"1\n2\n3\n", b"1x\n2\n3\n", b"1\n2\n3y\n", "a.txt")
    assert isinstance(result, Merged)
    assert result.content == b"1x\n2\n3y\n"


def test_a_large_file_is_refused_only_where_both_changed_it() -> None:
    """One side alone is taken at any size."""
    large = b"x" * (merging.BYTES_MAX + 1)
    one_side = merge(b"a", large, b"a", "a.txt")
    assert isinstance(one_side, Merged)
    with pytest.raises(TooLarge) as refused:
        merge(b"a", large, b"b", "a.txt")
    assert refused.value.hint


def test_a_syntax_error_is_named_and_merged_by_lines() -> None:
    """The broken side is merged as text; where the result of two sound sides would be broken, it is a conflict."""
    # shows: N19
    base = b"a = 1\n\n\nb = 2\n\n\nc = 3\n"
    result = merge(base, base.replace(b"a = 1", b"a = (1"), base.replace(b"c = 3", b"c = 4"), "m.py")
    assert isinstance(result, Merged)
    assert result.how == "text"
    assert "ours does not parse" in result.steps_down[0]


def test_a_comment_that_cannot_be_kept_is_named() -> None:
    """Where clashing lines say the same values with two comments, the lost one is recorded."""
    base, ours, theirs = b"a = 1\n", b"a = 2 # ours\n", b"a = 2 # theirs\n"
    result = merge(base, ours, theirs, "a.toml")
    assert isinstance(result, Merged)
    assert result.content == ours
    assert result.steps_down == ("a comment is not in the result: # theirs",)


@settings(deadline=None, max_examples=60)
@given(st.lists(BAD_PATHS | ANYTHING, min_size=4, max_size=4))
def test_trees_at_senseless_places_get_a_typed_error(paths: list[Any]) -> None:
    """And nothing is made."""
    with pytest.raises(DaybreakError) as refused:
        merge_trees(*paths)
    assert refused.value.hint


def test_special_files_and_taken_places_are_refused(tmp_path: Path) -> None:
    """A pipe in a tree, a result that would overwrite something: a typed error and nothing written."""
    for side in ("base", "ours", "theirs"):
        (tmp_path / side).mkdir()
    sides = tmp_path / "base", tmp_path / "ours", tmp_path / "theirs"
    with pytest.raises(MergeRefused, match="is there already"):
        merge_trees(*sides, tmp_path / "ours")
    os.mkfifo(tmp_path / "ours" / "pipe")
    with pytest.raises(TreeUnreadable, match="special file"):
        merge_trees(*sides, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_is_merged_as_a_link_and_never_followed(tmp_path: Path) -> None:
    """A link to somewhere else is copied as it is; what it leads to is not read."""
    # shows: N19
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    for side in ("base", "ours", "theirs"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.txt").write_text("a")
    (tmp_path / "ours" / "link").symlink_to(secret)
    merge_trees(tmp_path / "base", tmp_path / "ours", tmp_path / "theirs", tmp_path / "out")
    assert os.readlink(tmp_path / "out" / "link") == str(secret)
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that cannot be written whole is not there at all."""
    # shows: N9
    for side in ("base", "ours", "theirs"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.txt").write_text(side)
    (tmp_path / "theirs" / "a.txt").write_text("base")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DaybreakError, match="No space left") as refused:
        merge_trees(tmp_path / "base", tmp_path / "ours", tmp_path / "theirs", tmp_path / "out")
    assert refused.value.code == "H233"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "ours", "theirs"]


def test_importing_costs_little() -> None:
    """libcst, ruamel.yaml and tomlkit wait until a file needs them."""
    # shows: X3
    code = (
        "import sys, daybreak.host.merge; print(*[m for m in ('libcst', 'ruamel.yaml', 'tomlkit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
