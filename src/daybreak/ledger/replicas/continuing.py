"""A replica as a copy that a new log can go on from: the way back where it holds less than is known outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daybreak.host.snapshots import Progress
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.note import Verifier
from daybreak.ledger.oldlog import Source, Unpacked
from daybreak.ledger.replicas import reading, recovery
from daybreak.ledger.replicas.reading import Refers
from daybreak.ledger.replicas.target import Target


@dataclass(frozen=True, slots=True)
class ReplicaCopy:
    """One target, for `continuation`. `verifier`: what is known of the old log's keys. `refers` gives the blobs that a
    record names, which come along."""

    target: Target
    verifier: Verifier
    refers: Refers | None = None

    def unpack(self, folder: Path, progress: Progress | None) -> Unpacked:
        """Every entry is checked against the key and the signed root. Raises ReplicaDamaged, ReplicaLost, OSError."""
        signed = reading.head(self.target, self.verifier)
        tell = None if progress is None else lambda done, total: progress("reading the replica", done, total)
        made = recovery.restore(self.target, self.verifier, folder / "ledger", refers=self.refers, progress=tell)
        source = Source("replica", self.target.name)
        if made.size != signed.size:
            raise source.unsound("it grows: somebody still has its ledger open")
        keyring = self.verifier if isinstance(self.verifier, Keyring) else None
        key = self.verifier if keyring is None else keyring.opened(signed.text)[1]
        return Unpacked(
            source=source,
            ledger=made.ledger,
            keys=folder / "keys",
            public_key=key.text,
            head=signed.text,
            size=signed.size,
        )
