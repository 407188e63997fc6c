"""The branch that is merged into: where it is, who has it checked out, and moving it.

It moves by compare and swap, so nobody's commit is lost. Where somebody has it checked out and nothing is uncommitted
there, the files follow, as with `git merge --ff-only`; with anything uncommitted it is refused before anything moves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daybreak.errors import DeliveryError, UsageError
from daybreak.factory.repository import git as repositorygit
from daybreak.host.workspaces import TargetMoved, git

SHOWN_MAX = 5
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "BISECT_LOG")


class NoSuchBranch(UsageError):
    """The repository has no branch of that name."""

    code = "U240"


class TargetDirty(DeliveryError):
    """The branch is checked out where something is not committed."""

    code = "D141"


class FilesBehind(DeliveryError):
    """The branch has moved, and the files of the worktree that has it checked out could not follow."""

    code = "D142"


@dataclass(frozen=True, slots=True)
class Target:
    """A branch of a user's repository."""

    repository: Path
    """Real; holds `.git`, or is bare."""
    branch: str

    @property
    def ref(self) -> str:
        return git.check_branch(self.branch)

    def head(self) -> str:
        """The commit it is at. Raises NoSuchBranch, ResultUnclear."""
        head = repositorygit.head(self.repository, self.ref)
        if not head:
            raise NoSuchBranch(
                f"{self.repository} has no branch {self.branch!r}", hint="`git branch` there lists them; see --into"
            )
        return head

    def worktree(self) -> Path | None:
        """The folder of files that has it checked out, if any."""
        found = git.find(self.repository)
        git_dir = git.checked_out_at(found, self.ref)
        if git_dir is None:
            return None
        if git_dir == found.common_dir:
            return git_dir.parent if git_dir.name == ".git" else None  # a bare one has no files
        linked = Path(os.path.realpath((git_dir / "gitdir").read_text().strip())).parent
        return linked if linked.is_dir() else None  # somebody removed it without telling git

    def refuse_dirty(self) -> None:
        """Raises TargetDirty where moving the branch would get into somebody's way, or where git cannot tell."""
        folder = self.worktree()
        if folder is None:
            return
        git_dir = git.find(folder).git_dir
        changed = _uncommitted(git_dir, folder)
        if changed:
            more = f" and {len(changed) - SHOWN_MAX} more" if len(changed) > SHOWN_MAX else ""
            raise TargetDirty(
                f"{self.branch} is checked out in {folder}, where something is not committed: "
                f"{', '.join(changed[:SHOWN_MAX])}{more}",
                hint="commit or stash it, or check out another branch there; nothing was touched",
            )
        if under_way := [name for name in _UNDER_WAY if (git_dir / name).exists()]:
            raise TargetDirty(
                f"{self.branch} is checked out in {folder}, where git is in the middle of something ({under_way[0]})",
                hint="finish it (`git status` says how), or check out another branch there; nothing was touched",
            )
        owner = folder.stat().st_uid
        if os.geteuid() != owner:
            raise TargetDirty(
                f"{self.branch} is checked out in {folder}, which belongs to another user",
                hint="check out another branch there, or merge as that user; nothing was touched",
            )

    def move(self, new: str, old: str, objects: Path) -> bool:
        """From `old` to `new`, whose objects lie in the git folder `objects`; False where it is not at `old` any more.
        Doing it again changes nothing. Raises TargetDirty, FilesBehind, NotAdopted; but for FilesBehind, nothing has
        moved then."""
        found = git.find(self.repository)
        head = self.head()
        folder = self.worktree()
        git_dir = git.find(folder).git_dir if folder is not None else None
        if head == new:
            if folder is not None and git_dir is not None and _index_is(git_dir, old):  # a crash came between
                _follow(git_dir, folder, old, new)
            return True
        if head != old:
            return False
        self.refuse_dirty()
        git.carry_objects(objects, found)
        if folder is not None and git_dir is not None:
            _may_follow(git_dir, folder, old, new)
        try:
            git.move_branch(found, self.ref, new, old)
        except TargetMoved:
            if self.head() == old:
                raise  # it could not be written, which is something else
            return False
        if folder is not None and git_dir is not None:
            _follow(git_dir, folder, old, new)
        return True


def _uncommitted(git_dir: Path, folder: Path) -> list[str]:
    """Paths that git knows and that differ from its commit. Files that it does not know may stay: none of them is
    overwritten."""
    words = ["status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"]
    ran = repositorygit.ask(git_dir, words, cwd=folder, extra=_around(git_dir, folder))
    if not ran.ok:
        raise TargetDirty(
            f"git cannot say what is not committed in {folder}: {repositorygit.said(ran)}",
            hint="see what `git status` says there; nothing was touched",
        )
    return sorted(os.fsdecode(line[3:]) for line in ran.stdout.split(b"\0") if line)


def _around(git_dir: Path, folder: Path) -> dict[str, str]:
    """For git at work in somebody's files: none of the filters that the repository's configuration names is run."""
    names = repositorygit.ask(git_dir, ["config", "--name-only", "-z", "--get-regexp", r"^filter\."]).stdout
    drivers = sorted({os.fsdecode(name).rpartition(".")[0] for name in names.split(b"\0") if name})
    settings = [
        (f"{driver}.{key}", value)
        for driver in drivers
        for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    ]
    told = {f"GIT_CONFIG_KEY_{at}": key for at, (key, _) in enumerate(settings)}
    told |= {f"GIT_CONFIG_VALUE_{at}": value for at, (_, value) in enumerate(settings)}
    count = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    return {"GIT_WORK_TREE": str(folder), "GIT_OPTIONAL_LOCKS": "0", **count, **told}


def _index_is(git_dir: Path, commit: str) -> bool:
    return repositorygit.ask(git_dir, ["diff-index", "--cached", "--quiet", commit]).ok


def _may_follow(git_dir: Path, folder: Path, old: str, new: str) -> None:
    """Raises TargetDirty where the files could not follow: a file in the way, or filters, which we never run."""
    work = _around(git_dir, folder)
    _refuse_in_the_way(git_dir, folder, old, new)
    listed = _ok(git_dir, folder, ["diff-tree", "-r", "--name-only", "--no-renames", "-z", old, new], old)
    if listed:
        asked = ["check-attr", "-z", "--stdin", "filter"]
        told = repositorygit.ask(git_dir, asked, cwd=folder, stdin=listed, extra=work)
        words = told.stdout.split(b"\0")
        if not told.ok or any(value not in (b"unspecified", b"unset") for value in words[2::3]):
            raise TargetDirty(
                f"files that change in {folder} go through a filter (such as Git LFS), which is not run here",
                hint="check out another branch there, then the branch alone moves; nothing was touched",
            )
    _ok(git_dir, folder, ["update-index", "-q", "--refresh"], old)
    _ok(git_dir, folder, ["read-tree", "--dry-run", "-m", "-u", old, new], old)


def _refuse_in_the_way(git_dir: Path, folder: Path, old: str, new: str) -> None:
    """What git does not know or ignores it may take for expendable; it is the user's all the same."""
    raw = _ok(git_dir, folder, ["diff-tree", "-r", "--name-status", "--no-renames", "-z", old, new], old).split(b"\0")
    changed = dict(zip(raw[1::2], raw[0::2], strict=False))
    taken = []
    for name in sorted(path for path, status in changed.items() if status == b"A"):
        path = PurePosixPath(os.fsdecode(name))
        for place in (path, *path.parents[:-1]):
            if os.fsencode(str(place)) in changed and place != path:
                continue  # it was a file of the branch, and goes
            real = folder / place
            if os.path.lexists(real) and (place == path or real.is_symlink() or not real.is_dir()):
                if place == path and real.is_dir() and _goes(changed, name):
                    continue
                taken.append(str(place))
    if taken:
        raise TargetDirty(
            f"in {folder} files that git does not know are in the way: {', '.join(taken[:SHOWN_MAX])}",
            hint="move them away, or check out another branch there; nothing was touched",
        )


def _goes(changed: Mapping[bytes, bytes], name: bytes) -> bool:
    """Was there a folder of the branch, of which files go?"""
    return any(path.startswith(name + b"/") and status == b"D" for path, status in changed.items())


def _ok(git_dir: Path, folder: Path, words: list[str], old: str) -> bytes:
    ran = repositorygit.ask(git_dir, words, cwd=folder, extra=_around(git_dir, folder))
    if not ran.ok:
        raise TargetDirty(
            f"the files in {folder} could not follow from {old[:12]}: {repositorygit.said(ran)}",
            hint="move away what is in the way, or check out another branch there; nothing was touched",
        )
    return ran.stdout


def _follow(git_dir: Path, folder: Path, old: str, new: str) -> None:
    words = ["read-tree", "-m", "-u", old, new]
    ran = repositorygit.ask(git_dir, words, cwd=folder, extra=_around(git_dir, folder))
    if not ran.ok:
        raise FilesBehind(
            f"the branch is at {new[:12]} and verified, but the files in {folder} are still those of {old[:12]}: "
            f"{repositorygit.said(ran)}",
            hint=f"move away what is in the way, then resume; by hand: `git -C {folder} read-tree -m -u {old} {new}`",
        )
