"""Do the tables of views hold what a replay of the events holds? Counts and names, never what stands in a row."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from hashlib import blake2b
from typing import Literal

import apsw

from daybreak.events import ViewDrift
from daybreak.ledger.views import View, Views, kept_views, stored_objects

_TABLE = "CREATE TABLE"
Kind = Literal["definition", "missing", "unexplained", "unreadable"]


def differences(
    views: Views, stored: apsw.Connection, replayed: apsw.Connection, names: Collection[str] | None = None
) -> list[ViewDrift]:
    """Everything that differs, in the views of these names or in all. Each connection must stay at one moment meanwhile
    (a transaction).

    Memory does not grow with the tables, apart from one that differs: of that, 16 bytes a row and what holds them.
    """
    objects = stored_objects(stored)
    kept = kept_views(stored)
    found: list[ViewDrift] = []
    for view in views.all:
        if names is not None and view.name not in names:
            continue
        wanted = views.objects[view.name]
        row = kept.get(view.name)
        if row is None or row.version != view.version or row.objects != wanted:
            found.append(_drift(view, "view", "definition"))  # what the ledger says of it
        tables = [name for name, sql in wanted.items() if sql.lstrip()[: len(_TABLE)].upper() == _TABLE]
        for name, sql in wanted.items():
            if objects.get(name) != sql:
                found.append(_drift(view, name, "definition"))
        found += [_drift(view, name, "definition") for name in _strays(stored, tables, wanted)]
        for table in tables:
            if objects.get(table) == wanted[table]:
                found += _rows(view, table, stored, replayed)
    return found


def _strays(stored: apsw.Connection, tables: list[str], wanted: dict[str, str]) -> Iterator[str]:
    """Triggers and indexes on these tables that the view does not define."""
    rows = stored.execute("SELECT name, tbl_name FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'table'")
    for name, table in rows.fetchall():
        if table in tables and name not in wanted:
            yield str(name)


def _rows(view: View, table: str, stored: apsw.Connection, replayed: apsw.Connection) -> Iterator[ViewDrift]:
    key = os.urandom(32)  # a new one each time, so that nobody can make rows whose sums are equal
    try:
        if _sum(stored, table, key) == _sum(replayed, table, key):
            return
        counts: Counter[bytes] = Counter(_hashes(stored, table, key, 16))
    except UnicodeDecodeError:
        yield _drift(view, table, "unreadable", 1)
        return
    counts.subtract(_hashes(replayed, table, key, 16))
    unexplained = sum(number for number in counts.values() if number > 0)
    missing = -sum(number for number in counts.values() if number < 0)
    if missing:
        yield _drift(view, table, "missing", missing)
    if unexplained:
        yield _drift(view, table, "unexplained", unexplained)


def _sum(connection: apsw.Connection, table: str, key: bytes) -> tuple[int, int]:
    """Of the rows in any order: how many, and the sum of their keyed hashes."""
    count = total = 0
    for digest in _hashes(connection, table, key, 32):
        count += 1
        total += int.from_bytes(digest, "little")
    return count, total % 2**256


def _hashes(connection: apsw.Connection, table: str, key: bytes, size: int) -> Iterator[bytes]:
    for row in connection.execute(f'SELECT * FROM "{table}"'):
        yield blake2b(repr(row).encode("utf-8", "surrogatepass"), key=key, digest_size=size).digest()


def _drift(view: View, table: str, kind: Kind, rows: int = 0) -> ViewDrift:
    return ViewDrift(view=view.name, table=table, kind=kind, rows=rows, severity=view.weight)
