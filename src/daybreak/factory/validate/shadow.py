"""The states of a project that are looked at, as commits of a small repository of ours.

The first one is what the user has: the files of a commit, or those in the folder that git does not ignore. Every later
one is a patch on top. All of it can be made again from what the ledger holds, and gives the same hashes; nothing is
written into the user's folder, ever, and nothing of it is run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import CheckError
from daybreak.factory.repository import git as repositorygit
from daybreak.host import process, removal
from daybreak.host.workspaces import Author, NotARepository, Workspace, Workspaces, git

FILES_MAX = 50_000
BYTES_MAX = 512 * 1024 * 1024
TIMEOUT_S = 600.0
_OUTPUT_BYTES_MAX = 1024 * 1024 * 1024
_FILE_BYTES_MAX = 1 << 40
_BRANCH = "state/{name}"
LEFT_OUT = frozenset(
    [
        *(".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", ".eggs", "target"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".gradle", ".daybreak-transaction"),
    ]
)
"""Folders without git's word that tools make: nobody means them."""
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
ENVIRONMENT = {
    "PATH": process.DEFAULT_PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
}
"""As for workspaces: nothing of ours and nothing of the user's."""
_WHO = Author("daybreak", "daybreak@localhost")


class ProjectUnclear(CheckError):
    """The files of a project cannot be taken in, or are more than a project may be."""

    code = "C187"


@dataclass(frozen=True, slots=True)
class Where:
    """A project in a user's repository, or in none."""

    root: Path | None
    """The top of the repository; None outside of one."""
    prefix: str
    """The project's folder in it, with `/` at the end; empty for the top."""


def where(folder: Path) -> Where:
    """The repository that `folder` (real) belongs to: the next one above it."""
    for top in (folder, *folder.parents):
        if os.path.lexists(top / ".git"):
            try:
                git.find(top)
            except NotARepository:
                continue
            inside = folder.relative_to(top).as_posix()
            return Where(top, "" if inside == "." else f"{inside}/")
    return Where(None, "")


def dirty(folder: Path, place: Where) -> list[str]:
    """What git would call not committed in the folder; nothing outside of a repository. Raises ProjectUnclear."""
    if place.root is None:
        return []
    words = ["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", "."]
    printed = _user(words, folder, place)
    return sorted(os.fsdecode(line[3:]) for line in printed.split(b"\0") if line)


def listed(folder: Path, place: Where) -> list[str]:
    """Paths of the project's files and links, sorted: in a repository those that git does not ignore, otherwise all
    but what tools make. Raises ProjectUnclear."""
    if place.root is not None:
        printed = _user(["ls-files", "-z", "--cached", "--others", "--exclude-standard"], folder, place)
        found = {os.fsdecode(path) for path in printed.split(b"\0") if path}
        paths = [path for path in sorted(found) if _is_file(folder / path)]
    else:
        paths = walked(folder)
    size = sum(os.lstat(folder / path).st_size for path in paths)
    if len(paths) > FILES_MAX or size > BYTES_MAX:
        raise ProjectUnclear(
            f"{folder} holds {len(paths):,} files of {size // 1024 // 1024:,} MiB",
            hint=f"at most {FILES_MAX:,} files and {BYTES_MAX // 1024 // 1024} MiB are looked at: name the folder "
            "of the project itself, or have git ignore what is no source",
        )
    return paths


def walked(folder: Path, leave_out: Collection[str] = LEFT_OUT) -> list[str]:
    """Paths of files and links without asking git, sorted; folders of these names are left out, and repositories."""
    found = []
    for at, folders, names in os.walk(folder):
        inside = Path(at)
        folders[:] = [name for name in folders if name not in leave_out and not os.path.lexists(inside / name / ".git")]
        links = [name for name in folders if (inside / name).is_symlink()]
        found += [
            (inside / name).relative_to(folder).as_posix() for name in (*names, *links) if _is_file(inside / name)
        ]
    return sorted(found)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


@dataclass
class Shadow:
    """The repository, below `folder`, which is ours and may vanish at any time."""

    folder: Path
    clock: Clock
    _made: dict[str, Path] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    """Commits that were seen to be there."""
    _trees: dict[str, str] = field(default_factory=dict)
    _paths: dict[str, list[str]] = field(default_factory=dict)
    """Of commits, which never change: each start of git costs hundredths of a second, and every check asks."""

    @property
    def repository(self) -> Path:
        return self.folder / "states"

    def take(self, folder: Path, paths: Sequence[str]) -> tuple[str, bytes]:
        """The hash of a commit that holds these files of `folder` as they are now, and all of it as bytes for `have`.
        Raises ProjectUnclear."""
        self._begin()
        told = "\0".join(paths).encode("utf-8", "surrogateescape")
        around = {"GIT_WORK_TREE": str(folder)}
        adding = ["add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"]
        if paths:
            _ok(self._git(adding, cwd=folder, stdin=told, extra=around), "take in the files")
        tree = _ok(self._git(["write-tree"]), "write the tree").decode().strip()
        commit = (
            _ok(self._git(["commit-tree", tree, "-m", "state"], extra=_dated()), "write the state").decode().strip()
        )
        ref = _BRANCH.format(name=commit)
        _ok(self._git(["update-ref", f"refs/heads/{ref}", commit]), "name the state")
        bundle = self.folder / "bundle"
        _ok(self._git(["bundle", "create", str(bundle), f"refs/heads/{ref}"]), "pack the state")
        data = bundle.read_bytes()
        bundle.unlink()
        return commit, data

    def have(self, commit: str, bundle: bytes) -> None:
        """Make sure that the commit is there, from what `take` has given. Raises ProjectUnclear."""
        if self.knows(commit):
            return
        self._begin()
        place = self.folder / "bundle"
        place.write_bytes(bundle)
        _ok(self._git(["bundle", "unbundle", str(place)]), "unpack the state")
        place.unlink()
        _ok(self._git(["update-ref", f"refs/heads/{_BRANCH.format(name=commit)}", commit]), "name the state")

    def knows(self, commit: str) -> bool:
        if not self.repository.is_dir():
            self._known.clear()
            return False
        if commit not in self._known and self._git(["cat-file", "-e", f"{commit}^{{tree}}"]).ok:
            self._known.add(commit)
        return commit in self._known

    def advance(self, commit: str, patch: bytes) -> str:
        """The state that a patch makes of another one; the same hash every time. Raises ResultUnclear."""
        if not patch:
            return commit
        workspace = self.workspace(commit)
        try:
            tree = repositorygit.apply(workspace, patch)
            name = hashlib.sha256(f"{commit} {tree}".encode()).hexdigest()
            return repositorygit.deliver(workspace, tree, _BRANCH.format(name=name), "state", _WHO, 0)
        finally:
            workspace.discard("lost")

    def workspace(self, commit: str) -> Workspace:
        """A fresh one, to change; the caller discards it."""
        return Workspaces(self.folder / "spaces", self.clock).from_git(self.repository, commit, history=False)

    def files(self, commit: str) -> Path:
        """The files of a state, to be read only; made once in this process."""
        if commit not in self._made:
            workspace = self.workspace(commit)
            place = self.folder / "seen" / commit
            removal.remove(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(workspace.path, place, symlinks=True)
            workspace.discard("lost")
            self._made[commit] = place.resolve()
        return self._made[commit]

    def paths(self, commit: str) -> list[str]:
        """Every path of a state, sorted; links too."""
        if commit not in self._paths:
            listing = _ok(self._git(["ls-tree", "-r", "--name-only", "-z", commit]), "list the state")
            self._paths[commit] = sorted(os.fsdecode(path) for path in listing.split(b"\0")[:-1])
        return list(self._paths[commit])

    def tree(self, commit: str) -> str:
        if commit not in self._trees:
            told = _ok(self._git(["rev-parse", f"{commit}^{{tree}}"]), "look at the state")
            self._trees[commit] = told.decode().strip()
        return self._trees[commit]

    def difference(self, one: str, other: str) -> bytes:
        """What makes `other` of `one`, for `git apply`."""
        return git.patch(self.repository, one, other)

    def changes(self, one: str, other: str) -> list[repositorygit.Change]:
        """The paths that differ, sorted."""
        printed = _ok(
            self._git(["diff-tree", "-r", "--raw", "--no-renames", "--full-index", "-z", one, other]), "compare"
        )
        parts = printed.split(b"\0")[:-1]
        found = []
        for head, path in zip(parts[::2], parts[1::2], strict=True):
            _, mode, old, new, status = head.decode().split()
            found.append(repositorygit.Change(path.decode("utf-8", "surrogateescape"), status[0], old, new, mode))
        return sorted(found, key=lambda change: change.path)

    def content(self, blob: str) -> bytes:
        """The bytes of a file by its hash; nothing for the hash of zeros."""
        return b"" if set(blob) == {"0"} else _ok(self._git(["cat-file", "blob", blob]), "read a file")

    def _begin(self) -> None:
        removal.remove(self.repository)
        self._made.clear()
        self._known.clear()
        self.repository.mkdir(parents=True)
        _ok(self._git(["init", "-q", "--bare", "-b", "none", "."], cwd=self.repository), "make a repository")

    def _git(
        self,
        words: Sequence[str],
        *,
        cwd: Path | None = None,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
    ) -> process.Finished:
        return _run(
            words, cwd=cwd or self.repository, stdin=stdin, extra={"GIT_DIR": str(self.repository), **(extra or {})}
        )


def name_of(tree: str) -> str:
    """Names a state in evidence: 64 hex digits."""
    return hashlib.sha256(f"git tree {tree}\n".encode()).hexdigest()


def _dated() -> dict[str, str]:
    who = {"NAME": _WHO.name, "EMAIL": _WHO.email, "DATE": "@0 +0000"}
    return {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}


def _user(words: Sequence[str], folder: Path, place: Where) -> bytes:
    """Ask git about the user's own folder; it reads, and runs nothing that the repository names."""
    assert place.root is not None
    told = {"GIT_DIR": str(git.find(place.root).git_dir), "GIT_WORK_TREE": str(place.root)}
    return _ok(_run(words, cwd=folder, extra=told), f"look at {folder}")


def _run(
    words: Sequence[str], *, cwd: Path, stdin: bytes = b"", extra: Mapping[str, str] | None = None
) -> process.Finished:
    safe = [part for setting in _SETTINGS for part in ("-c", setting)]
    return process.run(
        ["git", "--no-pager", *safe, *words],
        cwd=cwd,
        env={**ENVIRONMENT, **(extra or {})},
        timeout_s=TIMEOUT_S,
        output_bytes_max=_OUTPUT_BYTES_MAX,
        file_bytes_max=_FILE_BYTES_MAX,
        stdin=stdin,
    )


def _ok(ran: process.Finished, what: str) -> bytes:
    return repositorygit.printed(
        ran, lambda said: ProjectUnclear(f"git could not {what}: {said}", hint="see what `git status` says there")
    )
