"""Makes a ledger's folder out of one replica: the same events, the same tree, the same signed head.

It goes on as the same log where it reaches the head that is known outside; where it does not, `Ledger.open` refuses it,
because events are missing. Then a new log can go on from it (`continuing`).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import apsw

from daybreak.host.durable import make_folder, sync_folder
from daybreak.ledger import database
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.log import INSERT_EVENT, PUT_HEAD, PUT_TILE
from daybreak.ledger.note import Verifier
from daybreak.ledger.record import decode_header
from daybreak.ledger.replicas import reading
from daybreak.ledger.replicas.problems import ReplicaDamaged, RestoreTaken
from daybreak.ledger.replicas.reading import Part, Progress, Reader, Refers
from daybreak.ledger.replicas.target import Target
from daybreak.ledger.tiles import Edge

COMMIT_PARTS = 64
"""Tiles of events in one transaction."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A ledger's folder, on disk."""

    ledger: Path
    size: int
    root: str
    """In hex."""
    blobs: int
    """Files beside the database."""
    missing: int
    """Blobs that events refer to and that the replica does not have; `daybreak ledger verify` names them."""


def restore(
    target: Target,
    verifier: Verifier,
    folder: Path,
    *,
    refers: Refers | None = None,
    progress: Progress | None = None,
) -> Recovered:
    """Into a folder that is not there yet, or is empty; whole or not at all. Everything is checked against the key and
    the signed root on the way. `refers` gives the blobs that a record names; without it only payloads come along.

    Raises RestoreTaken, ReplicaDamaged, ReplicaLost, OSError.
    """
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise RestoreTaken(f"{folder} is not an empty folder", hint="name a folder that is not there yet.")
    signed = reading.head(target, verifier)
    make_folder(folder.parent)
    work = folder.with_name(f".{folder.name}.restoring-{os.urandom(4).hex()}")
    try:
        made = _Making(work, Reader(target, signed.size), refers, progress)
        if made.edge.root() != signed.root:
            raise ReplicaDamaged(
                f"the entries of the replica {target.name} do not add up to its signed head of {signed.size}",
                hint="use another replica, or a snapshot.",
            )
        made.finish(signed.size, signed.text)
        if folder.exists():
            folder.rmdir()
        work.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Recovered(folder, signed.size, signed.root.hex(), made.blobs, made.missing)


class _Making:
    """The folder, filled from the replica, still without its head."""

    def __init__(self, work: Path, reader: Reader, refers: Refers | None, progress: Progress | None) -> None:
        self.edge = Edge()
        self.blobs = self.missing = 0
        self._reader = reader
        self._refers = refers
        self._store = BlobStore(work / database.BLOBS)
        self._path = work / database.FILE
        make_folder(work)
        self._connection = database.connect_writer(self._path)
        try:
            database.make_durable(self._connection, self._path)
            self._fill(progress)
        except BaseException:
            self._connection.close()
            raise

    def _fill(self, progress: Progress | None) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        database.create_tables(connection)
        for n in self._reader.parts():
            self._insert(self._reader.part(n))
            if n % COMMIT_PARTS == COMMIT_PARTS - 1:
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
            if progress is not None:
                progress(self.edge.size, self._reader.size)

    def _insert(self, part: Part) -> None:
        rows = []
        for at, (raw, leaf, payload) in enumerate(zip(part.headers, part.hashes, part.payloads, strict=True)):
            index, header, large = part.first + at, decode_header(raw), reading.is_blob(payload)
            if large:
                self._store.put(payload)
                self.blobs += 1
            if self._refers is not None:
                for digest in reading.referred(index, raw, leaf, payload, self._refers):
                    self._take(digest)
            kept = None if large else payload
            rows.append((index, header.stream, header.seq, header.gen, header.idem, raw, kept))
        try:
            self._connection.executemany(INSERT_EVENT, rows)
        except apsw.ConstraintError as error:  # signed, but no ledger of ours would have written it
            raise ReplicaDamaged(
                f"the replica {self._reader.target.name}: events from {part.first} on are no ledger's: {error}",
                hint="use another replica, or a snapshot.",
            ) from error
        self._connection.executemany(PUT_TILE, self.edge.extend(part.hashes))

    def _take(self, digest: str) -> None:
        if self._store.has(digest):
            return
        try:
            self._store.put(self._reader.blob(digest))
        except ReplicaDamaged:
            self.missing += 1
        else:
            self.blobs += 1

    def finish(self, size: int, note: str) -> None:
        try:
            self._connection.execute(PUT_HEAD, (size, note))
            self._connection.execute("COMMIT")
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.close()
