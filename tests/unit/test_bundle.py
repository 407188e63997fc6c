"""A bundle: what goes in, what it refuses, where it unpacks, and what it says where it cannot run.

The real thing, packed and started in an empty environment, is in tests/integration/test_bundle.py.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from daybreak.factory import bundling
from daybreak.factory.bundling import (
    here,
    listing,
    ours,
    packing,
    placing,
    pressing,
    required,
    sealing,
    starting,
    trying,
)
from daybreak.factory.bundling.listing import Contents
from daybreak.factory.health import bundle as health
from daybreak.host.sandbox import detect

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bundles are made for Linux only so far")

ROOM = 1000
AFTER = "import json, os\nprint(json.dumps(dict(os.environ)))\n"
"""In place of what unpacks: tells how the starting program has left things."""


def about(**changed: object) -> Contents:
    libc = tuple(int(part) for part in platform.libc_ver()[1].split(".")[:2]) or None
    made = Contents(
        daybreak="1.2.3",
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        implementation=sys.implementation.name,
        abiflags=sys.abiflags,
        system="linux",
        machine=os.uname().machine,
        libc=libc,  # type: ignore[arg-type]
        extras=(),
        distributions=(),
        left_out=(),
        files={},
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def packed(
    path: Path, start: str, *, files: dict[str, bytes] | None = None, late: bool = False, after: str = AFTER
) -> Path:
    """As pex leaves it. `late`: the same content made at another time, in another order, with other modes."""
    entries = {
        "__main__.py": (start + after).encode(),
        "PEX-INFO": b"{}",
        ".bootstrap/pex/__init__.py": b"",
        "daybreak/__init__.py": b"'''ours'''\n",
        ".deps/thing-2.0-py3-none-any.whl/thing/__init__.py": b"x = 1\n",
        ".deps/thing-2.0-py3-none-any.whl/.layout.json": b"{}",
        ".deps/mypy-2.0-cp311.whl/mypy/main.py": b"pass\n",
        ".deps/mypy-2.0-cp311.whl/mypy/test/data.py": b"pass\n",
        ".deps/mypy-2.0-cp311.whl/mypy-2.0.dist-info/RECORD": b"mypy/main.py,,\nmypy/test/data.py,,\n",
        **(files or {}),
    }
    with path.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as made:
            for name in sorted(entries, reverse=late):
                info = zipfile.ZipInfo(name, (2026, 5, 4, 3, 2, 2) if late else (1990, 1, 1, 0, 0, 0))
                info.external_attr = (0o100600 if late else 0o100644) << 16
                made.writestr(info, entries[name])
    return path


def pressed(tmp_path: Path, *, room: int = ROOM, **changed: object) -> Path:
    """A file that says what a bundle says as it starts, and then tells its environment."""
    told, file = about(**changed), tmp_path / "it.pyz"
    pressing.press(packed(tmp_path / "packed.pyz", starting.program(told, room)), file, told)
    return file


def start(file: Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(file), "--version"],
        env={"HOME": str(home), "PATH": "", "TMPDIR": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- what goes in


def test_the_same_content_gives_the_same_bytes_whenever_and_in_whatever_order_it_was_packed(tmp_path: Path) -> None:
    # shows: F10
    program = starting.program(about(), ROOM)
    first = packed(tmp_path / "a", program)
    second = packed(tmp_path / "b", program, late=True)
    assert first.read_bytes() != second.read_bytes()
    pressing.press(first, tmp_path / "one.pyz", about())
    old = os.umask(0o077)
    try:
        pressing.press(second, tmp_path / "two.pyz", about())
    finally:
        os.umask(old)
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "two.pyz").read_bytes()
    assert (tmp_path / "two.pyz").stat().st_mode & 0o777 == 0o755


def test_other_content_gives_another_file_and_another_place_to_unpack(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    told = about()
    program = starting.program(told, ROOM)
    pressing.press(packed(one / "p", program), one / "it.pyz", told)
    pressing.press(packed(two / "p", program, files={"daybreak/more.py": b"1"}), two / "it.pyz", told)
    places = {json.loads(start(folder / "it.pyz", tmp_path).stdout)["_DAYBREAK_UNPACKING"] for folder in (one, two)}
    assert len(places) == 2


def test_what_is_left_out_is_told_and_gone_from_the_record_too(tmp_path: Path) -> None:
    contents = bundling.read(pressed(tmp_path))
    assert [(one.distribution, one.files) for one in contents.left_out] == [("mypy", 1)]
    assert "mypy/test/data.py" not in contents.files
    with zipfile.ZipFile(tmp_path / "it.pyz") as file:
        assert file.read(".deps/mypy-2.0-cp311.whl/mypy-2.0.dist-info/RECORD") == b"mypy/main.py,,\n"
        assert not [name for name in file.namelist() if "mypy/test" in name]


def test_the_list_names_every_distribution_with_version_size_and_hash(tmp_path: Path) -> None:
    # shows: F10
    found = {one.name: one for one in bundling.read(pressed(tmp_path)).distributions}
    assert {name: one.version for name, one in found.items()} == {"daybreak": "1.2.3", "mypy": "2.0", "thing": "2.0"}
    assert (found["thing"].files, found["thing"].bytes) == (1, 6)
    assert found["thing"] == listing.distribution(
        "thing", "2.0", {"thing/__init__.py": (bundling.read(tmp_path / "it.pyz").files["thing/__init__.py"], 6)}
    )


@pytest.mark.parametrize("name", ["thing/__init__.py", "thing/more.py", listing.NAME])
def test_a_file_that_is_not_as_it_was_made_is_noticed(tmp_path: Path, name: str) -> None:
    """Changed, added, or another list: whoever lists a bundle is told, though the zip itself is sound."""
    bundle = pressed(tmp_path)
    altered = tmp_path / "altered.pyz"
    inside = name if name == listing.NAME else f".deps/thing-2.0-py3-none-any.whl/{name}"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(altered, "w") as new:
        for entry in old.namelist():
            if entry != inside:
                new.writestr(entry, old.read(entry))
        new.writestr(inside, old.read(inside).replace(b"1.2.3", b"1.2.4") if name == listing.NAME else b"x = 2\n")
    with pytest.raises(bundling.NotABundle, match="not as it was made"):
        bundling.read(altered)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18, None])
def test_what_is_no_bundle_is_called_so(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "other"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(bundling.NotABundle) as caught:
        bundling.read(file)
    assert caught.value.code == "U394"


def test_without_extras_only_what_daybreak_itself_needs_goes_in() -> None:
    """The closure is whole, and nothing that only tests or a face in an extra needs is in it."""
    # shows: F10
    lines = required.requirements(())
    assert all(";" not in line for line in lines)
    names = {one.name.lower() for one in required.closure(lines, ())}
    assert {"ruff", "mypy", "pytest", "apsw", "hatchling"} <= names
    assert not names & {"psycopg", "apprise", "ray", "pex", "hypothesis"}


def test_an_extra_brings_what_it_needs_and_an_unknown_one_is_named() -> None:
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("the extra postgres is not installed")
    names = {one.name.lower() for one in required.closure(required.requirements(["postgres"]), ["postgres"])}
    assert {"psycopg", "psycopg-binary"} <= names
    for wrong in ("postgre", "dev", "", "\x1b[31m"):
        with pytest.raises(bundling.ExtraUnknown, match="there is no extra"):
            required.requirements([wrong])


def test_an_extra_that_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(bundling.ExtraUnknown, match="not installed") as caught:
        required.closure(["surely-not-installed>=1"], ["notify"])
    assert "daybreak[notify]" in caught.value.hint
    with pytest.raises(bundling.InstalledDiffers):
        required.closure(["packaging>=9999"], [])


def test_a_file_that_was_changed_after_it_was_installed_is_not_packed(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.0.dist-info"
    folder.mkdir()
    (tmp_path / "thing.py").write_bytes(b"x = 1\n")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (folder / "RECORD").write_text("thing.py,sha256=GQv8qZTA4xT3AGrI9OIyeQHVqiHOMlXUFCDXwAJ4w-Y,6\nthing.pyc,,\n")
    one = metadata.PathDistribution(folder)
    with pytest.raises(bundling.InstalledDiffers, match=r"thing thing\.py was changed"):
        required.check_whole([one])
    (tmp_path / "thing.py").unlink()
    with pytest.raises(bundling.InstalledDiffers, match="No such file"):
        required.check_whole([one])


@pytest.mark.parametrize(
    ("tags", "libc"),
    [
        (["cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64"], (2, 17)),
        (["cp311-abi3-manylinux_2_34_x86_64"], (2, 34)),
        (["py3-none-any"], None),
    ],
)
def test_a_wheel_needs_the_oldest_library_that_any_of_its_tags_names(
    tags: list[str], libc: tuple[int, int] | None
) -> None:
    assert required._libc("".join(f"Tag: {tag}\n" for tag in tags)) == libc


def test_without_pex_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(bundling.BundlerMissing) as caught:
        bundling.make(tmp_path / "it.pyz")
    assert "daybreak[bundle]" in caught.value.hint


# -- where it is put


def test_a_target_that_cannot_be_one_is_refused_before_any_work(tmp_path: Path) -> None:
    # shows: F10
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "there").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing/it.pyz", "folder", "link", "there", "there/it.pyz", "loop/it.pyz", "a\0b/c"):
        with pytest.raises(bundling.TargetRefused):
            placing.target(tmp_path / name, force=False)
    for name in ("folder", "link"):
        with pytest.raises(bundling.TargetRefused):
            placing.target(tmp_path / name, force=True)
    assert placing.target(tmp_path / "there", force=True) == tmp_path.resolve() / "there"
    assert (tmp_path / "there").read_text() == "mine"


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    """Between the first look and the last step somebody else may take the name."""
    new, final = tmp_path / "new", tmp_path / "it.pyz"
    new.write_text("new")
    final.write_text("theirs")
    with pytest.raises(bundling.TargetRefused):
        placing.place(new, final, force=False)
    assert final.read_text() == "theirs"
    placing.place(new, final, force=True)
    assert final.read_text() == "new"


def test_where_there_are_no_hard_links_the_name_is_still_taken_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Memory cards and some servers: the system's answer is made up here, the rest is real."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    new, final = tmp_path / "new", tmp_path / "it.pyz"
    new.write_text("new")
    placing.place(new, final, force=False)
    assert final.read_text() == "new"
    new.write_text("newer")
    with pytest.raises(bundling.TargetRefused):
        placing.place(new, final, force=False)
    assert final.read_text() == "new"


def fail_half_way(folder: Path, failure: BaseException) -> None:
    """Also sees to it that nothing is left then."""
    kept: list[Path] = []
    try:
        with placing.room_for(folder / "it.pyz") as (scratch, aside):
            kept += [scratch, aside]
            aside.write_text("half")
            raise failure
    finally:
        assert not any(path.exists() for path in kept)
        assert list(folder.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(bundling.NoRoomForBundle, match="MB free"):
        placing.check_room(tmp_path, 1 << 60)
    with pytest.raises(bundling.NoRoomForBundle, match="the disk is full"):
        fail_half_way(tmp_path, OSError(errno.ENOSPC, "No space left on device", "it"))


def test_any_failure_leaves_no_file(tmp_path: Path) -> None:
    for failure in (KeyboardInterrupt(), bundling.BundleFailed("it", hint="no"), OSError(errno.EIO, "bad disk")):
        with pytest.raises(type(failure)):
            fail_half_way(tmp_path, failure)


HOLDER = """
import sys, time
from pathlib import Path
from daybreak.factory.bundling import placing
with placing.room_for(Path(sys.argv[1])) as (scratch, aside):
    (scratch / "half").write_text("half")
    print(scratch, aside, sep="\\n", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_maker_leaves_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path: Path) -> None:
    # shows: F10
    out, temporary, said = tmp_path / "out", tmp_path / "tmp", list[str]()
    out.mkdir()
    temporary.mkdir()
    (out / f".{'0' * 16}.daybreak-bundle").symlink_to(tmp_path)
    (temporary / "daybreak-bundle-notes.txt").write_text("mine")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out / "it.pyz")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    ) as maker:
        assert maker.stdout is not None
        held = [Path(maker.stdout.readline().strip()) for _ in range(2)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary))
            with placing.room_for(out / "it.pyz", said.append):
                assert [one.exists() for one in held] == [True, True]
            assert said == []
            maker.kill()
            maker.wait()
            assert [one.exists() for one in held] == [True, True]
            with placing.room_for(out / "it.pyz", said.append):
                assert [one.exists() for one in held] == [False, False]
    assert len(said) == 2
    assert [one.name for one in temporary.iterdir()] == ["daybreak-bundle-notes.txt"]
    assert [one.is_symlink() for one in out.iterdir()] == [True]


def test_where_a_file_system_has_no_locks_it_goes_on_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some servers: the system's answer is made up here, the rest is real."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with placing.room_for(tmp_path / "it.pyz") as (scratch, aside):
        assert scratch.is_dir()
        assert aside.is_file()
    assert list(tmp_path.iterdir()) == []


# -- how it is tried out

DOCTOR = """
import json, sys
if "doctor" in sys.argv:
    print(json.dumps([{"name": "mypy", "level": "bad", "text": "missing", "hint": "install it"}]))
    sys.exit(1)
"""
BUILD = """
import json, os, sys
if "doctor" in sys.argv:
    print("[]")
if "build" in sys.argv:
    print(json.dumps({"state": "done", "why": ""}))
"""
ROOM_SEEN = """
import json, os, socket, sys
seen = {"environment": dict(os.environ), "ours": os.path.exists(%r), "path": sys.path}
try:
    socket.create_connection(("127.0.0.1", %d), timeout=2).close()
    seen["network"] = True
except OSError:
    seen["network"] = False
print(json.dumps(seen))
"""


def pretending(tmp_path: Path, program: str) -> Path:
    """A file that starts, and then is not what it says."""
    file, told = tmp_path.resolve() / "it.pyz", about()
    pressing.press(packed(tmp_path / "packed.pyz", f"{program}\n# {listing.DIGEST}\n", after=""), file, told)
    return file


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SystemExit('broken')", "`start` failed: 'broken"),
        ("print('1.0')", "`doctor` failed"),
        (DOCTOR, "`doctor` failed: 'mypy: missing'"),
        (BUILD, "`build` failed"),
    ],
)
def test_a_bundle_that_does_not_work_is_refused_with_what_failed(tmp_path: Path, program: str, words: str) -> None:
    """It starts not, finds something wrong, or says that it has built what is not there: a word is not enough."""
    # shows: F10
    file = pretending(tmp_path, program)
    with pytest.raises(bundling.BundleFailed) as caught:
        trying.try_out(file, tmp_path.resolve(), say=lambda words: None)
    assert words in caught.value.message
    assert caught.value.code == "U398"


def test_a_bundle_that_lies_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the way, but that the packer packs something else; also the file that was there before stays."""
    # shows: F10
    tmp_path = tmp_path.resolve()
    (tmp_path / "it.pyz").write_text("the old one")

    def pack(requirements: object, own: object, begin: object, out: Path, scratch: Path) -> None:
        packed(out, f"{BUILD}\n# {listing.DIGEST}\n", after="")

    monkeypatch.setattr(packing, "pack", pack)
    with pytest.raises(bundling.BundleFailed, match="`build` failed"):
        bundling.make(tmp_path / "it.pyz", force=True)
    assert [one.name for one in tmp_path.iterdir()] == ["it.pyz"]
    assert (tmp_path / "it.pyz").read_text() == "the old one"


def test_what_runs_from_elsewhere_than_it_was_installed_is_not_packed(tmp_path: Path) -> None:
    """Two checkouts: otherwise the one that was tried would not be the one that is shipped."""
    with pytest.raises(bundling.InstalledDiffers, match="runs from"):
        ours._check_running(tmp_path)
    ours._check_running(Path(ours.__file__).parents[3])


def test_it_is_tried_out_where_nothing_of_ours_and_no_network_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # shows: F10
    machine = detect()
    if not machine.bwrap:
        pytest.skip("without bubblewrap this environment cannot be hidden, which the result says")
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        site = str(Path(importlib.util.find_spec("apsw").origin).parent)  # type: ignore[union-attr,arg-type]
        file = pretending(tmp_path, ROOM_SEEN % (site, server.getsockname()[1]))
        room = trying.Room(file, tmp_path.resolve())
        seen = json.loads(room.run("start", "--version").stdout)
    assert seen["network"] is False
    assert seen["ours"] is False
    assert room.hidden
    assert {"PYTHONPATH", "SOME_TOKEN"} & set(seen["environment"]) == set()
    assert Path(seen["environment"]["HOME"]).is_relative_to(tmp_path.resolve())
    assert sorted(os.listdir(seen["environment"]["PATH"])) == ["python3", "sh"]


# -- how it starts


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"python": "3.99"}, ["CPython 3.99 on Linux", "this is cpython 3.", "start it as: python3.99"]),
        ({"implementation": "pypy"}, ["this is cpython"]),
        ({"abiflags": "t"}, ["this is cpython"]),
        ({"machine": "riscv64"}, ["riscv64", "daybreak bundle"]),
        ({"system": "darwin"}, ["Darwin", "this is linux"]),
        ({"libc": (99, 1)}, ["GNU C library 99.1 or newer", "this is linux"]),
    ],
)
def test_where_it_cannot_run_it_says_so_in_a_sentence(
    tmp_path: Path, changed: dict[str, Any], words: list[str]
) -> None:
    # shows: F10
    done = start(pressed(tmp_path, **changed), tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_the_starting_program_can_be_read_by_every_python(tmp_path: Path) -> None:
    """Otherwise the wrong one ends in a SyntaxError instead of a sentence."""
    import ast

    text = starting.program(about(), ROOM)
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr | ast.AsyncFunctionDef | ast.Nonlocal)
        if isinstance(node, ast.arguments):
            assert not node.kwonlyargs
            assert not node.posonlyargs
        if isinstance(node, ast.Raise):
            assert node.cause is None


def test_the_starting_program_is_looked_at_like_the_other_sources() -> None:
    """It is no module, so the linter would not see it."""
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ruff"),
            *("check", "--config", str(Path(__file__).parents[2] / "pyproject.toml"), "--stdin-filename", "start.py"),
            *("--select", "E,F,W,B,S,PLE", "--ignore", "B904,S110,S606,S108", "-"),
        ],
        input=starting.program(about(), ROOM).rpartition("_daybreak_begins(")[0] + "_daybreak_begins({})\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_unpacks_into_a_folder_that_is_the_users_alone(tmp_path: Path) -> None:
    file = pressed(tmp_path)
    left = json.loads(start(file, tmp_path).stdout)
    root = Path(left["_DAYBREAK_UNPACKING"])
    assert root.parent == tmp_path / ".cache" / "daybreak" / "bundles"
    assert [one.stat().st_mode & 0o777 for one in (root, root.parent)] == [0o700, 0o700]
    assert left["PEX_ROOT"] == str(root / "pex")
    assert left["DAYBREAK_BUNDLE"] == str(file)
    root.chmod(0o777)
    assert start(file, tmp_path).returncode == 0
    assert root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"XDG_CACHE_HOME": "@/x"}, "x/daybreak/bundles"),
        ({"XDG_CACHE_HOME": "relative"}, ".cache/daybreak/bundles"),
        ({"DAYBREAK_HOME": "@/h", "XDG_CACHE_HOME": "@/x"}, "h/cache/bundles"),
        ({"DAYBREAK_BUNDLE_DIR": "@/b", "DAYBREAK_HOME": "@/h"}, "b"),
    ],
)
def test_the_place_follows_the_environment(tmp_path: Path, environment: dict[str, str], place: str) -> None:
    told = {name: value.replace("@", str(tmp_path)) for name, value in environment.items()}
    left = json.loads(start(pressed(tmp_path), tmp_path, **told).stdout)
    assert Path(left["_DAYBREAK_UNPACKING"]).parent == tmp_path / place


def test_a_place_named_from_here_is_the_same_place_for_what_is_started_elsewhere(tmp_path: Path) -> None:
    """A timer keeps the variable, and starts in another folder."""
    left = json.loads(start(pressed(tmp_path), tmp_path, DAYBREAK_BUNDLE_DIR=os.path.relpath(tmp_path / "b")).stdout)
    assert left["DAYBREAK_BUNDLE_DIR"] == str(tmp_path / "b")


def test_a_home_that_cannot_be_written_is_told_and_another_place_is_taken(tmp_path: Path) -> None:
    """A file where the folder should be stands for a read-only home, also for root."""
    (tmp_path / ".cache").write_text("")
    done = start(pressed(tmp_path), tmp_path)
    root = Path(json.loads(done.stdout)["_DAYBREAK_UNPACKING"])
    assert root.parent == tmp_path / f"daybreak-bundles-{os.geteuid()}"
    assert "Not a directory" in done.stderr
    assert "instead" in done.stderr


def test_a_shared_folder_with_somebody_elses_link_in_it_is_not_used(tmp_path: Path) -> None:
    """In /tmp anybody may have made the name first, to put programs there that we would run."""
    (tmp_path / ".cache").write_text("")
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"daybreak-bundles-{os.geteuid()}").symlink_to(tmp_path / "theirs")
    done = start(pressed(tmp_path), tmp_path)
    assert done.returncode == 2
    assert "there is no place to unpack into" in done.stderr
    assert "DAYBREAK_BUNDLE_DIR" in done.stderr
    assert list((tmp_path / "theirs").iterdir()) == []


@pytest.mark.parametrize("how", ["open", "theirs"])
def test_below_a_folder_in_which_others_can_exchange_it_nothing_is_unpacked_or_started(
    tmp_path: Path, how: str
) -> None:
    """Ours, and closed; but whoever may rename in the folder above puts another there while we unpack."""
    # shows: F10
    if how == "theirs" and os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    (tmp_path / "shared").mkdir()
    file = pressed(tmp_path)
    told = {"DAYBREAK_BUNDLE_DIR": str(tmp_path / "shared" / "b")}
    root = Path(json.loads(start(file, tmp_path, **told).stdout)["_DAYBREAK_UNPACKING"])
    (root / "python").write_text("#!/bin/sh\necho ours\n")
    (root / "python").chmod(0o755)
    (root / sealing.READY).write_text("python\n")
    assert start(file, tmp_path, **told).stdout == "ours\n"
    if how == "open":
        (tmp_path / "shared").chmod(0o777)
    else:
        os.chown(tmp_path / "shared", 4242, 4242)
    done = start(file, tmp_path, **told)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"see {tmp_path / 'shared'}" in done.stderr
    (tmp_path / "shared").chmod(0o1777)
    assert (start(file, tmp_path, **told).stdout == "ours\n") == (how == "open")


def test_a_place_that_belongs_to_somebody_else_is_not_used(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    place = tmp_path / "b"
    place.mkdir(mode=0o700)
    os.chown(place, 4242, 4242)
    done = start(pressed(tmp_path), tmp_path, DAYBREAK_BUNDLE_DIR=str(place))
    assert done.returncode == 2
    assert "somebody else" in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("part", ["cut", "longer"])
def test_a_download_that_ended_early_or_has_more_is_told(tmp_path: Path, part: str) -> None:
    """Where Python itself still takes it for a program: more in the middle, or less of the last hash."""
    file = pressed(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"0" if part == "cut" else data.replace(b"PK\x03\x04", b"\n\nPK\x03\x04", 1))
    if part == "cut" and data.endswith(b"0"):
        file.write_bytes(data[:-1] + b"1")
    done = start(file, tmp_path)
    assert done.returncode == 2
    assert "is damaged" in done.stderr


def test_too_little_room_is_told_before_anything_is_unpacked(tmp_path: Path) -> None:
    done = start(pressed(tmp_path, room=1 << 60), tmp_path)
    assert done.returncode == 2
    assert "MB are needed there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_told_before_anything_is_unpacked(tmp_path: Path) -> None:
    file = pressed(tmp_path)
    data = bytearray(file.read_bytes())
    at = data.index(b"thing/__init__.py") + len(b"thing/__init__.py")
    data[at + 2] ^= 0x55
    file.write_bytes(data)
    done = start(file, tmp_path)
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    assert not (tmp_path / ".cache").exists()


def ready(tmp_path: Path, file: Path, program: str) -> Path:
    """What was unpacked earlier, with `program` for its interpreter."""
    root = Path(json.loads(start(file, tmp_path).stdout)["_DAYBREAK_UNPACKING"])
    python = root / "python"
    python.write_text(program)
    python.chmod(0o755)
    (root / sealing.READY).write_text("python\n")
    return root


def test_what_was_unpacked_is_started_at_once_and_inherits_nothing_that_would_lead_it_elsewhere(tmp_path: Path) -> None:
    file = pressed(tmp_path)
    ready(tmp_path, file, '#!/bin/sh\necho "$@"\n/usr/bin/env\n')
    names = ("PEX_ROOT", "PEX_EXTRA_SYS_PATH", "__PEX_UNVENDORED__", "PYTHONPATH", "PYTHONSTARTUP")
    done = start(file, tmp_path, **dict.fromkeys(names, "/evil"))
    assert done.stdout.splitlines()[0] == "-I -m daybreak.cli.unpacked --version"
    found = {line.partition("=")[0] for line in done.stdout.splitlines()[1:]}
    assert not found & {"PEX_ROOT", "PEX_EXTRA_SYS_PATH", "__PEX_UNVENDORED__", "PYTHONPATH", "_DAYBREAK_UNPACKING"}
    assert "DAYBREAK_BUNDLE" in found


def test_a_place_that_others_may_write_is_never_started_from(tmp_path: Path) -> None:
    file = pressed(tmp_path)
    root = ready(tmp_path, file, "#!/bin/sh\necho theirs\n")
    assert start(file, tmp_path).stdout == "theirs\n"
    for place in (root, root.parent):
        place.chmod(0o777)
        assert "theirs" not in start(file, tmp_path).stdout
        place.chmod(0o700)


def test_an_interpreter_that_is_gone_means_unpacking_anew(tmp_path: Path) -> None:
    file = pressed(tmp_path)
    root = ready(tmp_path, file, "#!/bin/sh\necho never\n")
    (root / "python").unlink()
    (root / "python").symlink_to(tmp_path / "gone")
    assert json.loads(start(file, tmp_path).stdout)["_DAYBREAK_UNPACKING"] == str(root)


# -- once it is unpacked


def test_every_unpacked_file_is_compared_with_the_list(tmp_path: Path) -> None:
    contents = bundling.read(pressed(tmp_path))
    site = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / "it.pyz") as file:
        for name in file.namelist():
            if (path := listing.installed_as(name)) is not None:
                (site / path).parent.mkdir(parents=True, exist_ok=True)
                (site / path).write_bytes(file.read(name))
    assert sealing.differing(site, contents) == []
    (site / "thing" / "__init__.py").write_text("")
    (site / "mypy" / "main.py").unlink()
    assert sorted(sealing.differing(site, contents)) == ["mypy/main.py", "thing/__init__.py"]


def test_an_ordinary_installation_is_not_taken_for_a_bundle() -> None:
    """Also where a bundle has started it and the variable is still set."""
    assert here.root() is None
    assert here.file({here.VARIABLE: __file__}) is None
    assert health.look({here.VARIABLE: __file__}) == []


# -- the command


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daybreak", "bundle", *words],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "DAYBREAK_HOME": str(cwd / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_lists_what_a_bundle_holds(tmp_path: Path) -> None:
    pressed(tmp_path)
    done = command("--list", "it.pyz", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["name"] for one in told["distributions"]] == ["daybreak", "mypy", "thing"]
    assert told["platform"].startswith("CPython")
    assert all(len(one["sha256"]) == 64 for one in told["distributions"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--list", "nothing.pyz"), "U394"),
        (("-o", "there.pyz"), "U396"),
        (("-o", "missing/it.pyz"), "U396"),
        (("--with", "postgres,nonsense"), "U391"),
    ],
)
def test_bad_input_is_refused_with_a_code_and_changes_nothing(
    tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    (tmp_path / "there.pyz").write_text("mine")
    done = command(*words, "--json", cwd=tmp_path)
    assert done.returncode == 2
    told = json.loads(done.stdout)["error"]
    assert told["code"] == code
    assert told["hint"]
    assert [one.name for one in tmp_path.iterdir() if not one.name.startswith("home")] == ["there.pyz"]
    assert (tmp_path / "there.pyz").read_text() == "mine"
