"""Folders as one thing."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host import removal, tree
from daybreak.host.tree import folders, reading
from daybreak.host.tree import packed as packing

NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: packing._is_inside(path)),
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
    forged = tree.MAGIC + zlib.compress(packing.HEAD.pack(len(name), 1, 0) + name + b"x")
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


# -- folders that mean harm


def someone(folder: Path) -> Iterator[None]:
    """As a user without rights, `folder` being theirs; root reads everything."""
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


as_someone = contextlib.contextmanager(someone)


def at_open_of(name: str, trick: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Play `trick` once, just before `name` is opened."""
    real, left = os.open, [trick]

    def opens(path: object, *args: Any, **named: Any) -> int:
        if path == name and left:
            left.pop()()
        return real(path, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opens)


READERS = [tree.scan, tree.pack, tree.take]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_the_folder_is_not_followed(
    tmp_path: Path, read: Callable[[Path], object], there: bool
) -> None:
    """What a worker puts in the place of its workspace is never read."""
    # shows: F12
    if there:
        write(tmp_path / "victim", {"secret.txt": b"secret"})
    (tmp_path / "workspace").symlink_to(tmp_path / "victim")
    with pytest.raises(tree.NotATree, match="workspace cannot be read: is a symbolic link"):
        read(tmp_path / "workspace")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["missing", "file", "nul\0", "\ud800", "x" * 4096, "file/x"])
def test_what_is_no_folder_is_refused_with_a_hint(tmp_path: Path, read: Callable[[Path], object], name: str) -> None:
    """Nothing, a file and impossible paths are errors of our own."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(tree.NotATree) as caught:
        read(tmp_path / name)
    json.loads(json.dumps(caught.value.message, ensure_ascii=False).encode())


def test_a_folder_swapped_for_a_link_while_it_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and reading, a folder becomes a link to one with the same names."""
    work = write(tmp_path / "work", {"src/a.py": b"ours"})
    write(tmp_path / "victim", {"a.py": b"keys"})
    listed = reading._listed

    def swapping(*asked: Any) -> object:
        found = listed(*asked)
        (work / "src").rename(tmp_path / "was")
        (work / "src").symlink_to(tmp_path / "victim")
        return found

    monkeypatch.setattr(reading, "_listed", swapping)
    with pytest.raises(tree.NotATree, match=r"src/a\.py changed while it was read"):
        tree.take(work)


@pytest.mark.parametrize("becomes", ["link", "pipe", "longer", "shorter", "other", "nothing", "folder"])
def test_a_file_that_changes_between_listing_and_reading_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    """Whatever takes the place of a file that was listed is not read, and a pipe is not waited for."""
    work = write(tmp_path / "work", {"a.py": b"ours"})
    file = work / "a.py"
    (tmp_path / "secret").write_bytes(b"keys")
    (tmp_path / "other").write_bytes(b"mine")

    def trick() -> None:
        match becomes:
            case "link":
                file.unlink()
                file.symlink_to(tmp_path / "secret")
            case "pipe":
                file.unlink()
                os.mkfifo(file)
            case "longer":
                file.write_bytes(b"ours and more")
            case "shorter":
                file.write_bytes(b"o")
            case "other":
                (tmp_path / "other").rename(file)
            case "folder":
                file.unlink()
                file.mkdir()
            case "nothing":
                file.unlink()

    at_open_of("a.py", trick, monkeypatch)
    with pytest.raises(tree.NotATree, match=r"a\.py changed while it was read"):
        tree.take(work)


@pytest.mark.parametrize("grows", [True, False])
def test_a_file_that_changes_its_length_under_the_reader_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    """The bytes that were counted are the bytes that are read, no more and no fewer."""
    work = write(tmp_path, {"a": bytes(3 << 20)})
    real, left = os.read, [1]

    def reads(descriptor: int, size: int) -> bytes:
        if left:
            left.pop()
            os.truncate(work / "a", (4 << 20) if grows else (2 << 20))
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", reads)
    with pytest.raises(tree.NotATree, match="a changed while it was read"):
        tree.scan(work)


def test_what_is_taken_is_one_tree_however_often_the_folder_changes(tmp_path: Path) -> None:
    """The hash that `take` tells is the hash of what `unpack` writes."""
    taken = tree.take(write(tmp_path / "work", {"a": b"1", "b/c": b"2", "b-/c": b"3"}))
    write(tmp_path / "work", {"a": b"changed"})
    assert tree.unpack(taken.packed, tmp_path / "out", expected=taken.tree.hash) == taken.tree
    assert tree.scan(tmp_path / "out") == taken.tree


def test_the_format_of_a_pack_and_of_a_hash_stays(tmp_path: Path) -> None:
    """Bytes and hashes that ledgers hold are those of today."""
    import zlib

    work = write(tmp_path, {"b-/c": b"3", "b/c": b"2", "a": b"1" * 100})
    (work / "a").chmod(0o755)
    plain = b"".join(
        packing.HEAD.pack(len(name), len(content), executable) + name + content
        for name, content, executable in [(b"a", b"1" * 100, True), (b"b-/c", b"3", False), (b"b/c", b"2", False)]
    )
    assert tree.pack(work) == tree.MAGIC + zlib.compress(plain, level=6)
    assert tree.scan(work).hash == "230d3a93995450e8b05d152521eb1f8003119e26bc3d3f31009a4c99eacfcdb2"


def test_packing_holds_no_copies(tmp_path: Path) -> None:
    """24 MiB that cannot be compressed cost their packed bytes once, and what growing them takes."""
    write(tmp_path, {f"{number}.bin": os.urandom(8 << 20) for number in range(3)})
    tracemalloc.start()
    try:
        packed = tree.pack(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.3 * len(packed) + (4 << 20)


def test_apparent_size_is_counted_before_anything_is_read(tmp_path: Path) -> None:
    """A file of nothing but a hole, 4 TiB long, is refused at once, with the numbers."""
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(4 << 40)
    with pytest.raises(tree.NotATree, match=r"big\.bin the files are 4,398,046,511,104 bytes; at most 268,435,456"):
        tree.take(tmp_path)


@pytest.mark.parametrize(
    ("limits", "files", "told"),
    [
        (tree.Limits(entries=3), {"a": b"", "b/c": b"", "b/d": b""}, "more than 3 files and folders"),
        (tree.Limits(entries=3), {f"{n}.pyc": b"" for n in range(4)}, "more than 3 files and folders"),
        (tree.Limits(depth=2), {"a/b/c/d": b""}, "a/b/c is more than 2 folders deep"),
        (tree.Limits(bytes=3), {"a": b"12", "b": b"34"}, "are 4 bytes; at most 3 may be"),
        (tree.Limits(path_bytes=5), {"a/éé": b"", "ab/éé": b"x"}, "ab/éé is 7 bytes long; at most 5"),
    ],
)
def test_every_limit_is_told_with_its_number(
    tmp_path: Path, limits: tree.Limits, files: dict[str, bytes], told: str
) -> None:
    """One less is enough, one more is refused, before anything is read."""
    write(tmp_path, files)
    for path in files:
        (tmp_path / path).chmod(0)
    with pytest.raises(tree.NotATree, match=told) as caught:
        tree.scan(tmp_path, limits)
    assert caught.value.hint


def test_exactly_as_much_as_the_limits_say_is_a_tree(tmp_path: Path) -> None:
    """The limits themselves are allowed, for reading and for unpacking."""
    write(tmp_path / "work", {"a/b/ccc": b"123", "d": b"4"})
    limits = tree.Limits(entries=4, depth=2, bytes=4, path_bytes=7)
    assert len(tree.unpack(tree.pack(tmp_path / "work", limits), tmp_path / "out", limits=limits).entries) == 2


@pytest.mark.parametrize("name", ["a", "d" * 250])
def test_folders_deeper_than_any_path_are_refused(tmp_path: Path, name: str) -> None:
    """1,500 folders in one another, or names that no path can hold together, are a typed refusal."""
    with removal.scratch(tmp_path) as folder:
        at = os.open(folder, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir(name, dir_fd=at)
            at, old = os.open(name, os.O_RDONLY, dir_fd=at), at
            os.close(old)
        os.close(at)
        with pytest.raises(tree.NotATree, match=r"64 folders deep|bytes long; at most 1,024"):
            tree.take(folder)


def test_what_may_not_be_read_is_refused_by_name() -> None:
    """Folders and files without rights are a typed refusal."""
    with removal.scratch(Path(tempfile.gettempdir())) as folder, as_someone(folder):
        write(folder, {"closed/a": b"x"}).joinpath("closed").chmod(0)
        with pytest.raises(tree.NotATree, match="closed cannot be read: permission denied"):
            tree.scan(folder)
        (folder / "closed").chmod(0o700)
        (folder / "closed" / "a").chmod(0)
        with pytest.raises(tree.NotATree, match="closed/a cannot be read: permission denied"):
            tree.take(folder)


HOSTILE = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)


@given(HOSTILE, st.sampled_from(["link", "pipe", "file", "folder"]))
def test_no_message_carries_what_a_name_holds(tmp_path_factory: pytest.TempPathFactory, name: bytes, kind: str) -> None:
    """Any bytes as a name: a tree, or a message that a terminal and JSON can take."""
    folder = tmp_path_factory.mktemp("hostile")
    path = os.fsencode(folder) + b"/" + name
    match kind:
        case "link":
            os.symlink("/etc/passwd", path)
        case "pipe":
            os.mkfifo(path)
        case "file":
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        case "folder":
            os.mkdir(path)
    told = ""
    try:
        tree.take(folder)
    except tree.NotATree as error:
        told = error.message
    assert told.encode().decode().isprintable()
    assert removal.remove(folder).complete


@given(st.text(max_size=2000))
def test_a_shown_name_is_short_printable_and_utf8(name: str) -> None:
    """Whatever the name is."""
    told = tree.shown(name)
    assert told.isprintable()
    assert len(told.encode()) <= 2_100


# -- packs that mean harm


def forged(*files: tuple[bytes, bytes], more: bytes = b"") -> bytes:
    import zlib

    parts = [packing.HEAD.pack(len(name), len(content), 0) + name + content for name, content in files]
    return tree.MAGIC + zlib.compress(b"".join(parts) + more)


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (forged((b"good", b"x"), (b"a", b"1"), (b"a", b"2")), "a is in it twice"),
        (forged((b"good", b"x"), (b"a/b", b"1"), (b"a", b"2")), "a is in it twice"),
        (forged((b"good", b"x"), (b"a", b"1"), (b"a/b", b"2")), "a is a file and a folder"),
        (forged((b"good", b"x"), (b"/".join([b"d"] * 66), b"1")), "too long or too deep"),
        (forged((b"good", b"x"), (b"x" * 1025, b"1")), "too long or too deep"),
        (forged((b"good", b"x"), (b"x" * 5000, b"1")), "a path is too long"),
        (forged((b"good", b"x"), (b"\xff\xfe", b"1")), "not UTF-8"),
        (forged((b"good", b"x"), (b"..", b"1")), "path"),
        (forged((b"good", b"x"), (b"\x1b[2J/../\xc2\x85", b"1")), r"path '\\x1b\[2J/../\\x85'"),
        (forged((b"good", b"x"), more=b"\0"), "ends after the data"),
        (forged((b"good", b"x"), more=packing.HEAD.pack(1, 1 << 62, 0) + b"a"), "ends after the data"),
        (forged((b"good", b"x")) + b"more", "something follows its end"),
        (forged((b"good", b"x"))[:-3], "ends too early"),
        (forged(*((b"%d" % n, b"") for n in range(20_001))), "more than 20,000 files"),
        (b"", "not a packed tree"),
    ],
)
def test_of_a_pack_that_is_wrong_anywhere_nothing_is_written(tmp_path: Path, packed: bytes, told: str) -> None:
    """Everything is looked at before the first file is made."""
    with pytest.raises(tree.PackDamaged, match=told) as caught:
        tree.unpack(packed, tmp_path / "in")
    assert caught.value.message.isprintable()
    assert list((tmp_path / "in").iterdir()) == []


def test_a_small_pack_of_a_huge_tree_is_refused_in_little_memory(tmp_path: Path) -> None:
    """300 MiB of zeros in 300 KiB: refused, and never held."""
    import zlib

    packer = zlib.compressobj(1)
    packed = tree.MAGIC + packer.compress(packing.HEAD.pack(1, 300 << 20, 0) + b"a")
    packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(tree.PackDamaged, match="more than 268,435,456 bytes"):
            tree.unpack(packed, tmp_path / "in")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert list((tmp_path / "in").iterdir()) == []


def test_another_tree_than_was_expected_is_not_written(tmp_path: Path) -> None:
    """A pack that is whole but not the one of the event writes nothing."""
    taken = tree.take(write(tmp_path / "source", {"a": b"1"}))
    with pytest.raises(tree.PackDamaged, match="it holds tree"):
        tree.unpack(taken.packed, tmp_path / "in", expected="0" * 64)
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_unpacking_does_not_follow_a_link(tmp_path: Path, there: bool) -> None:
    """A link in the place of the target is refused, and what it leads to is not touched."""
    if there:
        (tmp_path / "victim").mkdir()
    (tmp_path / "target").symlink_to(tmp_path / "victim")
    with pytest.raises(tree.NotUnpacked):
        tree.unpack(forged((b"a", b"1")), tmp_path / "target")
    assert not list(tmp_path.glob("victim/*"))


def test_a_link_that_appears_while_a_pack_is_written_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder or file of the target that somebody else makes meanwhile stops the writing."""
    (tmp_path / "victim").mkdir()
    at_open_of("b", lambda: (tmp_path / "in" / "b").symlink_to(tmp_path / "victim" / "planted"), monkeypatch)
    with pytest.raises(tree.NotUnpacked):
        tree.unpack(forged((b"a", b"1"), (b"b", b"2")), tmp_path / "in")
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.parametrize("name", ["nul\0", "\ud800", "x" * 4096])
def test_a_target_that_cannot_be_is_a_typed_error(tmp_path: Path, name: str) -> None:
    """Impossible paths are errors of our own."""
    with pytest.raises(tree.NotUnpacked):
        tree.unpack(forged((b"a", b"1")), tmp_path / name)


def test_without_descriptors_of_folders_the_same_holds_for_programs_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way by paths (Windows) gives the same tree and bytes, refuses links, and unpacks."""
    work = write(tmp_path / "work", {"a": b"1", "b/c": b"2"})
    here = tree.take(work)
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", False)
    assert tree.take(work) == here
    tree.unpack(here.packed, tmp_path / "out", expected=here.tree.hash)
    (tmp_path / "link").symlink_to(work)
    with pytest.raises(tree.NotATree):
        tree.scan(tmp_path / "link")
    with pytest.raises(tree.PackDamaged):
        tree.unpack(forged((b"..\\x", b"1")), tmp_path / "other")
