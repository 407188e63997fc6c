"""File transactions: what they do, what they refuse, and that nobody ever sees half of one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak.host import files as host_files
from daybreak.host.files import Transaction, transaction

WORK = ".daybreak-transaction"
OLD_NS = 1_000_000_000_000_000_000


def look(root: Path) -> dict[str, str | None]:
    """Every path below: its content, None for a folder."""
    return {
        place.relative_to(root).as_posix(): None if place.is_dir() else place.read_text() for place in root.rglob("*")
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two files, one of them in a folder."""
    place = tmp_path / "root"
    (place / "sub").mkdir(parents=True)
    (place / "a").write_text("a")
    (place / "sub" / "b").write_text("b")
    return place


def test_all_kinds_of_changes_come_together(root: Path, tmp_path: Path) -> None:
    """Nothing is there before the block is left, everything afterwards, and nothing is left beside it."""
    # shows: X4 N4
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "page").write_text("page")
    before = look(root)
    with transaction(root) as files:
        files.write("new/file", "new")
        files.write("a", b"replaced")
        files.rename("sub/b", "c")
        files.put_folder("site", source)
        assert {path: text for path, text in look(root).items() if not path.startswith(WORK)} == before
        assert not files.committed
    assert files.committed
    assert look(root) == {
        "new": None,
        "new/file": "new",
        "a": "replaced",
        "sub": None,
        "c": "b",
        "site": None,
        "site/deep": None,
        "site/deep/page": "page",
    }


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_rolls_back(root: Path, error: type[BaseException]) -> None:
    """It goes on its way, and the files are as they were, to the inode and the nanosecond."""
    # shows: X4
    before, status = look(root), (root / "a").stat()
    with pytest.raises(error), transaction(root) as files:  # noqa: PT012 - the block is the point
        files.write("a", "new")
        files.delete("sub")
        raise error
    assert look(root) == before
    after = (root / "a").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (status.st_ino, status.st_mtime_ns, status.st_mode)
    assert not files.committed


@pytest.mark.parametrize(
    "content",
    [
        *(b"x\r\ny", bytearray(b"x\r\ny"), memoryview(b"x\r\ny"), memoryview(b"_x_\r_\n_y_")[1::2], "x\r\ny"),
        *(lambda: io.BytesIO(b"x\r\ny"), lambda: iter([b"x\r", bytearray(b"\n"), memoryview(b"y"), b""])),
    ],
)
def test_every_kind_of_content_arrives_byte_for_byte(root: Path, content: object) -> None:
    """Bytes, text, file objects, iterators: line ends stay."""
    with transaction(root) as files:
        files.write("a", content() if callable(content) else content)  # type: ignore[arg-type]
    assert (root / "a").read_bytes() == b"x\r\ny"


@pytest.mark.parametrize("content", [None, 3, object(), {"a": 1}, [1, 2], ["text"], io.StringIO("text"), "\ud800"])
def test_content_that_is_no_content_is_refused_and_changes_nothing(root: Path, content: object) -> None:
    """A typed error with a hint, and the block may go on without it."""
    # shows: P8
    with transaction(root) as files:
        with pytest.raises(host_files.ContentRefused) as caught:
            files.write("a", content)  # type: ignore[arg-type]
        assert caught.value.hint
        assert files.read("a") == b"a"
    assert (root / "a").read_text() == "a"


def test_an_error_of_the_source_stays_its_own(root: Path) -> None:
    """A generator that fails in the middle leaves no half file, even if the block goes on."""

    def failing() -> Iterator[bytes]:
        yield b"half"
        raise LookupError("the source broke")

    with transaction(root) as files:
        with pytest.raises(LookupError):
            files.write("a", failing())
        files.write("c", "c")
    assert look(root) == {"a": "a", "c": "c", "sub": None, "sub/b": "b"}


@pytest.mark.parametrize("write", ["transaction", "write_file"])
def test_a_system_error_of_the_source_is_not_taken_for_the_disks(root: Path, write: str) -> None:
    """The very OSError that the source raised comes out, and the file stays."""
    mine = OSError(28, "the source's own trouble")

    def failing() -> Iterator[bytes]:
        yield b"half"
        raise mine

    with pytest.raises(OSError) as caught:  # noqa: PT012 - the block is the point
        if write == "write_file":
            host_files.write_file(root / "a", failing())
        else:
            with transaction(root) as files:
                files.write("a", failing())
    assert caught.value is mine
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


def test_a_change_that_failed_halfway_is_never_committed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails in the middle of a rename, the caller swallows the error and goes on: nothing is lost."""
    # shows: X4 F16
    from daybreak.host.files.staged import Staged

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(host_files.FilesError, match="halfway"), transaction(root) as files:  # noqa: PT012 - the block
        files.write("c", "c")
        with monkeypatch.context() as patch:
            patch.setattr(Staged, "put", failing)
            with pytest.raises(host_files.FilesError, match="Input/output"):
                files.rename("a", "b")
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


def test_a_large_file_is_written_in_constant_memory(root: Path) -> None:
    """64 MiB from an iterator and from a file cost no more memory than the pieces."""
    # shows: X4
    program = """
import resource, sys
from daybreak.host.files import transaction
def pieces():
    for number in range(64):
        yield bytes(1 << 20)
with transaction(sys.argv[1]) as files:
    files.write("warm", b"x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with transaction(sys.argv[1]) as files:
    files.write("big", pieces())
    with files.open("big") as big:
        files.write("copy", big)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True)
    assert (root / "copy").stat().st_size == 64 << 20
    assert int(done.stdout) < 8 * 1024, "KiB more than before"


def test_what_is_staged_can_be_read(root: Path, tmp_path: Path) -> None:
    """Reading sees the transaction's own changes, also inside folders that it has put or renamed."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "page").write_text("page")
    with transaction(root) as files:
        assert files.read("a") == b"a"
        files.write("a", "changed")
        files.rename("a", "c")
        files.put_folder("site", source)
        files.write("site/extra", "extra")
        files.rename("sub", "moved")
        assert files.read("c") == b"changed"
        assert files.read("site/page") + files.read("site/extra") == b"pageextra"
        assert files.read("moved/b") == b"b"
        assert [files.exists(path) for path in ("a", "c", "sub", "sub/b", "site", "moved")] == [
            *(False, True, False, False, True, True)
        ]
        for gone in ("a", "sub/b", "nothing"):
            with pytest.raises(host_files.NotThere):
                files.read(gone)
        with pytest.raises(host_files.NotThere, match="is a folder"):
            files.read("site")
    assert look(root)["site/extra"] == "extra"


def test_a_replaced_file_keeps_its_permissions_and_a_renamed_one_its_times(root: Path) -> None:
    """Mode on replace; mode and times on rename; times on replace if asked for; any mode if asked for."""
    # shows: X4
    for name in ("a", "sub/b"):
        (root / name).chmod(0o604)
        os.utime(root / name, ns=(OLD_NS, OLD_NS))
    with transaction(root) as files:
        files.write("a", "new")
        files.rename("sub/b", "b")
        files.write("mine", "m", mode=0o600)
    assert (root / "a").stat().st_mode & 0o777 == 0o604
    assert (root / "a").stat().st_mtime_ns > OLD_NS, "new content is new to every tool that looks at times"
    assert (root / "b").stat().st_mode & 0o777 == 0o604
    assert (root / "b").stat().st_mtime_ns == OLD_NS
    assert (root / "mine").stat().st_mode & 0o777 == 0o600
    os.utime(root / "a", ns=(OLD_NS, OLD_NS))
    with transaction(root) as files:
        files.write("a", "newer", keep_times=True)
    assert (root / "a").stat().st_mtime_ns == OLD_NS


def test_attributes_of_a_replaced_file_are_kept(root: Path) -> None:
    """The user's own attributes survive a replacement."""
    try:
        os.setxattr(root / "a", "user.colour", b"red")
    except OSError:
        pytest.skip("this file system has no user attributes")
    with transaction(root) as files:
        files.write("a", "new")
    assert os.getxattr(root / "a", "user.colour") == b"red"


def test_names_can_be_swapped_and_rotated(root: Path) -> None:
    """Renames in a circle end where they should, files and whole folders."""
    (root / "c").write_text("c")
    (root / "new").mkdir()
    (root / "new" / "b").write_text("new b")
    with transaction(root) as files:
        files.rename("a", "t")
        files.rename("c", "a")
        files.rename("t", "c")
        files.rename("sub", "old")
        files.rename("new", "sub")
    assert look(root) == {"a": "c", "c": "a", "old": None, "old/b": "b", "sub": None, "sub/b": "new b"}


def test_a_file_may_become_a_folder_and_a_folder_a_file(root: Path) -> None:
    """Deleting frees the name for the other kind."""
    with transaction(root) as files:
        files.delete("a")
        files.write("a/inside", "1")
        files.delete("sub")
        files.write("sub", "2")
    assert look(root) == {"a": None, "a/inside": "1", "sub": "2"}


def test_two_names_of_one_file_are_dealt_with(root: Path) -> None:
    """Renaming a file over another name of itself loses nothing."""
    os.link(root / "a", root / "again")
    with transaction(root) as files:
        files.rename("a", "again")
        files.write("sub/b", "new")
    assert look(root) == {"again": "a", "sub": None, "sub/b": "new"}


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda files: files.delete("no"), host_files.NotThere),
        (lambda files: files.rename("no", "b"), host_files.NotThere),
        (lambda files: files.read("no"), host_files.NotThere),
        (lambda files: files.write("sub", "x"), host_files.AlreadyThere),
        (lambda files: files.write("a/b", "x"), host_files.AlreadyThere),
        (lambda files: files.rename("sub", "a"), host_files.AlreadyThere),
        (lambda files: files.rename("a", "sub"), host_files.AlreadyThere),
        (lambda files: files.rename("sub", "sub/deeper"), host_files.PathRefused),
        (lambda files: files.put_folder("a", "/"), host_files.ContentRefused),
        (lambda files: files.put_folder("x", "/no/such/folder"), host_files.NotThere),
        (lambda files: files.put_folder("x", 3), host_files.ContentRefused),
        (lambda files: files.put_folder("x", "a\0b"), host_files.NotThere),
        (lambda files: files.write("a", "x", mode=-1), host_files.ContentRefused),
        (lambda files: files.write("a", "x", mode="rw"), host_files.ContentRefused),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(root: Path, act: object, error: type[Exception]) -> None:
    """A typed error at once, and the rest of the transaction is committed."""
    # shows: P8
    assert callable(act)
    with transaction(root) as files:
        with pytest.raises(error):
            act(files)
        files.write("c", "c")
    assert look(root) == {"a": "a", "c": "c", "sub": None, "sub/b": "b"}


def test_folder_renames_that_could_not_be_undone_are_refused(root: Path) -> None:
    """What was renamed as a whole stays where it went, for this transaction."""
    with transaction(root) as files:
        files.rename("sub", "deep/once")
        for act in (
            lambda: files.rename("deep/once", "twice"),
            lambda: files.rename("deep", "other"),
            lambda: files.delete("deep"),
            lambda: files.put_folder("deep", root / "sub"),
        ):
            with pytest.raises(host_files.TooTangled):
                act()
    assert look(root) == {"a": "a", "deep": None, "deep/once": None, "deep/once/b": "b"}


def test_an_empty_transaction_touches_nothing(root: Path) -> None:
    """Entering and leaving leaves no trace, not even in the folder's time."""
    before = root.stat().st_mtime_ns
    with transaction(root) as files:
        pass
    assert files.committed
    assert root.stat().st_mtime_ns == before


def test_a_transaction_works_only_inside_its_block(root: Path) -> None:
    """Before, after, twice, and from another thread: refused."""
    files = transaction(root)
    with pytest.raises(host_files.TransactionOver):
        files.write("x", "x")
    refused: list[BaseException] = []

    def elsewhere() -> None:
        try:
            files.write("x", "x")
        except host_files.TransactionOver as error:
            refused.append(error)

    with files:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with pytest.raises(host_files.TransactionOver), files:
            pass
    assert refused
    with pytest.raises(host_files.TransactionOver):
        files.write("x", "x")
    with pytest.raises(host_files.TransactionOver), files:
        pass
    with pytest.raises(ZeroDivisionError), transaction(root) as failed:
        raise ZeroDivisionError
    with pytest.raises(host_files.TransactionOver), failed:
        pass


@pytest.mark.parametrize("wait_s", [float("nan"), "1", None])
def test_a_wait_that_is_no_time_is_refused(root: Path, wait_s: Any) -> None:
    """Also the one that would never end."""
    # shows: P8
    with pytest.raises(host_files.RootUnusable, match="seconds"), transaction(root, wait_s=wait_s):
        pass


def test_a_forked_child_that_leaves_the_block_changes_nothing(root: Path) -> None:
    """Only the process that entered a transaction ends it."""
    with transaction(root) as files:
        files.write("a", "new")
        child = os.fork()
        if child == 0:
            try:
                files.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert (root / "a").read_text() == "a"
    assert (root / "a").read_text() == "new"


def test_a_folder_of_any_depth_and_permissions_can_be_deleted(root: Path) -> None:
    """Deeper than Python's stack and than a path may be long, with folders that nobody may read."""
    folder = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deeper", dir_fd=folder)
        above, folder = folder, os.open("deeper", os.O_RDONLY, dir_fd=folder)
        os.close(above)
    os.close(os.open("file", os.O_CREAT, dir_fd=folder))
    os.close(folder)
    (root / "sub" / "closed" / "inner").mkdir(parents=True)
    (root / "sub" / "closed").chmod(0)
    (root / "sub").chmod(0o555)
    with transaction(root) as files:
        files.delete("deeper")
        files.delete("sub")
    assert look(root) == {"a": "a"}


# -- others


def test_two_transactions_in_one_root_exclude_each_other(root: Path) -> None:
    """The second is told who is at work, or waits; locks end with their owner."""
    # shows: X4
    with transaction(root) as files:
        files.write("a", "first")
        with pytest.raises(host_files.RootBusy, match=str(os.getpid())), transaction(root):
            pass
        with pytest.raises(host_files.RootBusy):
            host_files.recover(root)
        with transaction(root / "sub") as other:  # another root: locks are per root
            other.write("b", "other")
    with transaction(root) as files:
        assert files.read("a") == b"first"


def test_a_transaction_waits_its_turn_if_asked_to(root: Path) -> None:
    """Ten threads count in one file, each in transactions of its own: nothing is lost."""
    (root / "count").write_text("0")
    problems: list[BaseException] = []

    def count() -> None:
        try:
            for _ in range(3):
                with transaction(root, wait_s=60) as files:
                    files.write("count", str(int(files.read("count")) + 1))
        except BaseException as error:  # noqa: BLE001 - shown below
            problems.append(error)

    threads = [threading.Thread(target=count) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert (root / "count").read_text() == "30"


def test_readers_see_each_file_whole_at_every_moment(root: Path) -> None:
    """While files are replaced again and again, every read gives one of a file's versions, never nothing."""
    # shows: N4
    size = 100_000
    names = ("a", "b", "c")
    with transaction(root) as files:
        for name in names:
            files.write(name, b"0" * size)
    done = threading.Event()
    wrong: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            for name in names:
                try:
                    content = (root / name).read_bytes()
                except FileNotFoundError:
                    wrong.append(f"{name} was not there")
                    continue
                reads += 1
                if len(content) != size or len(set(content)) != 1:
                    wrong.append(f"{name} was mixed")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(30):
            with transaction(root) as files:
                for name in names:
                    files.write(name, b"%d" % (turn % 10) * size)
                if turn % 3 == 0:
                    files.rename("a", "t")
                    files.rename("b", "a")
                    files.rename("t", "b")
    finally:
        done.set()
        reader.join()
    assert wrong == []
    assert reads > 30


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "a").write_text("theirs"),
        lambda root: (root / "a").unlink(),
        lambda root: (root / "sub" / "b").write_text("theirs"),
        lambda root: (root / "new").write_text("theirs"),
        lambda root: (root / "sub").rename(root / "elsewhere"),
        lambda root: ((root / "a").unlink(), (root / "a").mkdir()),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_change_by_somebody_else_is_never_overwritten(
    root: Path, monkeypatch: pytest.MonkeyPatch, spoil: object, *, late: bool
) -> None:
    """Before the commit, or in its very last moment: everything goes back, theirs stays, and the path is named."""
    # shows: N4
    from daybreak.host.files import applying

    assert callable(spoil)
    expected: dict[str, str | None] = {}

    def interfere() -> None:
        spoil(root)
        expected.update((path, text) for path, text in look(root).items() if not path.startswith(WORK))

    real = applying.Applier.forward

    def forward(self: applying.Applier, steps: Any, pause: Any) -> None:
        if late:
            interfere()
        real(self, steps, pause)

    monkeypatch.setattr(applying.Applier, "forward", forward)
    with pytest.raises(host_files.ChangedMeanwhile), transaction(root) as files:  # noqa: PT012 - the block is the point
        files.write("a", "ours")
        files.delete("sub/b")
        files.write("new", "ours")
        if not late:
            interfere()
    assert look(root) == expected


def test_a_replaced_thing_can_be_looked_at_before_it_goes(root: Path) -> None:
    """`refuse` sees the old one when nobody reaches it by its name any more; what it raises rolls back."""

    class Keep(Exception):
        pass

    seen: list[str] = []

    def refuse(old: Path) -> None:
        assert (root / "a").read_text() == "new"
        seen.append(old.read_text())
        raise Keep

    with pytest.raises(Keep), Transaction(root, refuse=refuse) as files:  # noqa: PT012 - the block is the point
        files.write("a", "new")
        files.write("b", "b")
    assert seen == ["a"]
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


# -- the root


@pytest.mark.parametrize("wrong", ["", "/no/such/folder", "a\0b", None, 3, b"bytes", "\ud800", "x" * 5000])
def test_a_root_that_is_none_is_refused(wrong: object) -> None:
    """Whatever is given, a typed error with a hint."""
    # shows: P8
    for enter in (transaction, host_files.recover):
        with pytest.raises(host_files.RootUnusable) as caught, enter(wrong) as _:  # type: ignore[operator, arg-type]
            pass
        assert caught.value.hint


def test_a_root_that_is_a_file_is_refused(root: Path) -> None:
    """A file is no root, and stays."""
    with pytest.raises(host_files.RootUnusable), transaction(root / "a"):
        pass


def test_a_work_folder_that_is_not_ours_is_refused(root: Path, tmp_path: Path) -> None:
    """A symbolic link or a file of that name, put there by somebody, is neither followed nor removed."""
    # shows: P8 N9
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / WORK).symlink_to(outside)
    with pytest.raises(host_files.RootUnusable), transaction(root) as files:
        files.write("a", "x")
    assert list(outside.iterdir()) == []
    (root / WORK).unlink()
    (root / WORK).write_text("mine")
    with pytest.raises(host_files.RootUnusable), transaction(root):
        pass
    assert (root / WORK).read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_work_folder_of_a_stranger_is_not_trusted(root: Path) -> None:
    """In a folder that many may write, somebody else's record is not ours to carry out."""
    # shows: N9
    (root / WORK).mkdir()
    os.chown(root / WORK, 12345, 12345)
    with pytest.raises(host_files.RootUnusable, match="not a folder of ours"), transaction(root):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody else to be")
def test_a_folder_that_may_not_be_written_is_named(root: Path) -> None:
    """The error says that permissions are missing; nothing changes."""
    root.chmod(0o555)
    for parent in root.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    os.setresuid(65534, 65534, 0)
    try:
        with (
            pytest.raises(host_files.FilesError, match=r"cannot take a transaction|cannot be the root"),
            transaction(root) as files,
        ):
            files.write("a", "x")
    finally:
        os.setresuid(0, 0, 0)
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


@pytest.mark.parametrize("looked", ["read", "exists"])
def test_what_was_changed_after_it_was_looked_at_is_not_overwritten(tmp_path: Path, looked: str) -> None:
    """A counter that is read, and written one higher, loses nobody's count in between."""
    # shows: N4
    (tmp_path / "counter").write_text("1")
    with pytest.raises(host_files.ChangedMeanwhile, match="counter"), transaction(tmp_path) as files:  # noqa: PT012 - the block is the point
        getattr(files, looked)("counter")
        (tmp_path / "new").write_text("7")
        (tmp_path / "new").rename(tmp_path / "counter")
        files.write("counter", "2")
    assert (tmp_path / "counter").read_text() == "7"


def test_what_came_after_it_was_not_there_is_not_overwritten(tmp_path: Path) -> None:
    """`exists` said no; somebody made it since."""
    # shows: N4
    with pytest.raises(host_files.ChangedMeanwhile, match="late"), transaction(tmp_path) as files:  # noqa: PT012 - as above
        assert not files.exists("late")
        (tmp_path / "late").write_text("theirs")
        files.write("late", "ours")
    assert (tmp_path / "late").read_text() == "theirs"
