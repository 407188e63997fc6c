"""A Postgres database, as something to copy from and as something that is made.

What is read comes as it is, without a look at it; what is written goes in with one transaction, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import psycopg

from daybreak.errors import LedgerMissing
from daybreak.ledger.copying.folder import Folder, Row, Tell
from daybreak.ledger.copying.problems import CopyTaken
from daybreak.ledger.log import INSERT_EVENT, PUT_TILE
from daybreak.ledger.postgres import schema
from daybreak.ledger.postgres.address import Address, parse
from daybreak.ledger.postgres.connection import Link, connect, said, unusable
from daybreak.ledger.postgres.store import lock_key
from daybreak.ledger.tiles import TileRow

PAGE = 512
"""Rows fetched at once."""
_EVENTS = "SELECT leaf, stream, seq, gen, idem, header, payload FROM event ORDER BY leaf"
_TILES = "SELECT level, n, hashes FROM tile ORDER BY level, n"
_BLOBS = "SELECT digest, data FROM blob ORDER BY digest"
_HEADS = "SELECT one, size, note FROM head ORDER BY one"
_PUT_HEAD = "INSERT INTO head VALUES (?, ?, ?)"
_COPY_EVENTS = "COPY event (leaf, stream, seq, gen, idem, header, payload) FROM STDIN (FORMAT BINARY)"
_EVENT_TYPES = ("int8", "text", "int8", "int8", "bytea", "bytea", "bytea")
_PUT_TILE = "INSERT INTO tile VALUES (%s, %s, %s) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PATIENT = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)
"""Copying takes as long as it takes; a lock is waited for as everywhere."""


def shown_url(url: str) -> str:
    """Without its password."""
    return parse(url).shown


def stored_head(url: str) -> tuple[int, str] | None:
    """(size, signed note), as they stand there now. Raises LedgerMissing, PostgresUnusable."""
    with _reading(url) as link:
        return _head(link)


def fetch(url: str, folder: Folder, tell: Tell, progress: Callable[[int, int], None]) -> int:
    """Everything as it was at one moment; only of blobs is it looked whether they are what their names say. How many
    there were. `tell` hears of those that are not, and of what cannot be in a ledger. Raises LedgerMissing,
    PostgresUnusable."""
    with _reading(url) as link:
        size = 0
        with _telling(link, "head", tell):
            heads = link.execute(_HEADS).fetchall()
            folder.take(_PUT_HEAD, heads, lambda row: f"head {row[0]}", tell)
            size = max((row[1] for row in heads if isinstance(row[1], int)), default=0)
        with _telling(link, "event", tell):
            done = 0
            for page in _pages(link, _EVENTS, PAGE):
                rows = [row for row in (_with_text(row, tell) for row in page) if row is not None]
                folder.take(INSERT_EVENT, rows, lambda row: f"event {row[0]}", tell)
                done += len(page)
                progress(done, size)
        with _telling(link, "tile", tell):
            for page in _pages(link, _TILES, PAGE):
                folder.take(PUT_TILE, page, lambda row: f"tile {row[1]} of level {row[0]}", tell)
        blobs = 0
        with _telling(link, "blob", tell):
            for ((digest, data),) in _pages(link, _BLOBS, 1):
                if problem := _wrong_blob(digest, data):
                    tell(f"blob {digest}", problem)
                if isinstance(data, bytes) and _DIGEST.fullmatch(str(digest)):
                    folder.put_blob(digest, data)
                    blobs += 1
    folder.finish(None, tell)
    return blobs


def rules(url: str) -> list[str]:
    """Where the tables, triggers and functions there differ from what they should be. Raises PostgresUnusable."""
    with _reading(url) as link:
        return schema.problems(link)


class Database:
    """A ledger that is being made in a Postgres. Nothing of it is there before `commit`; close it in any case."""

    def __init__(self, url: str) -> None:
        """Raises CopyTaken, PostgresUnusable; changes nothing."""
        self._address = parse(url)
        self._link = connect(self._address, name="daybreak ledger copy")
        try:
            self._refuse_taken()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Take the ledger's lock, and make its tables. Raises CopyTaken where somebody was quicker."""
        with self._told():
            self._link.execute("BEGIN")
            for setting in _PATIENT:
                self._link.execute(setting)
            self._link.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(self._address)])
        self._refuse_taken()
        with self._told():
            if schema.is_blank(self._link):
                schema.create(self._link)

    def add(self, page: Sequence[Row], tiles: Sequence[TileRow]) -> None:
        """Events that follow, and what grew of the tree."""
        with self._told():
            with self._link.cursor().copy(_COPY_EVENTS) as copy:
                copy.set_types(_EVENT_TYPES)
                for row in page:
                    copy.write_row((*row[:4], None if row[4] is None else row[4].encode(), *row[5:]))
            if tiles:
                self._link.cursor().executemany(_PUT_TILE, tiles)

    def put_blob(self, digest: str, data: bytes) -> None:
        with self._told():
            self._link.execute("INSERT INTO blob VALUES (%s, %s) ON CONFLICT DO NOTHING", [digest, data])

    def finish(self, size: int, note: str) -> None:
        """The head, still inside the transaction."""
        with self._told():
            self._link.execute("INSERT INTO head VALUES (1, %s, %s)", [size, note])

    def commit(self) -> None:
        """It is there, and durable."""
        with self._told():
            self._link.execute("COMMIT")

    def close(self) -> None:
        """What was not committed was never there."""
        self._link.close()

    def _refuse_taken(self) -> None:
        with self._told():
            if schema.is_blank(self._link):
                return
            row = self._link.execute("SELECT EXISTS (SELECT FROM event) OR EXISTS (SELECT FROM head)").fetchone()
        if row != (False,):
            raise CopyTaken(
                f"there is a ledger in schema {self._address.schema} of {self._address} already",
                hint="name another schema in the address (postgresql://…?schema=NAME), or an empty database.",
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        with _told(self._address):
            yield


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """What the driver complains about, as ours, without a password."""
    try:
        yield
    except psycopg.Error as error:
        raise unusable(address, error) from None


@contextmanager
def _reading(url: str) -> Iterator[Link]:
    """A connection that sees one moment, and only reads. What the driver complains about is raised as ours."""
    address = parse(url)
    with connect(address, name="daybreak ledger copy") as link, _told(address):
        link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for setting in _PATIENT:
            link.execute(setting)
        if schema.is_blank(link):
            raise LedgerMissing(
                f"there is no ledger in schema {address.schema} of {address}",
                hint="name the database and schema that hold it: postgresql://…?schema=NAME.",
            )
        yield link


@contextmanager
def _telling(link: Link, table: str, tell: Tell) -> Iterator[None]:
    """A table that somebody has made another one of is told of, and the others are read all the same."""
    link.execute("SAVEPOINT reading")
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.DataError, UnicodeDecodeError) as error:
        link.execute("ROLLBACK TO reading")
        tell(f"table {table}", f"cannot be read: {said(link.address, error)}")


def _wrong_blob(digest: object, data: object) -> str:
    """What is wrong with it; nothing where it is what its name says."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(data, bytes):
        return "is no row of a ledger"
    return "" if sha256(data).hexdigest() == digest else "holds other bytes than were put there"


def _head(link: Link) -> tuple[int, str] | None:
    row = link.execute("SELECT size, note FROM head WHERE one = 1").fetchone()
    return None if row is None else (row[0], row[1])


def _pages(link: Link, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
    with link.cursor("copying", binary=True) as cursor:
        cursor.execute(sql)
        while page := cursor.fetchmany(size):
            yield page


def _with_text(row: tuple[Any, ...], tell: Tell) -> tuple[Any, ...] | None:
    """A row of Postgres as one of SQLite, where `idem` is text; None, and told of, where it cannot be one."""
    leaf, stream, seq, gen, idem, header, payload = row
    try:
        if leaf is None:
            raise ValueError("it has no number")
        text = None if idem is None else idem.decode()
    except (ValueError, AttributeError) as error:
        tell(f"event {leaf}", f"is no row of a ledger: {error}")
        return None
    return leaf, stream, seq, gen, text, header, payload
