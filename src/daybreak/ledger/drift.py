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
    objects, attached = stored_objects(stored), _attached(stored)
    kept = kept_views(stored, loosely=True)
    found: list[ViewDrift] = []
    for view in views.all:
        if names is not None and view.name not in names:
            continue
        wanted = views.objects[view.name]
        row = kept.get(view.name)
        if row is None or row.version != view.version or row.objects != wanted:
            found.append(misnamed(view))
        found += _definitions(view, wanted, objects, attached)
        for table in _tables(wanted):
            if objects.get(table) == wanted[table]:
                found += _rows(view, table, stored, replayed)
    return found


def misdefined(views: Views, stored: apsw.Connection, *, closely: bool) -> list[ViewDrift]:
    """Views that somebody has defined otherwise than the program does, by what the ledger says of them and, `closely`,
    by their tables, indexes and triggers; no row is looked at. One kept in another version is not among them: it comes
    from another version of the program. Nor is one of which there is nothing: it is new.
    """
    kept = kept_views(stored, loosely=True)
    objects = stored_objects(stored) if closely or not kept.keys() >= views.objects.keys() else {}
    attached = _attached(stored) if closely else []
    found: list[ViewDrift] = []
    for view in views.all:
        wanted, row = views.objects[view.name], kept.get(view.name)
        if row is None:
            if not objects.keys() & wanted.keys():
                continue
        elif row.version != view.version:
            continue
        if row is None or row.objects != wanted:
            found.append(misnamed(view))
        if closely:
            found += _definitions(view, wanted, objects, attached)
    return found


def misnamed(view: View) -> ViewDrift:
    """What the ledger says of the view is not so."""
    return _drift(view, "view", "definition")


def _tables(wanted: dict[str, str]) -> list[str]:
    return [name for name, sql in wanted.items() if sql.lstrip()[: len(_TABLE)].upper() == _TABLE]


def _definitions(
    view: View, wanted: dict[str, str], objects: dict[str, str], attached: list[tuple[str, str]]
) -> Iterator[ViewDrift]:
    """What is missing, defined otherwise, or does not belong there."""
    for name, sql in wanted.items():
        if objects.get(name) != sql:
            yield _drift(view, name, "definition")
    tables = _tables(wanted)
    for name, table in attached:
        if table in tables and name not in wanted:
            yield _drift(view, name, "definition")


def _attached(stored: apsw.Connection) -> list[tuple[str, str]]:
    """Every trigger and index that was created by SQL, with its table."""
    rows = stored.execute("SELECT name, tbl_name FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'table'")
    return [(str(name), str(table)) for name, table in rows]


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
