"""File transactions against bad input and bad neighbours: paths, links, races, poor systems."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import files as host_files
from daybreak.host.files import disk, paths, system, transaction

WORK = ".daybreak-transaction"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def look(root: Path) -> dict[str, str | None]:
    return {
        place.relative_to(root).as_posix(): None if place.is_dir() else place.read_text(errors="replace")
        for place in root.rglob("*")
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "sub").mkdir(parents=True)
    (place / "a").write_text("a")
    (place / "sub" / "b").write_text("b")
    return place


OUTSIDE = [
    *("/etc/passwd", "../x", "sub/../../x", "sub/..", ".", "./a", "a/", "//a", "sub//b", "", "a\0b", "\ud800"),
    *("x" * 256, "é" * 128, "/".join("d" * 200), "x" * 4096, WORK, f"{WORK}/intent", f"sub/{WORK}", WORK.upper()),
]


@pytest.mark.parametrize("path", [*OUTSIDE, None, 3, b"a", Path("/etc/passwd"), Path("..") / "x"])
def test_a_path_that_leads_elsewhere_is_refused_everywhere(root: Path, path: Any) -> None:
    """By every method, with a hint, and nothing changes."""
    # shows: P8 X4
    acts: list[Callable[[host_files.Transaction], object]] = [
        lambda files: files.write(path, "x"),
        lambda files: files.delete(path),
        lambda files: files.rename(path, "x"),
        lambda files: files.rename("a", path),
        lambda files: files.put_folder(path, root / "sub"),
        lambda files: files.read(path),
        lambda files: files.exists(path),
    ]
    with transaction(root) as files:
        for act in acts:
            with pytest.raises(host_files.PathRefused) as caught:
                act(files)
            assert caught.value.hint
            assert len(caught.value.message) < 300
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


ANY_PATH = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["a", "sub", "b", "..", ".", "", "\0", "\ud800", "x" * 255, "é", WORK, "A:", "con"])).map(
        "/".join
    ),
    st.sampled_from(OUTSIDE),
    st.none() | st.integers() | st.binary(max_size=5),
)
ANY_CONTENT = st.one_of(
    st.binary(max_size=9),
    st.text(max_size=9),
    st.none(),
    st.integers(),
    st.lists(st.binary(max_size=3) | st.integers()),
)


@QUICK
@given(acts=st.lists(st.tuples(st.integers(0, 6), ANY_PATH, ANY_PATH, ANY_CONTENT), max_size=5), fails=st.booleans())
def test_no_arguments_get_anything_but_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, Any, Any, Any]], *, fails: bool
) -> None:
    """Whatever is asked for: it works, or there is a DaybreakError with a hint; nothing outside the root changes, and
    a transaction that fails changes nothing at all."""
    # shows: P8 X4
    home = tmp_path_factory.mktemp("hostile")
    root = home / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("a")
    before = look(root)
    errors: list[DaybreakError] = []
    with contextlib.suppress(ZeroDivisionError), transaction(root) as files:
        for which, one, other, content in acts:
            try:
                match which:
                    case 0 | 1:
                        files.write(one, content)
                    case 2:
                        files.delete(one)
                    case 3:
                        files.rename(one, other)
                    case 4:
                        files.put_folder(one, root / "sub")
                    case 5:
                        files.read(one)
                    case _:
                        files.exists(one)
            except DaybreakError as error:
                errors.append(error)
        if fails:
            raise ZeroDivisionError
    assert all(error.hint and error.code.startswith("H1") for error in errors)
    assert [place.name for place in home.iterdir()] == ["root"]
    assert not (root / WORK).exists()
    if fails:
        assert look(root) == before


@QUICK
@given(path=ANY_PATH, content=ANY_CONTENT)
@example(path="x" * 255, content=b"x")
@example(path="", content=b"x")
@example(path=".", content=b"x")
def test_a_single_file_is_whole_or_refused(tmp_path_factory: pytest.TempPathFactory, path: Any, content: Any) -> None:
    """`write_file` likewise; and no temporary file stays."""
    # shows: P8
    home = tmp_path_factory.mktemp("single")
    target = home / path if isinstance(path, str) and not path.startswith("/") and ".." not in path else path
    if isinstance(target, str):
        return
    refused = ""
    try:
        host_files.write_file(target, content)
    except DaybreakError as error:
        refused = error.hint
    assert len(look(home)) == (0 if refused else 1)


# -- links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "precious").write_text("precious")
    return place


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_links_are_refused_on_the_way_and_at_the_end(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, platform: str, *, relative: bool
) -> None:
    """To a folder, to a file, to nothing, inside the root or out of it: a typed error, and what they lead to stays."""
    # shows: P8 N9 X4
    _on(monkeypatch, platform)
    leads = Path("../outside") if relative else outside
    (root / "folder").symlink_to(leads)
    (root / "file").symlink_to(leads / "precious")
    (root / "dangling").symlink_to(leads / "nothing")
    (root / "inner").symlink_to("sub")
    acts: list[Callable[[host_files.Transaction], object]] = [
        lambda files: files.write("folder/new", "x"),
        lambda files: files.write("folder/precious", "x"),
        lambda files: files.delete("folder/precious"),
        lambda files: files.rename("folder/precious", "x"),
        lambda files: files.rename("a", "folder/x"),
        lambda files: files.put_folder("folder/x", root / "sub"),
        lambda files: files.put_folder("folder", root / "sub"),
        lambda files: files.read("folder/precious"),
        lambda files: files.write("inner/b", "x"),
        *(
            act
            for name in ("file", "folder", "dangling")
            for act in (
                lambda files, name=name: files.write(name, "x"),
                lambda files, name=name: files.delete(name),
                lambda files, name=name: files.rename(name, "x"),
                lambda files, name=name: files.read(name),
            )
        ),
    ]
    with transaction(root) as files:
        for act in acts:
            with pytest.raises(host_files.LinkRefused):
                act(files)
    assert look(outside) == {"precious": "precious"}


def test_special_files_are_refused_without_waiting(root: Path) -> None:
    """A named pipe is neither read nor replaced, and nobody waits for its other end."""
    os.mkfifo(root / "pipe")
    with transaction(root) as files:
        for act in (files.read, files.delete, lambda path: files.write(path, "x")):
            with pytest.raises(host_files.LinkRefused):
                act("pipe")
        with pytest.raises(host_files.LinkRefused):
            files.rename("pipe", "x")
    source = root / "sub"
    os.mkfifo(source / "pipe")
    with transaction(root) as files, pytest.raises(host_files.LinkRefused):
        files.put_folder("copy", source)
    assert not (root / "copy").exists()


def test_a_link_that_appears_between_looking_and_doing_is_not_followed(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is exchanged for a link in the moment before the commit renames into it."""
    # shows: N9 X4
    from daybreak.host.files import applying

    real = applying.Applier.forward

    def forward(self: applying.Applier, steps: Any, pause: Any) -> None:
        (root / "sub").rename(root / "was-sub")
        (root / "sub").symlink_to(outside)
        real(self, steps, pause)

    monkeypatch.setattr(applying.Applier, "forward", forward)
    with pytest.raises(host_files.FilesError), transaction(root) as files:  # noqa: PT012 - the block is the point
        files.write("sub/b", "ours")
        files.write("sub/precious", "ours")
        files.write("a", "ours")
    assert look(outside) == {"precious": "precious"}
    (root / "sub").unlink()
    (root / "was-sub").rename(root / "sub")
    host_files.recover(root)
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}


def test_a_folder_that_flickers_between_folder_and_link_never_leads_out(root: Path, outside: Path) -> None:
    """Somebody exchanges a folder and a link as fast as they can while transactions run: nothing arrives outside."""
    # shows: N9 X4
    (root / "link").symlink_to(outside)
    stop = threading.Event()
    folder = os.open(root, os.O_RDONLY)

    def flicker() -> None:
        while not stop.is_set():
            system.rename_with(system.EXCHANGE, "sub", folder, "link", folder)

    thread = threading.Thread(target=flicker)
    thread.start()
    written = refused = 0
    try:
        for number in range(300):
            try:
                with transaction(root) as files:
                    files.write("sub/b", str(number))
                    files.write("sub/new", str(number))
                    files.delete("sub/new") if number % 3 == 0 else None
                written += 1
            except (host_files.NotRecovered, host_files.FilesError):
                refused += 1
    finally:
        stop.set()
        thread.join()
        os.close(folder)
    assert look(outside) == {"precious": "precious"}
    assert refused, "the race was never met"
    if (root / "sub").is_symlink():
        (root / "sub").rename(root / "x")
        (root / "link").rename(root / "sub")
    host_files.recover(root)
    assert not (root / WORK).exists()


# -- poorer systems


def _on(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """This machine with what Python offers on that platform."""
    module = sys.modules["daybreak.host.files.transaction"]
    monkeypatch.setattr(module, "open_disk", lambda root: disk.open_disk(root, platform=platform))


@pytest.mark.parametrize(
    "path", ["con", "sub/NUL.txt", "Lpt1", "a:b", "a\\b", "C:/x", "ends ", "ends.", "que?ry", "st*r", "a\x01", "<", '"']
)
def test_names_that_mean_something_else_on_windows_are_refused_there(path: str) -> None:
    """Devices, streams, drives, and what Windows drops from names; elsewhere they are names like others."""
    # shows: P8
    with pytest.raises(host_files.PathRefused):
        paths.checked(path, platform="win32")
    assert paths.checked(path, platform="linux") == path
    assert paths.checked("sub/console.txt", platform="win32") == "sub/console.txt"


def test_without_descriptors_a_transaction_still_does_its_work(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code for Windows, on this system: all kinds of changes, rollback and lock."""
    _on(monkeypatch, "win32")
    with transaction(root) as files:
        files.write("a", "new")
        files.rename("sub", "moved")
        files.write("x/y", "y")
        files.put_folder("site", tmp_path / "root" / "sub")
        with pytest.raises(host_files.RootBusy), transaction(root):
            pass
    with pytest.raises(ZeroDivisionError), transaction(root) as files:  # noqa: PT012 - the block is the point
        files.put_folder("site", tmp_path / "root" / "moved")
        files.delete("a")
        raise ZeroDivisionError
    (root / ".daybreak-transaction.lock").unlink()
    assert look(root) == {"a": "new", "moved": None, "moved/b": "b", "x": None, "x/y": "y", "site": None, "site/b": "b"}


def test_names_that_differ_in_case_only_are_refused_where_they_are_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that does not tell them apart, doing both would lose one."""
    from daybreak.host.files.posix import PosixDisk

    with transaction(root) as files:
        files.write("x", "1")
        files.write("X", "2")
    assert (root / "x").read_text() + (root / "X").read_text() == "12"
    monkeypatch.setattr(PosixDisk, "insensitive", lambda _: True)
    with pytest.raises(host_files.AlreadyThere, match="one name"), transaction(root) as files:  # noqa: PT012 - the block
        files.write("straße", "1")
        files.write("STRASSE", "2")
    assert not (root / "straße").exists()


def test_a_file_on_another_file_system_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part of the root lies on another disk, renames cannot reach it: said plainly, and nothing changes."""

    def elsewhere(*_: object) -> bool:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(system, "rename_with", elsewhere)
    with pytest.raises(host_files.FilesError) as caught, transaction(root) as files:
        files.write("sub/b", "x")
    assert "another file system" in caught.value.hint
    assert look(root) == {"a": "a", "sub": None, "sub/b": "b"}
