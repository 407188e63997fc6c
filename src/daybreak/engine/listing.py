"""The queue as people see it: what is under way, what comes next, and in words what the others wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from daybreak.clock import stamp
from daybreak.engine import picking
from daybreak.engine.log import Log
from daybreak.engine.picking import Candidate, Look
from daybreak.engine.placement import HOME_KEY, Rate
from daybreak.engine.view import NEVER, UNDER_WAY
from daybreak.events import State

NAMED_MAX = 3
"""Runs that are named one by one in a reason."""

_COLUMNS = (
    "run, kind, title, project, priority, state, why, question, updated, due, deadline, expires, host, "
    "waits, held, restored, answered, cancel, rank, epoch, keyed, rated, lane"
)
_NOT_OVER = f"SELECT {_COLUMNS} FROM view_runs WHERE NOT over ORDER BY place"
_NEEDS = """SELECT after.run, needs FROM view_runs_after AS after JOIN view_runs USING (run)
  WHERE after.over = '' AND NOT view_runs.over ORDER BY after.run, needs"""
_KEYED = (
    f"SELECT run, keyed FROM view_runs WHERE state IN ({', '.join(repr(state) for state in UNDER_WAY)}) ORDER BY run"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A run that is not over."""

    position: int | None
    """1 for the run that would be picked next; None for what is under way or cannot be picked now."""
    run: str
    kind: str
    title: str
    project: str
    priority: int
    state: State
    why: str
    """What it waits for, in words."""
    since: str
    """When it came into its state."""
    until: str
    """When time alone lets it go on; empty where something else must happen."""
    deadline: str


class _Run(NamedTuple):
    """A row of the view."""

    run: str
    kind: str
    title: str
    project: str
    priority: int
    state: State
    why: str
    question: str
    updated: str
    due: str
    deadline: str
    expires: str
    host: str
    waits: int
    held: int
    restored: int
    answered: int
    cancel: int
    rank: str
    epoch: int
    keyed: str
    rated: str
    lane: str


class _Reason(NamedTuple):
    """Why a run stands where it does. Sorts the table: what can happen sooner comes first."""

    floor: int
    text: str
    until: str = ""


def listing(log: Log, now: datetime, home: str = "") -> list[Row]:
    """Every run that is not over: those under way, then in the order in which they would be picked if all of
    them began now, then those that wait for a key or a rate, for a time, for other runs, and for a person.
    `home`: this one's word, where several share the ledger."""
    runs = [_Run(*row) for row in log.query(_NOT_OVER)]
    look = Look(log, now, home=home)
    picks = {pick.run: (place, pick) for place, pick in enumerate(look.best(len(runs)), start=1)}
    words = _Words(log, now, look)
    found = []
    for one in runs:
        place, pick = picks.get(one.run, (None, None))
        reason = words.of_pick(one, pick) if pick is not None else words.of_waiting(one)
        row = Row(
            place, one.run, one.kind, one.title, one.project, one.priority, one.state, reason.text, one.updated,
            reason.until, one.deadline,
        )  # fmt: skip
        found.append(((reason.floor, place or 0, reason.until or NEVER, one.rank), row))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


class _Words:
    """Says why."""

    def __init__(self, log: Log, now: datetime, look: Look) -> None:
        self._now = stamp(now)
        self._capacity = look.capacity
        self._paused = dict(log.query("SELECT project, why FROM view_runs_paused"))
        self._needs: dict[str, list[str]] = {}
        for run, needs in log.query(_NEEDS):
            self._needs.setdefault(run, []).append(needs)
        self._holders: dict[str, list[str]] = {}
        for run, keyed in log.query(_KEYED):
            for key in picking.keys_of(keyed):
                self._holders.setdefault(key, []).append(run)

    def of_pick(self, one: _Run, pick: picking.Pick) -> _Reason:
        if pick.cancel:
            return _Reason(1, "will be cancelled")
        if pick.late:
            return _Reason(1, f"its deadline {_moment(one.deadline)} has passed: you will be asked")
        if pick.broken:
            return _Reason(1, f"needs {_named(pick.broken)}, which did not succeed: you will be asked")
        return _Reason(1, {"queued": "ready", "failed": "is tried again"}.get(one.state, "ready to go on"))

    def of_waiting(self, one: _Run) -> _Reason:
        if one.state in UNDER_WAY:
            return _Reason(0, f"under way on {one.host}" if one.host else "under way")
        if (reason := self._by_person(one)) is not None:
            return reason
        if one.waits:
            return _Reason(4, f"needs {_named(self._needs.get(one.run, ()))}", one.expires)
        if "" in self._paused or one.project in self._paused:
            return self._by_pause(one.project)
        if one.due > self._now:
            return self._by_time(one)
        return self._by_room(one)

    def _by_person(self, one: _Run) -> _Reason | None:
        if one.restored:
            return _Reason(5, "the log was restored from a copy: look whether it went on, then answer `go on`")
        if one.held:
            return _Reason(5, "paused by a person")
        if one.state == "parked" and not one.answered:
            return _Reason(5, f"asks: {one.question}")
        return None

    def _by_pause(self, project: str) -> _Reason:
        of = "" if "" in self._paused else project
        why = f": {self._paused[of]}" if self._paused[of] else ""
        return _Reason(5, f"project {of} is paused{why}" if of else f"the queue is paused{why}")

    @staticmethod
    def _by_time(one: _Run) -> _Reason:
        if one.due == NEVER:
            return _Reason(4, one.why or "waits for a signal")
        until = min(one.due, one.expires or NEVER)
        return _Reason(3, one.why if one.state == "waiting" and one.why else f"not before {_moment(one.due)}", until)

    def _by_room(self, one: _Run) -> _Reason:
        candidate = Candidate(
            one.rank, one.run, one.kind, one.title, one.project, one.state, one.epoch, one.keyed, one.rated, one.lane
        )
        if (key := self._capacity.full_key(candidate)) is not None:
            if key.startswith(HOME_KEY):
                where = f", host {one.host}" if one.host else ""
                return _Reason(2, f"is done in the home where it was added ({key}{where})", one.expires)
            holders = self._holders.get(key, ())
            text = f"key {key} is held by {_named(holders)}" if holders else f"key {key} goes to others first"
            return _Reason(2, text, one.expires)
        if (rate := self._capacity.full_rate(candidate)) is not None:
            opens = self._capacity.opens(rate, Rate.of(candidate.rates[rate]))
            until = min(stamp(opens) if opens else NEVER, one.expires or NEVER)
            return _Reason(2, f"rate {rate} of {candidate.rates[rate]} is used up", until)
        return _Reason(2, "changed while it was looked at")


def _named(runs: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    names = list(runs)
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def _moment(ts: str) -> str:
    return f"{ts[:10]} {ts[11:19]}Z"
