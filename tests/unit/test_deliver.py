"""Delivery: whole or not at all, and never over anything of the user's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daybreak.factory import deliver
from daybreak.host import files as host_files

PROVENANCE = deliver.Origin(
    name="shelf",
    version="0.1.0",
    run="run-1",
    verified_at="2026-11-21T04:00:00.000000Z",
    worker="builder",
    specification="0" * 64,
    workspace="1" * 64,
    passed=["tests"],
    held_out=1,
)


def project(folder: Path, content: str = "one") -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "README.md").write_text(content)
    (folder / "src" / "a.py").write_text(content * 1000)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_delivery_is_complete_and_named_in_its_manifest(tmp_path: Path) -> None:
    """Every file arrives, and the manifest has its hash."""
    # shows: F12
    made = deliver.deliver(project(tmp_path / "work"), tmp_path / "out", PROVENANCE)
    assert set(made.files) == {"README.md", "src/a.py"}
    manifest = json.loads((tmp_path / "out" / deliver.MANIFEST).read_text())
    assert manifest["run"] == "run-1"
    assert deliver.changes(tmp_path / "out") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"], "nothing is left beside it"


def test_an_unchanged_delivery_is_exchanged(tmp_path: Path) -> None:
    """Ours and untouched: the new one takes its place whole."""
    deliver.deliver(project(tmp_path / "one", "one"), tmp_path / "out", PROVENANCE)
    deliver.deliver(project(tmp_path / "two", "two"), tmp_path / "out", PROVENANCE)
    assert (tmp_path / "out" / "README.md").read_text() == "two"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda out: (out / "README.md").write_text("mine"), "changed README.md"),
        (lambda out: (out / "notes.txt").write_text("mine"), "added notes.txt"),
        (lambda out: (out / "src" / "a.py").unlink(), "removed src/a.py"),
        (lambda out: (out / "link").symlink_to("/etc"), "symbolic link"),
    ],
)
def test_a_changed_delivery_is_left_alone(tmp_path: Path, spoil: object, says: str) -> None:
    """Whatever the user changed stays, and is named."""
    # shows: F12
    deliver.deliver(project(tmp_path / "one"), tmp_path / "out", PROVENANCE)
    assert callable(spoil)
    spoil(tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(deliver.ChangedSince, match=says):
        deliver.deliver(project(tmp_path / "two", "two"), tmp_path / "out", PROVENANCE)
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"format": 99, "files": {}}', '{"format": 1, "files": 3}'])
def test_a_folder_without_our_manifest_is_not_ours(tmp_path: Path, manifest: str | None) -> None:
    """Only a manifest of ours makes a folder replaceable."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    if manifest is not None:
        (tmp_path / "out" / deliver.MANIFEST).write_text(manifest)
    with pytest.raises(deliver.NotOurs):
        deliver.deliver(project(tmp_path / "work"), tmp_path / "out", PROVENANCE)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    """An empty target holds nothing of anybody's."""
    (tmp_path / "out").mkdir()
    deliver.deliver(project(tmp_path / "work"), tmp_path / "out", PROVENANCE)
    assert deliver.changes(tmp_path / "out") == []


def test_targets_that_cannot_work_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A file, a link, and a parent that is a file or a broken link are named."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    usual = (tmp_path / "file", tmp_path / "link", tmp_path / "file" / "out", tmp_path / "broken" / "out")
    for target in (*usual, tmp_path / ("a" * 4096), tmp_path.joinpath(*["a"] * 2500)):
        with pytest.raises(host_files.TargetUnusable):
            host_files.check_target(target)


def test_too_little_disk_is_refused_with_numbers(tmp_path: Path) -> None:
    """The error says how much is free and how much is needed."""
    with pytest.raises(host_files.NoRoom, match="MiB free"):
        host_files.check_target(tmp_path / "out", bytes_needed=2**60)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A refused write leaves the old bytes and nothing beside them."""
    # shows: X4
    path = tmp_path / "file"
    host_files.write_file(path, b"old")
    host_files.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(host_files.NotWritten, match="could not be written"):
        host_files.write_file(tmp_path / "no" / "file", b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


KILLED_DELIVERY = """
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from daybreak.host import files as host_files
host_files.put_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""
STRACE = shutil.which("strace")


def traced(fault: str, source: Path, target: Path) -> int:
    """Run a delivery with a fault injected into its system calls; the exit status (negative: a signal)."""
    command = [str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"]
    command += [sys.executable, "-c", KILLED_DELIVERY, str(source), str(target)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.skipif(STRACE is None, reason="strace is missing: faults cannot be injected into system calls")
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("call", ["rename,renameat2", "fsync"])
def test_killed_at_any_sync_or_rename_the_target_is_old_or_new(tmp_path: Path, call: str, *, exists: bool) -> None:
    """A delivery killed at its n-th such call leaves the old folder or the new one, and the next one cleans up."""
    # shows: F12 N4
    old, new = project(tmp_path / "old", "old"), project(tmp_path / "new", "new")
    killed = 0
    for number in range(1, 12):
        target = tmp_path / f"out-{number}"
        if exists:
            shutil.copytree(old, target)
        status = traced(f"{call}:signal=SIGKILL:when={number}", new, target)
        if status == 0:
            break
        assert status in (137, -9), status
        killed += 1
        assert (files(target) if target.exists() else None) in ((files(old) if exists else None), files(new))
        host_files.put_folder(new, target)
        assert files(target) == files(new)
        assert not list(tmp_path.glob(".out-*"))
    assert killed >= 1, "the fault was never injected"


@pytest.mark.skipif(STRACE is None, reason="strace is missing: faults cannot be injected into system calls")
@pytest.mark.parametrize(
    "fault", ["fsync:error=EIO:when=2", "renameat2:error=ENOSPC", "copy_file_range,sendfile:error=ENOSPC"]
)
def test_a_failing_disk_leaves_the_target_as_it_was(tmp_path: Path, fault: str) -> None:
    """EIO and ENOSPC are errors, and nothing is half there."""
    # shows: F12 N14
    old, new = project(tmp_path / "old", "old"), project(tmp_path / "new", "new")
    shutil.copytree(old, tmp_path / "out")
    assert traced(fault, new, tmp_path / "out") == 1
    assert files(tmp_path / "out") == files(old)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "out"]


@contextmanager
def nobody() -> Iterator[None]:
    """This process as a user without rights, where it is root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_parent_that_cannot_be_written_is_named() -> None:
    """The error names the folder that refuses."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with nobody(), pytest.raises(host_files.TargetUnusable, match="cannot be written"):
            host_files.check_target(Path(folder) / "missing" / "out")


def test_missing_parents_are_made(tmp_path: Path) -> None:
    """`--output out/shop` works in a folder without `out`."""
    target = tmp_path / "out" / "shops" / "shop"
    deliver.check_target(target)
    assert not target.parent.exists(), "looking makes nothing"
    deliver.deliver(project(tmp_path / "work"), target, PROVENANCE)
    assert deliver.changes(target) == []
