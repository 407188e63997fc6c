"""One workspace, held by this process until it is discarded or adopted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from daybreak.host import place
from daybreak.host.workspaces import git
from daybreak.host.workspaces.problems import WorkspaceRefused, WorkspaceUnknown
from daybreak.host.workspaces.record import Record

if TYPE_CHECKING:
    from daybreak.host.locks import Held
    from daybreak.host.workspaces.workspaces import Removed, Workspaces

Outcome = Literal["succeeded", "failed", "lost"]
"""What became of the attempt: its result was taken, it failed, or another one won. Only failures are kept."""


class Workspace:
    """A folder to work in: `path`. In a `with` block an exception counts as failed, and the end as succeeded.

    The kernel's lock says that somebody lives who holds it; it is freed when the process dies, however it does."""

    def __init__(self, owner: Workspaces, record: Record, space: Path, held: Held) -> None:
        self._owner, self._record, self._space, self._held = owner, record, space, held
        self._open = True

    def __repr__(self) -> str:
        return f"<Workspace {self.id} of {self.source}>"

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def path(self) -> Path:
        """The folder; nothing of ours lies in it, so a worker may do in it what it likes."""
        return self._space / "work"

    @property
    def source(self) -> Path:
        """The repository or folder that it was made from."""
        return Path(self._record.source)

    @property
    def base(self) -> str:
        """The full hash of the commit that it was made from; empty for the copy of a folder."""
        return self._record.commit

    @property
    def label(self) -> str:
        return self._record.label

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What of the source is not here as the user would expect it, in words: submodules, filters, special files;
        and links that lead out of the workspace."""
        return self._record.not_covered

    @property
    def left_out(self) -> tuple[str, ...]:
        """Relative paths of the source that were not copied, as asked."""
        return self._record.left_out

    @property
    def reads(self) -> tuple[Path, ...]:
        """Folders elsewhere that git inside the workspace reads; a sandbox binds them read-only or history is not
        to be seen. They hold all that the repository holds, other branches too."""
        return (Path(self._record.objects),) if self._record.kind == "git" else ()

    @property
    def record(self) -> Record:
        return self._record

    def patch(self) -> bytes:
        """What was changed since `base`, for `git apply`; empty where nothing was. Raises ChangesUnclear and
        NotAdopted."""
        self.check_open("git")
        return git.patch(self.git_dir, self.base, git.tree(self.git_dir, self.path, self.base))

    def commit(self, message: str, author: git.Author | None = None) -> str:
        """What was changed as one commit on top of `base`; gives its hash, which is `base` where nothing was.

        It lies in the workspace's own store: `Workspaces.adopt_branch` brings it into the repository. The time is the
        clock's. Raises ChangesUnclear, NotAdopted."""
        self.check_open("git")
        author = git.Author() if author is None else author
        git.check_words(message, author)
        tree = git.tree(self.git_dir, self.path, self.base)
        if not git.patch(self.git_dir, self.base, tree):
            return self.base
        seconds = int(self._owner.clock.now().timestamp())
        return git.commit_tree(self.git_dir, tree, self.base, message, author, seconds)

    def discard(self, outcome: Outcome, reason: str = "") -> tuple[Removed, ...]:
        """End it: removed, or kept where it failed, with the reason for people. Gives what was removed, of this and,
        to keep below the size cap, of older failures. A second call does nothing. Raises WorkspaceNotRemoved."""
        said: tuple[object, object] = (outcome, reason)
        if said[0] not in ("succeeded", "failed", "lost"):
            raise WorkspaceRefused(f"{place.shown(outcome)} is no outcome", hint="say succeeded, failed or lost")
        if not isinstance(said[1], str):
            raise WorkspaceRefused(f"{place.shown(reason)} is no reason", hint="give a text for people")
        if not self._open:
            return ()
        self._open = False
        return self._owner.close(self, outcome, reason)

    # -- for `Workspaces`

    @property
    def git_dir(self) -> Path:
        """Ours, beside the workspace; a worker cannot reach it."""
        return self._space / "git"

    @property
    def owner(self) -> Workspaces:
        return self._owner

    @property
    def held(self) -> Held:
        return self._held

    @property
    def is_open(self) -> bool:
        return self._open

    def check_open(self, kind: str = "") -> None:
        """Raises WorkspaceUnknown after the end, WorkspaceRefused where it is of another kind."""
        if not self._open or not git.is_folder(self.path):
            raise WorkspaceUnknown(f"the workspace {self.id} is no longer there", hint="make a new one")
        if kind and kind != self._record.kind:
            words = {"git": "has no commit to compare with", "folder": "comes from a repository"}
            raise WorkspaceRefused(
                f"the workspace {self.id} {words[kind]}", hint="`adopt` is for folders, `commit` and `patch` for git"
            )

    def with_record(self, **changes: object) -> Record:
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]
        return self._record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.discard("succeeded")
        else:
            self.discard("failed", f"{type(error).__name__}: {error}")
