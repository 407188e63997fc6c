"""A head file in one more folder: on another disk, or one that belongs to another user.

Only root can give a file away. What root gives to another user can then be changed by that user and by root: the
programs of a night that runs as root under other users cannot reach it. The folder stays root's, and lies where nobody
else may put anything: whoever may could lead root, by a link, to write elsewhere.

    <folder>/<hash of the log's name>/head

Each log has its own: a restore in place begins a new one, and the head of the old one stays where it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import WitnessBroken
from daybreak.host.durable import make_folder
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.witness import wire
from daybreak.ledger.witness.headfile import Witness
from daybreak.ledger.witness.statement import Log, Statement, WitnessRefuses


class HeadFile:
    """One more `Witness`."""

    kind = "file"

    def __init__(self, name: str, folder: Path, owner: str, verifier: Verifier, clock: Clock) -> None:
        self.name = name
        self.folder = folder / wire.origin_hash(verifier.origin)[:32]
        self.where = str(folder)
        self.owner = owner
        self._file = Witness(self.folder)
        """To read."""
        self._before = Witness(folder)
        """Where it lay when a folder was for one log only; to read."""
        self._verifier = verifier
        self._clock = clock

    def show(self, head: Checkpoint, log: Log) -> Statement:
        owner = self._owner()
        now = self._clock.now()
        try:
            folder = self.folder if owner is None else self._guarded()
            make_folder(folder, 0o700 if owner is None else 0o755)  # whom the file is given to must get there
            present = self._read()
            if present is not None:
                log.compare(present)
            if present is None or present.size < head.size or not self._file.exists():
                Witness(folder, owner).raise_to(head, self._verifier)
        except OSError as error:
            raise WitnessBroken(
                f"witness {self.name}: {error}", hint=f"look at {self.folder}, its space and its rights."
            ) from error
        return Statement(max(head.size, 0 if present is None else present.size), now)

    def highest(self, log: Log) -> Checkpoint | None:
        return self._read()

    def _read(self) -> Checkpoint | None:
        found = self._file.read(self._verifier)
        return self._before.read(self._verifier) if found is None and self._was_ours() else found

    def _was_ours(self) -> bool:
        """Is the head in the folder itself, by what it says, one of this log?"""
        try:
            return self._before.path.read_bytes().startswith(f"{self._verifier.origin}\n".encode())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise WitnessBroken(
                f"witness {self.name}: {error}", hint=f"look at {self._before.path} and its rights."
            ) from error

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

    def _guarded(self) -> Path:
        """The folder, that nobody but root may replace, nor put anything into. Raises WitnessRefuses."""
        folder = Path(os.path.normpath(self.folder.absolute()))
        if (led := folder.resolve()) != folder:
            raise WitnessRefuses(
                f"witness {self.name}: {folder} leads by a link to {led}",
                hint="with `owner`, name the folder itself: links may be moved while root writes.",
            )
        for place in (folder, *folder.parents):
            if not place.exists():
                continue
            found = place.stat()
            loose = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and (
                place == folder or not found.st_mode & stat.S_ISVTX
            )
            if found.st_uid != 0 or loose:
                raise WitnessRefuses(
                    f"witness {self.name}: {folder} may be replaced by others than root, to whom {place} is open",
                    hint="with `owner`, name a folder where root alone may write: only the file is given away.",
                )
        return folder

    def _owner(self) -> tuple[int, int] | None:
        """Whom root is to give the file to."""
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
        return (found.pw_uid, found.pw_gid) if os.geteuid() == 0 != found.pw_uid else None
