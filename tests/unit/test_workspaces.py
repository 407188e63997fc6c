"""Workspaces: apart from the user's tree, cleaned up by rule, adopted whole or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import locks, removal
from daybreak.host.workspaces import (
    Author,
    ChangesUnclear,
    CommitUnknown,
    NotAdopted,
    NotARepository,
    Rules,
    SourceChanged,
    TargetMoved,
    WorkspaceNotRemoved,
    WorkspaceRefused,
    Workspaces,
    WorkspaceUnknown,
    copying,
)
from daybreak.testing.clock import FakeClock

DAY_S = 86_400


def git(folder: Path, *arguments: str) -> str:
    """As a user would, without the configuration of this machine."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": "Ada" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "ada@example.org" for role in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits on `main`, uncommitted work, something staged, a stash, a second branch."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.py").write_text("print('one')\n")
    (folder / "docs").mkdir()
    (folder / "docs" / "guide.md").write_text("# Guide\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    git(folder, "branch", "other")
    (folder / "app.py").write_text("print('stashed')\n")
    git(folder, "stash", "-q")
    (folder / "staged.py").write_text("x = 1\n")
    git(folder, "add", "staged.py")
    (folder / "app.py").write_text("print('not committed')\n")
    (folder / "untracked.txt").write_text("mine\n")
    return folder


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "root", FakeClock(), Rules(keep_days=7, bytes_max=10**9))


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder, git's own too, with its mode."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def work(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder without git's own, and without folders, of which git knows nothing."""
    found = everything(folder)
    return {name: found[name] for name in found if not name.startswith(".git") and not (folder / name).is_dir()}


# -- off a commit


def test_a_repository_is_not_touched_by_an_attempt(repository: Path, workspaces: Workspaces) -> None:
    """Index, stash, branches, configuration, worktrees and uncommitted work: every byte stays as it was."""
    # shows: N17
    before = everything(repository)
    with workspaces.from_git(repository, "main") as workspace:
        assert (workspace.path / "app.py").read_text() == "print('one')\n"
        assert os.access(workspace.path / "run.sh", os.X_OK)
        assert not (workspace.path / "untracked.txt").exists()
        assert not (workspace.path / "staged.py").exists()
        (workspace.path / "app.py").write_text("print('changed')\n")
        git(workspace.path, "commit", "-qam", "what a worker commits stays in its workspace")
        assert b"+print('changed')" in workspace.patch()
    assert everything(repository) == before
    assert not workspace.path.exists()


def test_history_is_there_where_it_was_asked_for(repository: Path, workspaces: Workspaces) -> None:
    """`git status` is clean at the beginning and `git log` shows the past; without history no `.git` is there."""
    with workspaces.from_git(repository) as workspace:
        assert git(workspace.path, "status", "--porcelain") == ""
        assert "first" in git(workspace.path, "log", "--oneline")
        assert workspace.reads == (repository / ".git" / "objects",)
    with workspaces.from_git(repository, history=False) as workspace:
        assert not (workspace.path / ".git").exists()
        (workspace.path / "new.py").write_text("x = 1\n")
        assert b"new.py" in workspace.patch()


def test_a_patch_applies_to_the_commit(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Added, changed, removed, renamed, binary and executable files come out as they are in the workspace."""
    # shows: N17
    with workspaces.from_git(repository, "main") as workspace:
        (workspace.path / "docs" / "guide.md").rename(workspace.path / "manual.md")
        (workspace.path / "logo.png").write_bytes(bytes(range(256)))
        (workspace.path / "app.py").unlink()
        (workspace.path / "run.sh").chmod(0o644)
        (workspace.path / "ümläut name.txt").write_text("x\n")
        patch = workspace.patch()
        fresh = tmp_path / "fresh"
        git(tmp_path, "clone", "-q", "--branch", "main", str(repository), str(fresh))
        (tmp_path / "patch").write_bytes(patch)
        git(fresh, "apply", str(tmp_path / "patch"))
        assert work(workspace.path) == work(fresh)


def test_the_winner_becomes_a_branch_and_losers_go(repository: Path, workspaces: Workspaces) -> None:
    """One commit on a new branch; HEAD, index and files of the user stay; nothing is left of the workspaces."""
    # shows: N17
    status, head = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    winner, loser = workspaces.from_git(repository, "main"), workspaces.from_git(repository, "main")
    (winner.path / "app.py").write_text("print('better')\n")
    new = workspaces.adopt_branch(
        winner, "proposal/1", "Better\n\nWhy.", author=Author("Bee", "b@x.org"), losers=[loser]
    )
    assert git(repository, "rev-parse", "proposal/1").strip() == new
    assert git(repository, "show", "proposal/1:app.py") == "print('better')\n"
    assert git(repository, "log", "-1", "--format=%an %ae %P", "proposal/1").split() == ["Bee", "b@x.org", head.strip()]
    assert (git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")) == (status, head)
    assert "broken" not in git(repository, "fsck", "--strict")
    assert git(repository, "worktree", "list").count("\n") == 1
    assert not winner.path.exists()
    assert not loser.path.exists()


def test_a_branch_is_moved_only_if_it_is_where_it_was(repository: Path, workspaces: Workspaces) -> None:
    """Compare and swap: moved meanwhile is refused, nothing is changed, the workspace is still there."""
    # shows: N17
    first, second = workspaces.from_git(repository, "other"), workspaces.from_git(repository, "other")
    (first.path / "app.py").write_text("first\n")
    (second.path / "app.py").write_text("second\n")
    new = workspaces.adopt_branch(first, "other", "First")
    with pytest.raises(TargetMoved, match="refs/heads/other"):
        workspaces.adopt_branch(second, "other", "Second")
    assert git(repository, "rev-parse", "other").strip() == new
    assert (second.path / "app.py").read_text() == "second\n"
    second.discard("lost")


def test_a_checked_out_branch_is_refused(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Also one that a linked worktree of the user has; the user's index would no longer fit."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "other")
    with workspaces.from_git(tmp_path / "linked") as workspace:
        assert workspace.base == git(repository, "rev-parse", "other").strip()
        (workspace.path / "app.py").write_text("x\n")
        for branch in ("main", "other"):
            with pytest.raises(NotAdopted, match="checked out"):
                workspaces.adopt_branch(workspace, branch, "Message")


def test_nothing_changed_is_the_base_itself(repository: Path, workspaces: Workspaces) -> None:
    """No empty commit is made."""
    with workspaces.from_git(repository) as workspace:
        assert workspace.patch() == b""
        assert workspace.commit("nothing") == workspace.base


def test_a_bare_repository_and_sha256_work(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """A repository without files of its own, and one with the longer hashes."""
    bare, long = tmp_path / "bare.git", tmp_path / "long"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    with workspaces.from_git(bare, "main") as workspace:
        (workspace.path / "app.py").write_text("x\n")
        new = workspaces.adopt_branch(workspace, "main", "In a bare one HEAD's branch is nobody's")
    assert git(bare, "rev-parse", "main").strip() == new
    long.mkdir()
    git(long, "init", "-q", "--object-format=sha256", "-b", "main")
    git(long, "commit", "-q", "--allow-empty", "-m", "empty")
    with workspaces.from_git(long) as workspace:
        assert len(workspace.base) == 64
        (workspace.path / "a").write_text("a")
        workspaces.adopt_branch(workspace, "new", "Message")
    assert git(long, "show", "new:a") == "a"


def test_a_shallow_clone_works(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Whose history ends somewhere."""
    git(repository, "commit", "-qm", "second")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    with workspaces.from_git(tmp_path / "shallow") as workspace:
        assert "second" in git(workspace.path, "log", "--oneline")
        (workspace.path / "a").write_text("a")
        workspaces.adopt_branch(workspace, "new", "Message")
    assert "broken" not in git(tmp_path / "shallow", "fsck")


def test_submodules_filters_and_links_out_are_named(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """What is not covered is said, and what would be lost is refused."""
    # shows: N17
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs\n*.txt filter=upper\n")
    (repository / "out").symlink_to("/etc")
    (repository / "in").symlink_to("docs/guide.md")
    head = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},vendor/lib")
    git(repository, "add", ".gitattributes", "in", "out")
    git(repository, "commit", "-qm", "unusual")
    with workspaces.from_git(repository) as workspace:
        said = "\n".join(workspace.not_covered)
        assert "vendor/lib is a submodule" in said
        assert "filter lfs of .gitattributes is not run (Git LFS: files are pointers)" in said
        assert "filter upper" in said
        assert "out is a link that leads out of the workspace, to /etc" in said
        assert "in is a link" not in said
        assert workspace.patch() == b""
        (workspace.path / "vendor" / "lib" / "file").write_text("lost?")
        with pytest.raises(ChangesUnclear, match="submodule vendor/lib"):
            workspace.patch()


def test_a_repository_inside_the_workspace_is_refused(repository: Path, workspaces: Workspaces) -> None:
    """Git would take it for a submodule and drop its files from the result without a word."""
    with workspaces.from_git(repository) as workspace:
        (workspace.path / "inner").mkdir()
        git(workspace.path / "inner", "init", "-q")
        git(workspace.path / "inner", "commit", "-q", "--allow-empty", "-m", "x")
        (workspace.path / "inner" / "work.py").write_text("x = 1\n")
        with pytest.raises(DaybreakError) as refused:
            workspace.patch()
        assert "inner" in refused.value.message


# -- hostile repositories


def test_nothing_that_a_repository_names_is_run(repository: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Hooks, filters, monitors, transports, editors, drivers: none leaves its mark while a workspace lives."""
    # shows: N17 X4
    mark = tmp_path / "owned"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    trap.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in (
        "post-checkout",
        "pre-commit",
        "reference-transaction",
        "post-index-change",
        "post-commit",
        "pre-auto-gc",
    ):
        for folder in (hooks, repository / ".git" / "hooks"):
            (folder / name).symlink_to(trap)
    (repository / ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n")
    git(repository, "add", ".gitattributes")
    git(repository, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "attributes")
    mark.unlink(missing_ok=True)
    settings_ = {
        "core.hooksPath": hooks,
        "core.fsmonitor": trap,
        "core.sshCommand": trap,
        "core.editor": trap,
        "core.pager": trap,
        "core.askPass": trap,
        "core.gitProxy": trap,
        "core.alternateRefsCommand": trap,
        "filter.trap.clean": trap,
        "filter.trap.smudge": trap,
        "filter.trap.process": trap,
        "filter.trap.required": "true",
        "diff.external": trap,
        "diff.trap.command": trap,
        "diff.trap.textconv": trap,
        "merge.trap.driver": trap,
        "gpg.program": trap,
        "commit.gpgSign": "true",
        "credential.helper": trap,
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{trap}",
        "remote.origin.uploadpack": trap,
        "protocol.ext.allow": "always",
        "gc.auto": "1",
        "uploadpack.packObjectsHook": trap,
    }
    with (repository / ".git" / "config").open("a") as file:
        file.write("[core]\n\trepositoryFormatVersion = 1\n")
        for key, value in settings_.items():
            section, _, name = key.rpartition(".")
            head, _, inner = section.partition(".")
            file.write(f'[{head} "{inner}"]\n' if inner else f"[{head}]\n")
            file.write(f"\t{name} = {value}\n")
    with workspaces.from_git(repository, "main") as workspace:
        (workspace.path / "app.py").write_text("x\n")
        (workspace.path / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {hooks}\n")
        workspace.patch()
        workspaces.adopt_branch(workspace, "new", "Message")
    with pytest.raises(CommitUnknown):
        workspaces.from_git(repository, "1234567890123456789012345678901234567890")  # a partial clone would fetch it
    workspaces.sweep()
    assert not mark.exists()
    subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False)
    assert mark.exists(), "the traps would have worked"


def test_a_workers_own_git_folder_decides_nothing(repository: Path, workspaces: Workspaces) -> None:
    """The `.git` inside belongs to the worker; ours lies beside the workspace and decides what has changed."""
    # shows: N17 X4
    with workspaces.from_git(repository) as workspace:
        subprocess.run(["rm", "-rf", ".git"], cwd=workspace.path, check=True)
        (workspace.path / ".git").write_text(f"gitdir: {repository / '.git'}\n")
        (workspace.path / "app.py").write_text("x\n")
        assert b"+x" in workspace.patch()
        assert b".git" not in workspace.patch().replace(b"diff --git", b"")


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(
        ["-x", "--help", "", "\0", "a" * 5000, "\ud800", ":app.py", "HEAD:app.py", "a b", "no", "^main", "a..b"]
    )
    | st.text(max_size=5)
    | st.none()
    | st.integers()
)
def test_a_senseless_commit_is_a_typed_error(name: Any) -> None:
    """Never an option of git's, never another object than a commit."""
    from daybreak.host.workspaces import git as module

    nowhere = module.Repository(Path("/nonexistent"), Path("/nonexistent"))
    with pytest.raises(DaybreakError) as refused:
        module.resolve(nowhere, name)
    assert refused.value.hint


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(["", "\0", "a" * 5000, "\ud800", "/dev/null", "/dev/null/x"]) | st.none() | st.integers())
def test_senseless_places_are_typed_errors(path: Any) -> None:
    """As root, as source of a copy, as repository."""
    # shows: X1
    with pytest.raises(DaybreakError):
        Workspaces(path)
    with tempfile.TemporaryDirectory() as name:
        workspaces = Workspaces(Path(name))
        with pytest.raises(WorkspaceRefused):
            workspaces.from_folder(path)
        with pytest.raises((WorkspaceRefused, NotARepository)):
            workspaces.from_git(path)
        assert workspaces.sweep().removed == ()


@pytest.mark.parametrize(
    "branch", ["", "-x", "a..b", "a b", "/a", "a/", "x.lock", "a.lock/b", "@{-1}", "a" * 300, None, "é\0"]
)
def test_a_senseless_branch_is_refused(repository: Path, workspaces: Workspaces, branch: Any) -> None:
    """Before anything is written into the repository."""
    before = everything(repository)
    with workspaces.from_git(repository) as workspace:
        (workspace.path / "a").write_text("a")
        with pytest.raises(WorkspaceRefused):
            workspaces.adopt_branch(workspace, branch, "Message")
    assert everything(repository) == before


# -- copies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "file.txt").write_text("content\n")
    (source / "tool").write_text("#!/bin/sh\n")
    (source / "tool").chmod(0o4755)
    (source / "empty").write_text("")
    (source / "link").symlink_to("a/b/file.txt")
    (source / "away").symlink_to("../../elsewhere")
    os.utime(source / "tool", ns=(10**18, 10**18))
    return source


def test_a_copy_is_the_same_and_apart(folder: Path, workspaces: Workspaces) -> None:
    """Contents, modes without set-user-id, times, links as links; a change in it does not show in the source."""
    # shows: N17
    os.mkfifo(folder / "pipe")
    with workspaces.from_folder(folder) as workspace:
        assert (workspace.path / "a" / "b" / "file.txt").read_text() == "content\n"
        assert (workspace.path / "tool").stat().st_mode & 0o7777 == 0o755
        assert (workspace.path / "tool").stat().st_mtime_ns == 10**18
        assert os.readlink(workspace.path / "link") == "a/b/file.txt"
        assert (workspace.path / "empty").read_bytes() == b""
        assert workspace.not_covered == (
            "away is a link that leads out of the workspace, to ../../elsewhere",
            "pipe is a special file and was not copied",
        )
        (workspace.path / "a" / "b" / "file.txt").write_text("changed\n")
    assert (folder / "a" / "b" / "file.txt").read_text() == "content\n"


def test_git_folders_are_left_out_and_so_is_the_root_itself(folder: Path, tmp_path: Path) -> None:
    """A copied `.git` could lead back to the user's repository; a root inside the source would copy itself for ever."""
    (folder / ".git").write_text("gitdir: /somewhere\n")
    inside = Workspaces(folder / ".state" / "workspaces", FakeClock())
    with inside.from_folder(folder, leave_out=(".git", "empty")) as workspace:
        assert workspace.left_out == (".git", ".state/workspaces", "empty")
        assert not (workspace.path / ".git").exists()


def test_every_way_of_copying_gives_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system cannot share blocks, and where the kernel cannot copy, bytes are copied by hand."""
    # shows: X3
    large = os.urandom(3 * 1024 * 1024 + 7)
    (folder / "large").write_bytes(large)
    first = copying.copy_tree(folder, tmp_path / "one")
    monkeypatch.delattr(os, "copy_file_range")
    second = copying.copy_tree(folder, tmp_path / "two")
    assert second.how in ("plain", "reflink")
    assert (first.files, first.bytes, first.listing) == (second.files, second.bytes, second.listing)
    assert (tmp_path / "one" / "large").read_bytes() == (tmp_path / "two" / "large").read_bytes() == large


def test_a_source_that_changes_meanwhile_is_refused(
    folder: Path, workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of no moment that ever was is worth nothing; nothing of it is left."""
    # shows: N17

    def grow(reading: int, writing: int, size: int) -> bool:
        with (folder / "tool").open("a") as file:
            file.write("more")
        return True

    monkeypatch.setattr(copying, "_WAYS", (("reflink", grow),))
    with pytest.raises(SourceChanged, match="tool changed"):
        workspaces.from_folder(folder)
    assert list((workspaces.folder_of("ws-0000000000000000").parents[1]).iterdir()) == []


def test_a_copy_is_swapped_in_whole(folder: Path, workspaces: Workspaces) -> None:
    """The target is as the workspace was; both workspaces are gone."""
    # shows: N17
    winner, loser = workspaces.from_folder(folder), workspaces.from_folder(folder)
    (winner.path / "away").unlink()
    (winner.path / "new.txt").write_text("new")
    (winner.path / "empty").unlink()
    removed = workspaces.adopt(winner, folder, losers=[loser])
    assert (folder / "new.txt").read_text() == "new"
    assert not (folder / "empty").exists()
    assert [one.why for one in removed] == ["it succeeded", "it lost"]
    assert workspaces.sweep().bytes_total == 0


def test_a_target_that_changed_meanwhile_is_kept(folder: Path, workspaces: Workspaces) -> None:
    """One byte that the user wrote in the meantime stops the swap; the workspace can be reopened."""
    # shows: N17
    workspace = workspaces.from_folder(folder)
    (folder / "a" / "b" / "file.txt").write_text("the user was here\n")
    with pytest.raises(TargetMoved):
        workspaces.adopt(workspace, folder)
    assert (folder / "a" / "b" / "file.txt").read_text() == "the user was here\n"
    assert (workspace.path / "tool").exists()
    workspace.discard("failed", "the folder changed")


def test_a_swap_never_drops_what_was_not_copied(folder: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Where `.git` was left out, the swap into the source is refused; into a fresh place it works."""
    (folder / ".git").mkdir()
    (folder / "away").unlink()
    workspace = workspaces.from_folder(folder)
    with pytest.raises(NotAdopted, match=r"\.git"):
        workspaces.adopt(workspace, folder)
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "theirs").write_text("x")
    with pytest.raises(TargetMoved):
        workspaces.adopt(workspace, occupied)
    workspaces.adopt(workspace, tmp_path / "fresh")
    assert (tmp_path / "fresh" / "tool").exists()
    assert (folder / ".git").is_dir()
    assert (occupied / "theirs").exists()


# -- cleaning up


def test_failures_stay_for_their_days_and_then_go(folder: Path, workspaces: Workspaces) -> None:
    """Kept with the reason, to be looked at and reopened; removed and told when their time is over."""
    # shows: N17
    with pytest.raises(ZeroDivisionError), workspaces.from_folder(folder, label="attempt 3") as workspace:
        raise ZeroDivisionError("no luck")
    (kept,) = workspaces.kept()
    assert (kept.id, kept.label, kept.reason) == (workspace.id, "attempt 3", "ZeroDivisionError: no luck")
    assert (workspaces.folder_of(kept.id) / "tool").exists()
    again = workspaces.reopen(kept.id)
    again.discard("failed", "still no luck")
    advance(workspaces, 6.9 * DAY_S)
    assert workspaces.sweep().removed == ()
    advance(workspaces, 0.2 * DAY_S)
    (removed,) = workspaces.sweep().removed
    assert removed.id == kept.id
    assert removed.why.startswith("kept until 2026-03-08")
    with pytest.raises(WorkspaceUnknown):
        workspaces.reopen(kept.id)


def advance(workspaces: Workspaces, seconds: float) -> None:
    assert isinstance(workspaces.clock, FakeClock)
    workspaces.clock.advance(seconds)


def test_the_oldest_failures_go_when_room_is_short(folder: Path, tmp_path: Path) -> None:
    """Above the cap, oldest first, each told; what somebody holds never goes, and then it is said so."""
    # shows: N17
    (folder / "large").write_bytes(os.urandom(300_000))
    workspaces = Workspaces(tmp_path / "root", FakeClock(), Rules(bytes_max=1_000_000))
    made = []
    for _ in range(2):
        made.append(workspaces.from_folder(folder))
        advance(workspaces, 60)
    holding = workspaces.from_folder(folder)
    assert made[0].discard("failed") == ()
    assert made[1].discard("failed") == ()
    advance(workspaces, 60)
    more = workspaces.from_folder(folder)
    swept = workspaces.sweep()
    assert [one.id for one in swept.removed] == [made[0].id]
    assert "all together take more than 1000000 bytes" in swept.removed[0].why
    assert swept.held == (holding.id, more.id)
    last = [workspaces.from_folder(folder) for _ in range(3)]
    swept = workspaces.sweep()
    assert [one.id for one in swept.removed] == [made[1].id]
    assert swept.over_cap
    for workspace in (holding, more, *last):
        assert (workspace.path / "large").exists()
        workspace.discard("succeeded")


def test_an_orphan_is_found_and_a_living_owner_left_alone(folder: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """After kill -9 of the owner its workspace is kept like a failure; one that lives is not touched."""
    # shows: N17 N4
    code = (
        "import sys, pathlib; from daybreak.host.workspaces import Workspaces; "
        "w = Workspaces(pathlib.Path(sys.argv[1])).from_folder(sys.argv[2]); print(w.id, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "root"), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        id = owner.stdout.readline().strip()
        assert workspaces.sweep().held == (id,)
        with pytest.raises(locks.LockHeld):
            workspaces.reopen(id)
        owner.kill()
    swept = workspaces.sweep()
    assert swept.orphans == (id,)
    assert [one.reason for one in swept.kept] == ["its owner died"]
    assert (workspaces.folder_of(id) / "tool").exists()
    assert workspaces.sweep().orphans == ()


@pytest.mark.parametrize("damage", ["", "{}", "[]", "\0\xff", '{"id": "ws-aaaaaaaaaaaaaaaa"}', "[" * 5000, "null"])
def test_a_damaged_record_loses_nothing(folder: Path, workspaces: Workspaces, tmp_path: Path, damage: str) -> None:
    """The folder is kept and named; a path is never read from a record."""
    # shows: N9
    workspace = workspaces.from_folder(folder)
    workspace.held.release()
    record = tmp_path / "root" / "records" / f"{workspace.id}.json"
    record.write_bytes(damage.encode("latin-1"))
    swept = workspaces.sweep()
    assert swept.orphans == (workspace.id,)
    assert swept.kept[0].reason == "its record is missing or damaged"
    assert (workspace.path / "tool").exists()


def test_a_forged_record_removes_nothing_else(folder: Path, workspaces: Workspaces, tmp_path: Path) -> None:
    """Ids are checked and paths follow from them, so no record leads out of the root."""
    # shows: X4
    victim = tmp_path / "victim"
    victim.mkdir()
    for name in ("..", "ws-../../victim00000", "ws-0123456789ABCDEF"):
        with pytest.raises(WorkspaceUnknown):
            workspaces.reopen(name)
    records = tmp_path / "root" / "records"
    forged = {"id": "ws-0000000000000000", "kind": "folder", "source": str(victim), "made": "", "state": "held"}
    (records / "ws-0000000000000000.json").write_text(json.dumps(forged))
    (tmp_path / "root" / "spaces" / "ws-0000000000000000").symlink_to(victim)
    (victim / "made").write_text("the victim's own")
    swept = workspaces.sweep()
    assert [path.name for path in victim.iterdir()] == ["made"]
    assert [one.id for one in swept.removed] == ["ws-0000000000000000"]


def test_a_folder_without_rights_is_removed_all_the_same(tmp_path: Path) -> None:
    """As a worker may leave it; a link in it is removed and not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    inside = tmp_path / "space" / "locked" / "deep"
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "file").write_text("x")
    inside.chmod(0)
    inside.parent.chmod(0o500)
    assert removal.remove(tmp_path / "space").complete
    assert not (tmp_path / "space").exists()
    assert (outside / "precious").exists()


def test_what_cannot_be_removed_is_told_and_tried_again(
    folder: Path, workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses once: an error for the owner, the next sweep says so, the one after it succeeds."""
    # shows: N9
    workspace = workspaces.from_folder(folder)

    def refuse(_: Path) -> removal.Removal:
        return removal.Removal((removal.Remaining("space", "Device or resource busy"),))

    with monkeypatch.context() as patched:
        patched.setattr(removal, "remove", refuse)
        with pytest.raises(WorkspaceNotRemoved, match="busy"):
            workspace.discard("succeeded")
        assert len(workspaces.sweep().stuck) == 1
    assert [one.id for one in workspaces.sweep().removed] == [workspace.id]


def test_a_full_disk_keeps_nobody_from_cleaning_up(
    folder: Path, workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making fails with nothing left; removing needs no room, so it works all the same."""
    # shows: N9
    workspace = workspaces.from_folder(folder)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DaybreakError, match="No space left"):
        workspaces.from_folder(folder)
    assert workspace.discard("succeeded")[0].why == "it succeeded"
    assert workspaces.sweep().bytes_total == 0


def test_ended_is_ended(folder: Path, workspaces: Workspaces) -> None:
    """A second discard does nothing, an unknown outcome is refused, an ended workspace cannot be adopted."""
    workspace = workspaces.from_folder(folder)
    with pytest.raises(WorkspaceRefused):
        workspace.discard("who knows")  # type: ignore[arg-type]
    with pytest.raises(WorkspaceRefused, match="no commit"):
        workspace.patch()
    workspace.discard("succeeded")
    assert workspace.discard("failed") == ()
    with pytest.raises(WorkspaceUnknown):
        workspaces.adopt(workspace, folder)
