"""`write_file` and `put_folder`: one file, one folder, and what they keep."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from daybreak.errors import DeliveryError
from daybreak.host import files as host_files
from daybreak.host.files import folder, put_folder, system, write_file


def test_a_single_file_keeps_the_permissions_that_it_has(tmp_path: Path) -> None:
    """Of the old file unless others are asked for; 0o644 less the umask for a new one."""
    # shows: X4
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_file(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_file(str(path), io.BytesIO(b"newer"))
        assert (stat.S_IMODE(path.stat().st_mode), path.read_text()) == (0o604, "newer")
        write_file(path, b"secret", mode=0o600)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_replaced_file_keeps_its_owner_where_we_may() -> None:
    """Root replaces a user's file: it stays the user's. A user replaces root's: the user's, without set-user-id."""
    with tempfile.TemporaryDirectory() as folder:  # the folders of pytest are closed to others
        Path(folder).chmod(0o777)
        _replace_as_root_and_as_another(Path(folder, "file"))


def _replace_as_root_and_as_another(path: Path) -> None:
    path.write_text("old")
    os.chown(path, 12345, 12346)
    path.chmod(0o4755)
    write_file(path, "new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 12346, 0o4755)
    os.chown(path, 0, 0)
    path.chmod(0o4755)
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        write_file(path, "theirs")
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    status = path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode), path.read_text()) == (65534, 0o755, "theirs")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """What a symbolic link leads to stays; the name holds a file then."""
    # shows: N9
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    write_file(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert ((tmp_path / "link").read_text(), (tmp_path / "precious").read_text()) == ("new", "precious")


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """NotWritten, and nothing is left beside it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(host_files.NotWritten):
        write_file(tmp_path / "folder", "x")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "fchmod"])
def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whatever is refused: the old bytes, no temporary file, and the reason in the error."""
    # shows: X4 N14
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(host_files.NotWritten, match="No space left"):
            write_file(path, "new")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    """Eight threads replace one file: each read in between is one of theirs, whole."""
    path = tmp_path / "file"
    write_file(path, b"0" * 10_000)
    problems: list[str] = []

    def write(number: int) -> None:
        for _ in range(5):
            write_file(path, b"%d" % number * 10_000)
            content = path.read_bytes()
            if len(content) != 10_000 or len(set(content)) != 1:
                problems.append("mixed")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


# -- whole folders


def made(place: Path, content: str) -> Path:
    (place / "sub").mkdir(parents=True)
    (place / "a").write_text(content)
    (place / "sub" / "b").write_text(content)
    return place


def content(place: Path) -> set[str]:
    return {(place / "a").read_text(), (place / "sub" / "b").read_text()}


class Refused(DeliveryError):
    """The old folder must stay."""


def test_without_exchange_a_folder_is_put_by_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot exchange two folders, replacing and refusing work all the same."""
    # shows: F12
    monkeypatch.setattr(system, "_rename_call", lambda: None)
    target = made(tmp_path / "out", "old")
    put_folder(made(tmp_path / "new", "new"), target)
    assert content(target) == {"new"}
    (target / "precious").write_text("the user's work")

    def refuse(old: Path) -> None:
        assert content(target) == {"newer"}
        assert (old / "precious").exists()
        raise Refused("changed", hint="none")

    with pytest.raises(Refused):
        put_folder(made(tmp_path / "newer", "newer"), target, refuse=refuse)
    assert content(target) == {"new"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "newer", "out"]


def test_a_put_that_crashed_without_exchange_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old folder is aside, the new one not yet there, and the process dies: the next one finds a whole folder."""
    # shows: F12 N4
    monkeypatch.setattr(system, "_rename_call", lambda: None)
    target = made(tmp_path / "out", "old")
    source = made(tmp_path / "new", "new")
    child = os.fork()
    if child == 0:
        real = folder.open_disk(tmp_path)
        kind = type(real)
        move = kind.move

        def dying(self: object, one: str, other: str) -> None:
            move(self, one, other)  # type: ignore[arg-type]
            if other.endswith(".old"):
                os.kill(os.getpid(), 9)

        kind.move = dying  # type: ignore[method-assign, assignment]
        try:
            put_folder(source, target)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert not target.exists()
    put_folder(made(tmp_path / "newest", "newest"), target)
    assert content(target) == {"newest"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "newest", "out"]


def test_a_folder_in_which_a_transaction_works_is_not_exchanged(tmp_path: Path) -> None:
    """It would take the transaction's root away under its feet."""
    target = made(tmp_path / "out", "old")
    with host_files.transaction(target) as files:
        files.write("a", "changed")
        with pytest.raises(folder.NotDelivered, match="in a transaction"):
            put_folder(made(tmp_path / "new", "new"), target)
    assert (target / "a").read_text() == "changed"


def test_a_folder_with_a_special_file_is_not_put(tmp_path: Path) -> None:
    """A named pipe in the source: refused, the target stays, nothing waits."""
    source = made(tmp_path / "new", "new")
    os.mkfifo(source / "pipe")
    target = made(tmp_path / "out", "old")
    with pytest.raises(folder.NotDelivered):
        put_folder(source, target)
    assert content(target) == {"old"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "out"]


def test_a_copied_folder_keeps_times_permissions_and_links(tmp_path: Path) -> None:
    """As `cp -a` would, but for owners."""
    source = made(tmp_path / "new", "new")
    (source / "link").symlink_to("a")
    (source / "a").chmod(0o750)
    (source / "sub").chmod(0o555)
    for place in (source / "a", source / "sub"):
        os.utime(place, ns=(10**18, 10**18))
    put_folder(source, tmp_path / "out")
    out = tmp_path / "out"
    assert os.readlink(out / "link") == "a"
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o750
    assert stat.S_IMODE((out / "sub").stat().st_mode) == 0o555
    assert {(out / "a").stat().st_mtime_ns, (out / "sub").stat().st_mtime_ns} == {10**18}


def test_the_package_is_light() -> None:
    """Importing it loads neither pydantic nor anything else that is not Python's own."""
    import subprocess
    import sys

    heavy = ("pydantic", "anyio", "apsw", "ctypes")
    program = f"import sys; import daybreak.host.files; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
