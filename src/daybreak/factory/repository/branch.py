"""The branch that comes of a task: a commit whose message says how it is known to be done, and its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daybreak.checks.evidence import Evidence
from daybreak.clock import stamp
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository.checkout import Checkouts
from daybreak.factory.repository.left import Left
from daybreak.factory.repository.looking import CHANGE, PROTECTED
from daybreak.host.workspaces import Author


@dataclass(frozen=True)
class Branch:
    """What is to be delivered."""

    name: str
    left: Left
    worker: str
    attempts: int
    evidence: Sequence[Evidence]
    shown: bool
    """Did a check fail before it was done?"""
    verified_at: datetime

    def put(self, checkouts: Checkouts, manifest: str) -> str:
        """The commit's name; the same however often it is asked for. `manifest` is the blob's."""
        message = self.message(checkouts, manifest)
        author = Author(checkouts.args.author_name, checkouts.args.author_email)
        with checkouts.site.scratch() as scratch, checkouts.base(scratch) as workspace:
            checkouts.apply(workspace, self.left)
            seconds = int(self.verified_at.timestamp())
            return repositorygit.deliver(workspace, self.left.tree, self.name, message, author, seconds)

    def manifest(self, checkouts: Checkouts) -> dict[str, Any]:
        """Where the branch comes from: everything that anybody needs to see the same."""
        return {
            "format": 1,
            "run": checkouts.run,
            "base": checkouts.args.commit,
            "tree": self.left.tree,
            "patch": self.left.patch,
            "workspace": self.left.workspace(checkouts.args.commit),
            "worker": self.worker,
            "attempts": self.attempts,
            "verified_at": stamp(self.verified_at),
            "shown": self.shown,
            "checks": [
                {"check": one.check, "command": one.command, "outcome": one.outcome, "summary": one.summary,
                 "counts": one.counts} for one in self.evidence
            ],
        }  # fmt: skip

    def message(self, checkouts: Checkouts, manifest: str) -> str:
        """What was asked, and trailers that say how it is known to be done."""
        args = checkouts.args
        prompt = args.prompt.strip()
        body = [args.title, ""] + ([prompt, ""] if prompt != args.title else [])
        checks = [one for one in self.evidence if one.check not in (CHANGE, PROTECTED)]
        trailers = [
            ("Run", checkouts.run),
            ("Worker", f"{self.worker}, attempt {self.attempts}"),
            ("Base", args.commit),
            ("Verified", stamp(self.verified_at)),
            *(("Check", f"{one.check}: {one.summary}") for one in checks),
            *([] if self.shown else [("Shown", "no: every check passed on the base already")]),
            ("Manifest", f"sha256:{manifest}"),
        ]
        lines = [f"Daybreak-{name}: {' '.join(value.split())[:500]}" for name, value in trailers]
        return "\n".join([*body, *lines]) + "\n"
