"""What a task on a repository asks of git beside what workspaces do: a result as a patch, and a branch that is new.

Everything here works in a workspace's own git folder. The user's repository is read for its commits, and gets one new
branch at the end; its files, index and other branches are never touched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import CheckError, DaybreakError, DeliveryError, HostError
from daybreak.factory.repository import begun
from daybreak.host import process
from daybreak.host.tree import IGNORED, IGNORED_SUFFIXES
from daybreak.host.workspaces import Author, Workspace, git

TIMEOUT_S = 600.0
_OUTPUT_BYTES_MAX = 64 * 1024 * 1024
_FILE_BYTES_MAX = 1 << 40
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
_WORKER, _BRANCH = "worker <worker@localhost>", "work"
_ENVIRONMENT = {
    "PATH": process.DEFAULT_PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
"""As for workspaces: nothing of ours and nothing of the user's."""


class ResultUnclear(CheckError):
    """What an attempt left, or a part of it, cannot be put on top of its base."""

    code = "C171"


class BranchThere(DeliveryError):
    """There is a branch of that name already, and it is not what would be delivered."""

    code = "D121"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs from the base; renames are a removal and an addition."""

    path: str
    status: str
    """`A` added, `D` removed, `M` changed, `T` of another kind (a link for a file)."""
    old: str
    """Hash of its content on the base; zeros where it was not there."""
    new: str
    mode: str
    """As git writes it: 100644, 100755, 120000 (a link); 000000 where it is gone."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a workspace holds, on top of its base."""

    tree: str
    """Hash of git's tree; the same content has the same hash."""
    patch: bytes
    """For `apply`; empty where nothing was changed."""


def made(workspace: Workspace) -> Made:
    """Ignored files are left out, as git does. Raises ChangesUnclear, NotAdopted."""
    workspace.check_open("git")
    tree = git.tree(workspace.git_dir, workspace.path, workspace.base)
    return Made(tree, git.patch(workspace.git_dir, workspace.base, tree))


def made_of_nothing(workspace: Workspace) -> str:
    """The hash of the base's own tree."""
    return _ok(_git(["rev-parse", f"{workspace.base}^{{tree}}"], workspace), workspace).decode().strip()


def apply(workspace: Workspace, patch: bytes, *, without: Sequence[str] = ()) -> str:
    """Put a patch on top of a fresh workspace, except for the paths `without`; gives the hash of the tree that came
    out. Raises ResultUnclear, with part of it done where files could not be written."""
    if patch:
        words = [f"--exclude={_literal(path)}" for path in without]
        ran = _git(["apply", "--index", "--whitespace=nowarn", *words, "-"], workspace, stdin=patch)
        if not ran.ok:
            raise ResultUnclear(
                f"the changes cannot be put on top of {workspace.base[:12]}: {_said(ran)}",
                hint="`daybreak report` names the patch; `git apply` says more about it",
            )
    return _ok(_git(["write-tree"], workspace), workspace).decode().strip()


def changes(workspace: Workspace, tree: str) -> list[Change]:
    """What differs between the base and a tree that the workspace holds, sorted by path."""
    ran = _git(["diff-tree", "-r", "--raw", "--no-renames", "--full-index", "-z", workspace.base, tree], workspace)
    parts = _ok(ran, workspace).split(b"\0")[:-1]
    found = []
    for head, path in zip(parts[::2], parts[1::2], strict=True):
        _, mode, old, new, status = head.decode().split()
        found.append(Change(path.decode("utf-8", "surrogateescape"), status[0], old, new, mode))
    return sorted(found, key=lambda change: change.path)


def content(workspace: Workspace, blob: str) -> bytes:
    """The bytes of a file by its hash; nothing for the hash of zeros."""
    return b"" if set(blob) == {"0"} else _ok(_git(["cat-file", "blob", blob], workspace), workspace)


def files(workspace: Workspace) -> list[str]:
    """Every path of the base, sorted; links too."""
    listing = _ok(_git(["ls-tree", "-r", "--name-only", "-z", workspace.base], workspace), workspace)
    return sorted(os.fsdecode(path) for path in listing.split(b"\0")[:-1])


def give_own_history(workspace: Workspace) -> None:
    """A git folder inside it with one commit that holds the base, so that a worker can see its own changes. The
    repository's history is not there: it may hold what is asked for, and what nobody meant to show. We never read it
    after a worker was there.
    """
    begin_history(workspace.path)


def begin_history(folder: Path, changes: bytes = b"", cancelled: threading.Event | None = None) -> None:
    """The same in a folder that has none, on whichever machine. `changes`: a patch that the folder has beyond its base;
    they are there as changes that were not committed. Raises ResultUnclear, and ProgramMissing where there is no git;
    then a part of it may be there."""
    name, _, email = _WORKER.partition(" <")
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email.rstrip(">")), ("DATE", "@0 +0000"))
    }
    own = {**who, "GIT_DIR": str(folder / ".git"), "GIT_WORK_TREE": str(folder)}
    for words in (
        ["init", "-q", "-b", _BRANCH, "--template="],
        ["add", "--all", "--force"],
        *([["apply", "--cached", "--reverse", "--whitespace=nowarn", "-"]] if changes else []),
        ["commit", "-q", "--allow-empty", "-m", "base"],
    ):
        given = changes if words[0] == "apply" else b""
        _begun(_run(words, cwd=folder, stdin=given, extra=own, cancelled=cancelled), folder)
    with (folder / ".git" / "config").open("a") as file:
        file.write(f"[user]\n\tname = {name}\n\temail = {email.rstrip('>')}\n")


def since_begun(folder: Path, git_dir: Path, cancelled: threading.Event | None = None) -> bytes | None:
    """What a folder that was given a history has beyond its one commit: a patch for `begin_history`, without what no
    tree takes (`host.tree`). None where it was given none. `git_dir` is made: of the one in the folder, which may be a
    worker's work, objects are read and no settings. Raises ResultUnclear, also where those objects lead elsewhere."""
    given = folder / ".git"
    base = begun.commit(given, _BRANCH)
    if not base:
        return None
    if why := begun.strange(given):
        raise ResultUnclear(
            f"the history in {folder} is not as it was given: {why}", hint="remove .git there, or begin anew"
        )
    own = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(folder)}
    _begun(_run(["init", "-q", "--template="], cwd=folder, extra=own), folder)
    (git_dir / "objects" / "info").mkdir(exist_ok=True)
    (git_dir / "objects" / "info" / "alternates").write_bytes(git.quoted(os.fsencode(given / "objects")) + b"\n")
    names = [*IGNORED, *(f"*{suffix}" for suffix in IGNORED_SUFFIXES)]
    left_out = [f":(exclude,glob)**/{name}{below}" for name in sorted(names) for below in ("", "/**")]
    how = ["--cached", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv"]
    # into an index that is empty: in a repository that it knew of below this one git would run what that one names
    for words in (["add", "--all", "--force"], ["diff", *how, base, "--", ".", *left_out]):
        said = _begun(_run(words, cwd=folder, extra=own, cancelled=cancelled), folder)
    return said


def _begun(ran: process.Finished, folder: Path) -> bytes:
    return printed(
        ran, lambda said: ResultUnclear(f"no history can be made in {folder}: {said}", hint="see what `git init` says")
    )


def identity(repository: Path, environment: Mapping[str, str]) -> Author:
    """The user's own name, as their git would write it into a commit there; ours where they have none.

    Reads configuration only, so nothing that the repository names is run. Raises ProgramMissing without git."""
    kept = {name: environment[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in environment}
    found = {}
    for what in ("name", "email"):
        ran = process.run(
            ["git", "config", "--get", f"user.{what}"],
            cwd=repository,
            env={"PATH": process.DEFAULT_PATH, "LC_ALL": "C.UTF-8", **kept},
            timeout_s=TIMEOUT_S,
        )
        found[what] = ran.stdout.decode("utf-8", "replace").strip() if ran.ok else ""
    author = Author(found["name"] or Author().name, found["email"] or Author().email)
    with suppress(HostError):
        git.check_words("", author)
        return author
    return Author()


def deliver(workspace: Workspace, tree: str, branch: str, message: str, author: Author, seconds: int) -> str:
    """Put one commit with `tree` on top of the base onto a new branch of the repository; gives its hash.

    The same arguments give the same commit, so doing it again changes nothing. Raises BranchThere, TargetMoved,
    NotAdopted, WorkspaceRefused; then no branch was changed."""
    ref = git.check_branch(branch)
    git.check_words(message, author)
    repository = git.find(workspace.source)
    commit = git.commit_tree(workspace.git_dir, tree, workspace.base, message, author, seconds)
    there = head(workspace.source, ref)
    if there == commit:
        return commit
    if there:
        raise BranchThere(
            f"the branch {branch} is there already, at {there[:12]}",
            hint=f"nothing was touched; rename it (`git branch -m {branch} ...`) or remove it, then resume",
        )
    git.carry_objects(workspace.git_dir, repository)
    git.move_branch(repository, ref, commit, None)
    return commit


def head(repository: Path, ref: str) -> str:
    """Where a branch is; empty where there is none. Raises ResultUnclear."""
    git_dir = git.find(repository).git_dir
    ran = _run(
        ["for-each-ref", "--format=%(objectname) %(refname)", ref], cwd=Path("/"), extra={"GIT_DIR": str(git_dir)}
    )
    if not ran.ok:
        raise ResultUnclear(
            f"git cannot list the branches of {repository}: {_said(ran)}", hint="see what `git branch` says"
        )
    lines = [line.split(" ", 1) for line in ran.stdout.decode("utf-8", "replace").splitlines()]
    return next((commit for commit, name in lines if name == ref), "")


# -- git itself


def ask(
    git_dir: Path,
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
) -> process.Finished:
    """Run git on a git folder, with nothing of the user's surroundings; for those who need more than is said above."""
    return _run(words, cwd=cwd or Path("/"), stdin=stdin, extra={"GIT_DIR": str(git_dir), **(extra or {})})


def said(ran: process.Finished) -> str:
    """The last line of git's complaint."""
    return _said(ran)


def _git(
    words: Sequence[str], workspace: Workspace, *, stdin: bytes = b"", extra: Mapping[str, str] | None = None
) -> process.Finished:
    ours = {"GIT_DIR": str(workspace.git_dir), "GIT_WORK_TREE": str(workspace.path)}
    return _run(words, cwd=workspace.path, stdin=stdin, extra={**ours, **(extra or {})})


def _run(
    words: Sequence[str],
    *,
    cwd: Path,
    stdin: bytes = b"",
    extra: Mapping[str, str],
    cancelled: threading.Event | None = None,
) -> process.Finished:
    safe = [part for setting in _SETTINGS for part in ("-c", setting)]
    return process.run(
        ["git", "--no-pager", *safe, *words],
        cwd=cwd,
        env={**_ENVIRONMENT, **extra},
        timeout_s=TIMEOUT_S,
        output_bytes_max=_OUTPUT_BYTES_MAX,
        file_bytes_max=_FILE_BYTES_MAX,
        stdin=stdin,
        cancelled=cancelled,
    )


def _ok(ran: process.Finished, workspace: Workspace) -> bytes:
    return printed(
        ran,
        lambda said: ResultUnclear(f"git failed in a workspace of {workspace.source}: {said}", hint="see what it says"),
    )


def printed(ran: process.Finished, wrong: Callable[[str], DaybreakError]) -> bytes:
    """What git printed where it succeeded; otherwise raises what `wrong` makes of its own words."""
    if not ran.ok:
        raise wrong(_said(ran))
    return ran.stdout


def _said(ran: process.Finished) -> str:
    lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines and not ran.ended_by_us else ran.ending


def _literal(path: str) -> str:
    """As a pattern that matches this path only."""
    return "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in path)
