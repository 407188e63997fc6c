"""Databases in memory that hold the tables of views and no rows: for comparing, and for ledgers that live in memory.

Making the tables takes milliseconds, and every statement has to be prepared anew for each database. So one that is
given back is emptied, by rolling back all that was done in it, and kept with its prepared statements.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import apsw

KEPT_MAX = 4
"""Empty databases that are kept of one set of tables."""
STATEMENTS_KEPT = 1000

_kept: dict[tuple[str, ...], list[apsw.Connection]] = {}
_lock = threading.Lock()


def keep_plans(connection: apsw.Connection) -> None:
    """Plan each statement once, whatever values it is given later.

    Otherwise SQLite looks whether a value makes a partial index usable, of which the views have many, and for that
    prepares the statement anew each time that it is run: ten times the work of a small one. So a question names the
    condition of the index that it means in words of its own.
    """
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def take(schemas: Iterable[str]) -> apsw.Connection:
    """An empty database with these tables, inside a transaction. `give_back` it, or close it."""
    wanted = tuple(schemas)
    with _lock:
        kept = _kept.get(wanted)
        connection = kept.pop() if kept else None
    if connection is None:
        connection = apsw.Connection(":memory:", statementcachesize=STATEMENTS_KEPT)
        keep_plans(connection)
        for schema in wanted:
            connection.execute(schema)
    connection.execute("BEGIN")
    return connection


def give_back(schemas: Iterable[str], connection: apsw.Connection) -> None:
    """Nobody uses it any more. What stands in it is gone."""
    try:
        connection.execute("ROLLBACK")
    except apsw.Error:  # somebody ended the transaction: what is in it is not known
        connection.close()
        return
    with _lock:
        kept = _kept.setdefault(tuple(schemas), [])
        if len(kept) < KEPT_MAX:
            kept.append(connection)
            return
    connection.close()


@contextmanager
def scratch(schemas: Iterable[str]) -> Iterator[apsw.Connection]:
    """`take`, for a `with` block."""
    wanted = tuple(schemas)
    connection = take(wanted)
    try:
        yield connection
    finally:
        give_back(wanted, connection)
