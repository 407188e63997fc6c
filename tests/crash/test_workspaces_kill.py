"""Workspaces under kill -9 between any two steps: the user's tree stays as it is, and all that is left is found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daybreak.host.workspaces import Rules, Workspaces
from daybreak.testing.clock import FakeClock

STEPS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.chmod",
    "os.utime",
    "shutil.rmtree",
}
"""Audit events before which the process is killed: everything that changes a disk goes through one of them."""
SHORT = {"git": 26, "folder": 8}
"""Every n-th step, because each one would take too long; `CRASH_OFFSET` moves the first."""

WORK = """
import os, signal, sys
from daybreak.host.workspaces import Rules, Workspaces
root, source, target, at, kind = sys.argv[1:]
left = int(at)
def die(event, arguments):
    global left
    if event in {steps}:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
workspaces = Workspaces(root, rules=Rules(keep_days=1))
import daybreak.host.files, daybreak.host.process, shutil, tempfile, json
sys.addaudithook(die)
if kind == "git":
    kept = workspaces.from_git(source, "main")
    (kept.path / "app.py").write_text("changed")
    kept.discard("failed")
    winner = workspaces.from_git(source, "main")
    (winner.path / "app.py").write_text("better")
    workspaces.adopt_branch(winner, "new", "Message")
else:
    kept = workspaces.from_folder(source)
    kept.discard("failed")
    winner = workspaces.from_folder(source)
    (winner.path / "app.py").write_text("better")
    workspaces.adopt(winner, target)
left = -1
print("finished")
"""


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **who}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.py").write_text("one\n")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("a\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    (folder / "app.py").write_text("not committed\n")
    return folder


def killed_at(step: int, root: Path, source: Path, target: Path, kind: str) -> bool:
    """Whether it was killed; False where it had finished before."""
    arguments = [str(root), str(source), str(target), str(step), kind]
    command = [sys.executable, "-c", WORK.format(steps=STEPS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def steps(every: int) -> Iterator[int]:
    step = 1 + int(os.environ.get("CRASH_OFFSET", "0")) % every
    while True:
        yield step
        step += every


def state(folder: Path, wanted: Callable[[Path], bool]) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and wanted(path)
    }


def not_an_object(path: Path) -> bool:
    """New objects that nobody refers to are no harm: git clears them away."""
    return not any(part in str(path) for part in (".git/objects", ".git/logs", "refs/heads/new"))


def clean_up(root: Path, clock: FakeClock) -> None:
    """One sweep finds all; after the days of failures nothing is left."""
    workspaces = Workspaces(root, clock, Rules(keep_days=1))
    swept = workspaces.sweep()
    assert swept.stuck == ()
    assert swept.held == ()
    for kept in swept.kept:
        workspaces.reopen(kept.id).discard("failed", kept.reason)
    clock.advance(2 * 86_400)
    swept = workspaces.sweep()
    assert swept.kept == ()
    left = [path for folder in ("records", "locks", "spaces") for path in (root / folder).iterdir()]
    assert [path for path in left if ".daybreak-" not in path.name] == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("every", [SHORT["git"], pytest.param(1, marks=pytest.mark.chaos)])
def test_a_killed_attempt_on_a_repository_leaves_no_trace_in_it(source: Path, tmp_path: Path, every: int) -> None:
    """At steps of making, failing, making again and adopting as a branch."""
    # shows: N17 N4
    before = state(source, not_an_object)
    for number, step in enumerate(steps(every)):
        root = tmp_path / f"root-{number}"
        killed = killed_at(step, root, source, tmp_path / "unused", "git")
        assert state(source, not_an_object) == before
        assert "new" not in git(source, "branch", "--list", "new") or git(source, "show", "new:app.py") == "better"
        assert git(source, "worktree", "list").count("\n") == 1
        clean_up(root, FakeClock())
        (source / ".git" / "refs" / "heads" / "new").unlink(missing_ok=True)
        if not killed:
            assert number > 5
            return


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("every", [SHORT["folder"], pytest.param(1, marks=pytest.mark.chaos)])
def test_a_killed_attempt_on_a_folder_leaves_the_old_or_the_new(source: Path, tmp_path: Path, every: int) -> None:
    """At steps of the same; the target is not there or whole."""
    # shows: N17 N4
    before = state(source, lambda path: True)
    for number, step in enumerate(steps(every)):
        root, target = tmp_path / f"root-{number}", tmp_path / f"target-{number}"
        killed = killed_at(step, root, source, target, "folder")
        assert state(source, lambda path: True) == before
        if target.exists():
            assert (target / "app.py").read_text() == "better"
            assert (target / "docs" / "a.md").read_text() == "a\n"
        clean_up(root, FakeClock())
        if not killed:
            assert number > 5
            assert target.exists()
            return
