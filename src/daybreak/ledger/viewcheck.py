"""Are the views what the events say, and does every table belong to one? Part of `verification`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger.rows import Rows
from daybreak.ledger.views import View, Views, stored_objects


class ViewCheck:
    """For one database. `add(place, what)` takes each finding; `ask(place, sql)` gives rows, and none where that fails,
    which it says."""

    def __init__(
        self,
        connection: apsw.Connection,
        rows: Rows,
        views: Views,
        ask: Callable[[str, str], list[tuple[Any, ...]]],
        add: Callable[[str, str], None],
    ) -> None:
        self._connection = connection
        self._rows = rows
        self._views = views
        self._ask = ask
        self._add = add

    def run(self, *, compare: bool) -> None:
        """With `compare` their rows too: all events are read for that."""
        kept = self._ask("table view", "SELECT name, version, tables, behind FROM view")
        names: set[str] = set()
        mine = {view.name: view for view in self._views.all}
        behind = set()
        for name, version, tables, late in kept:
            try:
                names |= set(json.loads(tables))
            except (ValueError, TypeError):
                self._add(f"table view, {name}", "its list of tables cannot be read")
            if name in mine and version != mine[name].version:
                behind.add(name)  # an older one is rebuilt by whoever opens the ledger next
                if version > mine[name].version:
                    older = f"is kept in version {version}, this program has {mine[name].version}"
                    self._add(f"view {name}", older)
            if late is not None:
                behind.add(name)
        try:
            stored = stored_objects(self._connection)
        except (apsw.Error, UnicodeDecodeError):
            return  # reported with the schema
        for name in stored:
            if name.startswith("view_") and name not in names:
                self._add("schema", f"{name} belongs to no view")
        known = {row[0] for row in kept}
        compared = [view for view in self._views.all if view.name in known and view.name not in behind]
        if compared and compare:
            self._compare(compared)

    def _compare(self, views: Sequence[View]) -> None:
        """All in one pass over the events; each alone where that fails, so that the one is named that is to blame."""
        try:
            found = Views(views).compare(self._connection, self._rows.all())
        except (DaybreakError, apsw.Error, msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            if len(views) > 1:
                for view in views:
                    self._compare([view])
            else:
                self._add(f"view {views[0].name}", f"cannot be rebuilt and compared: {error}")
            return
        for difference in found:
            self._add(f"view {difference.view}, table {difference.table}", difference.what)
