"""What checks see: on the base before anything is done, and in what an attempt left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.repository import checks as repositorychecks
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository import regression
from daybreak.factory.repository.checkout import Checkouts
from daybreak.factory.repository.checks import Check
from daybreak.factory.repository.git import ResultUnclear
from daybreak.factory.repository.left import Left
from daybreak.factory.repository.looks import Looks
from daybreak.factory.repository.regression import Base

CHANGE, PROTECTED = "change", "protected"
"""Checks of ours: something was changed, and nothing that is protected."""
VETOES = frozenset({CHANGE, PROTECTED, repositorychecks.CHECK, repositorychecks.TESTS})
VIOLATIONS_MAX = 200
"""Of more nothing is put back, and no check is run."""


@dataclass(frozen=True)
class Looker:
    """Each look has a fresh checkout of its own."""

    checkouts: Checkouts
    looks: Looks

    def base(self, check: Check) -> Base:
        """What a check says before anything is done."""
        with self.checkouts.site.scratch() as scratch, self.checkouts.base(scratch) as workspace:
            return self.looks.base(check, self.checkouts.bench(workspace.path, scratch))

    def changed(self, left: Left) -> Evidence:
        """Was anything changed, and can it be taken?"""
        words = left.problem or ("" if left.patch else "nothing was changed")
        return Evidence(
            check=CHANGE,
            workspace=self._workspace(left),
            outcome="failed" if words else "passed",
            summary=words[:1000] or "something was changed",
        )

    def guarded(self, left: Left) -> Evidence:
        """Its marks name the protected paths that were changed, `VIOLATIONS_MAX` at most; no text, no place."""
        with self.checkouts.site.scratch() as scratch, self.checkouts.base(scratch) as workspace:
            files = repositorygit.files(workspace)
            self.checkouts.apply(workspace, left)
            changed = repositorygit.changes(workspace, left.tree)
            read = partial(repositorygit.content, workspace)
            wrong = repositoryguard.violations(self.checkouts.args.guard(files), changed, files, read)
        shown = "; ".join(one.why for one in wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        return Evidence(
            check=PROTECTED,
            workspace=self._workspace(left),
            outcome="failed" if wrong else "passed",
            summary=shown or "nothing that is protected was changed",
            marks=tuple(Mark(message=one.why, place=one.place) for one in wrong[:VIOLATIONS_MAX]),
        )

    def checked(self, left: Left, wrong: Sequence[str], check: Check, before: Base) -> Evidence:
        """On a fresh copy of the result, with the paths in `wrong` put back as they were on the base."""
        name = self._workspace(left)
        with self.checkouts.site.scratch() as scratch, self.checkouts.base(scratch) as workspace:
            try:
                tree = self.checkouts.apply_without(workspace, left, wrong)
            except ResultUnclear as error:
                return Evidence(
                    check=check.name,
                    workspace=name,
                    outcome="unusable",
                    summary=f"what is protected cannot be put back: {error.message}"[:1000],
                    command=check.command[:1000],
                )
            files = _ordinary(workspace.path)
            guard = self.checkouts.args.guard(repositorygit.files(workspace))
            looking = regression.Looking(
                check,
                before,
                name,
                sources=tuple(path for path in files if path.endswith(".py") and not _is_test(guard, path)),
                free=frozenset(change.path for change in repositorygit.changes(workspace, tree)),
            )
            evidence, _ = self.looks.look(looking, self.checkouts.bench(workspace.path, scratch))
            return evidence

    def _workspace(self, left: Left) -> str:
        return left.workspace(self.checkouts.args.commit)


def _ordinary(folder: Path) -> list[str]:
    """Paths of the ordinary files, links not among them."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path.relative_to(folder).as_posix() for path in found]


def _is_test(guard: repositoryguard.Guard, path: str) -> bool:
    return guard.holds(path) or repositoryguard.is_test(path)
