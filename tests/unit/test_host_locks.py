"""Locks that the kernel frees when their owner dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.errors import HostError
from daybreak.host import locks
from daybreak.testing.clock import FakeClock

HOLD = """
import sys, time
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.host import locks
held = locks.acquire(Path(sys.argv[1]), SystemClock())
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_is_held_names_its_owner(tmp_path: Path) -> None:
    """Another process is refused at once, and told who has it since when."""
    # shows: N5
    path = tmp_path / "locks" / "run.lock"
    with holder(path) as process:
        owner = locks.owner(path)
        assert owner is not None
        assert owner.pid == process.pid
        with pytest.raises(locks.LockHeld, match=f"process {process.pid} on") as refused:
            locks.acquire(path, FakeClock())
        assert refused.value.owner == owner
        process.communicate("")
    assert locks.owner(path) is None


def test_a_killed_owner_gives_its_lock_back(tmp_path: Path) -> None:
    """The file is still there and still names it, but nobody holds the lock."""
    # shows: N5 N14
    path = tmp_path / "run.lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert str(process.pid) in path.read_text()
    assert locks.owner(path) is None
    with locks.acquire(path, FakeClock()):
        owner = locks.owner(path)
        assert owner is not None
        assert owner.pid == os.getpid()


def test_a_lock_is_not_taken_twice_in_one_process(tmp_path: Path) -> None:
    """Not re-entrant; given back at the end of the block, and giving back twice does no harm."""
    path = tmp_path / "run.lock"
    held = locks.acquire(path, FakeClock())
    with pytest.raises(locks.LockHeld):
        locks.acquire(path, FakeClock())
    held.release()
    assert not path.exists()
    with locks.acquire(path, FakeClock()) as again:
        held.release()
        assert locks.owner(path) is not None
        again.release()
    assert locks.owner(path) is None


def test_a_program_that_the_owner_starts_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The descriptor is closed on exec, so a child that outlives its parent's lock does not hold it."""
    path = tmp_path / "run.lock"
    held = locks.acquire(path, FakeClock())
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        held.release()
        path.touch()
        assert locks.owner(path) is None
        child.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\x00\xff", '{"pid": 1}'])
def test_what_stands_in_the_file_is_never_believed(tmp_path: Path, text: str) -> None:
    """Nonsense in a free file is nobody; in a held one the lock is still held."""
    path = tmp_path / "run.lock"
    path.write_text(text)
    assert locks.owner(path) is None
    with locks.acquire(path, FakeClock()):
        path.write_text(text)
        assert locks.owner(path) is not None
        with pytest.raises(locks.LockHeld):
            locks.acquire(path, FakeClock())


def test_a_lock_on_a_removed_file_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner removes its file at release; who had opened that file just before must not think it holds the lock."""
    # shows: N5
    path = tmp_path / "run.lock"
    first = locks.acquire(path, FakeClock())
    lock = locks._lock

    def first_is_released_before(descriptor: int) -> bool:
        first.release()
        return lock(descriptor)

    monkeypatch.setattr(locks, "_lock", first_is_released_before)
    with locks.acquire(path, FakeClock()):
        assert locks.owner(path) is not None
        with pytest.raises(locks.LockHeld):
            locks.acquire(path, FakeClock())


def test_a_lock_where_none_can_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A folder that is a file."""
    # shows: P8
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"run\.lock"):
        locks.acquire(tmp_path / "file" / "run.lock", FakeClock())
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostError, match="folder"):
        locks.owner(tmp_path / "folder")
