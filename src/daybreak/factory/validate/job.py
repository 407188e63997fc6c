"""One run of a validation: what all of its parts need, and its states, which come back after a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from daybreak.clock import Clock
from daybreak.engine import Context
from daybreak.factory.repository.guard import Guard
from daybreak.factory.site import Site
from daybreak.factory.validate import planning, protecting, shadow
from daybreak.factory.validate.looks import Looks
from daybreak.factory.validate.planned import Plan
from daybreak.factory.validate.running import Room
from daybreak.factory.validate.shadow import Shadow
from daybreak.factory.validate.task import ValidateArgs
from daybreak.factory.warden import Warden
from daybreak.host.workspaces import Workspaces
from daybreak.ledger import Ledger


@dataclass
class Job:
    """`base`, `bundle` and `plan` are there once the files have been taken in and the plan was made."""

    ctx: Context
    args: ValidateArgs
    ledger: Ledger
    clock: Clock
    warden: Warden
    site: Site
    states: Shadow
    looks: Looks
    base: str = ""
    """The commit in the shadow of the files as they were found."""
    bundle: str = ""
    """The blob that it can be made of again."""
    plan: Plan = field(init=False)
    tries: int = 0
    """Attempts of workers so far; reviews have numbers too."""
    _lineage: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Commit → the one before it, and the blob of the patch between."""

    @property
    def name(self) -> str:
        """Of the project, for people."""
        return Path(self.args.folder).name

    def came(self, commit: str, before: str, patch: str) -> None:
        """Remember how a state was made: of which, and by the patch in which blob (empty: it is the same)."""
        self._lineage[commit] = (before, patch)

    def need(self, commit: str) -> None:
        """Have a state in the shadow, also after a crash or a resume that lost it. Raises KeyError for one that nobody
        has remembered, and BlobMissing."""
        if self.states.knows(commit):
            return
        if commit == self.base:
            self.states.have(commit, self.ledger.get_blob(self.bundle))
            return
        before, patch = self._lineage[commit]
        self.need(before)
        if patch:
            self.states.advance(before, self.ledger.get_blob(patch))

    def tree(self, commit: str) -> str:
        """Names what a state holds, in evidence: 64 hex digits."""
        return shadow.name_of(self.states.tree(commit))

    def code(self, commit: str) -> list[str]:
        """Paths of its code."""
        return planning.code(self.states.paths(commit), self.plan, self.args.settings)

    def guard(self, commit: str) -> Guard:
        """What workers leave alone in it."""
        return protecting.guard(self.plan, self.args.settings, self.states.paths(commit))

    def room(self, commit: str, scratch: Path) -> Room:
        """Where programs run about it."""
        return Room(
            self.states.files(commit),
            scratch,
            self.args.around,
            self.args.settings.check_s,
            self.args.sandbox,
            self.site.cancelled,
        )

    def workspaces(self, scratch: Path) -> Workspaces:
        return Workspaces(scratch / "spaces", self.clock)
