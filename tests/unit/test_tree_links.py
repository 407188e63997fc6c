"""Trees with symbolic links, for those who ask for them; and a tree in the place of a folder."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host import tree
from daybreak.host.tree import folders, reading
from daybreak.host.tree import packed as packing

NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(packing._is_inside)
TARGETS = st.one_of(
    st.sampled_from(["/", ".", "..", "a", "/etc/passwd", "x" * 4095]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40),
)
ENTRIES = st.dictionaries(PATHS, st.one_of(st.tuples(st.binary(max_size=60), st.booleans()), TARGETS), max_size=6)


def write(folder: Path, entries: dict[str, tuple[bytes, bool] | str]) -> Path:
    """What fits of it: a name may be a folder of another one."""
    folder.mkdir(exist_ok=True)
    for path, what in entries.items():
        target = folder / path
        try:
            if any((folder / above).is_symlink() for above in [*_above(path), path]):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, str):
                target.symlink_to(what)
            else:
                target.write_bytes(what[0])
                target.chmod(0o755 if what[1] else 0o644)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    return folder


def files(folder: Path, told: dict[str, str]) -> Path:
    return write(folder, {path: (text.encode(), False) for path, text in told.items()})


def forged(*entries: tuple[bytes, bytes, int]) -> bytes:
    parts = [packing.HEAD.pack(len(name), len(content), kind) + name + content for name, content, kind in entries]
    return tree.MAGIC + zlib.compress(b"".join(parts))


@given(ENTRIES)
def test_links_are_packed_and_unpacked_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, tuple[bytes, bool] | str]
) -> None:
    """Wherever they lead: nothing is read through them, and each leads there again."""  # shows: N14
    folder = tmp_path_factory.mktemp("tree")
    source, target = write(folder / "source", entries), folder / "target"
    taken = tree.take(source, links=True)
    assert tree.check(taken.packed, taken.tree.hash, links=True) == taken.tree
    tree.unpack(taken.packed, target, taken.tree.hash, links=True)
    assert tree.take(target, links=True) == taken
    assert {one.path: os.readlink(target / one.path) for one in taken.tree.entries if one.link} == {
        one.path: os.readlink(source / one.path) for one in taken.tree.entries if one.link
    }


@given(ENTRIES)
def test_without_links_a_tree_is_the_same_whether_they_were_asked_for_or_not(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, tuple[bytes, bool] | str]
) -> None:
    """Bytes and hashes in ledgers stay what they are; and who did not ask for links gets none."""
    folder = tmp_path_factory.mktemp("tree")
    plain = write(folder / "plain", {path: what for path, what in entries.items() if not isinstance(what, str)})
    assert tree.take(plain) == tree.take(plain, links=True)
    both = write(folder / "both", entries)
    with_links = tree.take(both, links=True)
    if any(one.link for one in with_links.tree.entries):
        with pytest.raises(tree.NotATree, match="is a symbolic link"):
            tree.take(both)
        with pytest.raises(tree.PackDamaged, match="is a symbolic link"):
            tree.check(with_links.packed, with_links.tree.hash)
        with pytest.raises(tree.PackDamaged, match="is a symbolic link"):
            tree.unpack(with_links.packed, folder / "out")
        assert not list((folder / "out").iterdir())


def test_a_link_is_never_the_same_tree_as_a_file_with_the_same_bytes(tmp_path: Path) -> None:
    """Who knows no links, as an older Daybreak, finds another hash and refuses."""
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "a").symlink_to("target")
    hashes = {tree.scan(tmp_path / "link", links=True).hash}
    for name, executable in (("plain", False), ("executable", True)):
        hashes.add(tree.scan(write(tmp_path / name, {"a": (b"target", executable)})).hash)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").symlink_to("elsewhere")
    hashes.add(tree.scan(tmp_path / "other", links=True).hash)
    assert len(hashes) == 4


def test_what_a_link_leads_to_is_never_read(tmp_path: Path) -> None:
    """Neither a file nor a folder nor a circle: a link is its target's name, and counts as that."""  # shows: N14
    secret = files(tmp_path / "secret", {"key": "secret"})
    work = tmp_path / "work"
    work.mkdir()
    for name, target in (
        ("file", secret / "key"),
        ("folder", secret),
        ("round", "round"),
        ("nowhere", "nowhere-at-all"),
    ):
        (work / name).symlink_to(target)
    (work / ".venv").symlink_to(secret)
    taken = tree.take(work, links=True)
    assert [(one.path, one.link) for one in taken.tree.entries] == [
        ("file", True), ("folder", True), ("nowhere", True), ("round", True),
    ]  # fmt: skip
    plain = zlib.decompress(taken.packed[len(tree.MAGIC) :])
    assert plain.count(b"secret") == 2, "as part of the two targets"
    assert taken.tree.files == {}


@pytest.mark.parametrize("becomes", ["other", "file", "folder", "nothing"])
def test_a_link_that_changes_between_listing_and_reading_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    (tmp_path / "link").symlink_to("here")
    listed = reading._listed

    def changing(*asked: Any) -> object:
        found = listed(*asked)
        os.rename(tmp_path / "link", tmp_path / "was")
        match becomes:
            case "other":
                (tmp_path / "link").symlink_to("abcd")
            case "file":
                (tmp_path / "link").write_text("here")
            case "folder":
                (tmp_path / "link").mkdir()
        return found

    monkeypatch.setattr(reading, "_listed", changing)
    with pytest.raises(tree.NotATree, match="link changed while it was read"):
        tree.take(tmp_path, links=True)


def test_a_target_that_json_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    os.symlink(b"\xff\xfe", os.fsencode(tmp_path / "link"))
    with pytest.raises(tree.NotATree, match="link leads to what is not UTF-8") as caught:
        tree.take(tmp_path, links=True)
    json.loads(json.dumps(caught.value.message, ensure_ascii=False).encode())


def test_links_count_as_everything_else_does(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).symlink_to("x" * 10)
    for limits, told in ((tree.Limits(entries=2), "more than 2 files"), (tree.Limits(bytes=20), "at most 20 may be")):
        with pytest.raises(tree.NotATree, match=told):
            tree.scan(tmp_path, limits, links=True)
    packed = tree.take(tmp_path, links=True).packed
    with pytest.raises(tree.PackDamaged, match="more than 20 bytes"):
        tree.unpack(packed, tmp_path / "in", limits=tree.Limits(bytes=20), links=True)


def test_the_hint_of_a_folder_that_is_too_much_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(tree.NotATree) as caught:
        tree.scan(files(tmp_path / "a", {"a": "", "b": ""}), tree.Limits(entries=1, hint="carry less"))
    assert caught.value.hint == "carry less"


# -- packs that mean harm


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (forged((b"a", b"/etc", 2), (b"a/b", b"1", 0)), "a is a file and a folder"),
        (forged((b"a/b", b"1", 0), (b"a", b"/etc", 2)), "a is in it twice"),
        (forged((b"a", b"/etc", 2), (b"a/b", b"x", 2)), "a is a file and a folder"),
        (forged((b"a", b"/etc", 2), (b"a", b"1", 0)), "a is in it twice"),
        (forged((b"a", b"", 2)), "nothing that has a name"),
        (forged((b"a", b"x\0y", 2)), "nothing that has a name"),
        (forged((b"a", b"\xff", 2)), "not UTF-8"),
        (forged((b"a", b"x" * 4097, 2)), "at most 4,096 may be"),
        (forged((b"a", b"x" * 10_000_000, 2)), "at most 4,096 may be"),
        (forged((b"a", b"1", 3)), "of kind 3"),
        (forged((b"a", b"1", 255)), "of kind 255"),
    ],
)
def test_of_a_pack_with_links_that_is_wrong_anywhere_nothing_is_written(
    tmp_path: Path, packed: bytes, told: str
) -> None:
    """Everything is looked at before the first link is made."""  # shows: N14
    with pytest.raises(tree.PackDamaged, match=told):
        tree.unpack(packed, tmp_path / "in", links=True)
    assert list((tmp_path / "in").iterdir()) == []


def test_nothing_is_written_through_a_link_of_another_spelling(tmp_path: Path) -> None:
    """Where a file system takes two names for one, the second is refused there; here they are two."""
    victim = tmp_path / "victim"
    victim.mkdir()
    tree.unpack(forged((b"a", os.fsencode(victim), 2), (b"A/b", b"1", 0)), tmp_path / "in", links=True)
    assert not list(victim.iterdir())


@pytest.mark.parametrize("name", ["b", "c"])
def test_what_somebody_else_makes_meanwhile_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A link where a link or a folder is to be."""
    victim = tmp_path / "victim"
    victim.mkdir()
    real = folders.create_link

    def creates(at: folders.Place, called: str, target: str) -> None:
        if called == "a":
            (tmp_path / "in" / name).symlink_to(victim)
        real(at, called, target)

    monkeypatch.setattr(packing, "create_link", creates)
    with pytest.raises(tree.NotUnpacked):
        tree.unpack(forged((b"a", b"x", 2), (b"b", b"y", 2), (b"c/d", b"1", 0)), tmp_path / "in", links=True)
    assert not list(victim.iterdir())


def test_where_the_system_has_no_links_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to("x")
    packed = tree.take(work, links=True).packed
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", False)
    with pytest.raises(tree.NotATree, match="link is a symbolic link, which cannot be packed here"):
        tree.take(work, links=True)
    with pytest.raises(tree.NotUnpacked, match="link is a symbolic link, and this system makes none"):
        tree.unpack(packed, tmp_path / "in", links=True)
    assert list((tmp_path / "in").iterdir()) == []


# -- a tree in the place of a folder


def held(folder: Path) -> dict[str, str]:
    """Everything there, links themselves."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def replaced(tmp_path: Path) -> Callable[[Path, Path], dict[str, str]]:
    def go(folder: Path, fresh: Path) -> dict[str, str]:
        (tmp_path / "gone").mkdir()
        tree.replace(folder, fresh, tmp_path / "gone")
        assert not held(fresh)
        return held(folder)

    return go


Replaced = Callable[[Path, Path], dict[str, str]]


def test_what_no_tree_takes_stays_and_everything_else_is_replaced(tmp_path: Path, replaced: Replaced) -> None:
    """A tracked `.coverage` or `.pyc` was never on the node, so it was not removed there."""  # shows: N14
    old = files(
        tmp_path / "old",
        {
            ".git/HEAD": "ref", ".coverage": "c", "a": "1", "b": "2", "pkg/m.py": "1", "pkg/m.pyc": "p",
            "pkg/__pycache__/m.pyc": "q", "pkg/deep/er/.coverage": "d", "pkg/deep/er/x": "1", "tools/.venv/bin": "v",
            "gone/.coverage": "e", "gone/x": "1",
        },
    )  # fmt: skip
    fresh = files(tmp_path / "fresh", {"b": "3", "new/c": "4", "pkg/m.py": "5", "pkg/deep/er/y": "6"})
    assert replaced(old, fresh) == {
        ".git/HEAD": "ref", ".coverage": "c", "b": "3", "new/c": "4", "pkg/m.py": "5", "pkg/m.pyc": "p",
        "pkg/__pycache__/m.pyc": "q", "pkg/deep/er/.coverage": "d", "pkg/deep/er/y": "6", "tools/.venv/bin": "v",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["file", "link"])
def test_what_takes_the_place_of_a_folder_takes_all_of_it(tmp_path: Path, replaced: Replaced, place: str) -> None:
    """Also one that nobody elsewhere knew of."""
    old = files(tmp_path / "old", {"a/.coverage": "c", "a/x": "1", "only/.coverage": "d"})
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for name in ("a", "only"):
        (fresh / name).symlink_to("/etc") if place == "link" else (fresh / name).write_text("f")
    assert replaced(old, fresh) == dict.fromkeys(["a", "only"], "/etc" if place == "link" else "f")


def test_replacing_follows_no_link_on_either_side(tmp_path: Path, replaced: Replaced) -> None:
    """Links to folders of others, with and without such a folder on the other side."""  # shows: N14
    victim = files(tmp_path / "victim", {"x": "mine", ".coverage": "mine"})
    old, fresh = files(tmp_path / "old", {"b/.coverage": "c", "b/y": "1"}), files(tmp_path / "fresh", {"a/x": "1"})
    (old / "a").symlink_to(victim)
    (old / "b" / ".venv").symlink_to(victim)
    (fresh / "b").symlink_to(victim)
    assert replaced(old, fresh) == {"a/x": "1", "b": str(victim)}
    assert held(victim) == {"x": "mine", ".coverage": "mine"}
    assert (tmp_path / "old" / "a").is_dir()
    assert not (tmp_path / "old" / "a").is_symlink()


KEPT = st.sampled_from([".coverage", "m.pyc", "__pycache__"])
PLACES = st.lists(st.sampled_from(["a", "b"]), max_size=3).map(lambda names: "".join(f"{name}/" for name in names))
IGNORED_FILES = st.sets(st.builds(lambda place, name: f"{place}{name}", PLACES, KEPT), max_size=4)
FILES = st.dictionaries(
    st.builds(lambda place, name: f"{place}{name}", PLACES, st.sampled_from("abx")), TARGETS, max_size=5
)


@given(FILES, IGNORED_FILES, FILES)
def test_a_folder_that_was_replaced_is_that_tree_and_what_could_stay(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], ignored: set[str], after: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("replace")
    old, fresh = write(folder / "old", dict(before)), write(folder / "fresh", dict(after))
    write(old, dict.fromkeys(ignored, (b"kept", False)))
    (folder / "gone").mkdir()
    was, wanted, there = tree.scan(old, links=True), tree.scan(fresh, links=True), held(old)
    travelled = {parent for one in was.entries for parent in _above(one.path)}
    came = {parent for one in wanted.entries for parent in _above(one.path)}
    taken = {one.path for one in wanted.entries}
    tree.replace(old, fresh, folder / "gone")
    assert tree.scan(old, links=True) == wanted
    stays = {
        path
        for path in there
        if path in ignored
        and all((above in came or above not in travelled) and above not in taken for above in _above(path))
    }
    assert {path for path in held(old) if tree.is_ignored(Path(path).name)} == stays


def _above(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]


def test_by_paths_the_same_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: Replaced) -> None:
    """Where there are no descriptors of folders (Windows)."""
    old = files(tmp_path / "old", {"a/.coverage": "c", "a/x": "1", "b": "2"})
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", False)
    assert replaced(old, files(tmp_path / "fresh", {"a/y": "3"})) == {"a/.coverage": "c", "a/y": "3"}


def test_a_folder_that_is_asked_for_whole_leaves_out_its_history_alone(tmp_path: Path) -> None:
    """And it is another tree than without; who unpacks it has it whole."""  # shows: N14
    told = {".coverage": "c", ".venv/bin/python": "v", "a.py": "1", "pkg/__pycache__/m.pyc": "q", "x.pyc": "p"}
    folder = files(tmp_path / "a", {**told, ".git/HEAD": "ref", "pkg/.git": "gitdir: /"})
    taken = tree.take(folder, links=True, whole=True)
    assert [one.path for one in taken.tree.entries] == sorted(told)
    assert tree.take(folder).tree.files.keys() == {"a.py"}
    tree.unpack(taken.packed, tmp_path / "b", taken.tree.hash, links=True)
    assert held(tmp_path / "b") == told


def test_what_is_refused_of_a_pack_is_refused_before_anything_of_it_is_written(tmp_path: Path) -> None:
    taken = tree.take(files(tmp_path / "a", {"x": "1"}))

    def refuses(told: tree.Tree) -> None:
        raise tree.PackDamaged(told.entries[0].path, hint="")

    with pytest.raises(tree.PackDamaged, match="x"):
        tree.unpack(taken.packed, tmp_path / "b", refuse=refuses)
    assert not list((tmp_path / "b").iterdir())
