"""What a worker's program needs to be read is granted, and never a place that holds everybody's things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daybreak.agents.found import find, too_wide
from daybreak.settings import Settings, Worker

SCRIPT = "#!/bin/sh\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = (tmp_path / "people" / "ada").resolve()
    for name in (".local/bin", ".local/lib", ".local/share/keyrings", ".config", "bin", "tools/bin", "tools/lib"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def program(path: Path, text: str = SCRIPT) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def granted(worker: Worker, path: str = "/usr/bin:/bin") -> list[Path]:
    found = find("w", worker, Settings(), {"PATH": path, "HOME": str(Path.home())})
    assert found.program, found.missing
    return list(found.readable)


@pytest.mark.parametrize("kind", ["pi", "acp"])
@pytest.mark.parametrize("place", [".local/bin/agent", "bin/agent", "agent", "tools/bin/agent", ".config/agent"])
def test_a_program_in_a_home_does_not_grant_the_home(home: Path, kind: str, place: str) -> None:
    """Nor the folders in it where everybody keeps keys and states; its own installation it does grant."""
    # shows: N9
    named = program(home / place)
    worker = Worker(kind="acp", command=(named,)) if kind == "acp" else Worker(kind="pi", program=named)
    readable = granted(worker)
    assert any(Path(named).is_relative_to(one) for one in readable), "what is to be run must be there"
    for private in (home / ".local" / "share" / "keyrings", home / ".config" / "other", home / "letter.txt"):
        assert not any(private.is_relative_to(one) for one in readable), readable
    if place.startswith("tools"):
        assert home / "tools" in readable


def test_an_interpreter_in_a_home_grants_itself_and_its_libraries(home: Path) -> None:
    """Of `~/.local` these alone: the folder of its programs, by name, and `lib`."""
    # shows: N9
    program(home / ".local" / "bin" / "node", SCRIPT)
    named = program(home / "tools" / "bin" / "agent", "#!/usr/bin/env node\n")
    search = f"{home / '.local' / 'bin'}:/usr/bin:/bin"
    for worker in (Worker(kind="pi", program=named), Worker(kind="acp", command=(named,))):
        readable = granted(worker, search)
        assert home / ".local" / "lib" in readable
        assert not any((home / ".local" / "share").is_relative_to(one) for one in readable)


def test_an_interpreter_for_a_plug_in_does_not_grant_the_home(home: Path) -> None:
    """`~/.local/bin/python3` is where some tools put a link to theirs."""
    # shows: N9
    python = program(home / ".local" / "bin" / "python3")
    plug_in = home / "tools" / "own.py"
    plug_in.write_text("def orchestrate(brief, workspace):\n    return 'done'\n")
    worker = Worker(kind="outside", program=f"{plug_in}:orchestrate", options={"python": python})
    readable = granted(worker)
    assert {plug_in, Path(python), home / ".local" / "lib"} == set(readable)


@pytest.mark.parametrize(
    ("more", "budget"),
    [
        ({}, "none"),
        ({"provider": "p"}, "hard"),
        ({"provider": "p", "network": True}, "soft"),
        ({"provider": "p", "environment": ("KEY",)}, "soft"),
        ({"network": True}, "soft"),
    ],
)
def test_a_worker_in_python_that_has_a_model_has_a_budget(more: dict[str, Any], budget: str) -> None:
    """It is not taken for one that spends nothing, and gets the variables that it was named."""
    # shows: F8
    found = find("w", Worker(kind="python", program="a:b", **more), Settings(), {"KEY": "value", "OTHER": "x"})
    assert (found.missing, found.budget) == ("", budget)
    assert dict(found.environment) == ({"KEY": "value"} if "environment" in more else {})
    absent = find("w", Worker(kind="python", program="a:b", environment=("GONE",)), Settings(), {})
    assert "GONE is not set" in absent.missing


def test_what_holds_much_more_than_a_program_is_too_wide(home: Path) -> None:
    """Whatever holds the home, the home, parts of it, and the system's shared places."""
    # shows: N9
    wide = [home, home.parent, Path("/"), home / ".local", home / ".config", Path("/opt"), Path("/home/bob")]
    assert all(map(too_wide, wide))
    assert not any(map(too_wide, [home / "tools", home / ".local" / "lib", Path("/opt/node"), Path("/usr/lib")]))
