"""The view `runs`: one row for each run, for tables and for picking work. Derived, never the truth.

What stands between a run and a worker is one column, `due`: the moment from which it may be picked as far as it is
up to itself. It follows from the other columns, so that no event can forget it; an index on it, by project and rank,
makes picking a look-up however many runs there are. Keys, rates and pauses of projects concern several runs at
once and are looked at in `picking`.

Time passes without events: a run whose moment has come is `due` at that moment until the next lease, whose
time then makes it due at once. What has come due stays so, though the clock be set back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from daybreak.clock import stamp
from daybreak.engine import plain
from daybreak.events import (
    FINAL,
    Answered,
    CancelAsked,
    LeaseGranted,
    PauseAsked,
    QueuePaused,
    QueueResumed,
    ResumeAsked,
    RunHeld,
    RunMoved,
    Signalled,
    TaskAdded,
    TaskPlaced,
)
from daybreak.ledger.holds import GO_ON
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

NEVER = "~"
"""In `due`: time alone will not do. It sorts behind every moment."""

TURN_MS = 1_000
"""What a lease costs its project at once, in milliseconds of a worker; what the run takes beyond is added after."""
CHARGED_MS_MAX = 3_600_000
"""The most that one lease costs, so that a machine that slept does not cost a project its night."""

PRIORITY_MAX = 1_000
"""Priorities go from minus this to this."""

UNDER_WAY = ("leased", "running", "verifying")
"""States of runs that have a worker."""

_UNDER_WAY = ", ".join(f"'{state}'" for state in UNDER_WAY)

_SCHEMA = f"""
CREATE TABLE view_runs (
  run        TEXT PRIMARY KEY,
  task       TEXT NOT NULL,
  kind       TEXT NOT NULL,
  title      TEXT NOT NULL,
  args       TEXT NOT NULL,
  state      TEXT NOT NULL,
  created    TEXT NOT NULL,
  updated    TEXT NOT NULL,
  why        TEXT NOT NULL,
  code       TEXT NOT NULL,
  hint       TEXT NOT NULL,
  question   TEXT NOT NULL,
  epoch      INTEGER NOT NULL,
  host       TEXT NOT NULL,
  pid        INTEGER NOT NULL,
  night      TEXT NOT NULL,
  seat       TEXT NOT NULL,
  leased_ms  INTEGER NOT NULL,
  project    TEXT NOT NULL,
  priority   INTEGER NOT NULL CHECK (priority BETWEEN -{PRIORITY_MAX} AND {PRIORITY_MAX}),
  place      INTEGER NOT NULL,
  not_before TEXT NOT NULL,
  deadline   TEXT NOT NULL,
  wake       TEXT NOT NULL,
  waits      INTEGER NOT NULL CHECK (waits >= 0),
  held       INTEGER NOT NULL,
  restored   INTEGER NOT NULL,
  answered   INTEGER NOT NULL,
  cancel     INTEGER NOT NULL,
  ripe       TEXT NOT NULL,
  keyed      TEXT NOT NULL,
  rated      TEXT NOT NULL,
  budget     TEXT NOT NULL,
  dedupe     TEXT NOT NULL,
  schedule   TEXT NOT NULL,
  window     TEXT NOT NULL,
  gate       TEXT NOT NULL GENERATED ALWAYS AS (
    CASE WHEN held OR restored OR cancel OR waits > 0 THEN '{NEVER}'
    ELSE max(not_before, CASE state
      WHEN 'queued' THEN ''
      WHEN 'paused' THEN ''
      WHEN 'waiting' THEN iif(answered, '', iif(wake = '', '{NEVER}', wake))
      WHEN 'parked' THEN iif(answered, '', '{NEVER}')
      WHEN 'failed' THEN iif(answered, '', '{NEVER}')
      ELSE '{NEVER}' END)
    END) VIRTUAL,
  due        TEXT NOT NULL GENERATED ALWAYS AS (iif(gate <= ripe, '', gate)) VIRTUAL,
  timed      TEXT GENERATED ALWAYS AS (iif(due > '' AND due < '{NEVER}', due, NULL)) VIRTUAL,
  expires    TEXT NOT NULL GENERATED ALWAYS AS (
    iif(state = 'queued' AND epoch = 0 AND NOT (held OR restored OR cancel), deadline, '')) VIRTUAL,
  ending     INTEGER NOT NULL GENERATED ALWAYS AS (
    cancel AND state IN ('queued', 'waiting', 'paused', 'parked')) VIRTUAL,
  over       INTEGER NOT NULL GENERATED ALWAYS AS (
    state IN ('done', 'cancelled') OR (state = 'failed' AND NOT answered)) VIRTUAL,
  lane       TEXT NOT NULL GENERATED ALWAYS AS (iif(epoch = 0, keyed || rated, keyed)) VIRTUAL,
  rank       TEXT NOT NULL GENERATED ALWAYS AS (
    printf('%04d %s %016d', {PRIORITY_MAX} - priority, iif(deadline = '', '{NEVER}', deadline), place)) VIRTUAL
) STRICT;
CREATE INDEX view_runs_state ON view_runs (state, created);
CREATE INDEX view_runs_ready ON view_runs (project, rank, lane) WHERE due = '';
CREATE INDEX view_runs_timed ON view_runs (timed) WHERE timed IS NOT NULL;
CREATE INDEX view_runs_expires ON view_runs (expires, rank) WHERE expires > '';
CREATE INDEX view_runs_ending ON view_runs (place) WHERE ending;
CREATE INDEX view_runs_rated ON view_runs (rated) WHERE due = '' AND epoch = 0 AND rated <> '{{}}';
CREATE UNIQUE INDEX view_runs_dedupe ON view_runs (dedupe) WHERE dedupe > '' AND NOT over;
CREATE UNIQUE INDEX view_runs_window ON view_runs (schedule, window) WHERE schedule > '';
CREATE TABLE view_runs_after (
  run   TEXT NOT NULL CHECK (run <> needs),
  needs TEXT NOT NULL,
  over  TEXT NOT NULL,
  broke INTEGER NOT NULL,
  PRIMARY KEY (run, needs)
) STRICT, WITHOUT ROWID;
CREATE INDEX view_runs_needed ON view_runs_after (needs, over);
CREATE TABLE view_runs_starts (
  rate TEXT NOT NULL,
  at   TEXT NOT NULL,
  run  TEXT NOT NULL,
  PRIMARY KEY (rate, at, run)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_runs_projects (project TEXT PRIMARY KEY, served_ms INTEGER NOT NULL) STRICT;
CREATE TABLE view_runs_turn (one INTEGER PRIMARY KEY CHECK (one = 1), turn_ms INTEGER NOT NULL) STRICT;
CREATE TABLE view_runs_full (what TEXT NOT NULL) STRICT;
CREATE TRIGGER view_runs_full_refuses BEFORE INSERT ON view_runs_full BEGIN
  SELECT RAISE(ABORT, 'no room: ' || NEW.what);
END;
CREATE TABLE view_runs_paused (project TEXT PRIMARY KEY, since TEXT NOT NULL, why TEXT NOT NULL) STRICT;
"""

_ADD = """INSERT INTO view_runs (run, task, kind, title, args, state, created, updated,
  why, code, hint, question, epoch, host, pid, night, seat, leased_ms,
  project, priority, place, not_before, deadline, wake, waits, held, restored, answered, cancel, ripe,
  keyed, rated, budget, dedupe, schedule, window)
  VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, '', '', '', '', 0, '', 0, '', '', 0,
  ?, ?, ?, ?, ?, '', 0, 0, 0, 0, 0, ?, ?, ?, ?, ?, ?, ?)"""
_PROJECT = "INSERT INTO view_runs_projects VALUES (?, 0) ON CONFLICT DO NOTHING"
_NEED = """INSERT INTO view_runs_after (run, needs, over, broke) VALUES (?1, ?2,
  (SELECT iif(state IN ('done', 'failed', 'cancelled'), state, '') FROM view_runs WHERE run = ?2),
  (SELECT state IN ('failed', 'cancelled') FROM view_runs WHERE run = ?2))"""
_WAITS = """UPDATE view_runs SET waits = (SELECT count(*) FROM view_runs_after WHERE run = ?1 AND over = '')
  WHERE run = ?1"""
_PLACE = """UPDATE view_runs SET priority = coalesce(?, priority), not_before = coalesce(?, not_before),
  deadline = coalesce(?, deadline) WHERE run = ?"""

_MOVE = """UPDATE view_runs SET state = ?, updated = ?, why = ?, code = ?, hint = ?, question = ?, wake = ?
  WHERE run = ?"""
_CHARGE = f"""UPDATE view_runs_projects SET served_ms = served_ms + (
    SELECT max(0, min({CHARGED_MS_MAX}, ?1 - leased_ms) - {TURN_MS}) FROM view_runs WHERE run = ?2)
  WHERE project = (SELECT project FROM view_runs WHERE run = ?2 AND state IN ({_UNDER_WAY}))"""
_NEED_OVER = """UPDATE view_runs SET waits = waits - 1
  WHERE run IN (SELECT run FROM view_runs_after WHERE needs = ? AND over = '')"""
_NEED_MENDED = """UPDATE view_runs SET answered = 1
  WHERE state = 'parked' AND run IN (SELECT run FROM view_runs_after WHERE needs = ? AND broke)"""
_NEED_AGAIN = """UPDATE view_runs SET waits = waits + 1
  WHERE run IN (SELECT run FROM view_runs_after WHERE needs = ? AND over <> '')"""
_NEED_IS = "UPDATE view_runs_after SET over = ?, broke = ? WHERE needs = ?"
_REOPEN = "UPDATE view_runs SET cancel = 0, answered = 0 WHERE run = ?"
_NEED_OPEN = "UPDATE view_runs_after SET over = '' WHERE needs = ?"

_START = """INSERT INTO view_runs_starts SELECT rate.key, ?1, run FROM view_runs, json_each(rated) AS rate
  WHERE run = ?2 AND epoch = 0"""
_TURN = """INSERT INTO view_runs_turn
  SELECT 1, served_ms FROM view_runs_projects WHERE project = (SELECT project FROM view_runs WHERE run = ?)
  ON CONFLICT (one) DO UPDATE SET turn_ms = max(turn_ms, excluded.turn_ms)"""
_SERVE = f"""UPDATE view_runs_projects SET served_ms = max(served_ms, (SELECT turn_ms FROM view_runs_turn)) + {TURN_MS}
  WHERE project = (SELECT project FROM view_runs WHERE run = ?)"""
_LEASE = """UPDATE view_runs SET epoch = ?, host = ?, pid = ?, night = ?, seat = ?, updated = ?, leased_ms = ?,
  answered = 0 WHERE run = ?"""
NO_ROOM = "no room: "
"""How the refusal of a lease begins whose run has none by its keys or rates."""
_KEYS_FULL = f"""INSERT INTO view_runs_full SELECT 'key ' || mine.key FROM view_runs, json_each(keyed) AS mine
  WHERE run = ?1 AND (SELECT count(*) FROM view_runs AS other, json_each(other.keyed) AS theirs
    WHERE other.state IN ({_UNDER_WAY}) AND other.keyed <> '{{}}' AND other.run <> ?1
    AND theirs.key = mine.key) >= mine.value"""
_RATES_FULL = """INSERT INTO view_runs_full SELECT 'rate ' || mine.key FROM view_runs, json_each(rated) AS mine
  WHERE run = ?1 AND epoch = 0 AND CAST(mine.value AS INTEGER) <= (SELECT count(*) FROM view_runs_starts
    WHERE rate = mine.key AND at > CASE substr(ltrim(lower(substr(mine.value, instr(mine.value, '/') + 1))), 1, 1)
      WHEN 's' THEN ?2 WHEN 'm' THEN ?3 WHEN 'h' THEN ?4 ELSE ?5 END)"""
"""Units of rates are told by their first letters; see `placement.Rate`."""
_RIPEN = "UPDATE view_runs SET ripe = ?1 WHERE timed <= ?1"


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case TaskAdded() as added:
            yield from _added(record, added)
        case TaskPlaced() as placed:
            yield Statement(_PLACE, (placed.priority, placed.not_before, placed.deadline, placed.run))
        case RunMoved() as moved:
            yield from _moved(record, moved)
        case LeaseGranted() as lease:
            yield from _leased(record, lease)
        case _:
            yield from _asked(record)


def _added(record: Record, added: TaskAdded) -> Iterable[Statement]:
    what = (added.run, added.task, added.kind, added.title, _text(added.args), record.ts, record.ts)
    where = (added.project, added.priority, record.index, added.not_before, added.deadline, record.ts)
    bounds = (_text(added.keys), _text(added.rates), _text(added.budget))
    yield Statement(_ADD, (*what, *where, *bounds, added.dedupe, added.schedule, added.window))
    yield Statement(_PROJECT, (added.project,))
    for needed in dict.fromkeys(added.after):
        yield Statement(_NEED, (added.run, needed))
    if added.after:
        yield Statement(_WAITS, (added.run,))


def _moved(record: Record, moved: RunMoved) -> Iterable[Statement]:
    run = moved.run
    if moved.old in UNDER_WAY and moved.new not in UNDER_WAY:
        yield Statement(_CHARGE, (_millis(record.ts), run))
    details = (moved.new, record.ts, moved.why, moved.code, moved.hint, moved.question, moved.until)
    yield Statement(_MOVE, (*details, run))
    if moved.new in FINAL:
        yield Statement(_NEED_OVER, (run,))
        if moved.new == "done":
            yield Statement(_NEED_MENDED, (run,))
        yield Statement(_NEED_IS, (moved.new, moved.new != "done", run))
    elif moved.old in FINAL:
        yield Statement(_REOPEN, (run,))
        yield Statement(_NEED_AGAIN, (run,))
        yield Statement(_NEED_OPEN, (run,))


def _leased(record: Record, lease: LeaseGranted) -> Iterable[Statement]:
    run = lease.run
    if lease.in_turn:
        yield Statement(_KEYS_FULL, (run,))
        yield Statement(_RATES_FULL, (run, *_cuts(record.ts)))
    yield Statement(_START, (record.ts, run))
    yield Statement(_TURN, (run,))
    yield Statement(_SERVE, (run,))
    owner = (record.epoch, lease.host, lease.pid, lease.night, lease.seat, record.ts, _millis(record.ts))
    yield Statement(_LEASE, (*owner, run))
    yield Statement(_RIPEN, (record.ts,))


_HOLD = "UPDATE view_runs SET held = 1 WHERE run = ?"
_RELEASE = "UPDATE view_runs SET held = 0, answered = 1 WHERE run = ?"
_ANSWER = "UPDATE view_runs SET answered = state <> 'failed', restored = restored AND NOT ? WHERE run = ?"
_SIGNAL = "UPDATE view_runs SET answered = 1 WHERE run = ? AND state <> 'failed'"
_CANCEL = """UPDATE view_runs SET cancel = 1, restored = 0
  WHERE run = ? AND state NOT IN ('done', 'failed', 'cancelled')"""
_RESTORED = "UPDATE view_runs SET restored = 1 WHERE run = ? AND NOT cancel"
_PAUSE = "INSERT INTO view_runs_paused VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_UNPAUSE = "DELETE FROM view_runs_paused WHERE project = ?"


def _asked(record: Record) -> Iterable[Statement]:
    """What people and the outside say. A word counts until the next lease, because it may come while the run is
    on its way to the state in which it will wait for it."""
    match record.event:
        case PauseAsked(run=run):
            yield Statement(_HOLD, (run,))
        case ResumeAsked(run=run):
            yield Statement(_RELEASE, (run,))
        case Answered(run=run, answer=answer):
            let_go = isinstance(answer, str) and " ".join(answer.split()).casefold() == GO_ON
            yield Statement(_ANSWER, (let_go, run))
        case Signalled(run=run):
            yield Statement(_SIGNAL, (run,))
        case CancelAsked(run=run):
            yield Statement(_CANCEL, (run,))
        case RunHeld(run=run):
            yield Statement(_RESTORED, (run,))
        case QueuePaused(project=project, why=why):
            yield Statement(_PAUSE, (project, record.ts, why))
        case QueueResumed(project=project):
            yield Statement(_UNPAUSE, (project,))
        case _:
            pass


def _cuts(ts: str) -> list[str]:
    """A second, a minute, an hour and a day before."""
    moment = datetime.fromisoformat(ts)
    return [stamp(moment - timedelta(seconds=seconds)) for seconds in (1, 60, 3600, 86_400)]


def _text(value: Any) -> str:
    return plain.encode(value).decode()


def _millis(ts: str) -> int:
    return int(datetime.fromisoformat(ts).timestamp() * 1000)


_OF = (
    TaskAdded,
    TaskPlaced,
    RunMoved,
    LeaseGranted,
    PauseAsked,
    ResumeAsked,
    Answered,
    Signalled,
    CancelAsked,
    RunHeld,
    QueuePaused,
    QueueResumed,
)
RUNS = View(name="runs", version=3, schema=_SCHEMA, apply=_apply, of=_OF, weight="critical")
"""Register it where the ledger is opened."""
