"""A build that is done once more because a person rejected what an earlier one had delivered.

Its workers begin from that tree and are told the reason; and a result that is the very same tree does not pass.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from daybreak.agents.protocol import Finding
from daybreak.checks.evidence import Evidence

PERSON = "person"
"""The check, which nobody runs: a person has looked."""


class RejectedBuild(BaseModel):
    """What was rejected, as the ledger keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    run: str
    because: str
    workspace: str = ""
    """Of the tree that was delivered; empty where that is not known any more."""
    tree: str = ""
    """Its blob."""

    @property
    def finding(self) -> Finding:
        """For whoever mends it."""
        return Finding(check=PERSON, message=f"a person has rejected what was made before: {self.because}")

    def seen(self, workspace: str) -> list[Evidence]:
        """Evidence against a result that was rejected already; none against another one."""
        if not self.workspace or workspace != self.workspace:
            return []
        summary = f"this very result was rejected (run {self.run}): {self.because}"
        return [Evidence(check=PERSON, workspace=workspace, outcome="failed", summary=summary[:500])]
