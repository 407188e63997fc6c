"""A real process and its real system calls: killed, interrupted and refused at each of them, from outside (strace)."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from daybreak.host.files import recover, transaction


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("files_scene", Path(__file__).with_name("files_scene.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scene = _load()
SCENE = Path(__file__).with_name("files_scene.py")
STRACE = shutil.which("strace")
CHANGING = (
    *("write", "fsync", "renameat2", "renameat", "rename", "linkat", "unlinkat", "mkdirat", "symlinkat", "fchmod"),
    *("utimensat", "copy_file_range", "fsetxattr", "fchown", "fchmodat", "ftruncate", "pwrite64", "fdatasync"),
)
"""Every system call that changes a disk and that a transaction might make; openat is dealt with apart."""
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is missing: faults cannot be injected")


def traced(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The scene's transaction under strace. Writing bytecode would add calls of its own."""
    command = [str(STRACE), "-f", "-qq", *options, sys.executable, "-B", str(SCENE), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed here")
    return done


def laid_out(place: Path) -> Path:
    root = place / "root"
    root.mkdir(parents=True)
    scene.lay_out(root)
    return root


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """For each call the numbers (first, last) of those that the transaction makes, counted as strace does."""
    root = laid_out(tmp_path_factory.mktemp("calls"))
    log = root.parent / "log"
    names = ",".join((*CHANGING, "openat"))
    assert traced(root, "-y", "-o", str(log), "-e", f"trace={names}").returncode == 0
    count: dict[str, int] = {}
    ours: dict[str, tuple[int, int]] = {}
    for line in log.read_text().splitlines():
        if not (found := re.match(r"(?:\d+ +)?(\w+)\(", line)):
            continue
        name = found[1]
        count[name] = count.get(name, 0) + 1
        if str(root) in line and (name != "openat" or "O_CREAT" in line):
            ours[name] = (ours.get(name, (count[name], 0))[0], count[name])
    assert {"write", "fsync", "renameat2", "linkat", "unlinkat", "mkdirat", "openat", "symlinkat"} <= set(ours)
    return ours


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, object]:
    """What the folder looks like before and after."""
    root = laid_out(tmp_path_factory.mktemp("states"))
    before = scene.look(root)
    assert traced(root, "-o", "/dev/null", "-e", "trace=none").returncode == 0
    return before, scene.look(root)


def some(numbers: range, every: int) -> Iterator[int]:
    """The first, the last, and every n-th between; with 0, the one in the middle."""
    yield from sorted({*numbers[::every], *numbers[-1:]}) if every else numbers[len(numbers) // 2 :][:1]


EVERY = [pytest.param(60, id="short"), pytest.param(1, id="all", marks=pytest.mark.chaos)]


@needs_strace
@pytest.mark.parametrize("every", EVERY)
def test_killed_at_any_system_call_recovery_gives_all_or_none(
    tmp_path: Path, calls: dict[str, tuple[int, int]], states: tuple[object, object], every: int
) -> None:
    """SIGKILL at each call that changes the disk, opening new files included: all is old, or all is new."""
    # shows: N4 X4 N14
    outcomes = []
    for name, (first, last) in calls.items():
        for when in some(range(first, last + 1), every):
            root = laid_out(tmp_path / f"{name}-{when}")
            done = traced(root, "-o", "/dev/null", "-e", f"inject={name}:signal=SIGKILL:when={when}")
            assert done.returncode in (137, -9), (name, when, done)
            recover(root)
            outcomes.append(scene.look(root))
            assert outcomes[-1] in states, (name, when)
            shutil.rmtree(root.parent)
    assert all(state in outcomes for state in states)


@needs_strace
@pytest.mark.parametrize(
    ("fault", "every"),
    [("ENOSPC", 0), *(pytest.param(fault, 1, marks=pytest.mark.chaos) for fault in ("ENOSPC", "EIO"))],
)
def test_a_refused_system_call_leaves_all_or_none_at_once(
    tmp_path: Path, calls: dict[str, tuple[int, int]], states: tuple[object, object], every: int, fault: str
) -> None:
    """No space or a failing disk at each call: a typed error and everything as before, without recovery; or, where it
    is the clean-up that fails, everything new."""
    # shows: N4 X4 N14
    before, after = states
    refused = 0
    for name, (first, last) in calls.items():
        for when in some(range(first, last + 1), every):
            root = laid_out(tmp_path / f"{name}-{when}")
            done = traced(root, "-o", "/dev/null", "-e", f"inject={name}:error={fault}:when={when}")
            assert done.returncode in (0, 7), (name, when, done.stderr)
            refused += done.returncode == 7
            if done.returncode == 0:
                recover(root)
            assert scene.look(root) == (after if done.returncode == 0 else before), (name, when)
            shutil.rmtree(root.parent)
    assert refused > 3


@needs_strace
@pytest.mark.parametrize(
    ("name", "status", "every"),
    [
        ("SIGTERM", 143, 0),
        *(pytest.param(*one, 1, marks=pytest.mark.chaos) for one in (("SIGTERM", 143), ("SIGINT", 130))),
    ],
)
def test_an_interrupt_at_any_system_call_leaves_all_or_none_at_once(
    tmp_path: Path, calls: dict[str, tuple[int, int]], states: tuple[object, object], every: int, name: str, status: int
) -> None:
    """SIGTERM and Ctrl-C at each call: the process ends as it should, nothing is half done, nothing lies beside."""
    # shows: N4 X4
    for call, (first, last) in calls.items():
        for when in some(range(first, last + 1), every):
            root = laid_out(tmp_path / f"{call}-{when}")
            done = traced(root, "-o", "/dev/null", "-e", f"inject={call}:signal={name}:when={when}")
            assert done.returncode == status, (call, when, done)
            assert scene.look(root) in states, (call, when)
            shutil.rmtree(root.parent)


COUNTED = """
import sys
from pathlib import Path
from daybreak.host.files import transaction
with transaction(sys.argv[1]) as files:
    for number in range(int(sys.argv[2])):
        files.write(f"{number % int(sys.argv[3])}/{number}", b"x")
"""


def syncs(root: Path, files: int, folders: int) -> int:
    """How often one transaction of so many files calls fsync or fdatasync, counted by the kernel's tracer."""
    root.mkdir()
    log = root.parent / f"{root.name}.log"
    command = [str(STRACE), "-f", "-qq", "-o", str(log), "-e", "trace=fsync,fdatasync,sync,syncfs,sync_file_range"]
    subprocess.run([*command, sys.executable, "-c", COUNTED, str(root), str(files), str(folders)], check=True)
    return len(log.read_text().splitlines())


@needs_strace
def test_a_transaction_syncs_each_file_once_and_each_folder_once(tmp_path: Path) -> None:
    """At most two syncs for each file, even if each has a folder of its own, and a constant of a few."""
    # shows: N4
    assert syncs(tmp_path / "few", 50, 1) == 50 + 2 + 4, (
        "the folder and its parent; the record, twice its folder, the root"
    )
    assert syncs(tmp_path / "spread", 50, 50) == 50 + 51 + 4
    assert syncs(tmp_path / "one", 1, 1) == 1 + 2 + 4


@needs_strace
def test_one_replaced_file_needs_two_syncs(tmp_path: Path) -> None:
    """A single rename is atomic by itself: the file and its folder, as by hand."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "0").mkdir()
    (tmp_path / "root" / "0" / "0").write_text("old")
    log = tmp_path / "log"
    command = [str(STRACE), "-f", "-qq", "-o", str(log), "-e", "trace=fsync,fdatasync"]
    subprocess.run([*command, sys.executable, "-c", COUNTED, str(tmp_path / "root"), "1", "1"], check=True)
    assert len(log.read_text().splitlines()) == 2
    assert (tmp_path / "root" / "0" / "0").read_text() == "x"


ASLEEP = """
import signal, sys, time
from daybreak.host.files import transaction
signal.signal(signal.SIGINT, signal.default_int_handler)
with transaction(sys.argv[1]) as files:
    files.write("a", "new")
    files.delete("b")
    print("inside", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", -2), ("SIGKILL", -9)])
def test_a_signal_inside_the_block_rolls_back(tmp_path: Path, name: str, status: int) -> None:
    """SIGTERM and Ctrl-C roll back at once; after SIGKILL the next one does; the lock is free in any case."""
    # shows: X4
    import signal

    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with subprocess.Popen(
        [sys.executable, "-c", ASLEEP, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(getattr(signal, name))
        assert process.wait() == status
    assert os.path.lexists(tmp_path / ".daybreak-transaction") == (name == "SIGKILL")
    with transaction(tmp_path) as files:
        assert files.recovered.outcome == ("cleaned" if name == "SIGKILL" else "nothing")
        assert files.read("a") + files.read("b") == b"ab"


def test_a_handler_that_raises_nothing_does_not_hide_a_rollback(tmp_path: Path) -> None:
    """The program swallows SIGTERM while the commit runs: it is rolled back, and Interrupted says so."""
    program = """
import os, signal, sys
from daybreak.host.files import Interrupted, transaction
from daybreak.host.files import applying
signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
real = applying.Applier.forward
def forward(self, steps, pause):
    os.kill(os.getpid(), signal.SIGTERM)
    real(self, steps, pause)
applying.Applier.forward = forward
try:
    with transaction(sys.argv[1]) as files:
        files.write("a", "new")
        files.write("b", "new")
except Interrupted as error:
    print(error.code, files.committed)
print(signal.getsignal(signal.SIGTERM).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "heard\nH165 False\n<lambda>\n"
    assert list(tmp_path.iterdir()) == []
