"""Folders as one thing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host import tree

NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: tree._is_inside(path)),
    st.tuples(st.binary(max_size=300), st.booleans()),
    max_size=6,
)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_the_same_files_have_the_same_hash_whenever_and_wherever_they_were_written(tmp_path: Path) -> None:
    """Times, order and place do not count; content, names and the executable bit do."""
    one = write(tmp_path / "one", {"a": b"1", "b/c": b"2"})
    other = write(tmp_path / "other", {"b/c": b"2", "a": b"1"})
    os.utime(other / "a", (1, 1))
    (other / "empty").mkdir()
    assert tree.scan(one).hash == tree.scan(other).hash
    assert tree.pack(one) == tree.pack(other)
    (other / "a").chmod(0o755)
    assert tree.scan(one).hash != tree.scan(other).hash


@pytest.mark.parametrize("change", [{"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}])
def test_any_difference_changes_the_hash(tmp_path: Path, change: dict[str, bytes]) -> None:
    """Another content, another name and one more file are another tree."""
    one = write(tmp_path / "one", {"a": b"1"})
    assert tree.scan(one).hash != tree.scan(write(tmp_path / "other", change)).hash


@given(FILES)
def test_what_is_packed_is_what_is_unpacked(tmp_path_factory: pytest.TempPathFactory, files: object) -> None:
    """Names in any script, any bytes and the executable bit survive."""
    folder = tmp_path_factory.mktemp("tree")
    source = folder / "source"
    source.mkdir()
    assert isinstance(files, dict)
    for path, (content, executable) in files.items():
        try:
            write(source, {path: content})
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # one name is a folder of another
        (source / path).chmod(0o755 if executable else 0o644)
    tree.unpack(tree.pack(source), folder / "target")
    assert tree.scan(folder / "target") == tree.scan(source)


def test_links_and_special_files_are_refused_by_name(tmp_path: Path) -> None:
    """What means something else elsewhere is not part of a tree."""
    # shows: F12
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(tree.NotATree, match="link is a symbolic link"):
        tree.scan(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(tree.NotATree, match="pipe is a special file"):
        tree.pack(tmp_path)


def test_what_tools_leave_behind_does_not_count(tmp_path: Path) -> None:
    """Caches change nothing."""
    write(tmp_path, {"a.py": b"x"})
    before = tree.scan(tmp_path)
    write(tmp_path, {"__pycache__/a.pyc": b"y", ".mypy_cache/z": b"z", ".coverage": b"c", "src/b.pyc": b"b"})
    assert tree.scan(tmp_path) == before


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../x", "a//b", "", "./a", "a/.."])
def test_a_pack_never_writes_outside_its_folder(tmp_path: Path, path: str) -> None:
    """A forged path is refused."""
    import zlib

    name = path.encode()
    forged = tree.MAGIC + zlib.compress(tree._HEAD.pack(len(name), 1, 0) + name + b"x")
    with pytest.raises(tree.PackDamaged):
        tree.unpack(forged, tmp_path / "in")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in"]


@given(st.data())
def test_damaged_packs_are_refused_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut or changed bytes are an error of their own, or by chance another valid tree."""
    folder = tmp_path_factory.mktemp("damaged")
    packed = bytearray(tree.pack(write(folder / "source", {"a": b"one" * 30, "b/c": b"two"})))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(packed)))
    with contextlib.suppress(tree.PackDamaged):
        tree.unpack(bytes(packed[:cut]), folder / "target")


def test_unpacking_over_something_is_refused(tmp_path: Path) -> None:
    """A folder with content is not overwritten."""
    packed = tree.pack(write(tmp_path / "source", {"a": b"1"}))
    write(tmp_path / "target", {"mine": b"1"})
    with pytest.raises(tree.PackDamaged, match="not empty"):
        tree.unpack(packed, tmp_path / "target")
