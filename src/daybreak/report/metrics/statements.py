"""The tables of the view `metrics`, and the SQL that adds to them.

All counts stand in one table, by period first: what happens at one time is written to neighbouring rows, so a commit
touches few pages, and one statement adds to all periods. `bucket` is 0 but for durations.
"""

from __future__ import annotations

from daybreak.report.metrics.definitions import LABELS_MAX, MOST, OTHERS, UNVERIFIED, VERIFIED
from daybreak.report.metrics.spread import BOUNDS

EVER = ""
"""In place of a day: since the ledger began."""
HOURS = "h"
"""What the name of an hour begins with, so that hours lie together, behind all days."""

SCHEMA = f"""
CREATE TABLE view_metrics (
  period TEXT NOT NULL,
  metric TEXT NOT NULL,
  label  TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (period, metric, label, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_runs (
  run       TEXT PRIMARY KEY,
  leased_ms INTEGER NOT NULL,
  work_ms   INTEGER NOT NULL,
  passed    INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_attempts (
  run     TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  money   INTEGER NOT NULL,
  PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_breakers (
  name     TEXT PRIMARY KEY,
  openings INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_bounds (bound INTEGER PRIMARY KEY) STRICT;
INSERT INTO view_metrics_bounds VALUES {", ".join(f"({bound})" for bound in BOUNDS)};
"""

_ADD = f"ON CONFLICT DO UPDATE SET value = min(value + excluded.value, {MOST})"

# one of ours: a label that only few texts can be. ?1 metric, ?2 day, ?3 label, ?4 number; ?5 hour, ?6 label of the hour
COUNT = f"INSERT INTO view_metrics VALUES ('{EVER}', ?1, ?3, 0, ?4), (?2, ?1, ?3, 0, ?4) {_ADD}"
COUNT_HOURLY = f"""INSERT INTO view_metrics VALUES
  ('{EVER}', ?1, ?3, 0, ?4), (?2, ?1, ?3, 0, ?4), (?5, ?1, ?6, 0, ?4) {_ADD}"""


def _label(of: str, label: str = "?3") -> str:
    """SQL for a label that comes from elsewhere. `of`: the metric whose labels count: of several about one thing, the
    first. SQLite asks this once for all rows of a statement."""
    these = f"FROM view_metrics WHERE period = '{EVER}' AND metric = {of}"
    known = f"EXISTS (SELECT 1 {these} AND label = {label} AND bucket = 0)"
    return f"(SELECT iif({known} OR (SELECT count(*) {these}) < {LABELS_MAX}, {label}, '{OTHERS}'))"


# labels from elsewhere: parameters as above, but that hours are counted without a label
COUNT_NAMED = f"""INSERT INTO view_metrics SELECT column1, ?1, {_label("?1")}, 0, ?4
  FROM (VALUES ('{EVER}'), (?2)) WHERE true {_ADD}"""
COUNT_NAMED_HOURLY = f"""INSERT INTO view_metrics SELECT column1, ?1, iif(column2, {_label("?1")}, ''), 0, ?4
  FROM (VALUES ('{EVER}', 1), (?2, 1), (?5, 0)) WHERE true {_ADD}"""

# runs
LEASED = """INSERT INTO view_metrics_runs VALUES (?1, ?2, 0, NULL)
  ON CONFLICT DO UPDATE SET leased_ms = excluded.leased_ms"""
WORKED = f"""UPDATE view_metrics_runs SET work_ms = min(work_ms + max(0, ?1 - leased_ms), {MOST}), leased_ms = ?1
  WHERE run = ?2"""
PASSED = """INSERT INTO view_metrics_runs VALUES (?1, 0, 0, ?2)
  ON CONFLICT DO UPDATE SET passed = excluded.passed"""
BACK = "UPDATE view_metrics_runs SET passed = NULL WHERE run = ? AND passed >= ?"
FRESH = "UPDATE view_metrics_runs SET leased_ms = 0, work_ms = 0 WHERE run = ?"
SPENT = "DELETE FROM view_metrics_attempts WHERE run = ?"
_OUTCOME = f"""(SELECT iif(EXISTS (SELECT 1 FROM view_metrics_runs WHERE run = ?1 AND passed IS NOT NULL),
  '{VERIFIED}', '{UNVERIFIED}'))"""
# ?1 run, ?2 day, ?3 hour
DONE = f"""INSERT INTO view_metrics SELECT column1, 'runs_ended', {_OUTCOME}, 0, 1
  FROM (VALUES ('{EVER}'), (?2), (?3)) WHERE true {_ADD}"""
# ?4: when its worker let go of it; 0 where it had none at its end
_WORK = "(SELECT work_ms + iif(?4, max(0, ?4 - leased_ms), 0) FROM view_metrics_runs WHERE run = ?1)"
_BUCKET = f"(SELECT bound FROM view_metrics_bounds WHERE bound >= min({_WORK}, {BOUNDS[-1]}) ORDER BY bound LIMIT 1)"
TOOK = f"""INSERT INTO view_metrics SELECT column1, 'run_duration', '', {_BUCKET}, 1
  FROM (VALUES ('{EVER}'), (?2), (?3)) WHERE (SELECT leased_ms > 0 FROM view_metrics_runs WHERE run = ?1) {_ADD}"""
"""Each part asks for itself, which SQLite does once; joined with the periods it takes five times as long."""

# attempts: ?1 day, ?2 hour, ?3 worker, ?4 does it count, ?5 was it solved, ?6 money, ?7 bucket of its duration
_OF_ATTEMPT = (("attempts", "1"), ("attempts_counted", "?4"), ("attempts_solved", "?5"), ("attempt_money", "?6"))
_PERIODS = ((f"'{EVER}'", 1), ("?1", 1), ("?1", 0), ("?2", 0))
"""And whether workers are told apart there: of a day they are together as well, for trends over months."""
_ROWS = ", ".join(
    [
        *(f"({period}, '{name}', 1, 0, {number})" for period in (f"'{EVER}'", "?1") for name, number in _OF_ATTEMPT),
        *(f"(?2, '{name}', 0, 0, {number})" for name, number in _OF_ATTEMPT[:3]),
        *(f"({period}, 'attempt_duration', {named}, ?7, 1)" for period, named in _PERIODS),
    ]
)
ATTEMPT = f"""INSERT INTO view_metrics
  SELECT column1, column2, iif(column3, {_label("'attempts'")}, ''), column4, column5
  FROM (VALUES {_ROWS}) WHERE true {_ADD}"""

# what models read and wrote: ?1 day, ?2 hour, ?3 input, ?4 cached of it, ?5 output
_TOKENS = ", ".join(
    [
        *(
            f"({period}, '{kind}', {number})"
            for period in (f"'{EVER}'", "?1")
            for kind, number in (("input", "?3"), ("cached", "?4"), ("output", "?5"))
        ),
        "(?2, '', ?3 + ?5)",
    ]
)
TOKENS = f"""INSERT INTO view_metrics SELECT column1, 'tokens', column2, 0, column3
  FROM (VALUES {_TOKENS}) WHERE column3 > 0 {_ADD}"""

# money: what the gateway saw of an attempt counts as it happens, and what the worker tells beyond that, at its end
SEEN = f"""INSERT INTO view_metrics_attempts VALUES (?, ?, ?)
  ON CONFLICT DO UPDATE SET money = min(money + excluded.money, {MOST})"""
_BEYOND = "(SELECT ?3 - coalesce((SELECT money FROM view_metrics_attempts WHERE run = ?4 AND attempt = ?5), 0))"
TOLD = f"""INSERT INTO view_metrics SELECT column1, 'money', column2, 0, {_BEYOND}
  FROM (VALUES ('{EVER}', 'told'), (?1, 'told'), (?2, '')) WHERE {_BEYOND} > 0 {_ADD}"""
JUDGED = """INSERT INTO view_metrics_attempts VALUES (?1, ?2, ?3)
  ON CONFLICT DO UPDATE SET money = max(money, excluded.money)"""

# breakers: ?1 day, ?2 hour, ?3 label, ?4 openings, ?5 name
OPENED = f"""INSERT INTO view_metrics
  SELECT column1, 'breaker_openings', iif(column2, {_label("'breaker_openings'")}, ''), 0, 1
  FROM (VALUES ('{EVER}', 1), (?1, 1), (?2, 0))
  WHERE ?4 > 0 AND ?4 <> coalesce((SELECT openings FROM view_metrics_breakers WHERE name = ?5), 0) {_ADD}"""
OPENINGS = """INSERT INTO view_metrics_breakers VALUES (?, ?)
  ON CONFLICT DO UPDATE SET openings = excluded.openings"""

PRUNE = f"DELETE FROM view_metrics WHERE period >= '{HOURS}' AND period < ?"
