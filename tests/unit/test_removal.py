"""Removing what a program left, whatever it is."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host import removal
from daybreak.host.removal import Removal, remove, scratch

NOBODY = 65534


@contextlib.contextmanager
def someone() -> Iterator[Path]:
    """A folder of a user without rights, and their rights."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        assert remove(folder).complete


def deep(folder: Path, levels: int, name: str = "a") -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        at, old = os.open(name, os.O_RDONLY, dir_fd=at), at
        os.close(old)
    os.close(at)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("levels", "name"), [(1500, "a"), (40, "d" * 250)])
def test_a_folder_deeper_than_any_path_is_removed(tmp_path: Path, levels: int, name: str) -> None:
    """Depth costs neither recursion nor descriptors nor a path."""
    # shows: N5
    (tmp_path / "work").mkdir()
    deep(tmp_path / "work", levels, name)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 5, hard))
    try:
        assert remove(tmp_path / "work") == Removal()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert descriptors() == before
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    """To a file, to a folder, to nothing, to itself, and in the place of the folder itself."""
    victim, work = tmp_path / "victim", tmp_path / "work"
    victim.mkdir(mode=0o755)
    (victim / "mine").write_bytes(b"x")
    (work / "in").mkdir(parents=True)
    for name, target in [("a", victim), ("b", victim / "mine"), ("c", "nothing"), ("d", "d"), ("in/e", "/")]:
        (work / name).symlink_to(target)
    assert remove(work).complete
    (tmp_path / "work").symlink_to(victim)
    assert remove(work).complete
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (victim / "mine").read_bytes() == b"x"
    assert victim.stat().st_mode & 0o777 == 0o755


def test_a_folder_swapped_for_a_link_while_it_is_removed_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and entering, `sub` becomes a link to what is ours."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "mine").write_bytes(b"x")
    (tmp_path / "work" / "sub").mkdir(parents=True)
    real, left = os.open, [1]

    def opens(path: Any, *args: Any, **named: Any) -> int:
        if path == "sub" and left:
            left.pop()
            (tmp_path / "work" / "sub").rename(tmp_path / "elsewhere")
            (tmp_path / "work" / "sub").symlink_to(tmp_path / "victim")
        return real(path, *args, **named)

    monkeypatch.setattr(os, "open", opens)
    assert remove(tmp_path / "work").complete
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "victim"]
    assert (tmp_path / "victim" / "mine").exists()


def test_a_folder_moved_away_while_it_is_emptied_does_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`..` of a folder that was moved is another one: nothing is removed there."""
    (tmp_path / "work" / "sub").mkdir(parents=True)
    (tmp_path / "other" / "sub").mkdir(parents=True)
    real, left = os.open, [1]

    def opens(path: Any, *args: Any, **named: Any) -> int:
        if path == ".." and left:
            left.pop()
            (tmp_path / "work" / "sub").rename(tmp_path / "other" / "moved")
        return real(path, *args, **named)

    monkeypatch.setattr(os, "open", opens)
    assert remove(tmp_path / "work").complete  # the second time
    assert not left
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["moved", "sub"]


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400, 0o500, 0o600])
def test_folders_without_rights_are_given_them(mode: int) -> None:
    """Whatever the owner took from themselves."""
    with someone() as folder:
        (folder / "work" / "a" / "b").mkdir(parents=True)
        (folder / "work" / "a" / "b" / "file").write_bytes(b"x")
        for place in ("a/b/file", "a/b", "a", "."):
            (folder / "work" / place).chmod(mode)
        assert remove(folder / "work") == Removal()
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put what is another's there")
def test_what_cannot_be_removed_is_told_in_words_and_the_rest_is_removed() -> None:
    """A folder of somebody else stays; nothing is raised."""
    with someone() as folder:
        (folder / "work" / "mine" / "more").mkdir(parents=True)
        (folder / "work" / "theirs").mkdir()
        (folder / "work" / "theirs" / "kept").mkdir()
        os.seteuid(0)
        os.chown(folder / "work" / "theirs", 0, 0)
        (folder / "work" / "theirs").chmod(0o755)
        os.seteuid(NOBODY)
        removed = remove(folder / "work")
        assert [(one.path, one.why) for one in removed.remaining] == [("work/theirs/kept", "permission denied")]
        assert str(removed) == "work/theirs/kept remains: permission denied"
        assert [path.name for path in (folder / "work").iterdir()] == ["theirs"]


MOUNTS = """
import os, subprocess, sys
from pathlib import Path
from daybreak.host.removal import remove
root = Path(sys.argv[1])
for name in ("tmpfs", "bind", "plain"):
    (root / "work" / name).mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "work" / "tmpfs"], check=True)
subprocess.run(["mount", "--bind", root / "victim", root / "work" / "bind"], check=True)
(root / "work" / "tmpfs" / "kept").write_text("x")
print(sorted((one.path, one.why) for one in remove(root / "work").remaining))
print((root / "work" / "tmpfs" / "kept").exists(), (root / "work" / "plain").exists())
"""


def can_mount() -> bool:
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_what_is_mounted_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    """Another file system, and a bind mount of the same one, are told and not entered."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "mine").write_bytes(b"x")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    why = "another file system is mounted there"
    assert done.stdout.splitlines() == [f"{[('work/bind', why), ('work/tmpfs', why)]}", "True False"]
    assert (tmp_path / "victim" / "mine").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["missing", "missing/too", "file"])
def test_what_is_no_folder_is_fine(tmp_path: Path, name: str) -> None:
    """Nothing there is nothing to do; a file of that name is removed."""
    (tmp_path / "file").write_bytes(b"x")
    assert remove(tmp_path / name) == Removal()
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("path", ["/", ".", "..", "a/..", "a\0b", "\ud800", "x" * 5000, "x/" * 3000])
def test_impossible_folders_are_told_and_nothing_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Neither a path without a name nor one that no system call takes removes anything or raises."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    told = str(remove(Path(path)))
    assert told.isprintable()
    told.encode()
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("function", ["open", "scandir", "rmdir", "unlink"])
def test_any_refusal_of_the_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """Each system call failing everywhere gives words, not an exception, and no descriptor stays open."""
    for number in range(30):
        (tmp_path / "work" / f"{number}\x1b[2J").mkdir(parents=True)
        (tmp_path / "work" / f"file{number}\x1b[2J").write_bytes(b"x")
    before = descriptors()

    def fails(*args: Any, **named: Any) -> None:
        raise OSError(5, "as if the disk were broken")

    monkeypatch.setattr(os, function, fails)
    removed = remove(tmp_path / "work")
    monkeypatch.undo()
    assert {one.why for one in removed.remaining} == {"input/output error"}
    assert len(removed.remaining) <= removal.NAMED_MAX
    assert str(removed).isprintable()
    assert descriptors() == before
    if function in ("rmdir", "unlink"):
        assert removed.unnamed == 10


NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)


@given(st.lists(st.tuples(st.lists(NAMES, max_size=4), NAMES, st.sampled_from(["file", "link", "pipe", "folder"]))))
def test_nothing_that_can_be_made_stays(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[list[bytes], bytes, str]]
) -> None:
    """Any names, any kinds: all of it goes, and what it led to does not."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "victim").mkdir()
    (folder / "work").mkdir()
    for parents, name, kind in made:
        with contextlib.suppress(OSError):
            place = os.fsencode(folder / "work") + b"".join(b"/" + parent for parent in parents)
            os.makedirs(place, exist_ok=True)
            make(kind, place + b"/" + name, folder / "victim")
    assert remove(folder / "work") == Removal()
    assert [path.name for path in folder.iterdir()] == ["victim"]


def make(kind: str, path: bytes, victim: Path) -> None:
    match kind:
        case "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        case "link":
            os.symlink(victim, path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            os.mkdir(path)


# -- scratch


def test_a_scratch_folder_is_its_owners_alone_and_gone_afterwards(tmp_path: Path) -> None:
    """0700 in the parent, with the prefix, whatever the block leaves in it."""
    with scratch(tmp_path, "work-") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith("work-")
        assert folder.stat().st_mode & 0o777 == 0o700
        deep(folder, 1100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tell", [None, lambda removal: 1 / 0])
def test_what_removing_meets_never_masks_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Removal], object] | None
) -> None:
    """The block's own exception and result come out though nothing can be removed."""

    def fails(*args: Any, **named: Any) -> None:
        raise OSError(5, "as if the disk were broken")

    def result() -> int:
        with scratch(tmp_path, tell=tell):
            return 7

    monkeypatch.setattr(os, "rmdir", fails)
    with pytest.raises(KeyError, match="mine"), scratch(tmp_path, tell=tell):
        raise KeyError("mine")
    assert result() == 7


def test_what_remains_of_a_scratch_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, in words; a block that moved its folder away left nothing to remove."""
    told: list[Removal] = []
    with scratch(tmp_path, tell=told.append) as folder:
        folder.rename(tmp_path / "moved")
    assert told == []
    with monkeypatch.context() as patched, scratch(tmp_path, tell=told.append) as folder:
        patched.setattr(os, "rmdir", lambda *args, **named: os.stat("/nothing"))
        patched.setattr(os, "open", lambda *args, **named: os.stat("/proc/1/nothing" + "x" * 5000))
    assert [one.why for one in told[0].remaining] == ["file name too long"]
    json.dumps(str(told[0]))


@pytest.mark.parametrize("prefix", ["../", "a/b", "nul\0", "\ud800", "x" * 4096])
def test_a_scratch_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path, prefix: str) -> None:
    """A hostile prefix never leads out of the parent."""
    (tmp_path / "in").mkdir()
    with pytest.raises(removal.NoScratch), scratch(tmp_path / "in", prefix):
        pass
    with pytest.raises(removal.NoScratch), scratch(tmp_path / "missing"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


# -- Windows


def test_without_descriptors_of_folders_paths_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of Windows removes folders, links and files, and raises nothing at any depth."""
    monkeypatch.setattr(removal, "_DESCRIPTORS", False)
    (tmp_path / "work" / "a").mkdir(parents=True)
    (tmp_path / "work" / "a" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "work")
    assert remove(tmp_path / "link").complete
    assert (tmp_path / "work" / "a" / "file").exists()
    assert remove(tmp_path / "work").complete
    assert remove(tmp_path / "work").complete
    (tmp_path / "deep").mkdir()
    deep(tmp_path / "deep", 1100)
    assert [one.why for one in remove(tmp_path / "deep").remaining] == ["RecursionError"]
    monkeypatch.undo()
    assert remove(tmp_path / "deep").complete
    assert list(tmp_path.iterdir()) == []
