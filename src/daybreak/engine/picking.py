"""One look at the queue: which runs may begin or go on now, the best first. A pure read of the view `runs`.

Order: first what needs no work (runs to be cancelled, and runs whose deadline passed before they began, which a
person is asked about). Then by start-time fair queuing: the project that the workers have served least, where
a project that had nothing to do gets no credit for that time; within it priority, deadline, age.

Why nothing starves: a project that waits keeps its place (its service does not grow), each pick of another raises
that one's service by `view.TURN_MS` at least, and service is what decides. Within a project a run can be held back by
its keys and rates and by better ones only. `lane` names what a run shares with others; once a lane has been found
full, its runs are skipped by the index.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from heapq import merge
from typing import Any, NamedTuple

import msgspec

from daybreak.clock import stamp
from daybreak.engine.log import Log
from daybreak.engine.placement import HOME_KEY, Rate
from daybreak.engine.view import NEVER, TURN_MS, UNDER_WAY
from daybreak.events import State

_PAGE, _PAGE_MAX = 4, 512
"""Rows that one question gives, behind the first of a project, which is all that most looks need."""
_STATES = ", ".join(f"'{state}'" for state in UNDER_WAY)
_COLUMNS = "rank, run, kind, title, best.project, state, epoch, keyed, rated, lane"
_ASIDE = "NOT (state = 'paused' AND night = ? AND NOT answered)"

_ENDING = f"SELECT {_COLUMNS} FROM view_runs AS best WHERE ending ORDER BY place LIMIT ?"
_LATE = f"""SELECT {_COLUMNS} FROM view_runs AS best WHERE expires > '' AND expires <= ?
  AND project NOT IN (SELECT project FROM view_runs_paused) ORDER BY expires, rank LIMIT ?"""
_FIRST = f"""WITH RECURSIVE ready (project) AS (
    SELECT min(project) FROM view_runs WHERE due = ''
    UNION ALL
    SELECT (SELECT min(project) FROM view_runs WHERE due = '' AND project > ready.project) FROM ready
    WHERE ready.project IS NOT NULL)
  SELECT {_COLUMNS} FROM ready CROSS JOIN view_runs AS best ON best.rowid = (
    SELECT rowid FROM view_runs INDEXED BY view_runs_ready
    WHERE due = '' AND project = ready.project AND {_ASIDE} ORDER BY rank LIMIT 1)"""
_SERVED = """SELECT project, served_ms, (SELECT max(turn_ms) FROM view_runs_turn) FROM view_runs_projects
  WHERE project NOT IN (SELECT project FROM view_runs_paused)"""
_HEADS = f"""SELECT {_COLUMNS} FROM view_runs AS best INDEXED BY view_runs_ready
  WHERE due = '' AND project = ? AND rank > ?
  AND lane NOT IN (SELECT value FROM json_each(?)) AND {_ASIDE} ORDER BY rank LIMIT ?"""
_RIPENED = f"""SELECT {_COLUMNS} FROM view_runs AS best WHERE timed <= ? AND {_ASIDE}
  AND project NOT IN (SELECT project FROM view_runs_paused) ORDER BY rank"""
_PICKED = f"""SELECT project, epoch, keyed, rated FROM view_runs
  WHERE run IN (SELECT value FROM json_each(?)) AND state NOT IN ({_STATES})"""
_HOLDING = f"SELECT keyed FROM view_runs WHERE state IN ({_STATES}) AND keyed <> '{{}}'"
_START = "SELECT at FROM view_runs_starts WHERE rate = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
_BROKEN = "SELECT needs FROM view_runs_after WHERE run = ? AND over IN ('failed', 'cancelled') ORDER BY needs"

keys_of = msgspec.json.Decoder(dict[str, int]).decode
"""Of the view's `keyed`: key → how many at once."""
_decode_rates = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True)
class Pick:
    """A run that may begin or go on."""

    run: str
    kind: str
    title: str
    project: str
    state: State
    """As it stands; a failed one is here because a person asked for it to be tried again."""
    cancel: bool = False
    """It is only to be ended: somebody asked for that."""
    late: bool = False
    """Its deadline passed before it began: a person must be asked."""
    broken: tuple[str, ...] = ()
    """Runs that it needs and that failed or were cancelled, where it has not begun: a person must be asked."""


class Candidate(NamedTuple):
    """A row of the view. Sorts by rank, which no two runs share."""

    rank: str
    run: str
    kind: str
    title: str
    project: str
    state: State
    epoch: int
    keyed: str
    rated: str
    lane: str

    @property
    def keys(self) -> dict[str, int]:
        return keys_of(self.keyed)

    @property
    def rates(self) -> dict[str, str]:
        """Those that its next lease counts for."""
        return {} if self.epoch else _decode_rates(self.rated)


class Capacity:
    """What is left of keys and rates at one moment; what is picked meanwhile is counted by `take`."""

    def __init__(self, log: Log, now: datetime, home: str = "") -> None:
        """`home`: this one's word, where several share the ledger."""
        self._log = log
        self._now = now
        self._home = home
        self._held: Counter[str] | None = None
        self._begun: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()

    def take(self, keys: Collection[str], rates: Collection[str]) -> None:
        self._taken.update(list(keys))  # of a mapping, a Counter would add the values
        self._begun.update(list(rates))

    def full_key(self, candidate: Candidate) -> str | None:
        """A key of the candidate that is in use as often as it allows, or that binds it to another home."""
        for key, most in candidate.keys.items():
            if self._home and key.startswith(HOME_KEY) and key != HOME_KEY + self._home:
                return key
            if self._holders()[key] + self._taken[key] >= most:
                return key
        return None

    def full_rate(self, candidate: Candidate) -> str | None:
        """A rate of the candidate that is used up now."""
        for name, text in candidate.rates.items():
            opens = self.opens(name, Rate.of(text))
            if opens is not None and opens > self._now:
                return name
        return None

    def opens(self, name: str, rate: Rate) -> datetime | None:
        """When the next run that names it may begin; None where nothing holds it back."""
        further = rate.starts - 1 - self._begun[name]
        if further < 0:
            return rate.opens(self._now)
        for (at,) in self._log.query(_START, (name, further)):
            return rate.opens(datetime.fromisoformat(at))
        return None

    def has_room(self, candidate: Candidate) -> bool:
        return self.full_key(candidate) is None and self.full_rate(candidate) is None

    def _holders(self) -> Counter[str]:
        if self._held is None:
            self._held = Counter(key for (keyed,) in self._log.query(_HOLDING) for key in keys_of(keyed))
        return self._held


class Look:
    """One look. Use it once; the ledger may go on meanwhile, and a lease of what has changed is then refused."""

    def __init__(
        self,
        log: Log,
        now: datetime,
        taken: Collection[str] = (),
        night: str = "",
        fresh: Collection[str] | None = None,
        home: str = "",
    ) -> None:
        """`fresh`: those of `taken` that may not be under way yet; None: any of them."""
        self._log = log
        self._now = stamp(now)
        self._night = night
        self._gone = set(taken)
        self.capacity = Capacity(log, now, home)
        self._full: set[str] = set()
        self._added_ms: Counter[str] = Counter()
        if unsure := self._gone if fresh is None else fresh:
            self._count(sorted(unsure))

    def best(self, most: int) -> list[Pick]:
        """Up to so many, the best first."""
        picks = [*self._without_work(most)]
        if len(picks) < most:
            picks += [self._as_pick(one) for one in self._fairly(most - len(picks))]
        return picks

    def _count(self, taken: list[str]) -> None:
        """What was picked before and is not under way yet weighs as if it were."""
        for project, epoch, keyed, rated in self._log.query(_PICKED, (json.dumps(taken),)):
            self.capacity.take(keys_of(keyed), () if epoch else _decode_rates(rated))
            self._added_ms[project] += TURN_MS

    # -- what is only ended or asked about

    def _without_work(self, most: int) -> Iterator[Pick]:
        further = most + len(self._gone)
        ending = self._rows(_ENDING, (further,))
        for one in (one for one in ending if one.run not in self._gone):
            if most == 0:
                return
            most -= 1
            self._gone.add(one.run)
            yield Pick(one.run, one.kind, one.title, one.project, one.state, cancel=True)
        if most == 0 or self._all_paused:
            return
        for one in [one for one in self._rows(_LATE, (self._now, further)) if one.run not in self._gone][:most]:
            self._gone.add(one.run)
            yield Pick(one.run, one.kind, one.title, one.project, one.state, late=True)

    # -- what has work

    def _fairly(self, most: int) -> Iterator[Candidate]:
        """Start-time fair queuing over the heads of the projects."""
        if self._all_paused:
            return
        ripened = self._ripened()
        first = {one.project: one for one in self._rows(_FIRST, (self._night or NEVER,))}
        start = {
            project: max(turn or 0, ms) + self._added_ms[project]
            for project, ms, turn in self._log.query(_SERVED)
            if project in first or project in ripened
        }
        heads = {project: _Head(self._of(first.get(project), ripened.get(project, ()))) for project in start}
        for _ in range(most):
            chosen = self._choose(start, heads)
            if chosen is None:
                return
            heads[chosen.project].next()
            self._gone.add(chosen.run)  # it may be there twice: come due, and ready, where a lease came in between
            self.capacity.take(chosen.keys, chosen.rates)
            start[chosen.project] += TURN_MS
            yield chosen

    def _choose(self, start: dict[str, int], heads: dict[str, _Head]) -> Candidate | None:
        """The best head among the projects that were served least; projects without one are left out for good."""
        for ms in sorted(set(start.values())):
            found = []
            for project in [project for project, mine in start.items() if mine == ms]:
                head = self._head(heads[project])
                if head is None:
                    del start[project]
                else:
                    found.append(head)
            if found:
                return min(found)
        return None

    def _head(self, head: _Head) -> Candidate | None:
        """The first candidate that has room; room only ever shrinks within one look."""
        while (one := head.peek()) is not None:
            if one.run not in self._gone and one.lane not in self._full:
                if one.lane == "{}" or one.lane == "{}{}" or self.capacity.has_room(one):
                    return one
                self._full.add(one.lane)
            head.next()
        return None

    def _of(self, first: Candidate | None, ripened: Sequence[Candidate]) -> Iterator[Candidate]:
        """A project's candidates by rank, those that have just come due among them."""
        return merge(self._ready(first), ripened) if ripened else self._ready(first)

    def _ready(self, first: Candidate | None) -> Iterator[Candidate]:
        """The first one, and those behind it, page by page; runs of lanes that are full by then are skipped."""
        page = _PAGE
        last = first
        while last is not None:
            yield last
            full = json.dumps(sorted(self._full))
            rows = self._rows(_HEADS, (last.project, last.rank, full, self._night or NEVER, page))
            yield from rows[:-1]
            last = rows[-1] if rows else None
            page = min(page * 4, _PAGE_MAX)

    def _ripened(self) -> dict[str, list[Candidate]]:
        """By project: those whose moment came after the last lease."""
        found: dict[str, list[Candidate]] = {}
        for one in self._rows(_RIPENED, (self._now, self._night or NEVER)):
            found.setdefault(one.project, []).append(one)
        return found

    def _as_pick(self, one: Candidate) -> Pick:
        needs = self._log.query(_BROKEN, (one.run,)) if one.state == "queued" and not one.epoch else ()
        return Pick(one.run, one.kind, one.title, one.project, one.state, broken=tuple(name for (name,) in needs))

    @cached_property
    def _all_paused(self) -> bool:
        return bool(self._log.query("SELECT 1 FROM view_runs_paused WHERE project = ''"))

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Candidate]:
        return [Candidate(*row) for row in self._log.query(sql, params)]


class _Head:
    """An iterator whose next value can be looked at."""

    __slots__ = ("_rows", "_value")

    def __init__(self, rows: Iterator[Candidate]) -> None:
        self._rows = rows
        self._value: Candidate | None = None

    def peek(self) -> Candidate | None:
        if self._value is None:
            self._value = next(self._rows, None)
        return self._value

    def next(self) -> None:
        self._value = None


_TIMES = """SELECT (SELECT min(timed) FROM view_runs WHERE timed > ?1),
  (SELECT min(expires) FROM view_runs WHERE expires > '' AND expires > ?1)"""
_RATED = """WITH RECURSIVE rated (text) AS (
    SELECT min(rated) FROM view_runs WHERE due = '' AND epoch = 0 AND rated <> '{}'
    UNION ALL
    SELECT (SELECT min(rated) FROM view_runs WHERE due = '' AND epoch = 0 AND rated <> '{}' AND rated > rated_.text)
    FROM rated AS rated_ WHERE rated_.text IS NOT NULL)
  SELECT text FROM rated WHERE text IS NOT NULL
  UNION SELECT rated FROM view_runs WHERE timed <= ? AND epoch = 0 AND rated <> '{}'"""


def wake_at(log: Log, now: datetime) -> datetime | None:
    """The next moment after now at which time alone may make a run eligible; None where it never will.

    Never later than that; it may be earlier than needed where a key or a paused project holds the run back too.
    """
    text = stamp(now)
    found = [datetime.fromisoformat(at) for times in log.query(_TIMES, (text,)) for at in times if at]
    capacity = Capacity(log, now)
    for (rated,) in log.query(_RATED, (text,)):
        opening = [capacity.opens(name, Rate.of(rate)) for name, rate in _decode_rates(rated).items()]
        if held := [at for at in opening if at is not None and at > now]:
            found.append(max(held))
    return min(found, default=None)
