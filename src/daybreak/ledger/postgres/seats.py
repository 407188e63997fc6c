"""Seats in Postgres: one small table beside the ledger's own, which no log holds and no crash needs.

The server's clock alone says how long a seat is silent. The table is UNLOGGED: beats sync nothing and write no log, and
after a crash of the server it is empty until each process beats again. It has a schema of its own, because whatever
stands in the ledger's is compared with what should be there.

A thread beats, so that a night whose event loop waits for a disk is not taken for dead; but it only does so while the
night feeds it, so that a loop that hangs is.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import psycopg

from daybreak import ids
from daybreak.errors import LedgerBusy, LedgerError
from daybreak.host.locks import LockHeld
from daybreak.ledger import seats
from daybreak.ledger.postgres.address import parse
from daybreak.ledger.postgres.connection import Link, connect, said, unusable
from daybreak.ledger.postgres.store import lock_key
from daybreak.ledger.seats import HomeCopied, KeysDiffer, Sitter

T = TypeVar("T")

_TABLE = """
CREATE UNLOGGED TABLE IF NOT EXISTS {table} (
  seat    text COLLATE "C" PRIMARY KEY,
  host    text NOT NULL,
  pid     bigint NOT NULL,
  night   text NOT NULL,
  lease_s double precision NOT NULL,
  mark    text NOT NULL,
  place   text NOT NULL,
  began   timestamptz NOT NULL DEFAULT clock_timestamp(),
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_BEAT = """WITH before AS (SELECT at FROM {table} WHERE seat = %(seat)s)
INSERT INTO {table} (seat, host, pid, night, lease_s, mark, place)
VALUES (%(seat)s, %(host)s, %(pid)s, %(night)s, %(lease_s)s, %(mark)s, %(place)s)
ON CONFLICT (seat) DO UPDATE SET at = clock_timestamp(), night = excluded.night, lease_s = excluded.lease_s
RETURNING (SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM before)"""
_OTHERS = """SELECT seat, host, pid, night, lease_s, extract(epoch FROM clock_timestamp() - at)::float8, at::text, mark,
  place, began < coalesce((SELECT began FROM {table} WHERE seat = %(me)s), 'infinity')
FROM {table} WHERE seat <> %(me)s ORDER BY began, seat"""
_STAND = "DELETE FROM {table} WHERE seat = %s"
_SWEEP = "DELETE FROM {table} WHERE at < clock_timestamp() - interval '1 day'"

TURN_S = 1_800.0
"""No turn lasts longer: whoever stands still with one has lost it then."""
_log = logging.getLogger("daybreak.ledger")


class Turn:
    """See `seats.Turn`."""

    def __init__(self, link: Link, size: int) -> None:
        self._link = link
        self.size = size

    def release(self) -> None:
        self._link.close()


class PostgresSeats:
    """See `seats.Seats`. One connection, made when first needed and again after it was lost."""

    def __init__(self, url: str, locks: Path, host: str, entropy: ids.Entropy = os.urandom, mark: str = "") -> None:
        """`locks`: the home's folder of locks. `mark`: of what all homes must have in common, for them to compare.
        Raises PostgresAddressWrong, HomeNameBroken."""
        self._address = parse(url)
        self._schema = f'"{self._address.schema}_seats"'
        self._table = f"{self._schema}.seat"
        self._host = host
        self._mark = mark
        self._me = f"{seats.named(locks, entropy)}/{entropy(8).hex()}"
        self._place = seats.place_of(locks, host)
        self._night = ""
        self._lease_s = seats.LEASE_S
        self._taken = False
        self._fed_s = 0.0
        self._lapse_s = 0.0
        self._silent = False
        self._link: Link | None = None
        self._using = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def me(self) -> str:
        return self._me

    @property
    def taken(self) -> bool:
        return self._taken

    async def sit(self, *, night: str = "", lease_s: float = seats.LEASE_S, alone: bool = False) -> Sequence[Sitter]:
        return await anyio.to_thread.run_sync(lambda: self.sit_here(night=night, lease_s=lease_s, alone=alone))

    async def others(self) -> Sequence[Sitter]:
        return await anyio.to_thread.run_sync(self.look)

    def sit_here(self, *, night: str = "", lease_s: float = seats.LEASE_S, alone: bool = False) -> Sequence[Sitter]:
        """As `sit`, without an event loop."""
        self._prepare()
        silent = self._refuse_copy()
        self._refuse_stranger()
        self._lease_s = lease_s
        kept = self._asked(lambda link: self._sit(link, night, silent, alone=alone))
        if not kept:
            self._night, self._taken = night, True
            self.feed()
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat_always, name="ledger-seat", daemon=True)
                self._thread.start()
        return kept

    def look(self) -> Sequence[Sitter]:
        """As `others`, without an event loop; nobody, where no home has ever taken a seat."""
        return self._asked(self._look)

    def feed(self) -> None:
        self._fed_s = time.monotonic()

    def lapse_s(self) -> float:
        lapse_s, self._lapse_s = self._lapse_s, 0.0
        return lapse_s

    def turn(self, name: str) -> Turn:
        """On a connection of its own: the server frees it when that ends, however it ends, and after TURN_S."""
        link = connect(self._address, name=f"daybreak {name}")
        try:
            link.execute(f"SET idle_session_timeout = '{TURN_S * 1000:.0f}ms'", prepare=False)
            key = [lock_key(self._address) ^ zlib.crc32(name.encode())]
            taken = link.execute("SELECT pg_try_advisory_lock(%s)", key, prepare=False).fetchone()
            if taken != (True,):
                raise LockHeld(Path(name), None)
            row = link.execute("SELECT size FROM head WHERE one = 1", prepare=False).fetchone()
        except psycopg.Error as error:
            link.close()
            raise unusable(self._address, error) from None
        except LockHeld:
            link.close()
            raise
        return Turn(link, 0 if row is None else int(row[0]))

    def stand(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(2.0)
        if self._using.acquire(timeout=2.0):
            try:
                if self._taken and self._link is not None:
                    self._link.execute(_STAND.format(table=self._table), [self._me], prepare=False)
            except psycopg.Error as error:
                _log.warning("the seat could not be given up: %s", said(self._address, error))
            finally:
                self._taken = False
                self._drop()
                self._using.release()

    # -- the table

    def _prepare(self) -> None:
        def prepare(link: Link) -> None:
            if self._is_there(link):
                return
            with link.transaction():
                link.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(self._address)])
                # asked again under the lock, the server may still answer from what this connection knew before
                link.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}", prepare=False)
                link.execute(_TABLE.format(table=self._table), prepare=False)

        self._asked(prepare)

    def _is_there(self, link: Link) -> bool:
        return link.execute("SELECT to_regclass(%s) IS NULL", [self._table], prepare=False).fetchone() == (False,)

    def _sit(self, link: Link, night: str, silent: Collection[str], *, alone: bool) -> list[Sitter]:
        with link.transaction():
            link.execute(f"LOCK TABLE {self._table} IN SHARE ROW EXCLUSIVE MODE", prepare=False)
            link.execute(_SWEEP.format(table=self._table), prepare=False)
            others = self._look(link)
            for one in () if self._taken else self._copies(others):
                if one.seat not in silent:  # it came since they were looked at
                    raise _copied(one)
            if alone and (kept := [one for one in others if one.night and one.lives and self._is_far(one)]):
                return kept
            self._beat(link, night)
        return []

    def _look(self, link: Link) -> list[Sitter]:
        if not self._taken and not self._is_there(link):
            return []
        return [Sitter(*row) for row in link.execute(_OTHERS.format(table=self._table), {"me": self._me}).fetchall()]

    def _beat(self, link: Link, night: str) -> float:
        """Seconds since the last one; 0 where there was none."""
        told = {"seat": self._me, "host": self._host, "pid": os.getpid(), "night": night, "lease_s": self._lease_s}
        told |= {"mark": self._mark, "place": self._place}
        row = link.execute(_BEAT.format(table=self._table), told).fetchone()
        return 0.0 if row is None or row[0] is None else float(row[0])

    def _is_far(self, one: Sitter) -> bool:
        return seats.home_of(one.seat) != seats.home_of(self._me)

    def _copies(self, others: Sequence[Sitter]) -> list[Sitter]:
        """Who may work under this home's name from another folder."""
        return [one for one in others if one.lives and not self._is_far(one) and one.place != self._place]

    def _refuse_copy(self) -> set[str]:
        """Somebody beats under this home's name, and its folder is another one: the folder of locks was copied with the
        home. Those that are only dead there (a volume that moved to another machine) do not beat any more; they are
        given."""
        mine = [] if self._taken else self._copies(self.look())
        until_s = time.monotonic() + 2.5 * max((seats.beat_s(one.lease_s) for one in mine), default=0.0)
        while mine and time.monotonic() < until_s and not self._ending.wait(0.2):
            beats = {one.seat: one.beat for one in self.look()}
            for one in mine:
                if beats.get(one.seat, one.beat) != one.beat:
                    raise _copied(one)
        return {one.seat for one in mine}

    def _refuse_stranger(self) -> None:
        for one in self.look():
            if one.lives and self._mark and one.mark and one.mark != self._mark:
                raise KeysDiffer(
                    f"{one} works on this ledger with another key for held-out examples than this home",
                    hint="copy the file keys/holdout.key from the home that was there first: one that goes on with "
                    "another's run must hide the same examples",
                )

    # -- the thread

    def _beat_always(self) -> None:
        while not self._ending.wait(seats.beat_s(self._lease_s)):
            if self._night and time.monotonic() - self._fed_s > self._lease_s / 2:
                continue  # the night's own loop stands still
            try:
                gap_s = self._asked(lambda link: self._beat(link, self._night))
            except LedgerError as error:
                if not self._silent:
                    _log.warning("other homes do not hear of this one: %s", error.message)
                self._silent = True
                continue
            self._silent = False
            if gap_s > self._lease_s:
                self._lapse_s = max(self._lapse_s, gap_s)

    # -- the connection

    def _asked(self, ask: Callable[[Link], T]) -> T:
        """Raises PostgresUnusable, LedgerBusy."""
        if not self._using.acquire(timeout=max(10.0, self._lease_s)):
            raise LedgerBusy(f"{self._address} does not answer", hint="see that the server runs.")
        try:
            for again in (True, False):
                link = self._linked()
                try:
                    return ask(link)
                except psycopg.Error as error:
                    lost = link.closed or link.broken
                    self._drop()
                    if not (again and lost):
                        raise unusable(self._address, error) from None
            raise AssertionError("the second try gives or raises")
        finally:
            self._using.release()

    def _linked(self) -> Link:
        if self._link is None:
            link = connect(self._address, name="daybreak seat")
            link.answer_s = max(2.0, min(15.0, self._lease_s / 2))
            try:
                link.execute("SET synchronous_commit = off", prepare=False)
            except psycopg.Error as error:
                link.close()
                raise unusable(self._address, error) from None
            self._link = link
        return self._link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _copied(one: Sitter) -> HomeCopied:
    return HomeCopied(
        f"{one} works under the name of this home",
        hint="the home was copied with its folder of locks: remove the file `home` in one of the two",
    )
