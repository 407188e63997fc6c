"""A copy of the queue in memory, in which nights can be played: the views' own tables and rules, without a ledger.

The queue, picking and the schedules work on it as on the ledger itself, so what is picked is what a night would pick.
Nothing is signed, encoded or kept; `undo` makes it what it was. Nothing is ever written to the source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import apsw

from daybreak.clock import stamp
from daybreak.engine.log import Log
from daybreak.engine.schedule_view import NOT_OVER, SCHEDULES, Row
from daybreak.engine.schedules import Drafts, Schedules
from daybreak.engine.view import RUNS
from daybreak.engine.window import Schedule
from daybreak.errors import BlobMissing, DraftRefused
from daybreak.events import Event, TaskAdded
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.scratch import keep_plans

_VIEWS = (RUNS, SCHEDULES)
_LONGEST_RATE = timedelta(days=1)
"""No rate looks further back (`placement.Rate`)."""
_STATEMENTS = 400
"""Prepared statements that SQLite keeps."""


class VirtualClock:
    """Stands where it is put, in whole microseconds after its beginning."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self.now_us = 0

    def now(self) -> datetime:
        return self.began + timedelta(microseconds=self.now_us)

    def monotonic(self) -> float:
        return self.now_us / 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A run of the copy."""

    run: str
    kind: str
    title: str
    state: str
    epoch: int
    deadline: str
    budget: str
    """JSON of `policy.budget.Limit`'s fields."""
    held: bool
    cancel: bool
    restored: bool


class Timetable(Schedule):
    """A schedule that remembers its moments, because all nights ask for the same ones and cron lines are slow."""

    def _starts(self, after: datetime) -> Iterator[datetime]:
        known: _Known = self.__dict__.setdefault("_known", _Known(after, [], super()._starts(after)))
        if after < known.base:
            yield from super()._starts(after)
            return
        place = bisect_right(known.starts, after)
        while True:
            while place < len(known.starts):
                if known.starts[place] > after:
                    yield known.starts[place]
                place += 1
            following = next(known.rest, None)
            if following is None:
                return
            known.starts.append(following)


class _Known(NamedTuple):
    base: datetime
    starts: list[datetime]
    """All after `base`, as far as anybody has asked."""
    rest: Iterator[datetime]


class VirtualSchedules(Schedules):
    """The schedules of one night; `timetables` are those of all nights."""

    def __init__(self, log: VirtualLog, clock: VirtualClock, queue: Drafts, timetables: dict[Schedule, Timetable]):
        super().__init__(log, clock, queue)
        self._timetables = timetables

    def all(self) -> list[Row]:
        return [self._with_timetable(row) for row in super().all()]

    def _row(self, name: str) -> Row | None:
        row = super()._row(name)
        return None if row is None else self._with_timetable(row)

    def _with_timetable(self, row: Row) -> Row:
        known = self._timetables.get(row.schedule)
        if known is None:
            known = self._timetables[row.schedule] = Timetable(**asdict(row.schedule))
        return replace(row, schedule=known)


class VirtualLog:
    """As much of a ledger as queue, picking and schedules need."""

    def __init__(self, source: Log, clock: VirtualClock) -> None:
        self._clock = clock
        self._database = apsw.Connection(":memory:", statementcachesize=_STATEMENTS)
        keep_plans(self._database)
        for view in _VIEWS:
            self._database.execute(view.schema)
        self._copy_all(source)
        self._views = _VIEWS if self.query("SELECT 1 FROM view_schedules LIMIT 1") else _VIEWS[:1]
        """Those that have something to show."""
        ((last,),) = self.query("SELECT coalesce(max(place), 0) FROM view_runs")
        self._first = self._next = int(last) + 1
        self.added: list[TaskAdded] = []
        """Tasks that were put into the copy since the last `undo`."""

    # -- the copy

    def _copy_all(self, source: Log) -> None:
        since = stamp(self._clock.now() - _LONGEST_RATE)
        self._copy(source, "view_runs", "WHERE NOT over")
        self._copy(source, "view_runs_after", "WHERE run IN (SELECT run FROM view_runs WHERE NOT over)")
        self._copy(source, "view_runs_starts", "WHERE at > ?", (since,))
        for table in ("view_runs_projects", "view_runs_turn", "view_runs_paused"):
            self._copy(source, table)
        # What ended between two of these questions was counted by the first one.
        self._database.execute("DELETE FROM view_runs_after WHERE run NOT IN (SELECT run FROM view_runs)")
        self._database.execute(
            "UPDATE view_runs SET waits = (SELECT count(*) FROM view_runs_after AS a WHERE a.run = view_runs.run"
            " AND a.over = '')"
        )
        if source.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_schedules'"):
            self._copy(source, "view_schedules")
            self._copy(source, "view_schedules_windows", f"WHERE {NOT_OVER}")

    def _copy(self, source: Log, table: str, where: str = "", params: Sequence[Any] = ()) -> None:
        plain = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid"
        names = [name for (name,) in self.query(plain, (table,))]
        rows = source.query(f"SELECT {', '.join(names)} FROM {table} {where}", params)
        places = ", ".join("?" * len(names))
        self._database.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)

    def entries(self) -> list[Entry]:
        """Every run that is not over, the oldest first."""
        columns = "run, kind, title, state, epoch, deadline, budget, held, cancel, restored"
        return [
            Entry(*row[:7], *map(bool, row[7:]))
            for row in self.query(f"SELECT {columns} FROM view_runs WHERE NOT over ORDER BY place")
        ]

    # -- playing

    def mark(self) -> None:
        """What happens from here on is taken back by `undo`."""
        self._database.execute("SAVEPOINT night")

    def undo(self) -> None:
        self._database.execute("ROLLBACK TO night")
        self._database.execute("RELEASE night")
        self._next = self._first
        self.added.clear()

    def say(self, *events: Event, epoch: int | None = None) -> None:
        """What the views are told of; never refused."""
        ts = stamp(self._clock.now())
        for event in events:
            self._apply(self._record("", event, ts, epoch))

    # -- as a log

    def append(self, drafts: Sequence[Draft]) -> list[Record]:
        """All or none. Raises DraftRefused where a view refuses."""
        ts = stamp(self._clock.now())
        records = [self._record(draft.stream, draft.event, ts, draft.epoch) for draft in drafts]
        self._database.execute("SAVEPOINT submission")
        try:
            for record in records:
                self._apply(record)
        except apsw.Error as error:
            self._database.execute("ROLLBACK TO submission")
            raise DraftRefused(
                f"{drafts[0].event.type} is refused by a view: {error}", hint="not allowed in the present state"
            ) from error
        finally:
            self._database.execute("RELEASE submission")
        self.added += [draft.event for draft in drafts if isinstance(draft.event, TaskAdded)]
        return records

    async def append_async(self, drafts: Sequence[Draft]) -> list[Record]:
        return self.append(drafts)

    async def secure_async(self) -> None:
        """Nothing happens outside."""

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        """Nothing: events are not kept."""
        return iter(())

    def epoch(self, stream: str) -> int:
        """0: epochs are whoever plays' own matter."""
        return 0

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._database.execute(sql, tuple(params)).fetchall()

    def put_blob(self, data: bytes) -> str:
        raise BlobMissing("a copy of the queue keeps no blobs", hint="put it into the ledger")

    async def put_blob_async(self, data: bytes) -> str:
        return self.put_blob(data)

    def get_blob(self, name: str) -> bytes:
        raise BlobMissing(f"a copy of the queue has no blob {name:.80}", hint="ask the ledger")

    def close(self) -> None:
        self._database.close()

    def _record(self, stream: str, event: Event, ts: str, epoch: int | None) -> Record:
        index, self._next = self._next, self._next + 1
        record = Record(
            index=index,
            stream=stream,
            seq=0,
            id="",
            type=event.type,
            ts=ts,
            actor="",
            epoch=epoch,
            gen=0,
            trace="",
            idem=None,
            payload=b"",
            hash=b"",
            header=b"",
        )
        record.__dict__["event"] = event  # as it is: encoding it, to decode it again, would take most of the time
        return record

    def _apply(self, record: Record) -> None:
        for view in self._views:
            for sql, params in view.apply(record):
                self._database.execute(sql, params)
