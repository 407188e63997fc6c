"""The truth in Postgres as one writer sees it: the lock, the head, rows there and back.

Whoever holds the ledger's advisory lock is its sequencer until the transaction ends: nobody else gives leaf indexes or
signs. So a reader who has the lock knows that whoever had it before is done, with or without a commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import psycopg
from psycopg.types.numeric import Int8BinaryDumper

from daybreak.errors import LedgerBusy, LedgerStopped, LedgerTampered
from daybreak.ledger.database import BUSY_S, STOPPED_S
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.postgres.address import Address
from daybreak.ledger.postgres.connection import ANSWER_S, Link, connect, is_busy, is_lost, said
from daybreak.ledger.postgres.problems import ConnectionLost, PostgresUnusable
from daybreak.ledger.postgres.stopped import Ended, Watch
from daybreak.ledger.record import BLOB_BYTES, Record
from daybreak.ledger.tiles import TileRow

PAGE = 256
"""Rows fetched at once: 16 MiB at most."""
ROWS_MAX, BYTES_MAX = 2000, 2 * 1024 * 1024
"""What goes into one statement. While one is on its way, the server sees no sign of life: a line that takes `STOPPED_S`
for it is too slow."""

_LOCK = "SELECT pg_advisory_xact_lock('{}'::bigint)"
_HEAD = "SELECT size, note, (SELECT max(leaf) FROM event) FROM head WHERE one = 1"
_ROWS = "SELECT leaf, header, payload FROM event WHERE leaf > %s AND leaf < %s ORDER BY leaf LIMIT %s"
_HEADER = "SELECT header FROM event WHERE leaf = %s"
_PUT_ROWS = (
    "INSERT INTO event SELECT %b + row - 1, stream, seq, gen, idem, header, payload FROM unnest("
    "%b::text[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[]"
    ") WITH ORDINALITY AS new (stream, seq, gen, idem, header, payload, row) ORDER BY row"
)
_PUT_TILES = (
    "INSERT INTO tile SELECT level, n, hashes FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])"
    " AS new (level, n, hashes) ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes"
)
_PUT_HEAD = (
    "WITH put AS (INSERT INTO head VALUES (1, %b, %b)"
    " ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note) SELECT pg_notify(%b, %b)"
)


_REPAIR = "stop; find out what changed the tables, and put a copy of the database back."


class Head(NamedTuple):
    """The signed head as it stands there, unchecked."""

    size: int
    note: str


Row = tuple[int, bytes, bytes | None]
"""(leaf, header, payload)"""


class Batch(NamedTuple):
    """What one transaction adds."""

    records: Sequence[Record]
    tiles: Sequence[TileRow]
    head: Checkpoint


def channel(address: Address) -> str:
    """Where commits are announced, each with the number of events."""
    return f"daybreak_{address.schema}"


def lock_key(address: Address) -> int:
    """Of the advisory lock; such locks are those of one database."""
    return int.from_bytes(sha256(f"daybreak ledger {address.schema}".encode()).digest()[:8], "big", signed=True)


class Store:
    """One connection, made again after it was lost. Used by one thread at a time.

    Methods raise ConnectionLost where the connection breaks or cannot be made, LedgerBusy where somebody holds what is
    needed, LedgerTampered and LedgerStopped where Postgres refuses; nothing was written then.
    """

    answer_s = ANSWER_S
    """How long to wait for an answer."""

    def __init__(self, link: Link, *, stopped_s: float = STOPPED_S) -> None:
        """`stopped_s`: see `STOPPED_S`."""
        self.address = link.address
        self._stopped_s = stopped_s
        self._ended: list[Ended] = []
        self._link: Link | None = None
        self._take(link)

    @property
    def backend(self) -> int:
        """The process of the server that serves this connection; 0 where there is none."""
        link = self._link
        return 0 if link is None or link.closed else link.pgconn.backend_pid

    def link(self, *, answer_s: float | None = None) -> Link:
        """The connection, outside of any transaction."""
        if self._link is None:
            try:
                self._take(connect(self.address, appends=True))
            except PostgresUnusable as error:
                raise ConnectionLost(error.message) from error
        assert self._link is not None
        self._link.answer_s = self.answer_s if answer_s is None else answer_s
        return self._link

    def begin(self, *, answer_s: float | None = None) -> Head | None:
        """A transaction that holds the lock, and the head as it is in it; None in an empty ledger. Whoever stands still
        with the lock meanwhile is cut off, see `take_ended`."""
        link, key = self.link(answer_s=answer_s), lock_key(self.address)
        link.watch = watch = Watch(self.address, key, self._stopped_s)
        try:
            # One message, and no pipeline: what psycopg sends at the end of one tells the server that we are not idle,
            # and it would never end the transaction of a process that stands still with the lock. The last statement
            # sees what was committed before it, as each does.
            found = link.execute(f"BEGIN; {_LOCK.format(key)}; {_HEAD}", prepare=False)
            found.nextset()
            found.nextset()
            row = found.fetchone()
        except psycopg.Error as error:
            raise self._trouble(error, held=watch.held) from None
        finally:
            link.watch = None
            self._ended += watch.ended
        return self._checked(row)

    def take_ended(self) -> list[Ended]:
        """Who was cut off since this was last asked, because the lock was waited for."""
        ended, self._ended = self._ended, []
        return ended

    def head(self) -> Head | None:
        """As it is now, without the lock."""
        link = self.link()
        try:
            return self._checked(link.execute(_HEAD, binary=True).fetchone())
        except psycopg.Error as error:
            raise self._trouble(error) from None

    def _checked(self, row: Any) -> Head | None:
        if row is None:
            return None
        size, note, last = row
        if last != size - 1:
            self.roll_back()
            raise LedgerTampered(
                f"{self.address} holds events up to {last}, but its head says that there are {size}", hint=_REPAIR
            )
        return Head(size, note)

    def rows(self, after: int, end: int) -> Iterator[list[Row]]:
        """The rows behind leaf `after` and before `end`, in pages, by leaf; unchecked, but without gaps."""
        while after < end - 1:
            try:
                found: list[Any] = self.link().execute(_ROWS, [after, end, PAGE], binary=True).fetchall()
            except psycopg.Error as error:
                raise self._trouble(error) from None
            if [row[0] for row in found] != list(range(after + 1, after + 1 + len(found))) or not found:
                raise LedgerTampered(
                    f"{self.address} holds no event {after + 1 + len(found)}, but its head says {end}",
                    hint=_REPAIR,
                )
            yield found
            after = found[-1][0]

    def commit(self, batch: Batch) -> None:
        """Write it and end the transaction that `begin` began. ConnectionLost is `unclear` where that may have gone in:
        `holds` tells."""
        link = self._link
        if link is None:  # lost since, by whatever was done meanwhile
            raise ConnectionLost("the connection was lost")
        try:
            with link.pipeline():
                for first, rows in _statements(batch.records):
                    link.execute(_PUT_ROWS, [first, *rows])
                if batch.tiles:
                    levels, numbers, hashes = zip(*batch.tiles, strict=True)
                    link.execute(_PUT_TILES, [list(levels), list(numbers), list(hashes)])
                size = batch.head.size
                link.execute(_PUT_HEAD, [size, batch.head.text, channel(self.address), str(size)])
                ended = link.execute("COMMIT")
            assert ended.statusmessage == "COMMIT", ended.statusmessage
        except psycopg.Error as error:
            raise self._trouble(error, committing=True) from None

    def holds(self, record: Record, *, answer_s: float) -> bool:
        """Is this very event there? Waits until whoever was writing is done."""
        self.begin(answer_s=answer_s)
        assert self._link is not None
        try:
            found = self._link.execute(_HEADER, [record.index], binary=True).fetchone()
        except psycopg.Error as error:
            raise self._trouble(error) from None
        self.roll_back()
        return found is not None and found[0] == record.header

    def roll_back(self) -> None:
        """Outside of any transaction afterwards; the connection is given up where that fails."""
        link = self._link
        if link is None:
            return
        try:
            if link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                link.execute("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Close the connection; the next use makes another one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _take(self, link: Link) -> None:
        link.adapters.register_dumper(int, Int8BinaryDumper)  # one type, so that a statement is prepared once
        self._link = link

    def _trouble(self, error: psycopg.Error, *, committing: bool = False, held: str = "") -> Exception:
        """What an error of the driver means to the caller; nobody is inside a transaction afterwards. `held`: who has
        the lock."""
        assert self._link is not None
        what = said(self.address, error)
        if is_lost(self._link, error):
            unclear = committing and not isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
            self.drop()
            return ConnectionLost(what, unclear=unclear)
        self.roll_back()
        if is_busy(error):
            return LedgerBusy(
                f"somebody has held {self.address} for {BUSY_S:.0f} s: {what}",
                hint=f"nothing was written; {held or 'see pg_locks and pg_stat_activity for who holds it'}; then try "
                "again.",
            )
        if isinstance(error, psycopg.errors.IntegrityError | psycopg.errors.RaiseException):
            return LedgerTampered(
                f"{self.address} refuses events that follow its head: {what}",
                hint="stop; somebody else has written into its tables: run `daybreak ledger verify`.",
            )
        return LedgerStopped(
            f"{self.address} refuses what a ledger needs: {what}",
            hint="see its log, its space and the rights of its user; then open the ledger again.",
        )


def _statements(records: Sequence[Record]) -> Iterator[tuple[int, list[list[Any]]]]:
    """The first leaf and the columns of each statement."""
    start = size = 0
    for at, record in enumerate(records):
        if at - start >= ROWS_MAX or size > BYTES_MAX:
            yield records[start].index, _columns(records[start:at])
            start, size = at, 0
        size += min(len(record.payload), BLOB_BYTES) + len(record.header)
    if start < len(records):
        yield records[start].index, _columns(records[start:])


def _columns(records: Sequence[Record]) -> list[list[Any]]:
    return [
        [record.stream for record in records],
        [record.seq for record in records],
        [record.gen for record in records],
        [None if record.idem is None else record.idem.encode() for record in records],
        [record.header for record in records],
        [record.payload if len(record.payload) <= BLOB_BYTES else None for record in records],
    ]
