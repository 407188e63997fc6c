"""A short look at the ledger that changes nothing: not even a view is caught up, and no running night is held up.

Sees what a writer sees when it opens the ledger (the rules of the database, the signed head against the tree, the head
known outside) and reads the newest events; `daybreak ledger verify` checks everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from daybreak.config import Places
from daybreak.errors import LedgerBehind, LedgerError, LedgerForked, LedgerTampered, WitnessMissing
from daybreak.ledger import database, keyfile, rotation
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.rows import Rows, readable
from daybreak.ledger.tiles import Edge
from daybreak.ledger.witness import Witness


class LedgerUnread(LedgerError):
    """The disk does not let the ledger be read; whether anything is wrong with it is not known."""

    code = "L118"


TAIL = 256
"""So many of the newest events are read and checked."""
_VERIFY = "stop using it; `daybreak ledger verify` names every place, then restore a copy"


@dataclass(frozen=True)
class Glance:
    """An open ledger, in one read transaction."""

    path: Path
    connection: apsw.Connection
    rows: Rows

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the views as they are stored. Raises LedgerTampered."""
        try:
            with readable(self.path):
                return self.connection.execute(sql, tuple(params)).fetchall()
        except apsw.Error as error:
            raise LedgerTampered(f"{self.path} cannot be asked: {error}", hint=_VERIFY) from error

    def tail(self, keys: Path, outside: Checkpoint | None) -> tuple[int, str]:
        """How many events there are, and the time of the newest. Raises what is wrong with them."""
        verifier = _keyring(keys, self.path)
        with readable(self.path):
            head = self._head(verifier)
            records = self.rows.page(max(-1, head.size - TAIL - 1), TAIL)
            if outside is not None:
                self._compare(head, outside)
        return head.size, records[-1].ts if records else ""

    def _head(self, verifier: Verifier) -> Checkpoint:
        stored = self.rows.head()
        if stored is None:
            raise LedgerTampered(f"{self.path} has no signed head", hint=_VERIFY)
        try:
            head = verifier.open(stored[1])
            root = Edge.load(head.size, self.rows.tiles(head.size)).root()
        except (NoteError, LookupError) as error:
            raise LedgerTampered(f"{self.path}: its newest events cannot be checked: {error}", hint=_VERIFY) from error
        there = self.rows.last_leaf() + 1
        if there != head.size or root != head.root:
            text = f"{self.path}: {there} events are there, {head.size} were signed, or they are not the signed ones"
            raise LedgerTampered(text, hint=_VERIFY)
        return head

    def _compare(self, head: Checkpoint, outside: Checkpoint) -> None:
        if outside.size > head.size:
            raise LedgerBehind(
                f"{self.path} holds {head.size} events, but {outside.size} were known outside",
                hint="it was cut short, or an old copy was put back: put the newest copy back",
            )
        try:
            root = self.rows.tiles(head.size).root(outside.size)
        except LookupError as error:
            raise LedgerTampered(f"{self.path}: {error}", hint=_VERIFY) from error
        if root != outside.root:
            raise LedgerForked(
                f"the first {outside.size} events of {self.path} are not those that were known outside",
                hint="two copies of this ledger were written: keep the one that the witness knows",
            )


@contextmanager
def opened(where: Places) -> Iterator[Glance]:
    """The ledger's file, which must be there. Raises LedgerForeign, LedgerTampered, LedgerBusy."""
    path = where.ledger / database.FILE
    database.check_sqlite()
    try:
        with readable(path):
            connection = _connected(path)
    except apsw.Error as error:
        raise LedgerTampered(f"{path} cannot be opened: {error}", hint="check its rights and the disk") from error
    try:
        try:
            with readable(path):
                connection.execute("BEGIN")
                database.check_format(connection, path)
        except apsw.Error as error:
            raise LedgerTampered(f"{path} cannot be read: {error}", hint=_VERIFY) from error
        yield Glance(path, connection, Rows(connection, BlobStore(path.parent / database.BLOBS)))
    finally:
        connection.close()


def known_outside(where: Places) -> Checkpoint:
    """The head that the witness holds; ask before the ledger is opened, because it never leads that. Raises
    WitnessMissing, WitnessBroken, and what the key has."""
    witness = Witness(where.witness)
    head = witness.read(_keyring(where.keys, where.ledger / database.FILE))
    if head is None:
        raise WitnessMissing(
            f"there is no head at {witness.path} to compare the ledger with",
            hint="put the witness file back. Without it a cut or an old copy could not be noticed.",
        )
    return head


def _keyring(keys: Path, path: Path) -> Keyring:
    """The key that is known here; where others of the ledger signed, it says so. Raises what the key has."""
    return Keyring.of(keyfile.with_history(keys, keyfile.load_verifier(keys)), rotation.source(path))


def _connected(path: Path) -> apsw.Connection:
    """Where not even the shared memory beside the file can be made (a full or read-only disk) and no write-ahead log
    waits there, as an unchanging file."""
    try:
        connection = database.connect_reader(path)
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.FullError, apsw.IOError) as error:
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            raise LedgerUnread(
                f"{path} cannot be read now: {error}, and its write-ahead log holds something",
                hint=f"make room on the disk and check that {path.parent} can be written; nothing is known to be lost",
            ) from error
        name = f"file:{os.fspath(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?immutable=1"
        return apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    return connection
