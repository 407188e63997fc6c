"""The ledger under kill -9 at every sync and write, and under power loss that forgets what was not synced."""

from __future__ import annotations

import os
import shutil
import signal
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

pytestmark = pytest.mark.on_disk

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


@pytest.mark.parametrize("states", [40, pytest.param(1_000, marks=pytest.mark.chaos)])
def test_nothing_acknowledged_is_lost_when_the_power_goes(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, states: int
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
    for _ in range(states):
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


def acknowledging(root: Path, number: int, count: int) -> int:
    """A process that appends and writes down, in one system call each, what it was told is durable; its id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            told = os.open(root / f"told-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open_in(root) as ledger:
                for turn in range(count):
                    step = StepDone(run="r", branch="", name="step", nth=turn, args="", result="x" * (turn % 7) * 700)
                    own, shared = (
                        Draft(f"control:{number}", step, idem=f"{number}/{os.getpid()}/{turn}"),
                        Draft("queue", step),
                    )
                    records = ledger.append([own, shared])
                    os.write(told, f"{records[0].index} {records[0].hash.hex()}\n".encode())
            status = 0
        finally:
            os._exit(status)
    return pid


@pytest.mark.parametrize(("rounds", "count"), [(1, 12), pytest.param(12, 60, marks=pytest.mark.chaos)])
def test_eight_processes_append_at_once_and_some_are_killed(tmp_path: Path, rounds: int, count: int) -> None:
    """Batches alternate; chain, tree and head stay right; whatever anybody was told is there, at its place."""
    # shows: N4 N14
    open_in(tmp_path).close()
    random = Random(3)
    died = 0
    for _ in range(rounds):
        pids = {number: acknowledging(tmp_path, number, count) for number in range(8)}
        doomed = random.sample(sorted(pids), 4)
        for number in doomed:
            told = tmp_path / f"told-{number}"
            enough = (told.stat().st_size if told.exists() else 0) + random.randrange(0, count // 2) * 60
            while not (told.exists() and told.stat().st_size >= enough):
                if os.waitid(os.P_PID, pids[number], os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    break
                os.sched_yield()
            os.kill(pids[number], signal.SIGKILL)
        ends = {number: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for number, pid in pids.items()}
        assert all(ends[number] == 0 for number in ends if number not in doomed), ends
        died += sum(status == -signal.SIGKILL for status in ends.values())
    assert died > 0
    with open_in(tmp_path) as ledger:
        hashes = {record.index: record.hash.hex() for record in ledger.read_all()}
        ledger.append([Draft("queue", STEP)])
    acknowledged = 0
    for number in range(8):
        for line in (tmp_path / f"told-{number}").read_text().splitlines():
            index, digest = line.split()
            assert hashes[int(index)] == digest
            acknowledged += 1
    assert acknowledged >= rounds * 4 * count
    found = verify(tmp_path / "ledger", keys=tmp_path / "keys", witness=tmp_path / "witness")
    assert (found.problems, found.events) == ([], len(hashes) + 1)
