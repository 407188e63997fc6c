"""Snapshots under kill -9 and refusing disks at every kind of system call: a snapshot is whole or not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from daybreak.host.snapshots import Rule, Snapshot, Store

EVENING = datetime(2026, 3, 1, 22, tzinfo=UTC)

PROGRAM = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from daybreak.errors import DaybreakError
from daybreak.host.snapshots import Rule, Store, archive
archive.FRAME_BYTES = 60_000
what, root = sys.argv[1], Path(sys.argv[2])
store = Store(root / "store")
archive.library()
import apsw
print("ready", flush=True)
try:
    if what == "create":
        print(store.create({"notes": root / "notes"}, moment=datetime(2026, 3, 2, 22, tzinfo=UTC)).name)
    elif what == "unpack":
        store.unpack("newest", root / "back")
    else:
        store.prune(Rule(daily=1), datetime(2026, 3, 9, tzinfo=UTC))
except DaybreakError as error:
    print("refused", error.code, error.hint != "")
"""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def prepare(root: Path, snapshots: int = 1) -> tuple[Store, list[str]]:
    """Notes with a database, and so many snapshots of them, a day apart."""
    folder = root / "notes"
    folder.mkdir()
    connection = apsw.Connection(str(folder / "notes.db"))
    connection.execute("CREATE TABLE note (text)")
    connection.execute("INSERT INTO note VALUES (?)", ("x" * 50_000,))
    connection.close()
    for number in range(4):
        (folder / f"file{number}").write_bytes(bytes([number]) * 70_000)
    store = Store(root / "store")
    when = [EVENING - timedelta(days=day) for day in range(snapshots)]
    return store, sorted(store.create({"notes": folder}, moment=moment).name for moment in when)


def run(root: Path, what: str, call: str, inject: str) -> subprocess.CompletedProcess[str]:
    """The program with something injected into the n-th such call of the process."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{inject}"]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", PROGRAM, what, str(root)], capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed here")
    return done


def whole(store: Store) -> list[str]:
    """Everything that is listed can be read back."""
    found = store.snapshots()
    for one in found:
        assert isinstance(one, Snapshot), one
        store.verify(one.name)
    return [one.name for one in found]


CREATE = (
    [("rename", n) for n in (1, 2)]
    + [("mkdir", n) for n in (1, 2)]
    + [("fsync", n) for n in (1, 2, 3, 4, 5)]
    + [("write", n) for n in (1, 2, 3, 4, 6, 8)]
    + [("pwrite64", n) for n in (1, 5)]
    + [("unlink", n) for n in (1, 2)]
    + [("rmdir", 1), ("unlinkat", 1)]
)


@pytest.mark.parametrize(("call", "when"), CREATE)
def test_a_snapshot_that_was_killed_is_not_there_or_is_whole(tmp_path: Path, call: str, when: int) -> None:
    """Killed at a rename, a sync, a write: the earlier one stays, the next run works and removes what was left."""
    # shows: N15
    store, names = prepare(tmp_path)
    done = run(tmp_path, "create", call, f"signal=SIGKILL:when={when}")
    assert done.returncode in (0, -9, 137), done.stderr
    left = whole(store)
    assert names[0] in left
    assert len(left) <= 2
    store.create({"notes": tmp_path / "notes"}, moment=EVENING + timedelta(days=3))
    assert len(whole(store)) == len(left) + 1
    assert all(not path.name.startswith(".") for path in store.folder.iterdir())


REFUSALS = [
    (call, error, when)
    for call, numbers in (("fsync", (1, 2, 3, 4, 5)), ("rename", (1,)), ("pwrite64", (1, 5)), ("write", (3, 4, 5)))
    for error in ("EIO", "ENOSPC")
    for when in numbers
]


@pytest.mark.parametrize(("call", "error", "when"), REFUSALS)
def test_a_disk_that_refuses_is_named_and_nothing_is_left(tmp_path: Path, call: str, error: str, when: int) -> None:
    """An error of ours with a hint; the earlier snapshot stays, nothing half-made."""
    # shows: N15
    store, names = prepare(tmp_path)
    done = run(tmp_path, "create", call, f"error={error}:when={when}")
    assert done.returncode == 0, done.stderr
    if "refused" in done.stdout:
        assert ("H224" if error == "ENOSPC" else "H22") in done.stdout
        # After the rename it is there, and whole; only that its name is on disk could not be said.
        assert set(whole(store)) >= set(names)
    else:
        assert len(whole(store)) == 2, "the refused call was none of ours"
    assert all(not path.name.startswith(".") for path in store.folder.iterdir())


@pytest.mark.parametrize(
    ("call", "when"), [("rename", 1), ("mkdir", 2), ("fsync", 1), ("fsync", 4), ("openat", 178), ("chmod", 2)]
)
def test_a_killed_restore_leaves_no_half_folder(tmp_path: Path, call: str, when: int) -> None:
    """The target is whole or not there, and the next try succeeds and removes what was left."""
    # shows: N15
    store, _ = prepare(tmp_path)
    done = run(tmp_path, "unpack", call, f"signal=SIGKILL:when={when}")
    assert done.returncode in (0, -9, 137), done.stderr
    if (tmp_path / "back").exists():
        assert (tmp_path / "back" / "notes" / "file3").read_bytes() == b"\3" * 70_000
        shutil.rmtree(tmp_path / "back")
    store.unpack("newest", tmp_path / "back")
    assert (tmp_path / "back" / "notes" / "file3").read_bytes() == b"\3" * 70_000
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "store", "back"}


@pytest.mark.parametrize(("call", "when"), [("rename", n) for n in (1, 2, 3)] + [("unlink", n) for n in (1, 2, 3, 5)])
def test_killed_pruning_leaves_whole_snapshots_only(tmp_path: Path, call: str, when: int) -> None:
    """What goes is gone in one step."""
    # shows: N15
    store, names = prepare(tmp_path, 4)
    done = run(tmp_path, "prune", call, f"signal=SIGKILL:when={when}")
    assert done.returncode in (0, -9, 137), done.stderr
    assert names[-1] in whole(store)
    store.prune(Rule(daily=1), EVENING + timedelta(days=5))
    assert whole(store) == [names[-1]]
    assert [path.name for path in store.folder.iterdir()] == [names[-1]]
