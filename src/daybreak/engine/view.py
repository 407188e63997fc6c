"""The view `runs`: one row for each run, for tables and for finding work. Derived, never the truth."""

from __future__ import annotations

from collections.abc import Iterable

from daybreak.engine import plain
from daybreak.events import LeaseGranted, RunMoved, TaskAdded
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

_SCHEMA = """
CREATE TABLE view_runs (
  run      TEXT PRIMARY KEY,
  task     TEXT NOT NULL,
  kind     TEXT NOT NULL,
  title    TEXT NOT NULL,
  args     TEXT NOT NULL,
  state    TEXT NOT NULL,
  created  TEXT NOT NULL,
  updated  TEXT NOT NULL,
  why      TEXT NOT NULL,
  code     TEXT NOT NULL,
  hint     TEXT NOT NULL,
  question TEXT NOT NULL,
  epoch    INTEGER NOT NULL,
  host     TEXT NOT NULL,
  pid      INTEGER NOT NULL
) STRICT;
CREATE INDEX view_runs_state ON view_runs (state, created);
"""

_ADD = """INSERT INTO view_runs (run, task, kind, title, args, state, created, updated,
  why, code, hint, question, epoch, host, pid)
  VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, '', '', '', '', 0, '', 0)"""
_MOVE = "UPDATE view_runs SET state = ?, updated = ?, why = ?, code = ?, hint = ?, question = ? WHERE run = ?"
_LEASE = "UPDATE view_runs SET epoch = ?, host = ?, pid = ?, updated = ? WHERE run = ?"


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case TaskAdded() as added:
            args = plain.encode(added.args).decode()
            what = (added.run, added.task, added.kind, added.title, args, record.ts, record.ts)
            yield Statement(_ADD, what)
        case RunMoved() as moved:
            now = (moved.new, record.ts, moved.why, moved.code, moved.hint, moved.question)
            yield Statement(_MOVE, (*now, moved.run))
        case LeaseGranted() as lease:
            yield Statement(_LEASE, (record.epoch, lease.host, lease.pid, record.ts, lease.run))
        case _:
            pass


RUNS = View(name="runs", version=1, schema=_SCHEMA, apply=_apply)
"""Register it where the ledger is opened."""
