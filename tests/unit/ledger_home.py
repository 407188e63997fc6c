"""A ledger in a temporary folder, with what the tests do to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import apsw

from daybreak import events
from daybreak.ledger import Draft, Ledger, Record, Statement, Verification, View, verify
from daybreak.testing.clock import FakeClock


def step(number: int = 0, result: Any = None, *, run: str = "r1") -> events.StepDone:
    return events.StepDone(run=run, branch="", name="step", nth=number, args="0" * 64, result=result)


def grant(run: str = "r1", owner: str = "me") -> events.LeaseGranted:
    return events.LeaseGranted(run=run, owner=owner, host="here", pid=1)


def _count(record: Record) -> Iterable[Statement]:
    if isinstance(record.event, events.StepDone):
        yield Statement("INSERT INTO view_steps VALUES (?, ?)", (record.index, record.event.nth))


STEPS = View("steps", 1, "CREATE TABLE view_steps (leaf INTEGER PRIMARY KEY, nth INTEGER NOT NULL) STRICT", _count)
"""One row for each step."""


def _unique(record: Record) -> Iterable[Statement]:
    if isinstance(record.event, events.StepDone):
        yield Statement("INSERT INTO view_once VALUES (?)", (record.event.nth,))


ONCE = View("once", 1, "CREATE TABLE view_once (nth INTEGER PRIMARY KEY) STRICT", _unique)
"""Refuses a second step of the same number."""


class Home:
    """Three folders: the ledger (or the mirror of one that is in Postgres), its key, its witness."""

    def __init__(self, root: Path, views: Sequence[View] = (), postgres: str | None = None) -> None:
        self.root = root
        self.views = views
        self.postgres = postgres

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def witness(self) -> Path:
        return self.root / "witness"

    @property
    def database(self) -> Path:
        return self.ledger / "ledger.db"

    def open(self, **changes: Any) -> Ledger:
        given = {"keys": self.keys, "witness": self.witness, "clock": FakeClock(), "views": self.views}
        given |= {"postgres": self.postgres} | changes
        return Ledger.open(self.ledger, **given)

    def verify(self, **changes: Any) -> Verification:
        return verify(self.ledger, **({"keys": self.keys, "witness": self.witness, "views": self.views} | changes))

    def fill(self, count: int, *, streams: int = 3, start: int = 0) -> None:
        """`count` steps on a few streams, appended at once; the ledger is closed and its file whole afterwards."""
        with self.open() as ledger:
            numbers = range(start, start + count)
            ledger.append([Draft(f"control:{number % streams}", step(number, {"n": number})) for number in numbers])

    def copy(self, name: str) -> Home:
        """The same in another folder."""
        shutil.copytree(self.root, self.root.with_name(name))
        return Home(self.root.with_name(name), self.views, self.postgres)

    def beside(self, name: str) -> Home:
        """Another home of the same ledger in Postgres: with the key and what is known outside, and nothing else."""
        root = self.root / name
        for folder in ("keys", "witness"):
            shutil.copytree(self.root / folder, root / folder)
        return Home(root, self.views, self.postgres)

    def sql(self, *statements: str | tuple[str, Sequence[Any]]) -> None:
        """As somebody with write access to the file: without the ledger's triggers, which are put back."""
        connection = apsw.Connection(str(self.database))
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        with connection:
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                if isinstance(statement, str):
                    connection.execute(statement)
                else:
                    connection.execute(*statement)
            for _, sql in triggers:
                connection.execute(str(sql))
        connection.close()

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(self.database))
        try:
            return connection.execute(sql, params).fetchall()
        finally:
            connection.close()


def seeded(seed: int = 0) -> Callable[[int], bytes]:
    """Entropy that repeats."""
    return Random(seed).randbytes
