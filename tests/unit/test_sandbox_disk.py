"""What the writable folders hold is found wherever it lies, and what cannot be looked at counts as too much."""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from daybreak.host.sandbox.child import disk

MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "work"
    made.mkdir()
    return made


def holdings(*folders: Path, mib: int = 1, files: int = 1000, processes: Iterable[int] = ()) -> disk.Holdings:
    return disk.Holdings([os.fsencode(path) for path in folders], mib * MIB, files, lambda: processes)


def descend(names: Iterable[str]) -> int:
    """Make folders in each other, without ever naming a long path; gives the deepest, to be closed."""
    fd = os.open(".", os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, as the current one; what is too deep for others to remove is removed."""
    monkeypatch.chdir(folder)
    yield folder
    os.chdir(folder.parent)
    shutil.rmtree(folder)  # goes by descriptors too


def test_little_is_little(folder: Path) -> None:
    """Neither bytes nor names, a granted file included, and what links lead to is not ours."""
    (folder / "a").write_bytes(b"x" * 1000)
    (folder / "link").symlink_to("/usr")
    single = folder.parent / "single"
    single.write_bytes(b"x" * 1000)
    assert not holdings(folder, single).too_full()
    assert holdings(folder, single, files=1).too_full()
    single.write_bytes(b"x" * 2 * MIB)
    assert holdings(folder, single).too_full()


def test_files_below_paths_that_cannot_be_named_are_counted(inside: Path) -> None:
    """A path of more than 4,096 bytes hides nothing."""  # shows: N9
    fd = descend(["d" * 250] * 20)
    assert not holdings(inside).too_full()
    with open(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as file:
        file.write(b"x" * 2 * MIB)
    os.close(fd)
    assert holdings(inside).too_full()


def test_folders_deeper_than_we_look_are_too_much(inside: Path) -> None:
    """A chain that no one can walk with a bounded number of descriptors is not taken for empty."""
    os.close(descend(["d"] * (disk.DEEPEST - 1)))
    assert not holdings(inside).too_full()
    os.rename("d", "e")
    os.mkdir("d")
    os.rename("e", "d/d")
    assert holdings(inside).too_full()


def test_holes_count_as_what_is_read_from_them(folder: Path) -> None:
    """Whoever reads the file later gets all of its length."""
    with open(folder / "sparse", "wb") as file:
        file.truncate(2 * MIB)
    assert holdings(folder).too_full()


def test_removed_files_count_while_they_are_open_or_mapped(folder: Path) -> None:
    """A file without a name takes as much room as one with."""  # shows: N9
    look = holdings(folder, processes=[os.getpid()])
    with open(folder / "file", "w+b") as file:
        file.write(b"x" * 2 * MIB)
        file.flush()
        (folder / "file").unlink()
        assert look.too_full()
        assert not holdings(folder).too_full()  # it is the process that shows it
        mapped = mmap.mmap(file.fileno(), 2 * MIB)
    with mapped:
        assert look.too_full()
    assert not look.too_full()


def test_a_folder_that_stays_unreadable_is_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs may try out what happens without rights, for a moment; a folder to hide in is not to be had."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    (folder / "closed").mkdir()
    look = holdings(folder)
    root = os.geteuid() == 0
    if root:
        for path in (folder, folder / "closed"):
            os.chown(path, 65534, -1)
        for path in folder.parents:
            if not path.stat().st_mode & 1:
                path.chmod(path.stat().st_mode | 0o011)
        os.seteuid(65534)
    try:
        (folder / "closed").chmod(0o300)
        assert not look.too_full()
        (folder / "closed").chmod(0o700)
        now[0] += 10
        assert not look.too_full()
        (folder / "closed").chmod(0o300)
        assert not look.too_full()
        now[0] += disk.UNSEEN_S * 1.01
        assert look.too_full()
    finally:
        (folder / "closed").chmod(0o700)
        if root:
            os.seteuid(0)


def test_what_goes_away_while_we_look_is_no_failure(folder: Path) -> None:
    """The folder itself, and a process."""
    assert not holdings(folder / "gone", processes=[2**22 + 1]).too_full()


@pytest.mark.parametrize(
    ("first", "later", "size", "below"),
    [
        (1000 * MIB, 65 * MIB, 10**6 * MIB, False),
        (1000 * MIB, 63 * MIB, 10**6 * MIB, True),
        (1000 * MIB, 11 * MIB, 1000 * MIB, False),
        (1000 * MIB, 9 * MIB, 1000 * MIB, True),
        (10 * MIB, 9 * MIB, 10**6 * MIB, False),
        (10 * MIB, 4 * MIB, 10**6 * MIB, True),
        (0, 0, 10**6 * MIB, False),
    ],
)
def test_some_of_the_disk_is_left(
    monkeypatch: pytest.MonkeyPatch, folder: Path, first: int, later: int, size: int, below: bool
) -> None:
    """The floor is 64 MiB or a hundredth, whichever is less, and half of what there was on a disk that was full."""
    room = [first]
    monkeypatch.setattr(
        os,
        "statvfs",
        lambda _: SimpleNamespace(f_bavail=room[0], f_bfree=room[0], f_blocks=size, f_frsize=1),
    )
    look = disk.below_floor(os.fsencode(folder))
    assert not look()
    room[0] = later
    assert look() == below
