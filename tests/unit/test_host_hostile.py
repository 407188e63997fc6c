"""Arguments that make no sense, given to workspaces, folders, sandboxes and processes: words, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import files, process, sandbox
from daybreak.host.workspaces import Rules, Workspaces

LONG = "x" * 100_000
DEEP = "d/" * 1990
"""Short enough for the system, and deeper than any stack."""
NO_PATHS: list[Any] = ["", "\0", "a\0b", LONG, f"/{DEEP}", f"/tmp/{LONG}", "\ud800", b"x", 5, None, [], object(), 1.5]


class Hostile:
    """Something that cannot even be named."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def refused(act: Callable[[], object]) -> DaybreakError:
    """The error of an act that must be refused in words: with a hint, and short whatever was given."""
    with pytest.raises(DaybreakError) as told:
        act()
    assert told.value.hint
    assert len(told.value.message) < 250, told.value.message
    return told.value


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "root")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("a")
    return tmp_path / "source"


@pytest.mark.parametrize("path", [*NO_PATHS, Hostile()], ids=lambda path: type(path).__name__)
def test_a_root_that_cannot_be_is_refused(path: Any) -> None:
    """As long, deep or odd as it may be, and nothing is made of it."""
    # shows: X1
    refused(lambda: Workspaces(path))


@pytest.mark.parametrize("path", [*NO_PATHS, Hostile()], ids=lambda path: type(path).__name__)
def test_a_source_that_cannot_be_is_refused(workspaces: Workspaces, path: Any) -> None:
    """Of a copy and of a commit; and no trace of it is left."""
    refused(lambda: workspaces.from_folder(path))
    refused(lambda: workspaces.from_git(path))
    assert workspaces.sweep().removed == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"leave_out": 5},
        {"leave_out": "a"},
        {"leave_out": None},
        {"leave_out": [LONG + "/"]},
        {"leave_out": [5]},
        {"label": 5},
        {"label": LONG},
    ],
    ids=str,
)
def test_senseless_wishes_for_a_copy_are_refused(workspaces: Workspaces, source: Path, wrong: dict[str, Any]) -> None:
    """Before anything is copied."""
    refused(lambda: workspaces.from_folder(source, **wrong))
    assert workspaces.sweep().removed == ()


@pytest.mark.parametrize(
    "id", ["x", "", LONG, 5, None, b"ws", "ws-0123456789abcdef/..", Hostile()], ids=lambda id: type(id).__name__
)
def test_an_id_that_is_none_is_refused(workspaces: Workspaces, id: Any) -> None:
    """To reopen and to look at."""
    refused(lambda: workspaces.reopen(id))
    refused(lambda: workspaces.folder_of(id))


@pytest.mark.parametrize("other", ["x", None, 5, LONG, Path("x")])
def test_what_is_no_workspace_is_neither_ended_nor_adopted(
    workspaces: Workspaces, source: Path, tmp_path: Path, other: Any
) -> None:
    """Alone, and as a loser beside a real one."""
    refused(lambda: workspaces.end(other, "succeeded", ""))
    refused(lambda: workspaces.adopt(other, tmp_path / "out"))
    refused(lambda: workspaces.adopt_branch(other, "b", "m"))
    with workspaces.from_folder(source) as workspace:
        refused(lambda: workspaces.adopt(workspace, tmp_path / "out", losers=[other]))
        refused(lambda: workspaces.adopt(workspace, tmp_path / "out", losers=other))
        refused(lambda: workspaces.adopt_branch(workspace, other, "m"))
    assert not (tmp_path / "out").exists()


def test_a_workspace_belongs_to_the_root_that_made_it(workspaces: Workspaces, source: Path, tmp_path: Path) -> None:
    """Another root neither ends nor adopts it."""
    others = Workspaces(tmp_path / "others")
    with workspaces.from_folder(source) as workspace:
        refused(lambda: others.end(workspace, "succeeded", ""))
        refused(lambda: others.adopt(workspace, tmp_path / "out"))
        assert workspace.path.is_dir()


@pytest.mark.parametrize(("outcome", "reason"), [("x", ""), (None, ""), (LONG, ""), ("failed", 5), ("failed", None)])
def test_an_end_that_makes_no_sense_ends_nothing(
    workspaces: Workspaces, source: Path, outcome: Any, reason: Any
) -> None:
    """Both ways of saying it; afterwards a sensible end still works, and once."""
    workspace = workspaces.from_folder(source)
    refused(lambda: workspaces.end(workspace, outcome, reason))
    refused(lambda: workspace.discard(outcome, reason))
    assert len(workspaces.end(workspace, "succeeded", "")) == 1
    assert workspace.discard("succeeded") == ()


@pytest.mark.parametrize("target", NO_PATHS, ids=lambda path: type(path).__name__)
def test_a_target_that_cannot_be_is_refused(workspaces: Workspaces, source: Path, target: Any) -> None:
    """The workspace is still held."""
    with workspaces.from_folder(source) as workspace:
        refused(lambda: workspaces.adopt(workspace, target))
        assert workspace.is_open


def test_a_lost_listing_is_told(workspaces: Workspaces, source: Path, tmp_path: Path) -> None:
    """What the copy was made of cannot be read any more: nothing is adopted blindly."""
    with workspaces.from_folder(source) as workspace:
        listing = workspace.path.parent / "listing.json"
        for damage in ("", "[]", "{}", '{"listing": 5}'):
            listing.write_text(damage)
            refused(lambda: workspaces.adopt(workspace, source))
        listing.unlink()
        refused(lambda: workspaces.adopt(workspace, source))
        workspaces.adopt(workspace, tmp_path / "out")  # where nothing is, nothing can be lost
    assert (tmp_path / "out" / "a").read_text() == "a"


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_days": "x"},
        {"keep_days": -1},
        {"keep_days": float("nan")},
        {"keep_days": 1e12},
        {"bytes_max": -1},
        {"bytes_max": "x"},
    ],
    ids=str,
)
def test_rules_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    """When they are given, not when the first attempt fails."""
    refused(lambda: Rules(**wrong))


@pytest.mark.parametrize("wrong", [{"clock": 5}, {"rules": 5}, {"rules": "x"}], ids=str)
def test_a_root_with_senseless_parts_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """A clock that tells no time, rules that are none."""
    refused(lambda: Workspaces(tmp_path / "root", **wrong))


# -- folders and files


@pytest.mark.parametrize("path", [*NO_PATHS, Hostile()], ids=lambda path: type(path).__name__)
def test_folders_with_senseless_paths_are_refused(tmp_path: Path, source: Path, path: Any) -> None:
    """As source, as target, to look at, to clean up, to sync."""
    before = sorted(tmp_path.rglob("*"))
    refused(lambda: files.put_folder(path, tmp_path / "out"))
    refused(lambda: files.put_folder(source, path))
    refused(lambda: files.check_target(path))
    refused(lambda: files.remove_leftovers(path))
    refused(lambda: files.sync_folder(path))
    refused(lambda: files.write_file(path, b"x"))
    refused(lambda: files.recover(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_take_texts_as_well(tmp_path: Path, source: Path) -> None:
    """A path is a path, as text too."""
    out = str(tmp_path / "new" / "out")
    files.check_target(out)
    files.put_folder(str(source), out)
    files.remove_leftovers(out)
    files.sync_folder(out)
    assert Path(out, "a").read_text() == "a"


def test_folders_that_are_not_there_are_told(tmp_path: Path, source: Path) -> None:
    """A missing source, a file as source, a missing place for leftovers."""
    refused(lambda: files.put_folder(tmp_path / "none", tmp_path / "out"))
    refused(lambda: files.put_folder(source / "a", tmp_path / "out"))
    refused(lambda: files.sync_folder(tmp_path / "none"))
    files.remove_leftovers(tmp_path / "none" / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_deeper_than_the_stack_is_refused(tmp_path: Path) -> None:
    """In words, and the target is as it was."""
    deep = tmp_path / "deep"
    deep.mkdir()
    place = deep
    for _ in range(300):
        place = place / "d"
        place.mkdir()
    refused(lambda: files.put_folder(deep, tmp_path / "out"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["deep"]


@pytest.mark.parametrize("bytes_needed", ["x", None, -1])
def test_a_size_that_is_none_is_refused(tmp_path: Path, bytes_needed: Any) -> None:
    """What would be compared with the free space."""
    refused(lambda: files.check_target(tmp_path / "out", bytes_needed))


# -- sandboxes and processes


@pytest.mark.parametrize("wrong", ["x", None, 5, LONG, Hostile()], ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_sandbox_is_refused(tmp_path: Path, wrong: Any) -> None:
    """When it is prepared, and when something is to run in it."""
    refused(lambda: sandbox.prepare(wrong))
    refused(lambda: sandbox.prepare(sandbox.Sandbox(), "machine"))  # type: ignore[arg-type]
    if wrong is not None:
        environment = process.clean_environment(tmp_path)
        refused(lambda: process.run(["true"], cwd=tmp_path, env=environment, timeout_s=5, sandbox=wrong))


@pytest.mark.parametrize("path", [*NO_PATHS, Hostile()], ids=lambda path: type(path).__name__)
def test_a_scratch_that_cannot_be_is_refused(path: Any) -> None:
    """The environment of a program needs a folder."""
    refused(lambda: process.clean_environment(path))


def test_an_environment_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A file in the way, a search path that is one text, values that are no text."""
    (tmp_path / "file").write_text("")
    refused(lambda: process.clean_environment(tmp_path / "file"))
    refused(lambda: process.clean_environment(tmp_path, path="/usr/bin"))  # type: ignore[arg-type]
    refused(lambda: process.clean_environment(tmp_path, path=5))  # type: ignore[arg-type]
    refused(lambda: process.clean_environment(tmp_path, path=["a\0"]))  # type: ignore[list-item]
    refused(lambda: process.clean_environment(tmp_path, NAME=5))  # type: ignore[arg-type]
    refused(lambda: process.clean_environment(tmp_path, NAME="a\0b"))
    assert process.clean_environment(str(tmp_path / "text"))["HOME"] == str(tmp_path / "text" / "home")


def test_long_commands_are_cut_in_messages(tmp_path: Path) -> None:
    """A program's name and arguments of any length."""
    environment = process.clean_environment(tmp_path)
    for argv in (["true", LONG + "\0"], [LONG], [f"./{LONG}"], LONG):
        refused(lambda: process.run(argv, cwd=tmp_path, env=environment, timeout_s=5))  # noqa: B023 - called at once


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 9), ANYTHING | st.lists(ANYTHING, max_size=2))
def test_whatever_is_given_the_error_is_ours(tmp_path_factory: pytest.TempPathFactory, which: int, given: Any) -> None:
    """Every public function with any argument: it works, or there are words."""
    # shows: P8 X1
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    acts: list[Callable[[], object]] = [
        lambda: Workspaces(folder / "root").from_folder(given),
        lambda: Workspaces(folder / "root").from_git(folder, given),
        lambda: Workspaces(folder / "root").reopen(given),
        lambda: Workspaces(folder / "root").end(given, given, given),
        lambda: Workspaces(folder / "root").adopt(given, given, losers=given),
        lambda: files.put_folder(given, folder / "out"),
        lambda: files.check_target(folder / "out", given),
        lambda: sandbox.prepare(given),
        lambda: process.run(given, cwd=folder, env={}, timeout_s=5),
        lambda: process.clean_environment(folder, path=given),
    ]
    try:
        acts[which]()
    except DaybreakError as error:
        assert error.hint  # noqa: PT017 - it may also work
