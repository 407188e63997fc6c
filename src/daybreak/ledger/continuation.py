"""A new log that goes on from a copy of an old one, whatever the copy is: a snapshot (`restore`), a replica.

An old copy must not simply be put back: the world has moved on since, and a log that forgets what it has done does it
again. So there begins a new log (`lineage`), with a new name and key. Its first event names the old log and the
highest head of it that was known anywhere; the old events follow, byte for byte. Runs that were open in the copy are
parked with a question and held (`holds`). Only where the present ledger is whole and is replaced in place is it known
which runs went on after the copy; then the others are left as they were.

In place, the present ledger, key and witness are moved aside, never removed (`exchange`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from daybreak import ids
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.host.durable import make_folder, sync_folder, write_synced
from daybreak.host.snapshots import Progress, TargetOccupied
from daybreak.host.snapshots.disk import Lock, Workplace
from daybreak.host.snapshots.problems import checked_path, disk
from daybreak.ledger import database, exchange, keyfile, oldlog, snapshot, subjects
from daybreak.ledger.exchange import Intent, RestoreRefused
from daybreak.ledger.note import NoteError, Signer
from daybreak.ledger.oldlog import OldLog, Source, Unpacked
from daybreak.ledger.succession import Succession
from daybreak.ledger.verification import Verification
from daybreak.ledger.views import View


class Copy(Protocol):
    """Something that a ledger's folder can be made from."""

    def unpack(self, folder: Path, progress: Progress | None) -> Unpacked:
        """The ledger in `folder`, which is empty; checked by what the copy itself says, and by its own key."""
        ...


@dataclass(frozen=True, slots=True)
class Restored:
    """The new log."""

    source: Source
    ledger: Path
    origin: str
    """Its name."""
    old_origin: str
    size: int
    """Events that were carried over."""
    known: int
    """Events of the old log that are known to have been; not less than `size`."""
    held: list[str]
    """Runs that wait for a person."""
    verification: Verification
    """Of the new log; it is whole."""
    safety: Path | None = None
    """Where the ledger that was replaced is now."""

    @property
    def lost(self) -> int:
        """Events that are known to have been, and that are not in the copy."""
        return self.known - self.size


@dataclass(frozen=True, slots=True)
class Continuation:
    """Begins new logs.

    `present` is where the old key and what is known of the old log are looked for, and what `in_place` replaces.
    `without_key` goes on where the old key is lost; then no signature of its shows that the new log goes on from it.
    `views` and `refers` (the blobs that a record names) are as for `verification.verify`.
    """

    present: Places
    clock: Clock
    entropy: ids.Entropy = os.urandom
    without_key: bool = False
    views: Sequence[View] = ()
    refers: snapshot.Refers | None = None
    progress: Progress | None = None

    def to(self, copy: Copy, target: Path) -> Restored:
        """A whole home (ledger, keys, witness) in a folder that is not there yet, or is empty; whole or not at all.

        Nothing in `present` is changed. Every open run is held, because the original may be going on with it. Keys
        other than the signing key come along, those of subjects too, and what is known of forgotten ones. Raises
        SnapshotUnsound, KeyMissing, KeyWrong, LedgerForked, TargetOccupied, and what `Copy.unpack` raises.
        """
        place = checked_path(target, "the folder to restore into")
        with disk(place, "restoring"):
            if place.is_symlink() or (place.exists() and not (place.is_dir() and not any(place.iterdir()))):
                raise TargetOccupied(f"{place} is there already", hint="name a folder that is not there yet")
            make_folder(place.parent)
            with Workplace(place.with_name(f".{place.name}.restoring")) as work:
                home = Places.below(work / "home", "restored")
                old = self._unpack(copy, work / "copy")
                restored = self._succeed(old, self._signer(), home, None, None)
                for path in old.other_keys:
                    write_synced(home.keys / path.name, path.read_bytes())
                subjects.carry_over(self.present.keys, self.present.witness, home.keys, home.witness)
                sync_folder(home.ledger.parent)
                if place.exists():
                    place.rmdir()
                home.ledger.parent.rename(place)
                sync_folder(place.parent)
        return replace(restored, ledger=place / home.ledger.name)

    def in_place(self, copy: Copy) -> Restored:
        """Replace the present ledger, which is moved to `<ledger>.before-<label>` (`label` is the new log's); its key
        and witness to folders `before-<label>` inside theirs.

        Raises RestoreRefused where it is the mirror of one in Postgres, a supervisor runs, somebody has it open, or an
        earlier restore waits for `finish`; and what `to` raises. Nothing was changed then.
        """
        places = self.present
        if exchange.written_down(places) is not None:
            raise RestoreRefused("an earlier restore was interrupted", hint="finish it first: `daybreak snapshot list`")
        exchange.refuse_mirror(places)
        exchange.refuse_running(places)
        with disk(places.ledger, "restoring"):
            make_folder(places.ledger.parent)
            with Workplace(exchange.beside(places.ledger, "restoring")) as work:
                exchange.drop_staged(places)
                return self._in_place(self._unpack(copy, work / "copy"))

    def tried(self, copy: Copy, work: Path) -> Restored:
        """A whole new log below `work`, which the caller throws away: it shows that the copy can be gone on from. It
        needs no secret."""
        old = replace(self, without_key=True)._unpack(copy, work / "copy")
        return self._succeed(old, self._signer(), Places.below(work / "home", "checked"), None, None)

    def _signer(self) -> Signer:
        """The new log's name and key."""
        return Signer(f"daybreak.local/{ids.new('ledger', self.clock.now(), self.entropy)}", self.entropy(32))

    def _in_place(self, old: OldLog) -> Restored:
        places, signer = self.present, self._signer()
        moved = oldlog.moved_on(places, old)
        label = signer.verifier.origin.rsplit("/", 1)[-1]
        safety = places.ledger.with_name(f"{places.ledger.name}.before-{label}")
        staged = exchange.staged(places, label)
        intent = Intent(label=label, staged=str(staged.ledger), safety=str(safety))
        runs = None if moved is None else moved.runs
        was_there = places.ledger.exists()
        with exchange.alone(places, None if moved is None else moved.size):
            try:
                restored = self._succeed(old, signer, staged, runs, safety if was_there else None)
                exchange.refuse_running(places)
                exchange.write_down(places, intent)
            except BaseException:
                if exchange.written_down(places) is None:
                    exchange.drop_staged(places)
                raise
            with exchange.completing(places):
                exchange.exchange_guards(places, intent)
        with exchange.completing(places):
            exchange.exchange_ledger(places, intent)
        return replace(restored, ledger=places.ledger, safety=safety if was_there else None)

    def _unpack(self, copy: Copy, folder: Path) -> OldLog:
        """The copy in `folder`, checked: by itself, then the ledger in it against the old key and the heads known."""
        unpacked = copy.unpack(folder, self.progress)
        source, ledger, packed = unpacked.source, unpacked.ledger, unpacked.keys
        verifier, inside = oldlog.keys_of(unpacked.public_key, ledger / database.FILE, self.present.keys, packed)
        key = None if self.without_key else oldlog.find_key(source, verifier, self.present.keys, packed)
        public = folder / "public"
        make_folder(public)
        write_synced(public / keyfile.PUBLIC, f"{unpacked.public_key}\n".encode())
        # The blobs that events name are looked at with the new log, where they are by then.
        replace(self, refers=None)._check(source, ledger, public, None, "verifying the copy")
        try:
            head = snapshot.stored_head(ledger / database.FILE, verifier)
        except NoteError as error:
            raise source.unsound(f"the head of the ledger in it is not to be believed: {error}") from error
        if head.text != unpacked.head or head.size != unpacked.size:
            raise source.unsound("the ledger in it is not the one that it describes")
        highest = oldlog.highest(source, ledger, head, verifier, unpacked.witnessed, self.present)
        others = oldlog.other_keys(self.present.keys, packed)
        return OldLog(source, ledger, verifier, inside, head, highest, key, others)

    def _succeed(
        self, old: OldLog, signer: Signer, home: Places, moved_on: frozenset[str] | None, safety: Path | None
    ) -> Restored:
        """The new log in `home`, on disk and verified."""
        held = Succession(old, signer, self.clock, self.entropy, self.progress).make(home, moved_on, safety)
        found = self._check(old.source, home.ledger, home.keys, home.witness, "verifying the new log")
        return Restored(
            source=old.source,
            ledger=home.ledger,
            origin=signer.verifier.origin,
            old_origin=old.verifier.origin,
            size=old.head.size,
            known=old.highest.size,
            held=held,
            verification=found,
        )

    def _check(self, source: Source, ledger: Path, keys: Path, outside: Path | None, what: str) -> Verification:
        return snapshot.check(
            source.name,
            ledger,
            keys=keys,
            outside=outside,
            views=self.views,
            refers=self.refers,
            progress=self.progress,
            what=what,
            kind=source.kind,
        )


def finish(places: Places) -> bool:
    """Complete a restore in place that a crash interrupted after it was written down; False where there is none.

    Raises RestoreUnfinished, RestoreRefused where a supervisor runs, StoreBusy where somebody is at it.
    """
    intent = exchange.written_down(places)
    if intent is None:
        return False
    exchange.refuse_running(places)
    with exchange.completing(places), Lock(exchange.beside(places.ledger, "restoring-lock")):
        exchange.exchange_guards(places, intent)
        exchange.exchange_ledger(places, intent)
        shutil.rmtree(exchange.beside(places.ledger, "restoring"), ignore_errors=True)
    return True
