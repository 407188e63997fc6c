"""Puts a copy of the whole state away: a ledger that was verified, its blobs, and what was known of it.

The ledger goes on meanwhile; the copy is that of one moment. Keys are left out unless asked for: who has the archive
has the log, but can neither append to it nor pass another off as it. The keys of subjects are never in it: what was
forgotten would live on in every archive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daybreak import ids
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.errors import LedgerError
from daybreak.events import SnapshotCreated
from daybreak.host.durable import make_folder, write_synced
from daybreak.host.snapshots import Manifest, Progress, Snapshot, Staged, Store
from daybreak.ledger import bells, database, keyfile, replay, rotation, rows, subjects, verification, witness
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import Record
from daybreak.ledger.views import View

LEDGER = "ledger"
KEYS = "keys"
DATABASE = f"{LEDGER}/{database.FILE}"
_BLOBS = f"{LEDGER}/{database.BLOBS}/"
_ASIDE = ("before-", "new-")
"""Folders beside keys and witness that a restore in place makes."""
_BESIDE = (witness.LOCK, subjects.FOLDER, bells.FOLDER, replay.FOLDER)
"""No part of the state, and keys that must be in no copy."""

Refers = Callable[[Record], Iterable[str]]
"""The digests of the blobs that a record names."""


class SnapshotUnsound(LedgerError):
    """The ledger in a snapshot is not whole, or the snapshot holds none."""

    code = "L165"


class LedgerNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot's manifest says about the ledger in it."""

    origin: str
    public_key: str
    """That which signed its head."""
    size: int
    """Events."""
    head: str
    """The signed head over them."""
    witnessed: str
    """The head that was known outside when the copy began; empty where there was none."""


def take(
    store: Store,
    places: Places,
    *,
    clock: Clock,
    entropy: ids.Entropy = os.urandom,
    with_keys: bool = False,
    views: Sequence[View] = (),
    refers: Refers | None = None,
    bring: Callable[[], object] | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """A new snapshot of the ledger in `places`, which may be open and written to by others.

    The ledger in it was verified: every event, hash, signature, tile and blob, and that it reaches the head known
    outside. `bring` (`Ledger.bring_blobs`) is needed where the ledger is in Postgres, which holds what other homes put.
    Raises SnapshotUnsound where it is not whole (nothing is put away then), and what `Store.create` raises.
    """
    before = _text(places.witness / witness.FILE)
    key = None if not (places.ledger / database.FILE).exists() else keyfile.load_verifier(places.keys)

    def inspect(staged: Staged) -> Mapping[str, Any]:
        note = _inspect(staged, places, key, before, views, refers, progress)
        return {"ledger": msgspec.to_builtins(note), "keys": with_keys}

    sources = {LEDGER: places.ledger} | ({KEYS: places.keys} if with_keys else {})
    return store.create(
        sources, moment=clock.now(), entropy=entropy, skip=left_out, inspect=inspect, bring=bring, progress=progress
    )


def event_of(snapshot: Snapshot) -> SnapshotCreated:
    """What the ledger should remember of it."""
    note = note_of(snapshot.manifest)
    return SnapshotCreated(
        name=snapshot.name,
        store=str(snapshot.folder.parent),
        manifest=snapshot.manifest_sha256,
        size=note.size,
        head=note.head,
        bytes=snapshot.manifest.archive.size,
        keys=bool(snapshot.manifest.notes.get("keys")),
    )


def note_of(told: Manifest) -> LedgerNote:
    """Raises SnapshotUnsound where the snapshot is not one of a ledger."""
    try:
        note = msgspec.convert(told.notes.get("ledger"), LedgerNote)
        Verifier.parse(note.public_key)
    except (msgspec.ValidationError, NoteError) as error:
        raise unsound(told.name, f"its manifest does not describe a ledger: {error}") from error
    if DATABASE not in told.databases:
        raise unsound(told.name, "there is no ledger in it")
    return note


def left_out(inside: str) -> bool:
    """Temporary files, what a restore put aside, readers' bells, replayed views, and the keys of subjects."""
    parts = inside.split("/")
    if any(part.startswith(".") for part in parts):
        return True
    return parts[0].startswith(_ASIDE) or parts[0] in _BESIDE


def stored_head(path: Path, verifier: Verifier) -> Checkpoint:
    """The signed head inside a database. Raises NoteError, LedgerTampered, LedgerBusy."""
    with rows.readable(path):
        connection = database.connect_reader(path)
        try:
            row = rows.Rows(connection, BlobStore(path.parent / database.BLOBS)).head()
        finally:
            connection.close()
    if row is None:
        raise NoteError("there is no signed head")
    return verifier.open(row[1])


def check(
    name: str,
    directory: Path,
    *,
    keys: Path | None,
    outside: Path | None = None,
    views: Sequence[View] = (),
    refers: Refers | None = None,
    progress: Progress | None = None,
    what: str = "verifying the ledger",
    kind: str = "snapshot",
) -> verification.Verification:
    """Verify a copy of a ledger. Raises SnapshotUnsound, naming the first problems."""
    tell = None if progress is None else lambda done, total: progress(what, done, total)
    found = verification.verify(directory, keys=keys, witness=outside, views=views, blobs=refers, progress=tell)
    if not found.ok:
        first = "; ".join(f"{problem.place}: {problem.what}" for problem in found.problems[:3])
        more = len(found.problems) + found.more - 3
        raise unsound(name, f"its ledger is not whole: {first}" + (f"; and {more} more" if more > 0 else ""), kind)
    return found


def _inspect(
    staged: Staged,
    places: Places,
    key: Verifier | None,
    before: str,
    views: Sequence[View],
    refers: Refers | None,
    progress: Progress | None,
) -> LedgerNote:
    """Verify the copy against the key and the head known outside before it was made. `key` is that of before, too."""
    copy = staged.databases.get(DATABASE)
    if copy is None or key is None:
        raise unsound("to be", f"there is no ledger in {places.ledger}")
    packed = _packed_blobs(staged)
    place = copy.parent / "verified"
    place.mkdir()
    copy.rename(place / database.FILE)
    (place / database.BLOBS).symlink_to(places.ledger / database.BLOBS, target_is_directory=True)
    outside = copy.parent / "outside"
    make_folder(outside)
    write_synced(outside / witness.FILE, before.encode())
    public = copy.parent / "public"  # the key of that time: it may be rotated while we look
    make_folder(public)
    write_synced(public / keyfile.PUBLIC, key.text.encode())
    named: set[str] = set()

    def note_named(record: Record) -> Iterable[str]:
        named.update(refers(record) if refers else ())
        return ()  # they were read and hashed when they were packed

    check("to be", place, keys=public, outside=outside, views=views, refers=note_named, progress=progress)
    if missing := sorted(named - packed):
        raise unsound("to be", f"blob {missing[0]} is not there, and {len(missing) - 1} more that events name")
    verifier = Keyring.of(key, rotation.source(place / database.FILE))
    verifier.learn_more()
    head = stored_head(place / database.FILE, verifier)
    return LedgerNote(
        origin=verifier.origin, public_key=verifier.text, size=head.size, head=head.text, witnessed=before
    )


def _packed_blobs(staged: Staged) -> set[str]:
    """The names of the blobs in it, which are the hashes of what was packed. Raises SnapshotUnsound."""
    packed = set()
    for entry in staged.files:
        if entry.path.startswith(_BLOBS):
            if entry.path.rsplit("/", 1)[1] != entry.sha256:
                raise unsound("to be", f"blob {entry.path} holds other bytes than were put there")
            packed.add(entry.sha256)
    return packed


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def unsound(name: str, what: str, kind: str = "snapshot") -> SnapshotUnsound:
    """The error that says so of a copy."""
    return SnapshotUnsound(
        f"{kind} {name}: {what}",
        hint="nothing was put away or restored; `daybreak ledger verify` looks at the present ledger, "
        "`daybreak snapshot list` and `daybreak ledger replicas list` show other copies",
    )
