"""What is said to be on the disk has been synced, and at the right moment: before the step that relies on it.

A disk that keeps everything hides a sync that is missing. So here each `fsync` is written down with what it was for and
what the folder looked like then; a sync that does nothing, or is left out, or comes too late, is seen.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daybreak.host import durable
from daybreak.host.files import disk, put_folder, recover, sync_folder, system, transaction, write_file
from daybreak.host.files.paths import WORK
from daybreak.host.files.plain import PlainDisk

pytestmark = pytest.mark.on_disk

State = dict[str, int]
"""Relative path → number of the file, for everything below the root."""


@dataclass(frozen=True)
class Sync:
    ino: int
    size: int
    """Bytes of a file; 0 for a folder."""
    state: State
    """When it was synced."""

    def in_work(self, name: str) -> bool:
        return f"{WORK}/{name}" in self.state


def look(root: Path) -> State:
    return {".": root.stat().st_ino} | {
        place.relative_to(root).as_posix(): place.lstat().st_ino for place in root.rglob("*")
    }


def outside_work(state: State) -> State:
    return {path: ino for path, ino in state.items() if not path.startswith(WORK) and path != "."}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("a", "c", "d", "sub/b", "old/x"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text("before")
    return tmp_path / "root"


@pytest.fixture
def log(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sync]:
    """Every sync from now on."""
    syncs: list[Sync] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        syncs.append(Sync(status.st_ino, size, look(root)))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return syncs


@pytest.fixture(params=["descriptors", "paths"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both disks; the one for Windows is tried here."""
    if request.param == "paths":
        for name in ("transaction", "single", "folder"):
            monkeypatch.setattr(sys.modules[f"daybreak.host.files.{name}"], "open_disk", PlainDisk)
    return str(request.param)


def when(log: list[Sync], ino: int, state: Callable[[Sync], bool] = lambda _: True) -> bool:
    """Whether that was synced at such a moment."""
    return any(sync.ino == ino and state(sync) for sync in log)


# -- one file, one folder


def test_a_single_file_is_synced_before_it_gets_its_name_and_its_folder_after(
    root: Path, log: list[Sync], way: str
) -> None:
    """The content first, whole; then the name."""
    # shows: X4
    old = look(root)
    write_file(root / "a", b"after")
    new = look(root)
    assert [(one.ino, one.size) for one in log] == [(new["a"], 5), (new["."], 0)]
    assert log[0].state["a"] == old["a"]
    assert log[1].state["a"] == new["a"]


def test_the_ledgers_way_of_writing_syncs_the_same(root: Path, log: list[Sync]) -> None:
    """`write_synced` is the same write without an error of its own."""
    durable.write_synced(root / "a", b"after")
    new = look(root)
    assert [(one.ino, one.size, one.state["a"] == new["a"]) for one in log] == [
        (new["a"], 5, False),
        (new["."], 0, True),
    ]
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o600


def test_a_new_folder_is_synced_into_each_of_its_parents(root: Path, log: list[Sync]) -> None:
    """From the outside in, each after what it names was made; one that is there is not synced again."""
    durable.make_folder(root / "new" / "inner" / "most")
    state = look(root)
    assert [one.ino for one in log] == [state["."], state["new"], state["new/inner"]]
    assert all(path in sync.state for sync, path in zip(log, ("new", "new/inner", "new/inner/most"), strict=True))
    durable.make_folder(root / "new" / "inner")
    assert len(log) == 3


def test_syncing_a_folder_syncs_it(root: Path, log: list[Sync]) -> None:
    """By either name."""
    sync_folder(root / "sub")
    durable.sync_folder(root / "sub")
    assert [one.ino for one in log] == [look(root)["sub"]] * 2


# -- a transaction


def change(root: Path) -> None:
    """Of every kind: replace, make in a new folder, rename, remove, a whole folder."""
    with transaction(root) as files:
        files.write("a", "after!")
        files.write("new/e", "made")
        files.rename("c", "sub/c")
        files.delete("d")
        files.put_folder("old", root.parent / "source")


@pytest.fixture
def source(root: Path) -> Path:
    (root.parent / "source" / "deep").mkdir(parents=True)
    (root.parent / "source" / "deep" / "file").write_text("content of it")
    return root.parent / "source"


def before_all(old: State) -> Callable[[Sync], bool]:
    return lambda sync: outside_work(sync.state) == outside_work(old)


def after_all(new: State) -> Callable[[Sync], bool]:
    return lambda sync: outside_work(sync.state) == outside_work(new) and sync.in_work("intent")


def test_a_transaction_is_synced_at_each_of_its_turns(root: Path, source: Path, log: list[Sync], way: str) -> None:
    """Contents, then the record, then the changes, then that it is done; nothing is relied on before it is synced."""
    # shows: X4
    old = look(root)
    change(root)
    new = look(root)
    recorded = next(n for n, sync in enumerate(log) if sync.in_work("intent"))
    first = log[:recorded]
    for path, size in (("a", 6), ("new/e", 4), ("old/deep/file", 13)):  # the contents, whole, before the record
        assert any((sync.ino, sync.size) == (new[path], size) and before_all(old)(sync) for sync in first), path
    for path in ("old", "old/deep"):
        assert when(first, new[path], before_all(old)), path
    draft = next(sync for sync in first if sync.in_work("draft"))  # the record itself, before it gets its name
    assert draft.size > 100
    assert draft.ino == draft.state[f"{WORK}/draft"]
    for path in (WORK, "."):  # its name, before anything is changed
        ino = log[recorded].state[path]
        assert when(log, ino, lambda sync: sync.in_work("intent") and before_all(old)(sync)), path
    for path in (".", "new", "sub"):  # the changes, before the record goes
        assert when(log, new[path], after_all(new)), path
    work = log[recorded].state[WORK]
    assert when(log, work, lambda sync: sync.in_work("done")), "that it is done, before the old ones go"


def test_a_transaction_that_goes_back_is_synced_as_well(
    root: Path, source: Path, log: list[Sync], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the turn on the record says so, on the disk; what is put back is synced before the record goes."""
    old = look(root)
    fail_once_at(root, monkeypatch)
    with pytest.raises(Exception, match="could not be committed"):
        change(root)
    assert outside_work(look(root)) == outside_work(old)
    check_back(log, old)


def test_recovery_forward_is_synced(root: Path, source: Path, log: list[Sync], monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the record: the next one completes it, and syncs what it did before the record goes."""
    crash(root, monkeypatch)
    log.clear()
    assert recover(root).outcome == "forward"
    new = look(root)
    for path in (".", "new", "sub"):
        assert when(log, new[path], after_all(new)), path
    assert any(sync.in_work("done") and sync.ino == sync.state[WORK] for sync in log)


def test_recovery_back_is_synced(root: Path, source: Path, log: list[Sync], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be completed it is undone, with the same care."""
    old = look(root)
    crash(root, monkeypatch)
    log.clear()
    fail_once_at(root, monkeypatch)
    assert recover(root).outcome == "back"
    assert outside_work(look(root)) == outside_work(old)
    check_back(log, old)


def check_back(log: list[Sync], old: State) -> None:
    turned = [sync for sync in log if sync.in_work("back")]
    assert any(sync.ino == sync.state[WORK] and not before_all(old)(sync) for sync in turned), "the turn itself"
    for path in (".", "sub"):
        assert when(turned, old[path], before_all(old)), path
    assert any(sync.in_work("done") and sync.ino == sync.state[WORK] for sync in log)


def fail_once_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first change of `a` is done, the next step fails, and everything after that works."""
    from daybreak.host.files.applying import Applier

    swap, calls = Applier._swap, []

    def failing(self: Applier, step: Any) -> None:
        calls.append(step)
        if len(calls) == 3:
            raise OSError(5, "the disk is broken")
        swap(self, step)

    monkeypatch.setattr(Applier, "_swap", failing)


class Crash(BaseException):
    """The machine stops."""


def crash(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after the record is on the disk, and nobody undoes anything."""
    from daybreak.host.files.applying import Applier
    from daybreak.host.files.transaction import Transaction

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "forward", lambda *_: (_ for _ in ()).throw(Crash))
        patch.setattr(Transaction, "_undo", lambda *_: None)
        with pytest.raises(Crash):
            change(root)


# -- a whole folder


def test_a_put_folder_is_synced_before_it_appears_and_its_parent_after(
    root: Path, source: Path, log: list[Sync]
) -> None:
    """Every file and folder of it while the old one is in its place; then the name."""
    # shows: F12
    old = look(root)
    put_folder(source, root / "old")
    new = look(root)
    for path in ("old", "old/deep", "old/deep/file"):
        assert when(log, new[path], lambda sync: sync.state["old"] == old["old"]), path
    file = next(sync for sync in log if sync.ino == new["old/deep/file"])
    assert file.size == 13
    assert when(log, new["."], lambda sync: sync.state["old"] == new["old"])


def test_a_folder_put_below_new_ones_has_synced_parents(root: Path, source: Path, log: list[Sync]) -> None:
    """Each folder that was made on the way."""
    put_folder(source, root / "one" / "two" / "out")
    new = look(root)
    assert when(log, new["."], lambda sync: "one" in sync.state)
    assert when(log, new["one"], lambda sync: "one/two" in sync.state)
    assert when(log, new["one/two"], lambda sync: "one/two/out" in sync.state)


def test_a_sync_that_the_disk_refuses_is_no_success(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever of its syncs: an error, and the file is old or new, never said to be written."""

    def failing(number: int) -> Callable[[int], None]:
        calls: list[int] = []

        def fsync(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == number:
                raise OSError(5, os.strerror(5))

        return fsync

    for number in (1, 2):
        monkeypatch.setattr(os, "fsync", failing(number))
        with pytest.raises(Exception, match="could not be written"):
            write_file(root / "a", f"{number}")


def test_all_syncs_go_through_one_door() -> None:
    """So that these tests see all of them, and macOS gets its own kind."""
    assert system.sync is durable.sync
    package = Path(disk.__file__).parent
    for module in package.glob("*.py"):
        assert "os.fsync" not in module.read_text(), module.name
