"""A head file in one more folder: on another disk, or one that belongs to another user.

Only root can give a file away. What root gives to another user can then be changed by that user and by root: the
programs of a night that runs as root under other users cannot reach it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import WitnessBroken
from daybreak.host.durable import make_folder
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.witness.headfile import Witness
from daybreak.ledger.witness.statement import Log, Statement, WitnessRefuses


class HeadFile:
    """One more `Witness`."""

    kind = "file"

    def __init__(self, name: str, folder: Path, owner: str, verifier: Verifier, clock: Clock) -> None:
        self.name = name
        self.folder = folder
        self.where = str(folder)
        self.owner = owner
        self._file = Witness(folder)
        self._verifier = verifier
        self._clock = clock

    def show(self, head: Checkpoint, log: Log) -> Statement:
        owner = self._owner()
        now = self._clock.now()
        try:
            make_folder(self.folder)
            present = self._file.read(self._verifier)
            if present is not None:
                log.compare(present)
            if present is None or present.size < head.size:
                self._file.raise_to(head, self._verifier)
                if owner is not None:
                    for path in (self.folder, self._file.path):
                        os.chown(path, *owner)
        except OSError as error:
            raise WitnessBroken(
                f"witness {self.name}: {error}", hint=f"look at {self.folder}, its space and its rights."
            ) from error
        return Statement(max(head.size, 0 if present is None else present.size), now)

    def highest(self, log: Log) -> Checkpoint | None:
        return self._file.read(self._verifier)

    def worth(self) -> Sequence[str]:
        """By what the system says about the file as it is now."""
        if not self._file.exists():
            return ["nothing was written there yet"]
        status = self._file.path.stat()
        if status.st_uid == os.geteuid():
            return ["the ledger's own user can rewrite it: it shows accidents and old copies, not that user's lies"]
        if os.geteuid() == 0:
            return [f"it belongs to user number {status.st_uid}: other users cannot rewrite it, root and that one can"]
        if os.access(self.folder, os.W_OK):
            return [f"it belongs to user number {status.st_uid}, but this user may replace it: the folder is writable"]
        return [f"it belongs to user number {status.st_uid}, and this user cannot rewrite it"]

    def _owner(self) -> tuple[int, int] | None:
        if not self.owner:
            return None
        import pwd

        try:
            found = pwd.getpwnam(self.owner)
        except KeyError:
            raise WitnessRefuses(
                f"witness {self.name}: there is no user {self.owner}", hint="make the user, or correct `owner`."
            ) from None
        if os.geteuid() not in (0, found.pw_uid):
            raise WitnessRefuses(
                f"witness {self.name}: only root can give a file to {self.owner}",
                hint="leave `owner` out, or let that user run `daybreak ledger witness serve`.",
            )
        return found.pw_uid, found.pw_gid
