"""What an attempt on a repository left, as the ledger keeps it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Left:
    """What an attempt left, as kept in the ledger."""

    tree: str
    """Hash of git's tree; the base's where nothing was changed."""
    patch: str
    """Blob; empty where nothing was changed."""
    problem: str = ""
    """Why what it left cannot be taken."""

    def workspace(self, commit: str) -> str:
        """Names it in evidence: 64 hex digits."""
        return hashlib.sha256(f"git {commit} {self.tree}\n".encode()).hexdigest()
