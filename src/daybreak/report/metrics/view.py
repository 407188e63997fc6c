"""The view `metrics`: what the events add up to, by UTC day and for ever, and the last months by the hour.

Everything is a whole number, and a sum. A step that is done changes nothing here: what happens thousands of times a
second is not counted, what happens some times an hour is. Derived, never the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from daybreak import events
from daybreak.engine.view import UNDER_WAY
from daybreak.events import FINAL, run_stream
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View
from daybreak.memory.outcomes import is_evidence
from daybreak.report.metrics.definitions import (
    FAILED,
    HOURLY,
    HOURLY_LABELS,
    HOURLY_SPREADS,
    HOURS_KEPT_DAYS,
    LABEL_CHARS_MAX,
    LABELS_MAX,
    MOST,
    NONE,
    OTHERS,
    UNVERIFIED,
    VERIFIED,
)
from daybreak.report.metrics.spread import BOUNDS, bucket_of
from daybreak.report.shown import shown

EVER = ""
"""In place of a day: since the ledger began."""

_SCHEMA = """
CREATE TABLE view_metrics (
  metric TEXT NOT NULL,
  day    TEXT NOT NULL,
  label  TEXT NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, day, label)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_spread (
  metric TEXT NOT NULL,
  day    TEXT NOT NULL,
  label  TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, day, label, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_hours (
  metric TEXT NOT NULL,
  hour   TEXT NOT NULL,
  label  TEXT NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, hour, label)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_metrics_states (
  state TEXT PRIMARY KEY,
  runs  INTEGER NOT NULL
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
"""

_ADD = f"ON CONFLICT DO UPDATE SET value = min(value + excluded.value, {MOST})"
_COUNT = f"INSERT INTO view_metrics VALUES (?1, ?2, ?3, ?4), (?1, '{EVER}', ?3, ?4) {_ADD}"
_HOUR = f"INSERT INTO view_metrics_hours VALUES (?, ?, ?, ?) {_ADD}"
_KNOWN = f"EXISTS (SELECT 1 FROM view_metrics WHERE metric = ?5 AND day = '{EVER}' AND label = ?3)"
_ROOM = f"(SELECT count(*) FROM view_metrics WHERE metric = ?5 AND day = '{EVER}') < {LABELS_MAX}"
_DAYS = f"(SELECT ?2 AS day UNION ALL SELECT '{EVER}')"
_COUNT_NAMED = f"""INSERT INTO view_metrics
  SELECT ?1, day, (SELECT CASE WHEN {_KNOWN} OR {_ROOM} THEN ?3 ELSE '{OTHERS}' END), ?4 FROM {_DAYS}
  WHERE true {_ADD}"""
"""For labels that come from elsewhere. ?5: the metric whose labels count: of several about one thing, the first."""
_SPREAD = f"""INSERT INTO view_metrics_spread
  SELECT ?1, day, (SELECT CASE WHEN ?3 = '' OR {_KNOWN} THEN ?3 ELSE '{OTHERS}' END), ?4, 1 FROM {_DAYS}
  WHERE true {_ADD}"""

# runs
_INTO = "INSERT INTO view_metrics_states VALUES (?, 1) ON CONFLICT DO UPDATE SET runs = runs + 1"
_OUT_OF = "UPDATE view_metrics_states SET runs = runs - 1 WHERE state = ?"
_LEASED = """INSERT INTO view_metrics_runs VALUES (?1, ?2, 0, NULL)
  ON CONFLICT DO UPDATE SET leased_ms = excluded.leased_ms"""
_WORKED = f"""UPDATE view_metrics_runs SET work_ms = min(work_ms + max(0, ?1 - leased_ms), {MOST}), leased_ms = ?1
  WHERE run = ?2"""
_PASSED = """INSERT INTO view_metrics_runs VALUES (?1, 0, 0, ?2)
  ON CONFLICT DO UPDATE SET passed = excluded.passed"""
_BACK = "UPDATE view_metrics_runs SET passed = NULL WHERE run = ? AND passed >= ?"
_FRESH = "UPDATE view_metrics_runs SET leased_ms = 0, work_ms = 0 WHERE run = ?"
_SPENT = "DELETE FROM view_metrics_attempts WHERE run = ?"
_OUTCOME = f"""(SELECT CASE WHEN EXISTS (SELECT 1 FROM view_metrics_runs WHERE run = ?1 AND passed IS NOT NULL)
  THEN '{VERIFIED}' ELSE '{UNVERIFIED}' END)"""
_DONE = f"INSERT INTO view_metrics SELECT 'runs_ended', day, {_OUTCOME}, 1 FROM {_DAYS} WHERE true {_ADD}"
_DONE_HOUR = f"INSERT INTO view_metrics_hours SELECT 'runs_ended', ?2, {_OUTCOME}, 1 WHERE true {_ADD}"


def _bucket(low: int = 0, high: int = len(BOUNDS) - 1) -> str:
    """SQL for the bound of the bucket that `work_ms` falls into, by halves."""
    if low == high:
        return str(BOUNDS[low])
    middle = (low + high) // 2
    return f"iif(work_ms<={BOUNDS[middle]},{_bucket(low, middle)},{_bucket(middle + 1, high)})"


_BUCKET = _bucket()
_TOOK = f"""INSERT INTO view_metrics_spread SELECT 'run_duration', ?2, '', {_BUCKET}, 1
  FROM view_metrics_runs WHERE run = ?1 AND leased_ms > 0 {_ADD}"""
"""Once for each of the two: joined with both days, SQLite takes fifty times as long."""
_TOOK_HOUR = f"""INSERT INTO view_metrics_hours SELECT 'run_duration', ?2, {_BUCKET}, 1
  FROM view_metrics_runs WHERE run = ?1 AND leased_ms > 0 {_ADD}"""

# money: what the gateway saw of an attempt counts as it happens, and what the worker tells beyond that, at its end
_SEEN = f"""INSERT INTO view_metrics_attempts VALUES (?, ?, ?)
  ON CONFLICT DO UPDATE SET money = min(money + excluded.money, {MOST})"""
_BEYOND = """max(0, ?3 - coalesce((SELECT money FROM view_metrics_attempts WHERE run = ?4 AND attempt = ?5), 0))"""
_TOLD = f"INSERT INTO view_metrics SELECT ?1, day, 'told', {_BEYOND} FROM {_DAYS} WHERE {_BEYOND} > 0 {_ADD}"
_TOLD_HOUR = f"INSERT INTO view_metrics_hours SELECT ?1, ?2, '', {_BEYOND} WHERE {_BEYOND} > 0 {_ADD}"
_JUDGED = """INSERT INTO view_metrics_attempts VALUES (?1, ?2, ?3)
  ON CONFLICT DO UPDATE SET money = max(money, excluded.money)"""

# breakers
_IS_NEW = "?4 > 0 AND ?4 <> coalesce((SELECT openings FROM view_metrics_breakers WHERE name = ?6), 0)"
_OPENED = f"""INSERT INTO view_metrics
  SELECT ?1, day, (SELECT CASE WHEN {_KNOWN} OR {_ROOM} THEN ?3 ELSE '{OTHERS}' END), 1 FROM {_DAYS}
  WHERE {_IS_NEW} {_ADD}"""
_OPENED_HOUR = f"""INSERT INTO view_metrics_hours SELECT ?1, ?2, '', 1
  WHERE ?3 > 0 AND ?3 <> coalesce((SELECT openings FROM view_metrics_breakers WHERE name = ?4), 0) {_ADD}"""
_OPENINGS = """INSERT INTO view_metrics_breakers VALUES (?, ?)
  ON CONFLICT DO UPDATE SET openings = excluded.openings"""

_PRUNE = f"""DELETE FROM view_metrics_hours
  WHERE metric IN ({", ".join(f"'{name}'" for name in (*HOURLY, *HOURLY_SPREADS))}) AND hour < ?"""


def day_of(ts: str) -> str:
    return ts[:10]


def hour_of(ts: str) -> str:
    return ts[:13]


def label_of(text: str) -> str:
    """A text from elsewhere as a label: on one line, and harmless wherever it is shown."""
    plain = _LINES.sub(lambda found: found.group().encode("unicode_escape").decode(), shown(text[:LABEL_CHARS_MAX]))
    return plain.strip(" ")[:LABEL_CHARS_MAX] or NONE


_LINES = re.compile("[\t\n\u2028\u2029]")


def _amount(number: int) -> int:
    return min(max(number, 0), MOST)


def _count(record: Record, metric: str, label: str = "", number: int = 1) -> Iterator[Statement]:
    """One of ours: a label that only few texts can be."""
    yield Statement(_COUNT, (metric, day_of(record.ts), label, number))
    yield from _hour(record, metric, label, number)


def _count_named(record: Record, metric: str, label: str, number: int = 1, of: str = "") -> Iterator[Statement]:
    """One whose label comes from elsewhere."""
    yield Statement(_COUNT_NAMED, (metric, day_of(record.ts), label_of(label), number, of or metric))
    yield from _hour(record, metric, label, number)


def _hour(record: Record, metric: str, label: str, number: int) -> Iterator[Statement]:
    if metric in _HOURLY:
        kept = label if metric in HOURLY_LABELS else ""
        yield Statement(_HOUR, (metric, hour_of(record.ts), kept, number))


_HOURLY = frozenset(HOURLY)


def _apply(record: Record) -> Iterable[Statement]:
    if record.epoch == 0 and record.stream.startswith("run:") and record.type != events.RunMoved.type:
        yield from _copied(record)
        return
    match record.event:
        case events.LeaseGranted(run=run):
            yield Statement(_LEASED, (run, _millis(record.ts)))
        case events.RunMoved() as moved:
            yield from _moved(record, moved)
        case events.GateDecided() as gate:
            yield from _decided(record, gate)
        case events.AttemptJudged() as judged:
            yield from _judged(record, judged)
        case events.ModelCalled() as call:
            yield from _called(record, call)
        case events.RunRolledBack(run=run, index=index):
            yield Statement(_BACK, (run, index))
        case events.BreakerChanged() as changed:
            yield from _breaker(record, changed)
        case _:
            yield from _simple(record)


def _copied(record: Record) -> Iterator[Statement]:
    """What a fork copied was counted where it happened; that its gate passed holds for the copy, too."""
    if isinstance(gate := record.event, events.GateDecided) and record.stream == run_stream(gate.run):
        yield Statement(_PASSED, (gate.run, record.index if gate.verdict == "passed" else None))


def _moved(record: Record, moved: events.RunMoved) -> Iterator[Statement]:
    run, new = moved.run, moved.new
    yield Statement(_OUT_OF, (moved.old,))
    yield Statement(_INTO, (new,))
    if moved.old in UNDER_WAY and new not in UNDER_WAY:
        yield Statement(_WORKED, (_millis(record.ts), run))
    if new == "parked":
        yield from _count(record, "runs_parked")
    if new not in FINAL:
        return
    if new == "done":
        yield Statement(_DONE, (run, day_of(record.ts)))
        yield Statement(_DONE_HOUR, (run, hour_of(record.ts)))
    else:
        yield from _count(record, "runs_ended", new)
    if new == FAILED:
        yield from _count_named(record, "run_failures", moved.code)
    yield Statement(_TOOK, (run, day_of(record.ts)))
    yield Statement(_TOOK, (run, EVER))
    yield Statement(_TOOK_HOUR, (run, hour_of(record.ts)))
    yield Statement(_FRESH, (run,))
    yield Statement(_SPENT, (run,))


def _decided(record: Record, gate: events.GateDecided) -> Iterator[Statement]:
    yield Statement(_PASSED, (gate.run, record.index if gate.verdict == "passed" else None))
    yield from _count(record, "gates", gate.verdict)
    if gate.verdict != "passed":
        kinds = {kind for row in gate.table if row.get("failed") and isinstance(kind := row.get("kind"), str)}
        for kind in sorted(kinds):
            yield from _count_named(record, "check_failures", kind)


def _judged(record: Record, judged: events.AttemptJudged) -> Iterator[Statement]:
    money, took = _amount(judged.money_microusd), bucket_of(_amount(judged.duration_ms))
    counts = int(is_evidence(judged.solved, judged.trouble))
    worker, day, hour = judged.worker, day_of(record.ts), hour_of(record.ts)
    for metric, number in (
        ("attempts", 1),
        ("attempts_counted", counts),
        ("attempts_solved", int(judged.solved)),
        ("attempt_money", money),
    ):
        yield from _count_named(record, metric, worker, number, of="attempts")
    if judged.trouble:
        yield from _count_named(record, "attempt_troubles", judged.trouble)
    yield Statement(_SPREAD, ("attempt_duration", day, label_of(worker), took, "attempts"))
    yield Statement(_HOUR, ("attempt_duration", hour, str(took), 1))
    of = (judged.run, judged.attempt)
    if money:
        yield Statement(_TOLD, ("money", day, money, *of))
        yield Statement(_TOLD_HOUR, ("money", hour, money, *of))
        yield Statement(_JUDGED, (*of, money))


def _called(record: Record, call: events.ModelCalled) -> Iterator[Statement]:
    money = _amount(call.money_microusd)
    yield from _count_named(record, "requests", f"{call.provider}/{call.model}")
    if call.trouble:
        yield from _count_named(record, "request_troubles", call.trouble)
    read, cached, wrote = map(_amount, (call.input_tokens, call.cached_tokens, call.output_tokens))
    for kind, number in (("input", read), ("cached", cached), ("output", wrote)):
        if number:
            yield Statement(_COUNT, ("tokens", day_of(record.ts), kind, number))
    if read + wrote:
        yield Statement(_HOUR, ("tokens", hour_of(record.ts), "", read + wrote))
    if money:
        yield from _count(record, "money", "gateway", money)
        yield Statement(_SEEN, (call.run, call.attempt, money))


def _breaker(record: Record, changed: events.BreakerChanged) -> Iterator[Statement]:
    name, openings = changed.name, _amount(changed.openings)
    opened = openings if changed.state == "open" else 0
    metric, label = "breaker_openings", label_of(name)
    yield Statement(_OPENED, (metric, day_of(record.ts), label, opened, metric, name))
    yield Statement(_OPENED_HOUR, (metric, hour_of(record.ts), opened, name))
    yield Statement(_OPENINGS, (name, openings))


def _simple(record: Record) -> Iterator[Statement]:
    """What is only counted."""
    match record.event:
        case events.TaskAdded(kind=kind):
            yield Statement(_INTO, ("queued",))
            yield from _count_named(record, "tasks_added", kind)
        case events.Answered():
            yield from _count(record, "questions_answered")
        case events.StepFailed(code=code):
            yield from _count_named(record, "step_failures", code)
        case events.StepTried(kind=kind):
            yield from _count_named(record, "step_retries", kind)
        case events.Delivered():
            yield from _count(record, "deliveries")
        case events.ResultAccepted():
            yield from _count(record, "results", "accepted")
        case events.ResultRejected():
            yield from _count(record, "results", "rejected")
        case events.ResultUndone():
            yield from _count(record, "results", "undone")
        case events.PolicyRefused(code=code):
            yield from _count_named(record, "refusals", code)
        case events.IncidentRaised(kind=kind):
            yield from _count_named(record, "incidents", kind)
        case events.ViewsDrifted():
            yield from _count(record, "view_drifts")
        case events.WitnessLapsed():
            yield from _count(record, "lapses", "witness")
        case events.ReplicaLapsed():
            yield from _count(record, "lapses", "replica")
        case events.AlertFired(alert=alert):
            yield from _count_named(record, "alerts_fired", alert)
        case events.NightBegan():
            yield from _count(record, "nights_begun")
            kept = datetime.fromisoformat(record.ts) - timedelta(days=HOURS_KEPT_DAYS)
            yield Statement(_PRUNE, (kept.strftime("%Y-%m-%dT%H"),))
        case events.NightEnded(why=why):
            yield from _count(record, "nights_ended", why)
        case _:
            pass


def _millis(ts: str) -> int:
    return int(datetime.fromisoformat(ts).timestamp() * 1000)


METRICS = View(
    name="metrics",
    version=1,
    schema=_SCHEMA,
    apply=_apply,
    of=(
        events.TaskAdded,
        events.LeaseGranted,
        events.RunMoved,
        events.RunRolledBack,
        events.GateDecided,
        events.AttemptJudged,
        events.ModelCalled,
        events.Answered,
        events.StepFailed,
        events.StepTried,
        events.Delivered,
        events.ResultAccepted,
        events.ResultRejected,
        events.ResultUndone,
        events.PolicyRefused,
        events.IncidentRaised,
        events.BreakerChanged,
        events.ViewsDrifted,
        events.WitnessLapsed,
        events.ReplicaLapsed,
        events.AlertFired,
        events.NightBegan,
        events.NightEnded,
    ),
    weight="low",
)
"""Register it where the ledger is opened."""
