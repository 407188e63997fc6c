"""The ledger under kill -9 at every sync and write, and under power loss that forgets what was not synced."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.host import durable
from daybreak.ledger import Draft, Ledger, verify

STEP = StepDone(run="r", branch="", name="step", nth=0, args="", result=None)

WRITER = """
import sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger
root = Path(sys.argv[1])
with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock()) as ledger:
    for number in range(int(sys.argv[2])):
        step = StepDone(run="r", branch="", name="step", nth=number, args="", result="x" * 3000)
        (record,) = ledger.append([Draft("queue", step)])
        print(record.index, flush=True)
        if number % 5 == 4:
            ledger.sync_witness()
"""


def open_in(root: Path) -> Ledger:
    return Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock())


def whole(root: Path, acknowledged: int) -> None:
    """It opens, holds everything acknowledged, takes more, and verifies."""
    with open_in(root) as ledger:
        assert ledger.head().size > acknowledged
        ledger.append([Draft("queue", STEP)])
    found = verify(root / "ledger", keys=root / "keys", witness=root / "witness")
    assert found.problems == []
    assert found.events > acknowledged + 1


def killed_at(root: Path, call: str, when: int, signal_at: str = "SIGKILL") -> tuple[int, int]:
    """Run the writer, kill it at the n-th such system call; gives its status and the last acknowledged index."""
    command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal={signal_at}:when={when}"]
    done = subprocess.run(
        [*command, "-o", "/dev/null", sys.executable, "-c", WRITER, str(root), "12"], capture_output=True, text=True
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed here")
    lines = done.stdout.split()
    return done.returncode, int(lines[-1]) if lines else 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    ("call", "when"),
    [("fdatasync", n) for n in (1, 2, 3, 6, 9)]
    + [("fsync", n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)]
    + [("pwrite64", n) for n in (1, 2, 5, 9, 17, 33, 50)]
    + [("rename", n) for n in (1, 2, 3, 4)],
)
def test_nothing_acknowledged_is_lost_when_killed(tmp_path: Path, call: str, when: int) -> None:
    """Killed at a sync, a write or a rename, from the very first one of its creation on."""
    # shows: N4, N14
    status, acknowledged = killed_at(tmp_path, call, when)
    assert status in (-9, 137, 0), "killed, or there are no more such calls"
    whole(tmp_path, acknowledged)


def test_nothing_acknowledged_is_lost_when_killed_again_and_again(tmp_path: Path) -> None:
    """The same ledger, killed after some acknowledgement, opened and continued, many times."""
    # shows: N14
    acknowledged = 0
    random = Random(5)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), "1000"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(random.randrange(1, 30)):
            acknowledged = int(process.stdout.readline())
        process.kill()
        rest, _ = process.communicate()
        complete = rest.rpartition("\n")[0].split()
        acknowledged = int(complete[-1]) if complete else acknowledged
        with open_in(tmp_path) as ledger:
            assert ledger.head().size > acknowledged
    whole(tmp_path, acknowledged)


FOLDER = "the folder"


class Journal(apsw.VFS):
    """Writes down every write and sync, so that any power loss can be played."""

    def __init__(self) -> None:
        super().__init__("journal", "unix", makedefault=True)
        self.lines: list[tuple[str, str, Any]] = []

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _Journaled(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self.lines.append(("delete", Path(name).name, None))
        if sync:
            self.sync_folder(Path(name).parent)

    def sync_folder(self, folder: Path) -> None:
        """What was deleted before stays deleted."""
        durable.sync_folder(folder)
        self.lines.append(("sync", FOLDER, None))


class _Journaled(apsw.VFSFile):
    def __init__(self, journal: Journal, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._lines = journal.lines
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name

    def xLock(self, level: int) -> None:
        """A reading connection tries for the last lock when it closes, which the system refuses it: no error."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError from error

    def xWrite(self, data: Any, offset: int) -> None:
        self._lines.append(("write", self._name, (bytes(data), offset)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._lines.append(("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._lines.append(("sync", self._name, None))


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.unregister()


def after_power_loss(lines: list[tuple[str, str, Any]], random: Random) -> dict[str, bytearray]:
    """What is on the disk: all that was synced, and of the rest any part, torn anywhere."""
    disk: dict[str, bytearray] = {}
    waiting: dict[str, list[tuple[str, str, Any]]] = {}
    for what, name, detail in lines:
        if what == "sync":
            for late in waiting.pop(name, []):
                _apply(disk, *late)
        else:
            waiting.setdefault(FOLDER if what == "delete" else name, []).append((name, what, detail))
    for lates in waiting.values():
        for name, what, detail in lates:
            luck = random.random()
            if luck < 0.4:
                continue
            if what == "write" and luck < 0.6:
                data, offset = detail
                _apply(disk, name, what, (data[: random.randrange(len(data))], offset))
            else:
                _apply(disk, name, what, detail)
    return disk


def _apply(disk: dict[str, bytearray], name: str, what: str, detail: Any) -> None:
    if what == "delete":
        disk.pop(name, None)
        return
    file = disk.setdefault(name, bytearray())
    if what == "truncate":
        del file[detail:]
        file.extend(bytes(detail - len(file)))
        return
    data, offset = detail
    file.extend(bytes(max(0, offset - len(file))))
    file[offset : offset + len(data)] = data


def test_nothing_acknowledged_is_lost_when_the_power_goes(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsynced writes vanish, arrive torn or out of order, at random moments, also while the log is folded in."""
    # shows: N4, N14
    from daybreak.ledger import database

    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 12)
    monkeypatch.setattr(database, "sync_folder", journal.sync_folder)
    live = tmp_path / "live"
    marks: list[tuple[int, int, bytes]] = []
    with open_in(live) as ledger:
        for number in range(40):
            (record,) = ledger.append([Draft("queue", STEP), Draft(f"control:{number % 3}", STEP)])[1:]
            if number % 4 == 0:
                ledger.sync_witness()
            marks.append((len(journal.lines), record.index, (live / "witness" / "head").read_bytes()))
        lines = list(journal.lines)
    random = Random(11)
    assert any(what == "write" and name == "ledger.db" for what, name, _ in lines), "the log was folded in"
    for _ in range(40):
        at, acknowledged, head = random.choice(marks)
        extra = random.randrange(0, 8)
        disk = after_power_loss(lines[: at + extra], random)
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            root = Path(folder)
            shutil.copytree(live / "keys", root / "keys")
            for name in ("ledger", "witness"):
                (root / name).mkdir()
            (root / "witness" / "head").write_bytes(head)
            for name, data in disk.items():
                (root / "ledger" / name).write_bytes(data)
            whole(root, acknowledged)
