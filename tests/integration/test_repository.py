"""Whole runs on a repository: what is delivered, what is refused, and what a crash changes (nothing)."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak import events
from daybreak.agents.protocol import Brief, Claim

HERE = Path(__file__).parent
UNIT = HERE.parent / "unit"


def _module(name: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scene = _module("repository_desk", UNIT)
Cli = _module("daybreak_cli", HERE).Cli


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    with scene.opened(tmp_path) as opened:
        yield opened


def evidence(desk: Any, run: str) -> list[tuple[int, str, str]]:
    looked = desk.events(run, events.CheckLooked)
    return [(one.attempt, one.evidence["check"].split(":")[0], one.evidence["outcome"]) for one in looked]


def test_a_lie_and_a_cheat_are_refused_and_the_right_result_becomes_a_branch(desk: Any) -> None:
    """One clean commit on top of the base, by the user's own name; what the user has not committed stays as it is."""
    # shows: N2
    scene.put(desk.repo, {"calc.py": "dirty = True\n", "new.txt": "mine\n", "staged.txt": "mine\n"})
    scene.git(desk.repo, "add", "staged.txt")
    before = scene.git(desk.repo, "status", "--porcelain=v2", "--branch")
    cheat = scene.writes(
        {"tests/test_calc.py": "def test_all():\n    pass\n", "conftest.py": "", "calc.py": "add = 1\n"}
    )
    done = desk.run(None, scene.LYING, cheat, scene.RIGHT)

    assert (done.state, done.value["verdict"], done.value["attempts"], done.value["shown"]) == (
        "done",
        "passed",
        3,
        True,
    )
    assert scene.git(desk.repo, "status", "--porcelain=v2", "--branch") == before
    assert (desk.repo / "calc.py").read_text() == "dirty = True\n"
    assert evidence(desk, done.run) == [
        (1, "change", "failed"),
        (2, "change", "passed"), (2, "protected", "failed"), (2, "tests", "failed"),
        (3, "change", "passed"), (3, "protected", "passed"), (3, "tests", "passed"),
    ]  # fmt: skip
    told = "\n".join(finding.message for finding in desk.scripted.briefs[2].findings)
    assert "tests/test_calc.py was changed, and is protected" in told
    assert "conftest.py was added" in told
    assert "tests/test_calc.py::test_add" in told, "the tests were put back, and say what is wrong as well"

    branch = f"daybreak/{done.run}"
    assert desk.branches() == [branch, "main"]
    assert scene.git(desk.repo, "log", "--format=%an <%ae> %s", f"main..{branch}").strip() == (
        "Ada <ada@example.org> add sub(one, other) to calc.py"
    )
    assert scene.git(desk.repo, "diff", "--name-only", f"main..{branch}").split() == ["calc.py"]
    trailers = scene.git(desk.repo, "log", "-1", "--format=%(trailers)", branch)
    for line in (f"Daybreak-Run: {done.run}", "attempt 3", "2 passed, 1 of them did not pass before"):
        assert line in trailers
    manifest = json.loads(desk.ledger.get_blob(done.value["manifest"]))
    assert (manifest["base"], manifest["shown"]) == (scene.git(desk.repo, "rev-parse", "main").strip(), True)
    assert not list(desk.places.workspaces.glob("*/*"))


def test_what_no_check_can_show_is_asked_about(desk: Any) -> None:
    """Checks that pass on the base are guards: without another one a person says whether to go on."""
    # shows: N2
    asked = desk.asked("sh check.sh", "test -s calc.py", prompt="write notes.txt")
    crash = Claim(outcome="crashed", summary="it broke")
    notes = scene.writes({"notes.txt": "noted\n", "check.sh": "exit 0\n", "debug.log": "ignored\n"})
    failed = desk.run(asked, lambda folder, brief: crash, notes)
    assert (failed.state, failed.code) == ("failed", "C173")
    assert "check.sh was changed, and is protected" in failed.why
    assert desk.branches() == ["main"]

    parked = desk.run(desk.asked("test -s calc.py", prompt="tidy up"))
    assert parked.state == "parked"
    assert "every check passes on the base already" in parked.question
    desk.engine.answer(parked.run, parked.question, "yes")
    done = desk.supervise(parked.run)
    assert (done.state, done.value["shown"]) == ("done", False)
    assert "Daybreak-Shown: no" in scene.git(desk.repo, "log", "-1", "--format=%B", f"daybreak/{done.run}")


def test_links_modes_and_bytes_arrive_as_they_were_left(desk: Any) -> None:
    """What was checked is what is delivered; a branch that is there already is never moved."""
    # shows: N2

    def work(folder: Path, brief: Brief) -> None:
        (folder / "data.bin").write_bytes(bytes(range(256)) * 20)
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o755)
        (folder / "link").symlink_to("data.bin")
        (folder / "ignored.log").write_text("left out\n")
        (folder / "a folder").mkdir()
        (folder / "a folder" / "ü*?.txt").write_text("odd\n")
        (folder / ".gitignore").unlink()
        (folder / "calc.py").rename(folder / "moved.py")
        assert "begin" not in scene.git(folder, "log", "--format=%s"), "the history is not there"

    asked = desk.asked("test -x run && test -L link && test -s data.bin")
    run = desk.engine.submit(asked.kind, asked.title, asked.args, asked.placement)
    scene.git(desk.repo, "branch", f"daybreak/{run}")
    desk.scripted.works = [work]
    parked = desk.supervise(run)
    assert parked.state == "parked"
    assert "is there already" in parked.question
    scene.git(desk.repo, "branch", "-m", f"daybreak/{run}", "mine")
    desk.engine.answer(run, parked.question, "yes")
    done = desk.supervise(run)
    assert done.state == "done"
    assert len(desk.scripted.briefs) == 1, "nobody worked again"
    listing = scene.git(
        desk.repo, "-c", "core.quotePath=false", "ls-tree", "-r", "--format=%(objectmode) %(path)", f"daybreak/{run}"
    )
    assert set(listing.splitlines()) >= {"100755 run", "120000 link", "100644 data.bin", "100644 a folder/ü*?.txt"}
    assert "ignored.log" in listing, "the file that ignored it is gone"
    assert "calc.py" not in listing.replace("test_calc.py", "")


OWNER = """
import os, signal, sys
sys.path.insert(0, {unit!r})
import repository_desk as scene
from daybreak.factory.kinds import repository
from pathlib import Path

def work(folder, brief):
    with open({log!r}, "a") as file:
        file.write("worked\\n")
    return scene.RIGHT(folder, brief)

repository._OneTask._look = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with scene.opened(Path({folder!r})) as desk:
    desk.run(desk.asked("grep -q 'def sub' calc.py"), work)
"""


def test_a_kill_between_attempt_and_checks_costs_no_second_attempt(tmp_path: Path) -> None:
    """What the worker left is in the ledger; whoever takes over looks at that."""
    # shows: N4
    log = tmp_path / "log"
    program = OWNER.format(unit=str(UNIT), log=str(log), folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": ""}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with scene.opened(tmp_path) as desk:
        [resumable] = desk.engine.resumable()
        desk.scripted.works = [scene.LYING]
        done = desk.supervise(resumable.run)
        assert (done.state, desk.branches()) == ("done", [f"daybreak/{done.run}", "main"])
        assert desk.scripted.briefs == []
        assert not list(desk.places.workspaces.glob("*/*"))
    assert log.read_text() == "worked\n"


def test_the_command_line_puts_it_into_the_queue(tmp_path: Path) -> None:
    """With everything that it needs, and nothing else touched."""
    # shows: F8
    repo = scene.make(tmp_path / "calc")
    cli = Cli(repo)
    words = [
        "--worker",
        "json:one",
        "--attempts",
        "2",
        "--protect",
        "docs/**",
        "--allow",
        "tests/test_new.py",
        "--json",
    ]
    ran = cli("add", "--repo", ".", "add sub\nas its test says", "--check", "pytest -q", *words)
    assert ran.status == 0, ran.err
    assert (ran.json()["kind"], ran.json()["title"]) == ("repository", "calc: add sub")
    refused = cli("add", "--repo", ".", "add sub", "--worker", "json:one")
    assert refused.status == 2
    assert "no check decides" in refused.err
