"""The base of a task, checked out fresh for each look at it, and what an attempt left put upon it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daybreak.clock import Clock
from daybreak.engine import Parked
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository.git import ResultUnclear
from daybreak.factory.repository.left import Left
from daybreak.factory.repository.running import Bench
from daybreak.factory.repository.task import RepositoryArgs
from daybreak.factory.site import Site
from daybreak.host.workspaces import CommitUnknown, NotARepository, Workspace, Workspaces
from daybreak.ledger import Ledger


@dataclass(frozen=True)
class Checkouts:
    """Those of one run. The user's files, index and branches are only read."""

    args: RepositoryArgs
    run: str
    ledger: Ledger
    clock: Clock
    site: Site

    @contextmanager
    def base(self, scratch: Path) -> Iterator[Workspace]:
        """The base, fresh, below `scratch`; gone afterwards. Raises Parked where it is not to be found."""
        try:
            workspace = Workspaces(scratch / "spaces", self.clock).from_git(
                self.args.repository, self.args.commit, label=self.run, history=False
            )
        except (CommitUnknown, NotARepository) as error:
            raise Parked(
                f"the base {self.args.commit[:12]} is not there (any more): put it back, then resume",
                why=f"{error.code}: {error.message}",
            ) from error
        try:
            yield workspace
        finally:
            workspace.discard("lost")

    def apply(self, workspace: Workspace, left: Left) -> None:
        """Raises ResultUnclear where that does not give what was left."""
        tree = repositorygit.apply(workspace, self.ledger.get_blob(left.patch))
        if tree != left.tree:
            raise ResultUnclear(
                f"the patch gives tree {tree[:12]}, not {left.tree[:12]}", hint="`daybreak ledger verify` checks blobs"
            )

    def apply_without(self, workspace: Workspace, left: Left, without: Sequence[str]) -> str:
        """The tree of what was left, with the paths in `without` as they are on the base. Raises ResultUnclear."""
        return repositorygit.apply(workspace, self.ledger.get_blob(left.patch), without=without)

    def bench(self, files: Path, scratch: Path) -> Bench:
        """Where checks run."""
        return Bench(
            files,
            scratch,
            tuple(Path(path) for path in self.args.venvs if Path(path).is_dir()),
            self.args.check_s,
            self.args.sandbox,
            self.site.cancelled,
        )
