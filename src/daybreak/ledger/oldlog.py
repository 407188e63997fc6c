"""The ledger in a copy, unpacked and checked, and what else is known of it anywhere. Part of `continuation`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import apsw

from daybreak.config import Places
from daybreak.errors import KeyMissing, KeyWrong, LedgerError, LedgerForked, LedgerTampered
from daybreak.events import KEYS, Event, ReplicaRestored, SnapshotCreated, SnapshotRestored, control_stream, run_stream
from daybreak.host.snapshots import Snapshot
from daybreak.ledger import database, keyfile, rotation, rows, snapshot, verification, witness
from daybreak.ledger.admission import START
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.exchange import TOKEN_KEYS
from daybreak.ledger.keyring import KeyHistory, Keyring
from daybreak.ledger.note import Checkpoint, NoteError, Signer, Verifier
from daybreak.ledger.tree import consistency_proof, verify_consistency
from daybreak.ledger.witness.kept import Kept

_PREFIXES = (run_stream(""), control_stream(""))


@dataclass(frozen=True, slots=True)
class Source:
    """Which copy it is."""

    kind: Literal["snapshot", "replica"]
    name: str
    """Of the snapshot; or the target of the replica."""
    manifest: str = ""
    """SHA-256 of the snapshot's manifest."""
    created: datetime | None = None
    """When it was made; None for one that is kept up."""

    @property
    def words(self) -> str:
        return f"{self.kind} {self.name}"

    def event(self, head: str, held: list[str], safety: str) -> Event:
        """The new log's word about it."""
        if self.kind == "snapshot":
            return SnapshotRestored(name=self.name, manifest=self.manifest, held=held, safety=safety)
        return ReplicaRestored(target=self.name, head=head, held=held, safety=safety)

    def unsound(self, what: str) -> snapshot.SnapshotUnsound:
        """The error that says so."""
        return snapshot.unsound(self.name, what, self.kind)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A copy's ledger in a folder, with what the copy says about it."""

    source: Source
    ledger: Path
    keys: Path
    """Keys that were in the copy; need not be there."""
    public_key: str
    """That which signed its head."""
    head: str
    """The signed head over everything in it."""
    size: int
    """Events in it."""
    witnessed: str = ""
    """The head that was known outside when the copy was made; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class OldLog:
    """A copy of a ledger, whole as its key signed it."""

    source: Source
    folder: Path
    """Of the unpacked ledger."""
    verifier: Keyring
    """All its keys that are known, also those that came after the copy."""
    inside: KeyHistory
    """Those that the copy speaks of."""
    head: Checkpoint
    """Over everything in the copy."""
    highest: Checkpoint
    """The highest head of this log that is known anywhere."""
    key: Signer | None
    """None where it is lost."""
    other_keys: tuple[Path, ...]
    """What lies beside the signing key and is needed to go on."""


@dataclass(frozen=True, slots=True)
class MovedOn:
    """What the present ledger, which is whole, says about the time after the copy."""

    size: int
    runs: frozenset[str]


def keys_of(public_key: str, database_file: Path, present: Path, packed: Path) -> tuple[Keyring, KeyHistory]:
    """All keys of the old log that are known: from the copy, from the folders of keys. And those in the copy alone."""
    inside = Keyring.of(Verifier.parse(public_key), rotation.source(database_file))
    inside.learn_more()
    known = Keyring.of(inside)
    for folder in (packed, *_aside(present), present):
        with contextlib.suppress(KeyWrong, NoteError):  # another ledger's, or damaged: it says nothing about this one
            history = keyfile.load_history(folder)
            if history is not None:
                known.learn(history)
    return known, inside.history


def find_key(source: Source, keyring: Keyring, present: Path, packed: Path) -> Signer:
    """The old log's signing key, the last that is known: in its place, where an earlier restore put it, or in the
    snapshot.

    Raises KeyMissing, KeyWrong, KeyExposed.
    """
    other = ""
    for folder in (present, *_aside(present), packed):
        if not keyfile.exists(folder):
            continue
        signer = keyfile.find(folder, keyring.present)
        if signer is not None:
            return signer
        other = other or keyfile.load(folder).verifier.text
    if other:
        raise _another(source.words, keyring.text, present, other)
    raise KeyMissing(
        f"the key of {keyring.origin} is not at {present}, nor in {source.words}",
        hint="put ledger.key there. If it is lost for good: --without-key; then no signature shows that the new log "
        "goes on from the old one",
    )


def check_public_key(words: str, public_key: str, present: Path) -> None:
    """Is a copy with that key one of the present ledger, or of one that it goes on from? True where none is known.

    Raises KeyWrong.
    """
    known: list[str] = []
    for folder in (present, *_aside(present)):
        with contextlib.suppress(KeyMissing, FileNotFoundError):
            key = keyfile.load_verifier(folder)
            known += [key.text, *keyfile.with_history(folder, key).history.keys]
    if known and public_key not in known:
        raise _another(words, public_key, present, known[0])


def _another(words: str, public_key: str, present: Path, other: str) -> KeyWrong:
    return KeyWrong(
        f"{words} is one of {public_key}, but the key at {present} is {other}",
        hint="use the home that it is a snapshot of (DAYBREAK_HOME), or put that ledger's key back",
    )


def other_keys(present: Path, packed: Path) -> tuple[Path, ...]:
    """The present one of each name, else the packed one. Not the one that signs tokens: what was revoked after the
    copy is not known to the new log, so that a new key ends every token."""
    found: dict[str, Path] = {}
    for folder in (packed, present):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                found[path.name] = path
    ended = (keyfile.SECRET, keyfile.PUBLIC, keyfile.HISTORY, *TOKEN_KEYS)
    return tuple(path for name, path in found.items() if name not in ended and not name.startswith(keyfile.KEPT))


def highest(
    source: Source, folder: Path, head: Checkpoint, verifier: Keyring, noted: str, present: Places
) -> Checkpoint:
    """The highest signed head of the old log: in the copy, in its manifest, outside, shown to witnesses, in the present
    ledger.

    Raises LedgerForked where the copy is of another history than one of them.
    """
    texts = [head.text, noted]
    for place in (present.witness, *_aside(present.witness)):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            texts.append((place / witness.FILE).read_text("utf-8"))
    heads, forks = [], False
    for text in texts:
        with contextlib.suppress(NoteError):  # another log's, or damaged: it says nothing about this one
            heads.append(verifier.open(text))
    if (present.ledger / database.FILE).exists():
        with contextlib.suppress(LedgerError, NoteError, apsw.Error, OSError):  # damaged: it is to be replaced
            heads.append(snapshot.stored_head(present.ledger / database.FILE, verifier))
            forks = _forks(present.ledger, heads[-1], head)
    if forks:
        raise _forked(head.size, source)
    heads += _shown(present.witness, verifier)
    for known in heads:
        if known.size <= head.size and _root(folder, head.size, known.size) != known.root:
            raise _forked(known.size, source)
    return max(heads, key=lambda known: known.size)


def _forked(size: int, source: Source) -> LedgerForked:
    return LedgerForked(
        f"the first {size} events of {source.words} are not those that were known outside",
        hint=f"it is a copy of another history under the same key: use another {source.kind}",
    )


def _shown(folder: Path, verifier: Keyring) -> Iterator[Checkpoint]:
    """Heads that witnesses were shown, as far as they are kept."""
    kept = Kept(folder, verifier)
    with contextlib.suppress(OSError):
        yield from kept.cosigned()
        if (top := kept.highest()) is not None:
            yield top


def _forks(ledger: Path, newest: Checkpoint, head: Checkpoint) -> bool:
    """Does the present ledger, by its own signed head, which is later, begin otherwise? False where its tree cannot
    tell."""
    if newest.size <= head.size:
        return False
    connection = database.connect_reader(ledger / database.FILE)
    try:
        tiles = rows.Rows(connection, BlobStore(ledger / database.BLOBS)).tiles(newest.size)
        root = tiles.root(head.size)
        path = consistency_proof(head.size, newest.size, tiles.subtree)
        return root != head.root and verify_consistency(head.size, newest.size, root, newest.root, path)
    except (LookupError, ValueError):
        return False
    finally:
        connection.close()


def check_recorded(found: Snapshot, present: Places) -> None:
    """Is it the very snapshot of that name that the present ledger, where it can be read, says was made?

    Raises SnapshotUnsound.
    """
    made = None
    with contextlib.suppress(LedgerError, apsw.Error, OSError):  # damaged: that is why a copy is asked for
        made = _made(present.ledger, found.name)
    if made is not None and made.manifest != found.manifest_sha256:
        raise snapshot.unsound(found.name, "it is not the one that the ledger says was made; somebody replaced it")


def _made(ledger: Path, name: str) -> SnapshotCreated | None:
    if not (ledger / database.FILE).exists():
        return None
    connection = database.connect_reader(ledger / database.FILE)
    try:
        read, tip = rows.Rows(connection, BlobStore(ledger / database.BLOBS)), START
        while True:
            records, tip = read.stream_page(KEYS, tip)
            if not records:
                return None
            for record in records:
                if isinstance(record.event, SnapshotCreated) and record.event.name == name:
                    return record.event
    finally:
        connection.close()


def moved_on(places: Places, old: OldLog) -> MovedOn | None:
    """The runs that anything was said about after the copy; None where the present ledger cannot be trusted to know:
    it is another log, or not whole."""
    if not verification.verify(places.ledger, keys=places.keys, witness=places.witness).ok:
        return None
    connection = database.connect_reader(places.ledger / database.FILE)
    try:
        connection.execute("BEGIN")
        read = rows.Rows(connection, BlobStore(places.ledger / database.BLOBS))
        stored = read.head()
        head = old.verifier.open(stored[1]) if stored else None
        if head is None or head.size < old.head.size:
            return None
        if read.tiles(head.size).root(old.head.size) != old.head.root:
            return None
        streams = {record.stream for record in read.all(old.head.size - 1)}
    except (NoteError, LookupError, LedgerError, apsw.Error):
        return None
    finally:
        connection.close()
    runs = {one.removeprefix(prefix) for one in streams for prefix in _PREFIXES if one.startswith(prefix)}
    return MovedOn(head.size, frozenset(runs))


def _aside(folder: Path) -> list[Path]:
    """Where earlier restores in place put what was there."""
    return sorted(folder.glob("before-*")) if folder.is_dir() else []


def _root(folder: Path, size: int, at: int) -> bytes:
    """The root of the copy when it held `at` events."""
    connection = database.connect_reader(folder / database.FILE)
    try:
        return rows.Rows(connection, BlobStore(folder / database.BLOBS)).tiles(size).root(at)
    except LookupError as error:
        raise LedgerTampered(f"{folder}: {error}", hint="use another snapshot") from error
    finally:
        connection.close()
