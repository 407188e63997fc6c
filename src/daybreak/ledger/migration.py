"""Earlier shapes of the tables, and how a file of one becomes one of today's when it is opened to be appended to.

Format 1 knew no archives: no row was ever changed. Nothing about a migration goes into the log: not a byte that was
hashed or signed changes, and `PRAGMA user_version` says which shape a file has. Whoever only reads takes either.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from daybreak.errors import LedgerTampered
from daybreak.ledger import database

_SINCE_2 = ("archive", "archive_follows", "archive_stays", "archive_remains")
_OF_1 = {
    "event_stays": "CREATE TRIGGER event_stays BEFORE UPDATE ON event\n"
    "BEGIN SELECT RAISE(ABORT, 'events are never changed'); END"
}


def objects_of(version: int, now: dict[str, str]) -> dict[str, str]:
    """Tables, indexes and triggers of a format, name -> SQL. `now`: those of today."""
    if version >= 2:
        return dict(now)
    return {name: sql for name, sql in now.items() if name not in _SINCE_2} | _OF_1


def migrate(connection: apsw.Connection, path: Path) -> bool:
    """Bring a file that `database.check_format` has let pass into today's format: in one transaction, wholly or not at
    all. Whichever of several processes comes first does it. False where there is nothing to do.

    Raises LedgerTampered where the tables are not those of its format.
    """
    if connection.pragma("user_version") == database.FORMAT:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.pragma("user_version"))
        if version != database.FORMAT:
            for problem in database.schema_problems(connection):
                raise LedgerTampered(f"{path}: {problem}", hint="run `daybreak ledger verify`; then restore a copy.")
            _change(connection, version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return version != database.FORMAT


def _change(connection: apsw.Connection, version: int) -> None:
    """Whatever is new or otherwise is made as a new file has it."""
    before, now = database.expected_objects(version), database.expected_objects()
    for name, sql in before.items():
        if now.get(name) != sql:
            connection.execute(f"DROP {sql.split()[1]} {name}")  # triggers only; a table would take its rows along
    for name, sql in now.items():
        if before.get(name) != sql:
            connection.execute(sql)
    connection.execute(f"PRAGMA user_version = {database.FORMAT}")
