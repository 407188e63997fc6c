"""Finds in a ledger what a report is made of: by its views which runs, and of their streams the events that tell.

The whole ledger is never read. A run that is over needs a handful of events, however many it made.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import structs

from daybreak import events
from daybreak.clock import stamp
from daybreak.engine import nights
from daybreak.engine.nights import NightRow
from daybreak.engine.purse import account_of
from daybreak.ledger.record import Record
from daybreak.policy.accounts import Accounts
from daybreak.report.morning import facts
from daybreak.report.morning.deriving import derive
from daybreak.report.morning.model import Account, Coming, Frame, Kept, Morning, Source
from daybreak.report.night import pick

DAY = timedelta(hours=24)
TRIES_MAX = 8
"""Attempts of one run that are told of: the newest."""
SAID_MAX = 10
LOST_MAX = 100
"""Tries of jobs that one run has lost: the newest."""
COMING_MAX = 20
STORY_MAX = 500
"""Events of one stream, beside those of runs, that one report tells."""

_WAITS = "((state = 'parked' AND NOT answered) OR (restored AND state NOT IN ('done', 'cancelled')))"
"""For a person: it asked something, or the log was restored from a copy and nobody has said that it may go on."""
_COLUMNS = f"run, state, {_WAITS}, updated, place, budget"
_OF_NIGHT = f"""SELECT {_COLUMNS} FROM view_runs WHERE night IN (SELECT value FROM json_each(?))
  OR {_WAITS} ORDER BY place"""
_SINCE = f"""SELECT {_COLUMNS} FROM view_runs WHERE updated >= ? OR {_WAITS}
  OR night IN (SELECT value FROM json_each(?)) ORDER BY place"""
_OPEN = "SELECT incident, raised FROM view_incidents WHERE closed = '' ORDER BY raised"
_NOT_CLOSED = "SELECT name, changed FROM view_circuits WHERE state <> 'closed' ORDER BY name"
_BEFORE = "SELECT max(iif(ended = '', began, ended)) FROM view_nights WHERE began < ?"
RUNS_MAX = 3_000
"""Runs of a report beside those that wait for a person: nobody reads more, and it must be there at once."""
OPENING = "opening"
"""The actor of what the ledger finds out when it is opened."""

_POLICY = frozenset({events.IncidentRaised.type, events.IncidentClosed.type, events.BreakerChanged.type})
_KEYS = frozenset(
    kind.type
    for kind in (
        *(events.ViewsDrifted, events.ViewsRepaired, events.ViewsRepairFailed),
        *(events.ReplicaLapsed, events.ReplicaCaughtUp, events.WitnessLapsed, events.WitnessCaughtUp),
    )
)
_SCHEDULES = frozenset({events.WindowSkipped.type})
_SAID = frozenset(
    kind.type for kind in (events.ResultAccepted, events.ResultRejected, events.ResultUndoing, events.ResultUndone)
)


class Log(Protocol):
    """What is needed of a ledger."""

    def append(self, drafts: Sequence[Any]) -> Sequence[Record]: ...
    async def append_async(self, drafts: Sequence[Any]) -> Sequence[Record]: ...
    async def secure_async(self) -> None: ...
    def epoch(self, stream: str) -> int: ...
    def put_blob(self, data: bytes) -> str: ...
    async def put_blob_async(self, data: bytes) -> str: ...
    def get_blob(self, name: str) -> bytes: ...
    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]: ...
    def read_since(self, stream: str, moment: str) -> Iterator[Record]: ...
    def at(self, indexes: Sequence[int]) -> list[Record]: ...
    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


def collect(
    log: Log,
    *,
    now: datetime,
    since: datetime | None = None,
    night: str | None = None,
    coming: Sequence[Coming] = (),
    kept: Kept | None = None,
    alive: bool = False,
    zone: int = 0,
    address: str = "",
) -> Morning:
    """The report: of a night (the beginning of its name; `""`: the newest), of the time since a moment, or of neither:
    then from the begin of the newest night on, or since the last report that was handed out, a day at most.

    coming, kept: what whoever sees the machine knows besides. alive: the night's supervisor holds its lock. zone: see
    `Morning.zone`. Raises NightUnknown, and what reading raises.
    """
    return derive(
        gather(
            log, now=now, since=since, night=night, coming=coming, kept=kept, alive=alive, zone=zone, address=address
        )[0]
    )


def gather(
    log: Log,
    *,
    now: datetime,
    since: datetime | None = None,
    night: str | None = None,
    coming: Sequence[Coming] = (),
    kept: Kept | None = None,
    alive: bool = False,
    zone: int = 0,
    address: str = "",
) -> tuple[Source, dict[int, Record]]:
    """What `collect` makes its report of, and the records by their index."""
    found = _Gathering(log, now, since, night)
    records = {record.index: record for record in found.records()}
    frame = Frame(
        made=stamp(now),
        since=found.since,
        until=found.until,
        zone=zone,
        night=found.night.night if found.night else "",
        nights=[row.night for row in found.nights],
        alive=alive,
        runs=[str(row[0]) for row in found.runs],
        waiting=[str(row[0]) for row in found.runs if row[2]],
        accounts=_accounts(log, found),
        incidents=[str(name) for name, _ in _asked(log, "view_incidents", _OPEN)],
        coming=[Coming(when=one.when, what=facts.text(one.what), run=one.run) for one in coming[:COMING_MAX]],
        kept=None if kept is None else structs.replace(kept, lines=[facts.text(line) for line in kept.lines]),
        address=address,
        cut=found.cut,
    )
    told = [facts.of_record(records[index]) for index in sorted(records)]
    return Source(frame=frame, facts=told), records


def newest(log: Log, now: datetime) -> tuple[NightRow | None, datetime]:
    """The night that a report without a word of when is about, and since when it tells."""
    found = nights.nights(log)
    if found and (not found[0].ended or _moment(found[0].ended) > now - DAY):
        first = nights.starts(log, found[0].night)[-1]
        return found[0], min(_moment(first.began), now)
    before = now - DAY
    for record in log.read_since(events.REPORTS, stamp(before)):
        if isinstance(record.event, events.ReportMade):
            before = max(before, _moment(record.event.until))
    return None, min(before, now)


class _Gathering:
    """Which time, which nights, which runs."""

    def __init__(self, log: Log, now: datetime, since: datetime | None, night: str | None) -> None:
        self.log = log
        self.night: NightRow | None = None
        self.until = stamp(now)
        self.cut: list[str] = []
        if night is not None:
            self.night = pick(log, night or None)
        elif since is None:
            self.night, since = newest(log, now)
        starts = nights.starts(log, self.night.night)[::-1] if self.night else []
        self.nights = starts
        if night is not None and self.night is not None:
            self.since = starts[0].began
            self.until = self.night.ended or self.until
            self.runs = self._newest(log.query(_OF_NIGHT, (json.dumps([row.night for row in starts]),)))
            return
        assert since is not None, "there is the one or the other"
        self.since = stamp(since.astimezone(UTC))
        named = json.dumps([row.night for row in starts])
        self.runs = self._newest(log.query(_SINCE, (self.since, named)))

    def _newest(self, runs: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Those that wait for somebody, and the newest others."""
        others = [row for row in runs if not row[2]]
        if (left := len(others) - RUNS_MAX) <= 0:
            return list(runs)
        self.cut.append(f"{left} older runs are not told here: `daybreak runs`")
        told = {row[0] for row in others[left:]}
        return [row for row in runs if row[2] or row[0] in told]

    def records(self) -> Iterable[Record]:
        """Every event that the report needs, once or twice."""
        yield from self.log.at([int(row[4]) for row in self.runs])
        for run, state, *_ in self.runs:
            yield from _of_run(self.log.read(events.run_stream(run)), str(state))
            control = self.log.read(events.control_stream(run))
            yield from [record for record in control if record.type in _SAID][-SAID_MAX:]
        yield from self._of_nights()
        yield from self._between(events.POLICY, _POLICY)
        yield from self._found_on_opening()
        yield from self._between(events.KEYS, _KEYS)
        yield from self._between(events.SCHEDULES, _SCHEDULES)
        yield from self._open_before()

    def _of_nights(self) -> Iterator[Record]:
        if not self.nights:
            return
        names = {row.night for row in self.nights}
        last = self.nights[-1].ended
        for record in self.log.read(events.NIGHTS, after=self.nights[0].seq - 1):
            if getattr(record.event, "night", None) in names:
                yield record
            if last and record.ts > last:
                return

    def _between(self, stream: str, kinds: frozenset[str]) -> Iterator[Record]:
        found = []
        for record in self.log.read_since(stream, self.since):
            if record.ts > self.until:
                break
            if record.type in kinds:
                found.append(record)
        if (left := len(found) - STORY_MAX) > 0:
            self.cut.append(f"{left} older events of the stream {stream} are not told here: `daybreak ledger show`")
        return iter(found[-STORY_MAX:])

    def _found_on_opening(self) -> Iterator[Record]:
        """Views that somebody had changed by day were mended by whoever opened the ledger next, mostly the night itself
        before it began: its report is the one that tells of it."""
        if not self.nights:
            return
        ((before,),) = self.log.query(_BEFORE, (self.nights[0].began,))
        for record in self.log.read_since(events.KEYS, str(before or "")):
            if record.ts >= self.since:
                return
            if record.type in _KEYS and record.actor == OPENING:
                yield record

    def _open_before(self) -> Iterator[Record]:
        """Incidents of before that nobody has closed, and breakers that are not closed."""
        incidents = _asked(self.log, "view_incidents", _OPEN)
        breakers = _asked(self.log, "view_circuits", _NOT_CLOSED)
        for name, moment in incidents:
            yield from self._named(events.IncidentRaised, "incident", name, moment)
        for name, moment in breakers:
            yield from self._named(events.BreakerChanged, "name", name, moment)

    def _named(self, kind: type[events.Event], field: str, name: str, moment: str) -> Iterator[Record]:
        """The event of policy of that moment about what is called so, where it was before what is told anyway."""
        if moment >= self.since:
            return
        for record in self.log.read_since(events.POLICY, moment):
            if record.ts > moment:
                return
            if isinstance(record.event, kind) and getattr(record.event, field) == name:
                yield record


def _of_run(records: Iterable[Record], state: str) -> Iterable[Record]:
    """Of a run's own stream: how it stands, what decided that, and the newest attempts."""
    last: dict[str, Record] = {}
    tries: dict[int, list[Record]] = {}
    hidden: dict[int, list[Record]] = {}
    lost: deque[Record] = deque(maxlen=LOST_MAX)
    for record in records:
        match record.type:
            case (events.RunMoved.type | events.PlanMade.type | events.Delivered.type | events.RunHeld.type) as kind:
                last[kind] = record
            case events.StepDone.type:
                if isinstance(event := record.event, events.StepDone) and event.name in (facts.SKELETON, facts.OUTCOME):
                    last[event.name] = record
            case events.AttemptBegan.type | events.AttemptClaimed.type:
                tries.setdefault(_attempt(record), []).append(record)
            case events.JobLost.type:
                if not (isinstance(event := record.event, events.JobLost) and event.refused):
                    lost.append(record)
            case events.GateDecided.type:
                last["gate"] = record
                if isinstance(event := record.event, events.GateDecided) and event.verdict != "passed":
                    tries.setdefault(event.attempt, []).append(record)
            case events.CheckLooked.type:
                if isinstance(event := record.event, events.CheckLooked) and event.held_out:
                    hidden.setdefault(event.attempt, []).append(record)
    many = TRIES_MAX if state in ("failed", "parked") else 2
    for attempt in sorted(tries)[-many:]:
        yield from tries[attempt]
    if hidden:
        yield from hidden[max(hidden)]
    yield from lost
    yield from last.values()


def _attempt(record: Record) -> int:
    return int(getattr(record.event, "attempt", 0))


def _accounts(log: Log, found: _Gathering) -> list[Account]:
    """Budgets, as far as the views keep them: the night's, and the sum over the runs."""
    accounts = Accounts(log)
    told: list[Account] = []
    if not _asked(log, "view_accounts", "SELECT 1"):
        return told
    if found.night is not None and found.night.budget:
        name = nights.account_of(log, found.night.night)
        limit = accounts.limit(name)
        most = dict(found.night.budget) if limit is None else limit.by_name
        told.append(Account(what="the account of the night now", used=accounts.used(name).by_name, limit=most))
    used: dict[str, int] = {}
    mine = []
    for row in found.runs:
        name = account_of(str(row[0]))
        limit = accounts.limit(name) if row[5] != "{}" else None
        if limit is None:
            continue
        mine.append(limit.by_name)
        for one, amount in accounts.used(name).by_name.items():
            used[one] = used.get(one, 0) + amount
    if mine:
        whole = {one: sum(most[one] for most in mine) for one in mine[0] if all(one in most for most in mine)}
        told.append(Account(what=f"{len(mine)} runs with a budget of their own", used=used, limit=whole))
    return told


def _asked(log: Log, table: str, sql: str) -> Sequence[tuple[Any, ...]]:
    """Nothing where the ledger was opened without that view."""
    if not log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)):
        return []
    return log.query(sql)


def _moment(told: str) -> datetime:
    return datetime.fromisoformat(told)
