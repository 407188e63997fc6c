"""A workspace's own history: made here, left behind when it travels, made again where the worker is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.unit.repository_desk import git as run_git
from tests.unit.test_attempting import Desk, opened, own

from daybreak.clock import SystemClock
from daybreak.engine import Queue
from daybreak.engine.dispatch import Doing, travelling
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.events import JobLost as JobWasLost
from daybreak.factory import doers
from daybreak.factory.repository import git
from daybreak.factory.repository.git import ResultUnclear
from daybreak.host.workspaces import Workspace, Workspaces

CARRIER = Path(__file__).with_name("plain_carrier.py")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Of a repository with everything that may go wrong in one, with a history of its own."""
    repository = tmp_path / "repository"
    files: dict[str, bytes] = {
        "a.txt": b"one\ntwo\n", "gone": b"1", "bin": bytes(range(256)), "dos.txt": b"a\r\nb\r\n", "ignored.log": b"l",
        "pkg/m.py": b"x = 1\n", "pkg/__pycache__/m.pyc": b"p", ".coverage": b"c", "run": b"#!/bin/sh\n",
        "n\xfc \n\"x": b"2",
        ".gitattributes": b"*.txt text\n*.up filter=up\n", "some.up": b"up", ".gitignore": b"*.log\n",
    }  # fmt: skip
    for name, content in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(content)
    (repository / "link").symlink_to("pkg/m.py")
    run_git(repository, "init", "-q", "-b", "main")
    run_git(repository, "add", "--all", "--force")
    run_git(repository, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", "begin")
    made = Workspaces(tmp_path / "spaces", SystemClock()).from_git(repository, "HEAD", label="x", history=False)
    git.give_own_history(made)
    yield made
    made.discard("lost")


def change(folder: Path) -> None:
    """Of every kind that git knows."""
    (folder / "a.txt").write_text("one\nthree\n")
    (folder / "gone").unlink()
    (folder / "bin").write_bytes(bytes(range(255)))
    (folder / "run").chmod(0o755)
    (folder / "link").unlink()
    (folder / "link").symlink_to("/nowhere")
    (folder / "pkg" / "new").mkdir()
    (folder / "pkg" / "new" / "m.py").write_text("y = 2\n")
    (folder / "pkg" / "__pycache__" / "m.pyc").write_text("other")
    (folder / "pkg" / "__pycache__" / "n.pyc").write_text("new")
    (folder / "new.log").write_text("ignored by git")


def elsewhere(folder: Path, there: Path) -> Path:
    taken = travelling.taken(folder)
    travelling.unpack(taken.packed, there, taken.tree.hash)
    return there


def seen(folder: Path) -> dict[str, str]:
    """What a worker sees of its own changes, but for what does not travel."""
    left_out = (".", ":(exclude).coverage", ":(exclude,glob)**/__pycache__/**")
    return {
        "status": run_git(folder, "status", "--porcelain", "--", *left_out),
        "diff": run_git(folder, "diff", "HEAD", "--", *left_out),
        "base": run_git(folder, "ls-tree", "-r", "HEAD", "--", "a.txt", "bin", "gone", "link", "run", "pkg/m.py"),
        "log": run_git(folder, "log", "--format=%an %ae %at %s"),
        "name": run_git(folder, "config", "user.name"),
    }  # fmt: skip


def test_on_a_node_a_worker_sees_the_same_changes_as_here(workspace: Workspace, tmp_path: Path) -> None:
    """Those that are there when it begins, as for a reviewer, and its own."""  # shows: N14
    for changes in (lambda folder: None, change):
        changes(workspace.path)
        patch = git.since_begun(workspace.path, tmp_path / "begun.git")
        assert patch is not None
        there = elsewhere(workspace.path, tmp_path / f"there-{len(patch)}")
        git.begin_history(there, patch)
        assert seen(there) == seen(workspace.path)
        (there / "its.own").write_text("1")
        (there / "a.txt").write_text("its own\n")
        assert "its own" in run_git(there, "diff")
        assert "?? its.own" in run_git(there, "status", "--porcelain")
        for folder in (there, tmp_path / "begun.git"):
            subprocess.run(["rm", "-r", folder], check=True)


def test_what_has_no_history_here_gets_none_there(tmp_path: Path) -> None:
    """Whatever is called `.git`."""
    assert git.since_begun(tmp_path, tmp_path / "begun.git") is None
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    assert git.since_begun(tmp_path, tmp_path / "begun.git") is None
    (tmp_path / ".git" / "refs" / "heads" / "work").write_text("--output=/tmp/x")
    assert git.since_begun(tmp_path, tmp_path / "begun.git") is None
    (tmp_path / ".git" / "refs" / "heads" / "work").write_text("1" * 40)
    with pytest.raises(ResultUnclear, match="objects is no folder"):
        git.since_begun(tmp_path, tmp_path / "begun.git")
    (tmp_path / ".git" / "objects").mkdir()
    with pytest.raises(ResultUnclear, match="no history can be made"):
        git.since_begun(tmp_path, tmp_path / "begun.git")


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A repository of this user's that no worker can read."""
    repository = tmp_path / "private"
    repository.mkdir()
    (repository / "key").write_text("SECRET")
    run_git(repository, "init", "-q", "-b", "work")
    run_git(repository, "add", "--all")
    run_git(repository, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", "begin")
    return repository


@pytest.mark.parametrize(
    "leads", [".git", ".git/refs", ".git/objects", ".git/objects/ab", ".git/objects/pack", "alternates", "ref"]
)
def test_what_was_put_in_the_place_of_a_history_shows_nobody_elses(tmp_path: Path, private: Path, leads: str) -> None:
    """It is read with this user's rights: what a worker may not read must not come to it as what it removed."""
    # shows: N9, N14
    folder, theirs = tmp_path / "workspace", private / ".git"
    (folder / "src").mkdir(parents=True)
    git.begin_history(folder)
    place = folder / leads
    if leads == "alternates":
        (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{theirs / 'objects'}\n")
    elif leads == "ref":
        place = folder / ".git" / "refs" / "heads" / "work"
        place.unlink()
        place.symlink_to(theirs / "refs" / "heads" / "work")
    else:
        if place.exists():
            place.rename(tmp_path / "was")
        place.symlink_to(tmp_path / "private" / leads)
    if leads != "ref":
        head = (theirs / "refs" / "heads" / "work").read_text()
        with contextlib.suppress(OSError):
            (folder / ".git" / "refs" / "heads" / "work").write_text(head)
    if leads in (".git", ".git/refs", "ref"):
        assert git.since_begun(folder, tmp_path / "begun.git") is None
        return
    with pytest.raises(ResultUnclear, match="not as it was given"):
        git.since_begun(folder, tmp_path / "begun.git")


def test_a_pipe_in_the_place_of_a_history_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    os.mkfifo(tmp_path / ".git" / "refs" / "heads" / "work")
    assert git.since_begun(tmp_path, tmp_path / "begun.git") is None


def test_a_repository_below_that_a_history_knows_of_runs_nothing(tmp_path: Path) -> None:
    """Git would ask it by its own settings whether it was changed."""  # shows: N9, N14
    folder, ran = tmp_path / "workspace", tmp_path / "ran"
    below = folder / "below"
    below.mkdir(parents=True)
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    hook.chmod(0o755)
    for name, text in ((".gitattributes", "* filter=up\n"), ("a", "1")):
        (below / name).write_text(text)
    run_git(below, "init", "-q")
    run_git(below, "add", "--all")
    run_git(below, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", "begin")
    git.begin_history(folder)
    assert "160000" in run_git(folder, "ls-tree", "HEAD")
    with (below / ".git" / "config").open("a") as file:
        file.write(f'[filter "up"]\n\tclean = {hook}\n[core]\n\tfsmonitor = {hook}\n')
    os.utime(below / "a", (1, 1))
    git.since_begun(folder, tmp_path / "begun.git")
    assert not ran.exists()


def test_no_program_that_a_folder_names_is_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters, hooks, monitors and what this user's own git is told; here and on the node."""  # shows: N9, N14
    folder, ran = workspace.path, tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    hook.chmod(0o755)
    evil = (
        f'[filter "up"]\n\tclean = {hook}\n\tsmudge = {hook}\n[core]\n\tfsmonitor = {hook}\n\thooksPath = {tmp_path}\n'
    )
    evil += f"[diff]\n\texternal = {hook}\n[init]\n\ttemplateDir = {tmp_path}/template\n"
    for name in ("pre-commit", "post-index-change", "reference-transaction"):
        (tmp_path / "template" / "hooks").mkdir(parents=True, exist_ok=True)
        for place in (tmp_path, tmp_path / "template" / "hooks", folder / ".git" / "hooks"):
            place.mkdir(exist_ok=True)
            (place / name).write_bytes(hook.read_bytes())
            (place / name).chmod(0o755)
    with (folder / ".git" / "config").open("a") as file:
        file.write(evil)
    (tmp_path / ".gitconfig").write_text(evil)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(hook))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    (folder / "some.up").write_text("changed")
    patch = git.since_begun(folder, tmp_path / "begun.git")
    assert patch
    there = elsewhere(folder, tmp_path / "there")
    git.begin_history(there, patch)
    assert not ran.exists()
    assert not list((there / ".git").glob("hooks/*"))


LOOKS = """
        said = [subprocess.run(["git", *words], capture_output=True, text=True) for words in (
            ["status", "--porcelain"], ["log", "--format=%s"], ["diff", "--name-only"])]
        Path("seen").write_text("".join(one.stdout + one.stderr for one in said))
        Path("new-link").symlink_to("a.txt")
        if Path(".git").is_dir():
            Path(".git/config").write_text("[core] fsmonitor = /bin/false")
        yield Claim(outcome="finished", summary="done")
"""


@pytest.fixture
def on_node(tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    """A run whose worker looks at its changes, done by what nodes run."""
    with opened(tmp_path / "desk") as desk:
        own(desk, LOOKS)
        desk.office._dispatch = RayDispatch(
            Cluster(folder=tmp_path / "log", silence_s=30.0), os.environ, carrier=(sys.executable, CARRIER, "right")
        )
        yield lambda: desk
        desk.office.close()


def prepared(desk: Desk) -> Path:
    folder = desk.folder / "scratch" / "workspace"
    (folder / "pkg").mkdir(parents=True)
    for name, text in (("a.txt", "1"), (".coverage", "c"), ("pkg/m.py", "1"), ("pkg/m.pyc", "p")):
        (folder / name).write_text(text)
    (folder / "link").symlink_to("pkg/m.py")
    git.begin_history(folder)
    (folder / "a.txt").write_text("changed before it began")
    return folder


def test_an_attempt_on_a_node_has_a_history_which_stays_there(on_node: Callable[[], Desk]) -> None:
    """With links and what does not travel; and the one here is as it was."""  # shows: N14
    desk = on_node()
    folder = prepared(desk)
    before = {path: path.read_bytes() for path in (folder / ".git").rglob("*") if path.is_file()}
    assert desk.go().claim.outcome == "finished", desk.results
    assert (folder / "seen").read_text() == " M a.txt\nbase\na.txt\n"
    assert (folder / "link").readlink() == Path("pkg/m.py")
    assert (folder / "new-link").readlink() == Path("a.txt")
    assert ((folder / ".coverage").read_text(), (folder / "pkg" / "m.pyc").read_text()) == ("c", "p")
    assert {path: path.read_bytes() for path in (folder / ".git").rglob("*") if path.is_file()} == before
    assert sorted(os.listdir(folder)) == [".coverage", ".git", "a.txt", "link", "new-link", "pkg", "seen"]


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_attempt_whose_history_cannot_be_made_says_so_and_goes_on(
    on_node: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Nothing else depends on it."""  # shows: N14
    desk = on_node()
    folder = prepared(desk)
    if where == "there":
        monkeypatch.setattr(git, "since_begun", lambda *_: b"no patch at all")
    else:
        (folder / ".git" / "refs" / "heads" / "work").write_text("1" * 40)
    assert desk.go().claim.outcome == "finished"
    assert "not a git repository" in (folder / "seen").read_text()
    assert any("git shows this worker no changes of its own" in str(one) for one in desk.told), desk.told


def test_a_node_without_git_says_that_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line among those of the attempt; and leaves no half of it."""  # shows: N14
    folder, said = tmp_path / "workspace", list[bytes]()
    folder.mkdir()
    (tmp_path / "changes").write_bytes(b"")
    doing = Doing(
        body={}, scratch=tmp_path, kept={}, lock=threading.Lock(), cancelled=threading.Event(), tell=said.append,
        here=False, lent={"workspace": folder}, given={doers.HISTORY: tmp_path / "changes"},
    )  # fmt: skip
    monkeypatch.setitem(git._ENVIRONMENT, "PATH", str(tmp_path))
    doers._begin_history(doing)
    [told] = [json.loads(one) for one in said]
    assert "git" in told["note"]["text"]
    assert "there is no program" in told["note"]["text"]
    assert b"".join(said).count(b"\n") == 1
    assert not list(folder.iterdir())
    monkeypatch.undo()
    doers._begin_history(doing)
    assert run_git(folder, "log", "--format=%s") == "base\n"
    assert len(said) == 1


def test_a_workspace_that_is_too_large_to_travel_is_asked_about_and_costs_nobody_anything(
    on_node: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker was started, so it is no worker's fault, and no other worker can do better: a person can."""
    # shows: N14, F16
    desk = on_node()
    prepared(desk)
    with monkeypatch.context() as patched:
        patched.setattr(travelling, "FOLDER", replace(travelling.FOLDER, entries=1))
        anyio.run(desk.engine.supervise, desk.run_id)
        ((state, question, why),) = desk.ledger.query(
            "SELECT state, question, why FROM view_runs WHERE run = ?", (desk.run_id,)
        )
        assert (state, desk.results, desk.events(JobWasLost)) == ("parked", [], [])
        assert question.startswith("workspace cannot travel to a node: there are more than 1 files and folders")
        assert 'engine = "local"' in why
    assert Queue(desk.ledger, SystemClock(), os.urandom).answer(desk.run_id, "yes")
    assert desk.go().claim.outcome == "finished"
