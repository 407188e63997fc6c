"""The SQLite file: how it is opened, what must be in it, and what tells that it is a ledger."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import apsw

from daybreak.errors import LedgerForeign, LedgerTampered
from daybreak.host.disks import network
from daybreak.host.durable import sync_folder
from daybreak.ledger.scratch import keep_plans
from daybreak.ledger.views import stored_objects

_log = logging.getLogger("daybreak.ledger")

FILE = "ledger.db"
BLOBS = "blobs"

APPLICATION_ID = 0x64617962  # "dayb"
MIRROR_ID = 0x6461796D  # "daym"
"""Of a home's copy of a ledger that stands in Postgres (`postgres`): the same tables, and nothing to append to."""
FORMAT = 2
"""PRAGMA user_version: the shape of the tables. Earlier ones are read as they are, and changed by whoever opens the
ledger to append (`migration`)."""

BUSY_S = 60.0
"""How long to wait for another process's transaction; they take milliseconds."""
STOPPED_S = 15.0
"""On Postgres: whoever has the ledger's lock and says nothing for so long, while others wait for it, is cut off."""

CHECKPOINT_PAGES = 4000
"""The write-ahead log is folded into the file when it is about 16 MB long."""

STATEMENTS_KEPT = 1000
"""Prepared statements that a connection keeps; more than views and queries have, because those with triggers take a
millisecond to prepare."""

SQLITE_MIN = (3, 51, 3)
"""3.7.0 to 3.51.2 can lose a write-ahead log."""


def schema_sql() -> str:
    return Path(__file__).with_name("schema.sql").read_text("utf-8")


@cache
def expected_objects(version: int = FORMAT) -> dict[str, str]:
    """The ledger's own tables, indexes and triggers in a format: name -> SQL."""
    from daybreak.ledger import migration  # knows this module

    if version != FORMAT:
        return migration.objects_of(version, expected_objects())
    connection = apsw.Connection(":memory:")
    connection.execute(schema_sql())
    found = stored_objects(connection)
    connection.close()
    return found


def check_sqlite() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SQLITE_MIN:
        raise LedgerForeign(
            f"SQLite {apsw.sqlite_lib_version()} can lose a write-ahead log",
            hint="install apsw 3.51.3 or newer.",
        )


def connect_writer(path: Path) -> apsw.Connection:
    """Read and write. Creates an empty file (mode 0600) where there is none; changes nothing else yet."""
    check_sqlite()
    warn_of_network(path.parent)
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        sync_folder(path.parent)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENTS_KEPT)
    _common(connection)
    return connection


@cache
def warn_of_network(folder: Path) -> None:
    """Say once for each process that a ledger does not belong there. It is not refused: it may be all there is."""
    if kind := network(folder):
        _log.warning(
            "the ledger in %s lies on a file system (%s) where locks and syncs cannot be relied on: what was "
            "acknowledged may be lost, and two processes may damage it; put it on a local disk (DAYBREAK_HOME)",
            folder,
            kind,
        )


def make_durable(connection: apsw.Connection, path: Path, *, mirror: bool = False) -> None:
    """From here on every commit is on disk when it returns, with one sync. Of a mirror the last ones may be lost with
    the machine's power, and no more: it is caught up from Postgres."""
    if connection.pragma("journal_mode", "wal") != "wal":
        raise LedgerForeign(
            f"{path} lies where SQLite cannot keep a write-ahead log", hint="put the ledger on a local disk."
        )
    # Changing the mode deleted a rollback journal. If a power loss brought it back, it would undo the change and
    # hide the write-ahead log with all that was acknowledged in it.
    sync_folder(path.parent)
    connection.pragma("synchronous", "normal" if mirror else "full")
    connection.wal_autocheckpoint(CHECKPOINT_PAGES)


def close(connection: apsw.Connection) -> None:
    """The last connection to close folds the write-ahead log in. Where the disk refuses that, the log stays, nothing is
    lost, and the next one to open the file goes on from it."""
    try:
        connection.close()
    except apsw.Error as error:
        _log.warning("%s was not folded in as it was closed: %s", connection, error)


def connect_reader(path: Path) -> apsw.Connection:
    """Only reads, never recovers or folds in a write-ahead log."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENTS_KEPT)
    _common(connection)
    connection.pragma("query_only", True)
    return connection


def _common(connection: apsw.Connection) -> None:
    connection.set_busy_handler(Patience())
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.pragma("cell_size_check", True)
    keep_plans(connection)


class Patience:
    """Asks again every millisecond or so: transactions are short, and SQLite's own waits grow to 100 ms."""

    __slots__ = ("_since", "ends")

    def __init__(self) -> None:
        self._since = 0.0
        self.ends = False
        """Do not wait at all."""

    def __call__(self, tries: int) -> bool:
        if self.ends:
            return False
        now = time.monotonic()
        if tries == 0:
            self._since = now
        if now - self._since > BUSY_S:
            return False
        time.sleep(random.uniform(0.0002, 0.0015))
        return True


def is_blank(connection: apsw.Connection) -> bool:
    """Is nothing in the file yet? True of one whose creation was cut short."""
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def create_tables(connection: apsw.Connection, *, mirror: bool = False) -> None:
    """Inside a transaction. `mirror`: of a ledger that stands in Postgres."""
    connection.execute(schema_sql())
    connection.execute(f"PRAGMA application_id = {MIRROR_ID if mirror else APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


@contextmanager
def one_moment(connection: apsw.Connection) -> Iterator[None]:
    """What is read inside is of one state of the file, also while another process changes its format."""
    begun = not connection.in_transaction
    if begun:
        connection.execute("BEGIN")
    try:
        yield
    finally:
        if begun and connection.in_transaction:
            connection.execute("ROLLBACK")  # nothing was written


def check_kind(connection: apsw.Connection, path: Path, *, mirror: bool | None = None) -> None:
    """Raises LedgerForeign where this is no ledger; `mirror` as for `check_format`."""
    kind = connection.pragma("application_id")
    if kind not in (APPLICATION_ID, MIRROR_ID):
        raise LedgerForeign(f"{path} is not a ledger", hint="check DAYBREAK_HOME; move the file away.")
    if kind == MIRROR_ID and mirror is False:
        raise LedgerForeign(
            f"{path} is the mirror of a ledger on Postgres, and nothing can be appended to it alone",
            hint="name that Postgres (`[ledger] postgres` in daybreak.toml, or DAYBREAK_POSTGRES), or bring the ledger "
            "into a file with `daybreak ledger copy`.",
        )
    if kind == APPLICATION_ID and mirror is True:
        raise LedgerForeign(
            f"{path} is a ledger of its own, and not the mirror of one on Postgres",
            hint="bring it there with `daybreak ledger copy`, then move the folder away; or name no Postgres.",
        )


def check_format(connection: apsw.Connection, path: Path, *, mirror: bool | None = None) -> None:
    """Raises LedgerForeign where this is no ledger or a newer one, LedgerTampered where tables or triggers differ.

    `mirror`: it must be the mirror of a ledger on Postgres, or must be none; whoever only reads takes either.
    """
    with one_moment(connection):
        check_kind(connection, path, mirror=mirror)
        version = connection.pragma("user_version")
        problems = schema_problems(connection)
    if not 1 <= version <= FORMAT:
        raise LedgerForeign(
            f"{path} has format {version}, this program knows {FORMAT}", hint="use a newer version of Daybreak."
        )
    for problem in problems:
        raise LedgerTampered(
            f"{path}: {problem}", hint="somebody changed the database's own rules: run `daybreak ledger verify`."
        )


def schema_problems(connection: apsw.Connection) -> list[str]:
    """Where the ledger's tables, indexes and triggers differ from what they should be (views aside)."""
    with one_moment(connection):
        version, stored = connection.pragma("user_version"), stored_objects(connection)
    expected = expected_objects(version if version in range(1, FORMAT) else FORMAT)
    found = [
        f"{name} is missing from the schema" if name not in stored else f"{name} is not defined as it should be"
        for name in expected
        if stored.get(name) != expected[name]
    ]
    found += [
        f"{name} does not belong into the schema"
        for name in stored
        if name not in expected and not name.startswith("view_")
    ]
    return found
