"""The ledger as those who copy it read it: beside its writer, without holding it up, and checking what they read."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from daybreak.errors import DaybreakError, LedgerTampered
from daybreak.ledger import database, rows
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import decode_header
from daybreak.ledger.replicas.layout import INLINE
from daybreak.ledger.tiles import Edge
from daybreak.ledger.tree import leaf_hash

_VERIFY = "nothing more is copied: run `daybreak ledger verify`, then restore from a replica."


_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_log = logging.getLogger("daybreak.ledger.replicas")


class Leaf(NamedTuple):
    """An event as it is copied."""

    at: int
    """Its place in the tree."""
    header: bytes
    hash: bytes
    payload: bytes | None
    """None: it is a blob, `digest`."""
    digest: str
    named: list[str]
    """Blobs of ours that stand in it, whatever it calls them."""


class Source:
    """One reading connection. Not thread-safe: each copier has its own."""

    def __init__(
        self,
        directory: Path,
        verifier: Callable[[], Verifier],
        tables: Callable[[apsw.Connection], rows.Rows],
    ) -> None:
        """`verifier` opens the ledger's heads, and `tables` reads its rows, whatever is sealed in them."""
        self.path = directory / database.FILE
        self.blobs = BlobStore(directory / database.BLOBS)
        self._blob_folder = str(directory / database.BLOBS)
        self._verifier = verifier
        self._connection = database.connect_reader(self.path)
        self._rows = tables(self._connection)

    def close(self) -> None:
        self._connection.close()

    def reading(self) -> AbstractContextManager[object]:
        """SQLite's complaints inside become the ledger's errors."""
        return rows.readable(self.path)

    def head(self) -> Checkpoint:
        """The newest one that is durable, checked. Rows below it never change, so nobody need be kept from writing."""
        row = self._rows.head()
        if row is None:
            raise LedgerTampered(f"{self.path} has no signed head", hint=_VERIFY)
        try:
            return self._verifier().open(row[1])
        except NoteError as error:
            raise LedgerTampered(f"the signed head of {self.path}: {error}", hint=_VERIFY) from error

    def edge(self, size: int, whole: int) -> Edge:
        """Of the first `size` leaves; there are `whole`."""
        try:
            return Edge.load(size, self._rows.tiles(whole))
        except LookupError as error:
            raise LedgerTampered(f"{self.path}: {error}", hint=_VERIFY) from error

    def hashes(self, start: int, end: int) -> list[bytes]:
        found = self._rows.leaf_hashes(start, end)
        if len(found) != end - start:
            raise LedgerTampered(f"{self.path}: events between {start} and {end} are missing", hint=_VERIFY)
        return found

    def leaves(self, start: int, end: int) -> list[Leaf]:
        """Events from `start` to before `end`, each payload checked against its header."""
        stored: list[Any] = self._connection.execute(
            "SELECT leaf, header, payload FROM event WHERE leaf >= ? AND leaf < ? ORDER BY leaf", (start, end)
        ).fetchall()
        found = []
        for expected, row in enumerate(stored, start):
            if row[0] != expected:
                break
            found.append(self._leaf(*self._rows.whole(*row)))
        if len(found) != end - start:
            raise LedgerTampered(f"{self.path}: event {start + len(found)} is missing", hint=_VERIFY)
        return found

    def _leaf(self, index: int, raw: bytes, payload: bytes | None) -> Leaf:
        try:
            header = decode_header(raw)
        except msgspec.MsgspecError as error:
            raise LedgerTampered(f"the header of event {index} cannot be read: {error}", hint=_VERIFY) from error
        if payload is None:
            words = self._rows.payload(index)
        elif sha256(payload).hexdigest() == header.payload:
            words = payload
        else:
            raise LedgerTampered(f"the payload of event {index} is not the one that was signed", hint=_VERIFY)
        if header.commit is not None:
            words = self._opened(index, raw, payload)
        named = [name for name in _DIGEST.findall(words) if self._is_blob(name.decode())]
        inline = payload if payload is not None and len(payload) <= INLINE else None
        return Leaf(index, raw, leaf_hash(raw), inline, header.payload, [name.decode() for name in named])

    def _opened(self, index: int, raw: bytes, payload: bytes | None) -> bytes:
        """What a sealed event says, if anybody can still read it, so that the blobs that it names can be found."""
        try:
            record, _ = self._rows.record(index, raw, payload)
            return b"" if record.redacted else record.words
        except DaybreakError as error:  # what is sealed can be copied without being read
            _log.warning("event %d cannot be opened, to see which blobs it names: %s", index, error)
            return b""

    def _is_blob(self, digest: str) -> bool:
        """As `BlobStore.has`, for the thousands of hashes in events that are none."""
        return os.path.isfile(f"{self._blob_folder}/{digest[:2]}/{digest}")

    def payload(self, leaf: Leaf) -> bytes:
        """Of one that is a blob in the replica, wherever it lies here. Raises BlobMissing, BlobDamaged."""
        return self._rows.payload(leaf.at)
