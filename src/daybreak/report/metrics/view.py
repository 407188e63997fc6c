"""The view `metrics`: what the events add up to, by UTC day and for ever, and the last months by the hour.

Everything is a whole number, and a sum. A step that is done changes nothing here: what happens thousands of times a
second is not counted, what happens some times an hour is. Derived, never the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from daybreak import events
from daybreak.clock import stamp
from daybreak.engine.view import UNDER_WAY
from daybreak.events import FINAL, run_stream
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View
from daybreak.memory.outcomes import is_evidence
from daybreak.report.metrics import statements as sql
from daybreak.report.metrics.definitions import (
    FAILED,
    HOURLY,
    HOURLY_LABELS,
    HOURS_KEPT_DAYS,
    LABEL_CHARS_MAX,
    MOST,
    NONE,
)
from daybreak.report.metrics.spread import bucket_of
from daybreak.report.metrics.statements import EVER as EVER
from daybreak.report.metrics.statements import HOURS
from daybreak.report.shown import shown


def day_of(ts: str) -> str:
    return ts[:10]


def hour_of(ts: str) -> str:
    return HOURS + ts[:13]


def label_of(text: str) -> str:
    """A text from elsewhere as a label: on one line, and harmless wherever it is shown."""
    return _label_of(text[:LABEL_CHARS_MAX])


@lru_cache(1024)
def _label_of(text: str) -> str:
    plain = _LINES.sub(lambda found: found.group().encode("unicode_escape").decode(), shown(text))
    return plain.strip(" ")[:LABEL_CHARS_MAX] or NONE


_LINES = re.compile("[\t\n\u2028\u2029]")


def _amount(number: int) -> int:
    return min(max(number, 0), MOST)


def _count(record: Record, metric: str, label: str = "", number: int = 1) -> Iterator[Statement]:
    """One of ours: a label that only few texts can be."""
    told = (metric, day_of(record.ts), label, number)
    if metric in _HOURLY:
        kept = label if metric in HOURLY_LABELS else ""
        yield Statement(sql.COUNT_HOURLY, (*told, hour_of(record.ts), kept))
    else:
        yield Statement(sql.COUNT, told)


def _count_named(record: Record, metric: str, label: str) -> Iterator[Statement]:
    """One whose label comes from elsewhere."""
    told = (metric, day_of(record.ts), label_of(label), 1)
    if metric in _HOURLY:
        yield Statement(sql.COUNT_NAMED_HOURLY, (*told, hour_of(record.ts)))
    else:
        yield Statement(sql.COUNT_NAMED, told)


_HOURLY = frozenset(HOURLY)


def _apply(record: Record) -> Iterable[Statement]:
    if record.epoch == 0 and record.stream.startswith("run:") and record.type != events.RunMoved.type:
        yield from _copied(record)
        return
    match record.event:
        case events.RunMoved() as moved:
            yield from _moved(record, moved)
        case events.GateDecided() as gate:
            yield from _decided(record, gate)
        case events.AttemptJudged() as judged:
            yield from _judged(record, judged)
        case events.ModelCalled() as call:
            yield from _called(record, call)
        case events.RunRolledBack(run=run, index=index):
            yield Statement(sql.BACK, (run, index))
        case events.BreakerChanged() as changed:
            yield from _breaker(record, changed)
        case _:
            yield from _simple(record)


def _copied(record: Record) -> Iterator[Statement]:
    """What a fork copied was counted where it happened; that its gate passed holds for the copy, too."""
    if isinstance(gate := record.event, events.GateDecided) and record.stream == run_stream(gate.run):
        yield Statement(sql.PASSED, (gate.run, record.index if gate.verdict == "passed" else None))


def _moved(record: Record, moved: events.RunMoved) -> Iterator[Statement]:
    run, new = moved.run, moved.new
    had_worker = moved.old in UNDER_WAY
    if new == "leased":
        yield Statement(sql.LEASED, (run, _millis(record.ts)))
    elif new == "parked":
        yield from _count(record, "runs_parked")
    if new not in FINAL:
        if had_worker and new not in UNDER_WAY:
            yield Statement(sql.WORKED, (_millis(record.ts), run))
        return
    when = (day_of(record.ts), hour_of(record.ts))
    if new == "done":
        yield Statement(sql.DONE, (run, *when))
    else:
        yield from _count(record, "runs_ended", new)
    if new == FAILED:
        yield from _count_named(record, "run_failures", moved.code)
    yield Statement(sql.TOOK, (run, *when, _millis(record.ts) if had_worker else 0))
    yield Statement(sql.FRESH, (run,))
    yield Statement(sql.SPENT, (run,))


def _decided(record: Record, gate: events.GateDecided) -> Iterator[Statement]:
    yield Statement(sql.PASSED, (gate.run, record.index if gate.verdict == "passed" else None))
    yield from _count(record, "gates", gate.verdict)
    if gate.verdict != "passed":
        kinds = {kind for row in gate.table if row.get("failed") and isinstance(kind := row.get("kind"), str)}
        for kind in sorted(kinds):
            yield from _count_named(record, "check_failures", kind)


def _judged(record: Record, judged: events.AttemptJudged) -> Iterator[Statement]:
    money, took = _amount(judged.money_microusd), bucket_of(_amount(judged.duration_ms))
    counts, solved = int(is_evidence(judged.solved, judged.trouble)), int(judged.solved)
    when = (day_of(record.ts), hour_of(record.ts))
    yield Statement(sql.ATTEMPT, (*when, label_of(judged.worker), counts, solved, money, took))
    if judged.trouble:
        yield from _count_named(record, "attempt_troubles", judged.trouble)
    if money:
        yield Statement(sql.TOLD, (*when, money, judged.run, judged.attempt))
        yield Statement(sql.JUDGED, (judged.run, judged.attempt, money))


def _called(record: Record, call: events.ModelCalled) -> Iterator[Statement]:
    money = _amount(call.money_microusd)
    yield from _count_named(record, "requests", f"{call.provider}/{call.model}")
    if call.trouble:
        yield from _count_named(record, "request_troubles", call.trouble)
    tokens = tuple(map(_amount, (call.input_tokens, call.cached_tokens, call.output_tokens)))
    if any(tokens):
        yield Statement(sql.TOKENS, (day_of(record.ts), hour_of(record.ts), *tokens))
    if money:
        yield from _count(record, "money", "gateway", money)
        yield Statement(sql.SEEN, (call.run, call.attempt, money))


def _breaker(record: Record, changed: events.BreakerChanged) -> Iterator[Statement]:
    name, openings = changed.name, _amount(changed.openings)
    if changed.state == "open":
        when = (day_of(record.ts), hour_of(record.ts))
        yield Statement(sql.OPENED, (*when, label_of(name), openings, name))
    yield Statement(sql.OPENINGS, (name, openings))


def _simple(record: Record) -> Iterator[Statement]:
    """What is only counted."""
    match record.event:
        case events.TaskAdded(kind=kind):
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
            yield Statement(sql.PRUNE, (hour_of(stamp(kept)),))
        case events.NightEnded(why=why):
            yield from _count(record, "nights_ended", why)
        case _:
            pass


def _millis(ts: str) -> int:
    return int(datetime.fromisoformat(ts).timestamp() * 1000)


METRICS = View(
    name="metrics",
    version=1,
    schema=sql.SCHEMA,
    apply=_apply,
    of=(
        events.TaskAdded,
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
