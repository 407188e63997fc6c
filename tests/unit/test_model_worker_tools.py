"""What a model can reach with its tools, and what it cannot; and whether one can be asked on this machine at all."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.agents import found
from daybreak.agents.model import find, tools
from daybreak.agents.model.commands import OUTPUT_CHARS, Commands
from daybreak.agents.model.folder import FILE_BYTES_MAX, Folder, ToolFailed
from daybreak.agents.model.tools import TOOLS, BadCall, Result, Toolbox
from daybreak.settings import Provider, Settings, Worker


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "beside").mkdir()
    return folder


@pytest.fixture
def toolbox(root: Path, tmp_path: Path) -> Toolbox:
    folder = Folder(root, ("tests", "*.lock", "./pyproject.toml"))
    return Toolbox(folder, Commands(folder, tmp_path / "scratch", time_s=5))


def call(toolbox: Toolbox, name: str, **arguments: Any) -> Result:
    return toolbox.call(tools.read(name, arguments))


# -- paths

HOSTILE = [
    "../secret.txt",
    "src/../../secret.txt",
    "/etc/passwd",
    "~/x",
    "out/secret.txt",
    "file",
    "out/../../secret.txt",
    "a\0b",
    "x" * 5_000,
    "é" * 200,
    "x/" * 3_000,
    "\udcff",
    "loop",
    "/proc/self/environ",
    "deep/link/secret.txt",
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: repr(path)[:30])
@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "delete_file", "list_files", "search"])
def test_no_path_leads_out_of_the_workspace(tool: str, path: str, root: Path, toolbox: Toolbox) -> None:
    """Upwards, absolute, through links of folders and files, or no path at all: an answer, and nothing happened."""
    # shows: P8
    (root / "out").symlink_to(root.parent)
    (root / "file").symlink_to(root.parent / "secret.txt")
    (root / "loop").symlink_to("loop")
    (root / "deep").mkdir()
    (root / "deep" / "link").symlink_to("../out")
    more: dict[str, dict[str, str]] = {
        "write_file": {"text": "taken"},
        "edit_file": {"old": "secret", "new": "taken"},
        "search": {"pattern": "secret"},
    }
    result = call(toolbox, tool, path=path, **more.get(tool, {}))
    is_of_the_model = path == "~/x" or (tool == "delete_file" and path in ("file", "loop"))
    assert result.failed or is_of_the_model or "nothing found" in result.text
    assert "secret" not in result.text.replace("secret.txt", "")
    assert (root.parent / "secret.txt").read_text() == "secret"
    assert sorted(one.name for one in root.parent.iterdir()) == ["beside", "scratch", "secret.txt", "workspace"]


def test_deleting_a_link_spares_what_it_leads_to(root: Path, toolbox: Toolbox) -> None:
    """The link is in the workspace; what it names is not."""
    (root / "file").symlink_to(root.parent / "secret.txt")
    assert not call(toolbox, "delete_file", path="file").failed
    assert not (root / "file").is_symlink()
    assert (root.parent / "secret.txt").exists()


def test_another_name_of_a_file_outside_is_not_written_through(root: Path, toolbox: Toolbox) -> None:
    """A hard link becomes a file of its own."""
    os.link(root.parent / "secret.txt", root / "twin")
    assert not call(toolbox, "write_file", path="twin", text="mine").failed
    assert (root.parent / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize(
    "path",
    ["tests/test_a.py", "tests/deep/b.py", "uv.lock", "pyproject.toml", "src/../tests/x", "hidden/x", ".git/config"],
)
def test_protected_files_are_not_written_by_any_name(path: str, root: Path, toolbox: Toolbox) -> None:
    """Listed, below a listed folder, like a listed pattern, through a link, and git's own."""  # shows: X6
    (root / "tests").mkdir()
    (root / "hidden").symlink_to("tests")
    for tool, more in (("write_file", {"text": "x"}), ("delete_file", {})):
        assert call(toolbox, tool, path=path, **more).failed
    assert list((root / "tests").iterdir()) == []


def test_what_is_no_file_is_not_waited_for(root: Path, toolbox: Toolbox) -> None:
    """A pipe, a socket, a folder: an error at once."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        here = Path.cwd()
        os.chdir(root)  # names of sockets are short
        try:
            door.bind("door")
        finally:
            os.chdir(here)
        for path in ("pipe", "door", "src"):
            assert call(toolbox, "read_file", path=path).failed
            assert call(toolbox, "write_file", path=path, text="x").failed


def test_texts_that_are_none_or_too_long_are_refused(root: Path, toolbox: Toolbox) -> None:
    """Bytes that are no text, more than there may be, halves of characters: nothing is written."""
    (root / "b").write_bytes(b"\xff\xfe")
    assert "no UTF-8" in call(toolbox, "read_file", path="b").text
    (root / "long").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    assert "longer" in call(toolbox, "read_file", path="long").text
    assert call(toolbox, "write_file", path="n", text="\ud800").failed
    assert call(toolbox, "write_file", path="n", text="x" * (FILE_BYTES_MAX + 1)).failed
    assert call(toolbox, "write_file", path="src/a.py/n", text="x").failed
    assert not (root / "n").exists()


def test_a_file_keeps_its_mode_and_its_line_ends(root: Path, toolbox: Toolbox) -> None:
    """An edit of a program leaves it a program; one of a Windows file leaves it one."""
    program = root / "p.sh"
    program.write_bytes(b"one\r\ntwo\r\n")
    program.chmod(0o755)
    assert not call(toolbox, "edit_file", path="p.sh", old="one\ntwo", new="1\n2").failed
    assert program.read_bytes() == b"1\r\n2\r\n"
    assert program.stat().st_mode & 0o777 == 0o755


@settings(max_examples=60, deadline=None)
@given(text=st.text("ab\n", max_size=12), old=st.text("ab\n", min_size=1, max_size=3), new=st.text("abc", max_size=3))
def test_an_edit_replaces_once_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, text: str, old: str, new: str
) -> None:
    """Exactly one place, or the file is as it was."""
    folder = Folder(tmp_path_factory.mktemp("edit"))
    folder.write("f", text)
    try:
        line = folder.edit("f", old, new)
    except ToolFailed:
        assert text.count(old) != 1
        assert folder.read("f") == text
    else:
        assert text.count(old) == 1
        assert folder.read("f") == text.replace(old, new)
        assert line == text[: text.index(old)].count("\n") + 1


# -- what tools say


def test_reading_is_by_lines_and_cut(root: Path, toolbox: Toolbox) -> None:
    """A range, its place in the whole, and an end."""
    assert "lines 2 to 3 of 3" in call(toolbox, "read_file", path="src/a.py", first="2").text
    assert "one" not in call(toolbox, "read_file", path="src/a.py", first=2, last=2).text
    assert "has 3 lines" in call(toolbox, "read_file", path="src/a.py", first=9).text
    (root / "wide").write_text("y" * 100_000)
    assert len(call(toolbox, "read_file", path="wide").text) < 25_000


def test_a_search_names_file_and_line_and_ends(root: Path, toolbox: Toolbox) -> None:
    """Found lines, none, no expression, one that never ends, and too many."""
    (root / ".git").mkdir()
    (root / ".git" / "x").write_text("three")
    assert "src/a.py:3: three" in call(toolbox, "search", pattern="thr.e").text
    assert ".git" not in call(toolbox, "search", pattern="three").text
    assert call(toolbox, "search", pattern="three", files="*.md").text == "nothing found"
    assert "no regular expression" in call(toolbox, "search", pattern="(").text
    (root / "many").write_text("word\n" * 500)
    assert "these are the first" in call(toolbox, "search", pattern="word").text


def test_an_expression_that_takes_for_ever_is_ended(root: Path, tmp_path: Path) -> None:
    """It runs in a process of its own."""
    (root / "a").write_text("a" * 60 + "b\n")
    folder = Folder(root)
    toolbox = Toolbox(folder, Commands(folder, tmp_path / "scratch", time_s=0.4))
    assert "too long" in call(toolbox, "search", pattern="(a+)+$").text


def test_a_command_has_an_end_and_no_input(root: Path, toolbox: Toolbox) -> None:
    """Time, output, what it leaves running, what it waits for: none of it holds us up."""
    slow = call(toolbox, "run", command="sleep 60 & sleep 60", seconds=0.2)
    assert slow.failed
    assert "time was over" in slow.text
    assert call(toolbox, "run", command="cat").text.startswith("exit status 0")
    flood = call(toolbox, "run", command="yes | head -c 500000")
    assert len(flood.text) < OUTPUT_CHARS + 500
    assert call(toolbox, "run", command=" ").failed
    assert call(toolbox, "run", command="exit 3").failed


def test_only_commands_of_the_brief_are_checks(root: Path, tmp_path: Path) -> None:
    """Sentences are for reading."""
    told = (
        "python -m x",
        "It is fast.",
        "Run `python -V` at the end.",
        "no-such-program -q",
        "'open",
        "test that it works.",
    )
    commands = Commands(Folder(root), tmp_path / "scratch", time_s=5, checks=told)
    assert commands.checks == ("python -m x", "python -V")
    assert "1 of 2 passed" in commands.check().text
    with pytest.raises(ToolFailed, match="no check"):
        Commands(Folder(root), tmp_path / "scratch", time_s=5).check()


# -- calls


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("no_such", {}),
        ("read_file", "{"),
        ("read_file", "[]"),
        ("read_file", None),
        ("read_file", {"path": 3}),
        ("read_file", {"path": "a", "more": 1}),
        ("run", '{"command": "\ud800"}'),
        ("done", "[" * 100_000),
        ("x" * 10_000, {}),
    ],
    ids=lambda one: repr(one)[:30],
)
def test_a_call_that_cannot_be_is_answered(name: str, arguments: object) -> None:
    """A short sentence for the model, whatever it sent."""  # shows: P8
    with pytest.raises(BadCall) as raised:
        tools.read(name, arguments)
    assert len(raised.value.message) < 500


def test_every_tool_says_what_it_takes() -> None:
    """A schema that stands alone, with a sentence for each argument."""
    for tool in TOOLS.values():
        schema = tool.schema
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert all(one["description"] for one in schema["properties"].values())


# -- is there one


def at(**more: Any) -> tuple[Worker, Settings]:
    worker = Worker.model_validate({"kind": "model", "provider": "here", "model": "m", **more})
    provider = Provider(api="openai", address="http://127.0.0.1:1/v1", key="env:A_KEY")
    return worker, Settings(workers={"own": worker}, providers={"here": provider})


def look(environment: dict[str, str] | None = None, **more: Any) -> found.Found:
    worker, all_settings = at(**more)
    return found.find("own", worker, all_settings, environment if environment is not None else {"A_KEY": "k", "B": "b"})


def test_a_worker_with_all_it_needs_is_there() -> None:
    """Its budget is hard as long as it has no network of its own; only variables that are named go along."""
    worker, all_settings = at(environment=("B",))
    there = found.find("own", worker, all_settings, {"A_KEY": "k", "B": "b", "C": "c"})
    assert there.missing == ""
    assert there.version
    assert there.budget == "hard"
    assert dict(there.environment) == {"B": "b"}
    assert look(network=True).budget == "soft"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"provider": ""}, "has no provider"),
        ({"model": ""}, "has no model"),
        ({"options": {"context_tokens": 1}}, "context_tokens"),
        ({"options": {"no_such": 1}}, "known options are"),
    ],
)
def test_what_is_missing_is_said(more: dict[str, Any], words: str) -> None:
    """A sentence that names the worker and the way out."""  # shows: F16
    assert words in look(**more).missing
    assert "own" in look(**more).missing


def test_a_key_that_is_not_set_is_missing() -> None:
    """By name; nobody is asked."""
    assert "A_KEY is not set" in look(environment={}).missing


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    there = importlib.util.find_spec

    def none(name: str, package: str | None = None) -> Any:
        if name.startswith("pydantic_ai"):
            return None
        return there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", none)
    assert find.INSTALL in look().missing
