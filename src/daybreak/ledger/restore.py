"""Brings a ledger back from a snapshot, as a new log that goes on from the old one: `continuation` says how and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak import ids
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.host.snapshots import Progress, Store
from daybreak.host.snapshots.disk import Workplace
from daybreak.host.snapshots.problems import disk
from daybreak.ledger import oldlog, snapshot
from daybreak.ledger.continuation import Continuation, Restored, finish
from daybreak.ledger.oldlog import Source, Unpacked
from daybreak.ledger.views import View

__all__ = ["Restored", "Restorer", "SnapshotCopy", "finish"]


@dataclass(frozen=True, slots=True)
class SnapshotCopy:
    """One snapshot of a store, to go on from."""

    store: Store
    name: str
    present: Places

    def unpack(self, folder: Path, progress: Progress | None) -> Unpacked:
        """Its own checksums are compared. Raises SnapshotDamaged, SnapshotUnsound, and what `Store.unpack` raises."""
        found = self.store.find(self.name)
        note = snapshot.note_of(found.manifest)
        oldlog.check_recorded(found, self.present)
        self.store.unpack(found.name, folder, progress=progress)
        return Unpacked(
            source=Source("snapshot", found.name, found.manifest_sha256, found.created),
            ledger=folder / snapshot.LEDGER,
            keys=folder / snapshot.KEYS,
            public_key=note.public_key,
            head=note.head,
            size=note.size,
            witnessed=note.witnessed,
        )


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores from one store. The other fields are those of `Continuation`."""

    store: Store
    present: Places
    clock: Clock
    entropy: ids.Entropy = os.urandom
    without_key: bool = False
    views: Sequence[View] = ()
    refers: snapshot.Refers | None = None
    progress: Progress | None = None

    def to(self, name: str, target: Path) -> Restored:
        """A whole home in a folder that is not there yet, or is empty: see `Continuation.to`. Raises SnapshotDamaged,
        too."""
        return self._continuation.to(self._copy(name), target)

    def in_place(self, name: str) -> Restored:
        """Replace the present ledger, which is moved aside: see `Continuation.in_place`."""
        return self._continuation.in_place(self._copy(name))

    def test_restore(self, name: str) -> Restored:
        """Restore a snapshot into a temporary folder beside the snapshots, verify the new log there, and remove it.

        It needs the space, the time and the code of a real restore, but no secret: the new log's key is thrown away.
        Raises as `to` does for whatever is wrong with the snapshot, and KeyWrong where it is one of another ledger than
        the present one.
        """
        with disk(self.store.folder, "checking the snapshot"):
            note = snapshot.note_of(self.store.find(name).manifest)
            oldlog.check_public_key(f"snapshot {name}", note.public_key, self.present.keys)
            with Workplace(self.store.folder / ".checking") as work:
                return self._continuation.tried(self._copy(name), work)

    @property
    def _continuation(self) -> Continuation:
        return Continuation(
            self.present, self.clock, self.entropy, self.without_key, self.views, self.refers, self.progress
        )

    def _copy(self, name: str) -> SnapshotCopy:
        return SnapshotCopy(self.store, name, self.present)
