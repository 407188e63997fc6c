"""Views: tables that say what the events add up to. Thrown away, rebuilt, compared; never evidence.

A view is updated in the transaction that appends the event. A process that appends without a view marks it
`behind`; the next one that has the view catches it up before it appends or when it opens the ledger.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import apsw

from daybreak.errors import LedgerForeign, UsageError
from daybreak.events import Event
from daybreak.ledger.record import Record
from daybreak.ledger.scratch import scratch

_NAME = re.compile(r"[a-z][a-z0-9_]*")

Weight = Literal["low", "normal", "critical"]
"""How bad it is when a view is wrong: low: somebody reads a wrong figure; normal: a wrong answer; critical: work is
done twice or by nobody, or more is spent than may be."""


class Statement(NamedTuple):
    """One change to a view's tables."""

    sql: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Tables `view_<name>` or `view_<name>_…`, and how each event changes them.

    `apply` is a pure function of the record, of which it sees only what stays readable when its subject is forgotten
    (`Record.closed`): so no view holds a secret, and none changes when one is forgotten. A statement that breaks a
    constraint of the tables refuses the event (DraftRefused), so a view can state what must never happen. A new
    `version` rebuilds the view.
    """

    name: str
    version: int
    schema: str
    """DDL of its tables and indexes."""
    apply: Callable[[Record], Iterable[Statement]]
    of: tuple[type[Event], ...] = ()
    """The events that change it; none named: any may. It is not asked about others, which are then not decoded."""
    weight: Weight = "normal"


class Difference(NamedTuple):
    """One row that is only stored, or only in the rebuilt view; or a table whose definition differs."""

    view: str
    table: str
    what: str


@cache
def objects_of(view: View) -> dict[str, str]:
    """What the view's schema creates: name -> SQL. Raises UsageError where a name is not the view's own."""
    if not _NAME.fullmatch(view.name):
        raise UsageError(f"{view.name!r} cannot name a view", hint="use lower-case letters, digits and _.")
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(view.schema)
        found = stored_objects(connection)
    except apsw.Error as error:
        raise UsageError(f"the schema of view {view.name} is wrong: {error}", hint="correct its DDL.") from error
    finally:
        connection.close()
    for name in found:
        if not _is_of(view, name):
            raise UsageError(f"view {view.name} defines {name!r}", hint=f"name it view_{view.name}_….")
    return found


def _is_of(view: View, name: str) -> bool:
    """May a table, index or trigger of this view be called so?"""
    return name == f"view_{view.name}" or name.startswith(f"view_{view.name}_")


def stored_objects(connection: apsw.Connection) -> dict[str, str]:
    """Every table, index and trigger that was created by SQL."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {str(name): str(sql) for name, sql in rows}


class Kept(NamedTuple):
    """A row of the table `view`."""

    name: str
    version: int
    objects: dict[str, str]
    behind: int | None


def kept_views(connection: apsw.Connection, *, loosely: bool = False) -> dict[str, Kept]:
    """The views that this ledger keeps, whoever defined them. Raises ValueError on a damaged row; `loosely`: such a row
    says that the view has no tables."""
    rows: list[Any] = connection.execute("SELECT name, version, tables, behind FROM view").fetchall()
    return {
        name: Kept(name, version, _objects(tables) if loosely else json.loads(tables), behind)
        for name, version, tables, behind in rows
    }


def _objects(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


APPLIED_TOGETHER = 4
"""With more records than this, runs of one statement go as one."""


class Views:
    """The views that one process has."""

    def __init__(self, views: Sequence[View]) -> None:
        self.all = tuple(views)
        self.objects = {view.name: objects_of(view) for view in self.all}
        self.schemas = tuple(view.schema for view in self.all)
        self._hearing: dict[str, tuple[View, ...]] = {}
        names = [name for objects in self.objects.values() for name in objects]
        if len(self.objects) != len(self.all) or len(set(names)) != len(names):
            raise UsageError("two views have the same name or table", hint="name each one for itself.")

    def apply(self, connection: apsw.Connection, records: Sequence[Record]) -> None:
        """All views' statements for these records; runs of one statement go as one."""
        if len(records) > APPLIED_TOGETHER:
            for view in self.all:
                apply_view(connection, view, records)
            return
        for record in records:
            shown = record if record.secret is None else record.closed
            for view in self._hearers(record.type):
                for sql, params in view.apply(shown):
                    connection.execute(sql, params)

    def change_by(self, records: Sequence[Record]) -> bool:
        """May one of them change a view?"""
        return any(self._hearers(record.type) for record in records)

    def _hearers(self, kind: str) -> tuple[View, ...]:
        """The views that an event of this type may change."""
        found = self._hearing.get(kind)
        if found is None:
            found = self._hearing[kind] = tuple(
                view for view in self.all if not view.of or any(one.type == kind for one in view.of)
            )
        return found

    def settle(
        self,
        connection: apsw.Connection,
        size: int,
        records: Callable[[int], Iterable[Record]],
        wrong: Collection[str] = (),
    ) -> list[View]:
        """Inside a transaction: create, rebuild or catch up whatever is not as it should be, and the views `wrong`.
        Gives those that were rebuilt because they were not as far as the ledger said.

        `records(start)` gives all records from that leaf on. Raises LedgerForeign for a view kept by a newer version.
        """
        kept = kept_views(connection, loosely=True)
        elsewhere: list[View] = []
        for view in self.all:
            old = kept.get(view.name)
            if old is not None and old.version > view.version:
                raise LedgerForeign(
                    f"view {view.name} is kept in version {old.version}, this program has {view.version}",
                    hint="use the newer version of Daybreak that wrote it.",
                )
            if old is None or old.version != view.version or view.name in wrong:
                self.rebuild(connection, view, records(0), old)
            elif old.behind is not None and not (
                0 <= old.behind <= size and _caught_up(connection, view, records(old.behind))
            ):
                self.rebuild(connection, view, records(0), old)  # somebody changed it, or what is said of it
                elsewhere.append(view)
        return elsewhere

    def remake(
        self, connection: apsw.Connection, names: Collection[str], records: Callable[[int], Iterable[Record]]
    ) -> None:
        """Inside a transaction: throw the views of these names away and make them again, in one pass over the events.

        `records` as for `settle`.
        """
        kept = kept_views(connection, loosely=True)
        wrong = [view for view in self.all if view.name in names]
        for view in wrong:
            self.rebuild(connection, view, (), kept.get(view.name))
        for chunk in _chunks(records(0)):
            for view in wrong:
                apply_view(connection, view, chunk)

    def rebuild(self, connection: apsw.Connection, view: View, records: Iterable[Record], old: Kept | None) -> None:
        """Inside a transaction: throw the view's tables away and make them again. What `old` says of them is believed
        only of names that can be this view's and are no other one's."""
        others = {name for other, objects in self.objects.items() if other != view.name for name in objects}
        told = {name for name in (old.objects if old else {}) if _is_of(view, name)}
        names = (told - others) | self.objects[view.name].keys()
        for kind in ("trigger", "view", "index", "table"):
            present = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL", (kind,)
            ).fetchall()
            for (name,) in present:
                if name in names:
                    connection.execute(f'DROP {kind.upper()} IF EXISTS "{name}"')
        connection.execute(view.schema)
        connection.execute(
            "INSERT INTO view VALUES (?, ?, ?, NULL) ON CONFLICT (name) DO UPDATE"
            " SET version = excluded.version, tables = excluded.tables, behind = NULL",
            (view.name, view.version, json.dumps(self.objects[view.name], sort_keys=True)),
        )
        apply_view(connection, view, records)

    def compare(self, connection: apsw.Connection, records: Iterable[Record]) -> list[Difference]:
        """Rebuild in memory from all records and compare with what `connection` holds, in one snapshot."""
        with scratch(self.schemas) as fresh:
            for chunk in _chunks(records):  # one pass over the records serves all views
                self.apply(fresh, chunk)
            found: list[Difference] = []
            stored = stored_objects(connection)
            for view in self.all:
                for name, sql in self.objects[view.name].items():
                    if stored.get(name) != sql:
                        found.append(Difference(view.name, name, "is not defined as it should be"))
                    elif sql.lstrip()[:12].upper() == "CREATE TABLE":
                        found += _differing_rows(view.name, name, connection, fresh)
            return found


_LISTED = 20
"""Differing rows named per table."""


def _differing_rows(view: str, table: str, stored: apsw.Connection, fresh: apsw.Connection) -> list[Difference]:
    query = f'SELECT * FROM "{table}"'
    here = Counter(stored.execute(query).fetchall())
    there = Counter(fresh.execute(query).fetchall())
    lines = [f"holds a row that no event explains: {row!r}" for row in (here - there).elements()]
    lines += [f"lacks a row that events explain: {row!r}" for row in (there - here).elements()]
    more = [f"and {len(lines) - _LISTED} more differences"] if len(lines) > _LISTED else []
    return [Difference(view, table, line) for line in lines[:_LISTED] + more]


def _caught_up(connection: apsw.Connection, view: View, records: Iterable[Record]) -> bool:
    """Apply what a view is behind with. False, and nothing done, where its tables do not take that."""
    connection.execute("SAVEPOINT caught_up")
    try:
        apply_view(connection, view, records)
        connection.execute("UPDATE view SET behind = NULL WHERE name = ?", (view.name,))
    except (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError):
        connection.execute("ROLLBACK TO caught_up")
        return False
    finally:
        if connection.in_transaction:
            connection.execute("RELEASE caught_up")
    return True


def apply_view(connection: apsw.Connection, view: View, records: Iterable[Record]) -> None:
    """One view's statements, in order; runs of one statement go as one."""
    heard = {kind.type for kind in view.of}
    for chunk in _chunks(records):
        heard_of = [record for record in chunk if record.type in heard] if heard else chunk
        shown = [record if record.secret is None else record.closed for record in heard_of]
        statements = [statement for record in shown for statement in view.apply(record)]
        for sql, run in groupby(statements, key=itemgetter(0)):
            connection.executemany(sql, [statement[1] for statement in run])


def _chunks(records: Iterable[Record], size: int = 1024) -> Iterable[list[Record]]:
    chunk: list[Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
