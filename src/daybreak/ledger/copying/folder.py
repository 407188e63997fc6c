"""A ledger's folder, as something to copy from and as something that is made.

What is made gets its tables first, then the rows, and the indexes and rules at the end, which is quicker; and so a
folder can also be filled with rows that break every rule, to be looked at (`Folder.take`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from daybreak.errors import LedgerMissing
from daybreak.host.durable import make_folder
from daybreak.host.snapshots.disk import sync_tree
from daybreak.ledger import database, rows
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.copying.problems import CopyArchived, CopyTaken
from daybreak.ledger.log import INSERT_EVENT, PUT_HEAD, PUT_TILE
from daybreak.ledger.record import BLOB_BYTES, Record
from daybreak.ledger.tiles import TileRow

PAGE = 256
"""Events read, and written, at once."""
COMMIT_PAGES = 128
"""Pages of events in one transaction."""

Row = tuple[int, str, int, int, str | None, bytes, bytes | None]
"""leaf, stream, seq, gen, idem, header, payload"""

Tell = Callable[[str, str], None]
"""Is told a place and what is wrong there."""


def row_of(record: Record) -> Row:
    """As it is stored; a large payload lies beside the table."""
    payload = record.payload if len(record.payload) <= BLOB_BYTES else None
    return record.index, record.stream, record.seq, record.gen, record.idem, record.header, payload


class Source:
    """The ledger in a folder (or a home's mirror of one) as it was when this was made. Only reads. Close it."""

    def __init__(self, folder: Path) -> None:
        """Raises LedgerMissing, LedgerForeign, LedgerTampered, LedgerBusy, CopyArchived."""
        self.folder = folder
        path = folder / database.FILE
        if not path.is_file():
            raise LedgerMissing(f"there is no ledger in {folder}", hint="name the folder that holds ledger.db.")
        with rows.readable(path):
            connection = database.connect_reader(path)
            try:
                connection.execute("BEGIN")
                database.check_format(connection, path)
                _refuse_pruned(connection, folder)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self.rows = rows.Rows(connection, BlobStore(folder / database.BLOBS))

    def head(self) -> tuple[int, str] | None:
        """(size, signed note)"""
        with rows.readable(self.folder):
            return self.rows.head()

    def pages(self) -> Iterator[list[Record]]:
        """All events, each with the payload that its header names. Raises LedgerTampered, BlobMissing, BlobDamaged."""
        after = -1
        while True:
            with rows.readable(self.folder):
                records = self.rows.page(after, PAGE)
            if not records:
                return
            yield records
            after = records[-1].index

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """All that lie beside it, checked: name and bytes. Raises BlobDamaged."""
        store = BlobStore(self.folder / database.BLOBS)
        for path in _files(store.folder):
            yield path.name, store.get(path.name)

    def close(self) -> None:
        self._connection.close()


class Folder:
    """A ledger's folder that is being made. Nothing is durable before `finish`; close it in any case."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """`durable`: it is to stay; otherwise it is only looked at and thrown away."""
        make_folder(folder)
        self.folder = folder
        self._durable = durable
        self._blobs = folder / database.BLOBS
        self._pages = 0
        self._connection = database.connect_writer(folder / database.FILE)
        try:
            self._connection.pragma("journal_mode", "wal")
            self._connection.pragma("synchronous", "off")  # it is synced as a whole at the end
            self._connection.wal_autocheckpoint(database.CHECKPOINT_PAGES)
            self._connection.execute("BEGIN IMMEDIATE")
            self._later = _without_rules(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def add(self, page: Sequence[Row], tiles: Sequence[TileRow]) -> None:
        """Events that follow, and what grew of the tree. Raises apsw.ConstraintError where they are no ledger's."""
        self._connection.executemany(INSERT_EVENT, page)
        if tiles:
            self._connection.executemany(PUT_TILE, tiles)
        self._pages += 1
        if self._pages % COMMIT_PAGES == 0:
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN IMMEDIATE")

    def take(self, sql: str, page: Sequence[tuple[Any, ...]], where: Callable[[Any], str], tell: Tell) -> None:
        """Rows as they are. Those that no table of a ledger can hold are told of, and left out."""
        self._connection.execute("SAVEPOINT page")
        try:
            self._connection.executemany(sql, page)
        except (apsw.ConstraintError, apsw.MismatchError, TypeError, OverflowError):
            self._connection.execute("ROLLBACK TO page")
            for row in page:
                try:
                    self._connection.execute(sql, row)
                except (apsw.ConstraintError, apsw.MismatchError, TypeError, OverflowError) as error:
                    tell(where(row), f"is no row of a ledger: {error}")
        self._connection.execute("RELEASE page")

    def put_blob(self, digest: str, data: bytes) -> None:
        """Under that name, whatever the bytes are."""
        path = self._blobs / digest[:2] / digest
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)

    def finish(self, head: tuple[int, str] | None, tell: Tell | None = None) -> None:
        """The head, the indexes and the rules; then all of it is on disk. With `tell` an index that cannot be made is
        told of; otherwise raises apsw.ConstraintError."""
        connection = self._connection
        if head is not None:
            connection.execute(PUT_HEAD, head)
        for name, sql in self._later.items():
            try:
                connection.execute(sql)
            except apsw.ConstraintError as error:
                if tell is None:
                    raise
                tell(f"index {name}", f"cannot be: {error}")
        connection.execute("COMMIT")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self.close()
        if self._durable:
            sync_tree(self.folder)

    def close(self) -> None:
        self._connection.close()


def refuse_taken(folder: Path) -> None:
    """Raises CopyTaken where anything is there but an empty folder."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise CopyTaken(f"{folder} is not an empty folder", hint="name a folder that is not there yet.")


def _refuse_pruned(connection: apsw.Connection, folder: Path) -> None:
    """Raises CopyArchived where events are only in an archive."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'archive'").fetchall():
        return
    sql = 'SELECT leaf FROM archive JOIN event ON leaf >= start AND leaf < "end" WHERE length(header) = 0 LIMIT 1'
    if connection.execute(sql).fetchall():
        raise CopyArchived(
            f"parts of the ledger in {folder} lie in an archive alone, and a copy would not have them",
            hint="bring them back first: `daybreak ledger refill --all`. Nothing was made.",
        )


def _without_rules(connection: apsw.Connection) -> dict[str, str]:
    """Make the tables alone; what is to be made later: name -> SQL."""
    later = {}
    connection.execute(f"PRAGMA application_id = {database.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {database.FORMAT}")
    for name, sql in database.expected_objects().items():
        if sql.startswith("CREATE TABLE"):
            connection.execute(sql)
        else:
            later[name] = sql
    return later


def _files(folder: Path) -> Iterator[Path]:
    """Blobs, without what a crash left half written."""
    if not folder.is_dir():
        return
    for prefix in sorted(folder.iterdir()):
        if prefix.is_dir():
            yield from (path for path in sorted(prefix.iterdir()) if not path.name.startswith("."))
