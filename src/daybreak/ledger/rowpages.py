"""Reads the rows of events in order, from a table that may be broken in any way. Part of `verification`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import apsw

from daybreak.ledger.chaincheck import Row
from daybreak.ledger.rangecheck import COLUMNS, PAGE


class RowPages:
    """Of one database. `add(place, what)` takes each finding."""

    def __init__(self, connection: apsw.Connection, add: Callable[[str, str], None]) -> None:
        self._connection = connection
        self._add = add

    def read(self, start: int, further: Callable[[int], int]) -> Iterator[list[Row]]:
        """All rows from leaf `start` on that can be read, by leaf. Ends, whatever the file's pages point at.
        `further(leaf)` gives the last leaf behind that one that need not be read."""
        after: int | None = start - 1
        while after is not None:
            after = further(after)
            try:
                rows: list[Any] = self._connection.execute(
                    f"SELECT {COLUMNS} FROM event WHERE leaf > ? ORDER BY leaf LIMIT ?", (after, PAGE)
                ).fetchall()
            except (apsw.Error, UnicodeDecodeError):
                rows = self._one_by_one(after + 1, after + PAGE)
                following = self._after(after + PAGE)
            else:
                following = rows[-1][0] if rows else None
            if rows:
                yield rows
            if following is not None and following <= after:
                self._add("table event", f"its rows behind event {after} are not in order")
                return
            after = following

    def _after(self, leaf: int) -> int | None:
        """The leaf before the next row that can be found behind this one."""
        sql = "SELECT min(leaf) FROM event WHERE leaf > ?"
        try:
            for (found,) in self._connection.execute(sql, (leaf,)).fetchall():
                return None if found is None else int(found) - 1
        except (apsw.Error, UnicodeDecodeError) as error:
            self._add("table event", f"cannot be read: {error}")
        return None

    def _one_by_one(self, start: int, end: int) -> list[Any]:
        """Where a page cannot be read: whatever events of it can be. Neighbours that cannot are named together."""
        found: list[Any] = []
        broken: list[tuple[int, str]] = []
        for leaf in range(start, end + 1):
            try:
                found += self._connection.execute(f"SELECT {COLUMNS} FROM event WHERE leaf = ?", (leaf,)).fetchall()
            except (apsw.Error, UnicodeDecodeError) as error:
                broken.append((leaf, str(error)))
        for _, run in groupby(enumerate(broken), key=lambda pair: pair[1][0] - pair[0]):
            leaves = [entry for _, entry in run]
            which = f"event {leaves[0][0]}" if len(leaves) == 1 else f"events {leaves[0][0]} to {leaves[-1][0]}"
            self._add(f"table event, {which}", f"cannot be read: {leaves[0][1]}")
        return found
