"""Metrics: the view adds up what a recount gives, whatever happened; questions stay cheap; labels are harmless."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.metrics_shelf import Shelf

from daybreak import events
from daybreak.errors import DraftRefused
from daybreak.events import FINAL, KEYS, NIGHTS, POLICY, run_stream
from daybreak.ledger import Draft
from daybreak.report import metrics
from daybreak.report.alerts.measures import FIRST
from daybreak.report.metrics.asking import (
    ADDED,
    BY_LABEL,
    COUNTED,
    COUNTED_OF,
    SPREAD,
    SPREAD_BY_LABEL,
    SPREAD_TOGETHER,
    DaysWrong,
)
from daybreak.report.metrics.daily import KINDS_BY_DAY
from daybreak.report.metrics.definitions import COUNTERS, HOURS_KEPT_DAYS, LABELS_MAX, OTHERS, SPREADS
from daybreak.report.metrics.gauges import _STATES
from daybreak.report.metrics.leagues import wilson
from daybreak.report.metrics.spread import BOUNDS, COARSE, bucket_of, quantile, spread_of
from daybreak.report.metrics.tables import HEADER, harmless
from daybreak.report.metrics.view import label_of

HOSTILE = [
    'a "quoted" one',
    "two\nlines\r\nor three",
    "\x1b[31mred\x1b[0m",
    "right\u202eot\u2066left",
    "=HYPERLINK(1)",
    "@sum",
    "back\\slash",
    "<script>alert(1)</script>",
    "",
    "\u2028\u2029\x85",
    "nul\x00nul",
    "x" * 10_000,
]


# -- the view


ACTIONS = (
    "add",
    "lease",
    "park",
    "wait",
    "done",
    "failed",
    "cancelled",
    "pass",
    "fail",
    "judge",
    "call",
    "break",
    "day",
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_the_view_says_what_a_recount_says(told: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order: the sums by day are those of counting the events one by one, and making the
    view again changes nothing."""
    # shows: N10
    shelf = Shelf()
    for action, which, number in told:
        act(shelf, action, f"run-{which}", number)
    counts = "SELECT metric, period, label, value FROM view_metrics WHERE bucket = 0 AND period < 'h' ORDER BY 1, 2, 3"
    before = shelf.ledger.query(counts)
    whole = shelf.ledger.query("SELECT * FROM view_metrics ORDER BY 1, 2, 3, 4")
    assert Counter({row[:3]: row[3] for row in before if row[1] and row[3]}) == recount(shelf)
    ever = {(metric, label): value for metric, day, label, value in before if not day}
    by_day: Counter[tuple[str, str]] = Counter()
    for metric, day, label, value in before:
        if day:
            by_day[metric, label] += value
    assert ever == dict(by_day)
    states = Counter(state for state in shelf.states.values() if state not in FINAL)
    assert metrics.now(shelf.ledger, shelf.clock.now()).runs == states
    spans = recount_durations(shelf)
    assert Counter(spread(shelf, "run_duration", days=True)) == spans
    assert Counter(spread(shelf, "run_duration", days=False)) == spans
    assert shelf.ledger.compare_views() == []
    shelf.ledger.rebuild_views()
    assert shelf.ledger.query("SELECT * FROM view_metrics ORDER BY 1, 2, 3, 4") == whole


def act(shelf: Shelf, action: str, run: str, number: int) -> None:
    state = shelf.states.get(run)
    match action:
        case "add" if state is None:
            shelf.add(run)
        case "lease" if state in ("queued", "waiting", "parked", "failed"):
            shelf.lease(run)
        case "park" | "wait" | "done" | "failed" | "cancelled" if state == "leased":
            shelf.move(run, {"park": "parked", "wait": "waiting"}.get(action, action), code=f"E{number}")  # type: ignore[arg-type]
        case "pass" | "fail" if state == "leased":
            table = [{"kind": f"kind{number}", "failed": ["x"]}, {"kind": "lint", "failed": []}]
            shelf.gate(run, "passed" if action == "pass" else "failed", table=table)
        case "judge" if state == "leased":
            shelf.judge(run, f"worker{number % 2}", solved=number > 2, trouble="quota" if number == 0 else "")
        case "call":
            shelf.call(run, attempt=number % 2 + 1, trouble="outage" if number == 0 else "")
        case "break":
            shelf.breaker("shop", "open" if number else "closed", number)
        case "day":
            shelf.later(hours=number * 7)


def recount(shelf: Shelf) -> Counter[tuple[str, str, str]]:
    """The same from the events, in plain Python."""
    found: Counter[tuple[str, str, str]] = Counter()
    passed: dict[str, bool] = {}
    seen: Counter[tuple[str, int]] = Counter()
    openings: Counter[str] = Counter()
    for record in shelf.ledger.read_all():
        day = record.ts[:10]
        match record.event:
            case events.TaskAdded(kind=kind):
                found["tasks_added", day, kind] += 1
            case events.GateDecided() as gate:
                passed[gate.run] = gate.verdict == "passed"
                found["gates", day, gate.verdict] += 1
                if gate.verdict == "failed":
                    found["check_failures", day, gate.table[0]["kind"]] += 1
            case events.RunMoved(new="parked"):
                found["runs_parked", day, ""] += 1
            case events.RunMoved(new="done", run=run):
                found["runs_ended", day, "verified" if passed.get(run) else "unverified"] += 1
            case events.RunMoved(new=("failed" | "cancelled") as new, code=code):
                found["runs_ended", day, new] += 1
                if new == "failed":
                    found["run_failures", day, code] += 1
            case events.AttemptJudged() as one:
                found["attempts", day, one.worker] += 1
                found["attempts_counted", day, one.worker] += one.solved or one.trouble != "quota"
                found["attempts_solved", day, one.worker] += one.solved
                found["attempt_money", day, one.worker] += one.money_microusd
                if one.trouble:
                    found["attempt_troubles", day, one.trouble] += 1
                found["money", day, "told"] += max(0, one.money_microusd - seen[one.run, one.attempt])
            case events.ModelCalled() as call:
                seen[call.run, call.attempt] += call.money_microusd
                found["money", day, "gateway"] += call.money_microusd
                found["requests", day, f"{call.provider}/{call.model}"] += 1
                found["tokens", day, "input"] += call.input_tokens
                found["tokens", day, "output"] += call.output_tokens
                if call.trouble:
                    found["request_troubles", day, call.trouble] += 1
            case events.BreakerChanged(name=name, openings=number, state=state):
                found["breaker_openings", day, name] += state == "open" and number != openings[name]
                openings[name] = number
            case _:
                pass
    return Counter({key: value for key, value in found.items() if value})


def spread(shelf: Shelf, metric: str, *, days: bool) -> dict[int, int]:
    """By bucket, all days together, or all hours."""
    which = "period > '' AND period < 'h'" if days else "period >= 'h'"
    sql = f"SELECT bucket, sum(value) FROM view_metrics WHERE metric = ? AND {which} GROUP BY bucket"
    return dict(shelf.ledger.query(sql, (metric,)))  # type: ignore[arg-type]


def recount_durations(shelf: Shelf) -> Counter[int]:
    """How long each run had a worker until it ended, from the events in plain Python."""
    found: Counter[int] = Counter()
    since: dict[str, datetime] = {}
    worked: Counter[str] = Counter()
    for record in shelf.ledger.read_all():
        match record.event:
            case events.RunMoved(run=run, new=new):
                at = datetime.fromisoformat(record.ts)
                if new == "leased":
                    since[run] = at
                    worked[run] += 0
                elif run in since:
                    worked[run] += (at - since.pop(run)) // timedelta(milliseconds=1)
                if new in FINAL and run in worked:
                    found[bucket_of(worked.pop(run))] += 1
            case _:
                pass
    return found


def test_what_the_gateway_saw_and_the_worker_told_is_counted_once() -> None:
    """An attempt that cost 1,500 of which the gateway saw 1,000 costs 1,500; one that tells less than was seen costs
    what was seen."""
    shelf = Shelf()
    shelf.add("run-1")
    shelf.lease("run-1")
    shelf.call("run-1", attempt=1, money_microusd=1_000)
    shelf.judge("run-1", money_microusd=1_500)
    shelf.call("run-1", attempt=2, money_microusd=700)
    shelf.judge("run-1", money_microusd=300)
    day = metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total
    assert (day.money_microusd, dict(day.money)) == (2_200, {"gateway": 1_700, "told": 500})


def test_done_without_a_passed_gate_is_not_called_verified() -> None:
    """Success is a share of what was shown: a run whose last gate failed, or that was rolled back behind it, counts as
    unverified; one that a person cancelled counts for nothing."""
    shelf = Shelf()
    shelf.whole_run("run-1")
    shelf.whole_run("run-2", passes=False)
    shelf.whole_run("run-3", "failed")
    shelf.whole_run("run-4", "cancelled")
    shelf.add("run-5")
    shelf.lease("run-5")
    shelf.gate("run-5")
    shelf.own("run-5", events.RunRolledBack(run="run-5", before="gate", index=0))
    shelf.move("run-5", "done")
    day = metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total
    assert dict(day.ended) == {"cancelled": 1, "failed": 1, "unverified": 2, "verified": 1}
    assert day.success_share == 0.25


def test_a_fork_counts_nothing_twice() -> None:
    """What another run told stands at the head of the fork's stream again."""
    shelf = Shelf()
    shelf.whole_run("run-1")
    shelf.add("run-2")
    stream = run_stream("run-2")
    shelf.put(stream, events.RunForked(run="run-2", source="run-1", before="deliver", index=9), epoch=0)
    judged = events.AttemptJudged(run="run-2", attempt=1, worker="codex", task="build", solved=True, money_microusd=9)
    shelf.put(stream, judged, epoch=0)
    gate = events.GateDecided(run="run-2", attempt=1, workspace="w", verdict="passed", score=90.0)
    shelf.put(stream, gate, epoch=0)
    shelf.lease("run-2")
    shelf.move("run-2", "done")
    day = metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total
    assert (day.attempts, dict(day.gates), dict(day.ended)) == (1, {"passed": 1}, {"verified": 2})


def test_time_with_a_worker_is_what_a_run_took() -> None:
    """A night that a run waits for a person is no time that it took."""
    shelf = Shelf()
    shelf.add("run-1")
    shelf.lease("run-1")
    shelf.later(minutes=2)
    shelf.move("run-1", "parked")
    shelf.later(hours=9)
    shelf.lease("run-1")
    shelf.later(minutes=2)
    shelf.move("run-1", "done")
    took = metrics.trends(shelf.ledger, 2, now=shelf.clock.now()).total.run_duration
    assert took is not None and took.count == 1  # noqa: PT018
    assert took.p50.low <= 240_000 <= took.p50.high


@pytest.mark.parametrize(
    "event",
    [
        events.AttemptJudged(
            run="run-1", attempt=1, worker="w", task="t", solved=True, money_microusd=2**63 - 1, duration_ms=-5
        ),
        events.ModelCalled(
            run="run-1", attempt=-1, provider="p", model="m", status=0, input_tokens=2**62, output_tokens=-1,
            money_microusd=-7,
        ),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_keep_no_event_out(event: events.Event) -> None:
    """A worker that tells nonsense must not stop the ledger by an overflowing sum, nor make a counter fall."""
    shelf = Shelf()
    for _ in range(3):
        shelf.put(POLICY, event)
    day = metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total
    assert 0 <= day.money_microusd < 2**53
    assert 0 <= day.input_tokens < 2**53
    assert shelf.ledger.compare_views() == []


def test_a_worker_cannot_fill_the_database_with_labels() -> None:
    """Models are named by whoever calls them: beyond some hundred they count as others, and none is lost."""
    shelf = Shelf()
    for number in range(LABELS_MAX + 30):
        shelf.call("run-1", model=f"m{number}")
        shelf.put(POLICY, events.AttemptJudged(run="r", attempt=number, worker=f"w{number}", task="t", solved=True))
    rows = dict(shelf.ledger.query("SELECT label, value FROM view_metrics WHERE metric = 'requests' AND period = ''"))
    assert len(rows) == LABELS_MAX + 1
    assert rows[OTHERS] == 30
    league = {line.worker: line for line in metrics.league(shelf.ledger, 1, now=shelf.clock.now())}
    assert (len(league), league[OTHERS].attempts, league[OTHERS].solved) == (LABELS_MAX + 1, 30, 30)
    assert league[OTHERS].duration is not None and league[OTHERS].duration.count == 30  # noqa: PT018


def test_a_day_names_the_most_frequent_kinds_of_failures() -> None:
    """A worker that makes up two hundred kinds makes no page of ninety days slow; together all are named, and no sum is
    another one."""
    shelf = Shelf()
    for number in range(30):
        for _ in range(2 if number == 17 else 1):
            shelf.put(
                POLICY,
                events.AttemptJudged(
                    run="r", attempt=1, worker="w", task="t", solved=False, trouble=f"t{number:02}", duration_ms=5
                ),
            )
    told = metrics.trends(shelf.ledger, 3, now=shelf.clock.now())
    (day,) = [day for day in told.days if day.failures]
    assert len(told.total.failures) == 30
    assert day.failures["trouble t17"] == told.total.failures["trouble t17"] == 2
    assert day.failures[f"trouble {OTHERS}"] == 30 - KINDS_BY_DAY
    assert sum(day.failures.values()) == sum(told.total.failures.values()) == 31
    assert day.attempt_duration == told.total.attempt_duration is not None
    assert day.attempt_duration.count == 31


def test_a_breaker_that_stays_open_opened_once() -> None:
    """Every failure and probe is an event; only going from another opening to this one counts."""
    shelf = Shelf()
    for state, openings in [("closed", 0), ("open", 1), ("open", 1), ("half_open", 1), ("open", 2), ("closed", 0)]:
        shelf.breaker("shop", state, openings)
    shelf.breaker("shop", "open", 1)
    assert metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total.breaker_openings == 3


def test_what_is_only_counted_is_counted() -> None:
    """One event of each other kind."""
    shelf = Shelf()
    shelf.add("run-1")
    shelf.lease("run-1")
    step = {"run": "run-1", "branch": "", "name": "s", "nth": 0, "args": "a"}
    shelf.own("run-1", events.StepFailed(**step, code="E203", message="m"))
    shelf.own("run-1", events.StepTried(**step, kind="outage", what="w", again="", tries={}))
    shelf.own("run-1", events.Delivered(run="run-1", output="o", workspace="w", manifest="m"))
    shelf.answer("run-1")
    shelf.put("control:run-1", events.ResultAccepted(run="run-1", about="run:run-1#1", index=1))
    shelf.put("control:run-1", events.ResultRejected(run="run-1", because="b", about="run:run-1#1", index=1))
    shelf.put("control:run-1", events.ResultUndone(run="run-1", effects=[]))
    shelf.put(POLICY, events.PolicyRefused(run="run-1", attempt=1, act="read", what="x", code="P101"))
    shelf.put(POLICY, events.IncidentRaised(incident="inc-1", kind="key_exposed", level=3))
    shelf.put(KEYS, events.ViewsDrifted(size=1, drifts=[]))
    shelf.put(NIGHTS, events.NightBegan(night="night-1", host="h", pid=1, workers=1))
    shelf.later(hours=1)
    shelf.put(NIGHTS, events.NightEnded(night="night-1", why="empty"))
    day = metrics.trends(shelf.ledger, 1, now=shelf.clock.now()).total
    assert dict(day.failures) == {"step E203": 1}
    assert (day.retries, day.deliveries, day.answered, day.refusals, day.nights) == (1, 1, 1, 1, 1)
    assert dict(day.results) == {"accepted": 1, "rejected": 1, "undone": 1}
    assert (dict(day.incidents), dict(day.nights_ended)) == ({"key_exposed": 1}, {"empty": 1})
    shelf.later(hours=2)
    now = metrics.now(shelf.ledger, shelf.clock.now())
    assert (dict(now.runs), dict(now.incidents), now.nights, now.night_s) == ({"leased": 1}, {"3": 1}, 0, 7200)


def test_hours_are_kept_for_some_months_and_days_for_ever() -> None:
    """A night that begins lets go of hours that no alert can ask for."""
    shelf = Shelf()
    shelf.whole_run("run-1")
    shelf.later(days=HOURS_KEPT_DAYS + 1)
    assert shelf.ledger.query("SELECT 1 FROM view_metrics WHERE period >= 'h' AND metric = 'runs_ended'")
    shelf.put(NIGHTS, events.NightBegan(night="night-1", host="h", pid=1, workers=1))
    assert not shelf.ledger.query("SELECT 1 FROM view_metrics WHERE period >= 'h' AND metric = 'runs_ended'")
    assert metrics.trends(shelf.ledger, HOURS_KEPT_DAYS + 2, now=shelf.clock.now()).total.ended == {"verified": 1}
    assert shelf.ledger.compare_views() == []


# -- spreads and shares


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_in_the_bucket_that_is_told(values: list[int], share: float) -> None:
    """The true value is between `low` and `high`, and within 10 % of `value` from some milliseconds on."""
    found = quantile(Counter(map(bucket_of, values)), share)
    true = sorted(values)[max(0, -(-int(len(values) * share * 100) // 100) - 1)]
    ranked = [value for value in sorted(values) if sum(other <= value for other in values) >= share * len(values)]
    assert found.low <= ranked[0] <= found.high
    assert true is not None
    if found.low > 20:
        assert abs(found.value - ranked[0]) <= 0.1 * ranked[0]


def test_buckets_for_others_are_sums_of_ours() -> None:
    """What is exported in fewer buckets is exact, and nothing measured gives no spread."""
    assert set(COARSE) <= set(BOUNDS)
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert spread_of({}) is None
    assert bucket_of(10**30) == BOUNDS[-1]


def test_few_attempts_say_little() -> None:
    """Whoever solved one of one is not above whoever solved 95 of 100."""
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(1, 1)
    assert low < 0.25
    assert high == 1.0
    assert wilson(95, 100)[0] > 0.85
    assert all(0 <= wilson(n, 9)[0] <= n / 9 <= wilson(n, 9)[1] <= 1 for n in range(10))
    shelf = Shelf()
    shelf.add("run-1")
    shelf.lease("run-1")
    shelf.judge("run-1", "lucky", money_microusd=10)
    for number in range(12):
        shelf.judge("run-1", "steady", solved=number > 0)
    shelf.judge("run-1", "unlucky", solved=False, trouble="quota")
    first, second, third = metrics.league(shelf.ledger, 1, now=shelf.clock.now())
    assert [first.worker, second.worker, third.worker] == ["steady", "lucky", "unlucky"]
    assert (first.counted, first.solved, first.money_per_solved_microusd) == (12, 11, round(12_000 / 11))
    assert (third.attempts, third.counted, third.share, third.money_per_solved_microusd) == (1, 0, None, None)


# -- what it costs to ask


def test_no_question_reads_a_whole_table() -> None:
    """Days are looked up by metric and day, however many days and runs there are."""
    # shows: N10
    shelf = Shelf()
    for sql in (COUNTED, COUNTED_OF, ADDED, BY_LABEL, SPREAD, SPREAD_TOGETHER, SPREAD_BY_LABEL):
        steps = [row[3] for row in shelf.ledger.query(f"EXPLAIN QUERY PLAN {sql}", ("[]", "[]"))]
        assert [step for step in steps if "view_metrics" in step and "(period=? AND metric=?" in step], steps
        assert not [step for step in steps if step.startswith("SCAN") and "view_metrics" in step]
    for sql in (FIRST, _STATES):
        steps = [row[3] for row in shelf.ledger.query(f"EXPLAIN QUERY PLAN {sql}")]
        assert all(step.startswith("SEARCH") for step in steps), steps


def test_days_without_anything_are_days_too() -> None:
    """Also the last ones, and across the end of a month; too many are refused."""
    shelf = Shelf()
    shelf.whole_run("run-1")
    shelf.later(days=2)
    told = metrics.trends(shelf.ledger, 4, now=shelf.clock.now())
    assert [day.day for day in told.days] == ["2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"]
    assert [sum(day.ended.values()) for day in told.days] == [0, 1, 0, 0]
    assert (told.days[0].success_share, told.days[0].run_duration) == (None, None)
    for wrong in (0, -1, 3_661, True):
        with pytest.raises(DaysWrong):
            metrics.trends(shelf.ledger, wrong, now=shelf.clock.now())


def test_a_day_is_one_of_utc() -> None:
    """Wherever whoever asks lives."""
    shelf = Shelf()
    shelf.whole_run("run-1")
    tokyo = shelf.clock.now().astimezone(__import__("zoneinfo").ZoneInfo("Asia/Tokyo"))
    assert metrics.trends(shelf.ledger, 1, now=tokyo).days[0].day == "2026-03-01"


# -- formats


def hostile_shelf() -> Shelf:
    shelf = Shelf()
    shelf.add("run-1", kind=HOSTILE[0])
    shelf.lease("run-1")
    for name in HOSTILE:
        shelf.judge("run-1", name, solved=False, trouble=name)
        shelf.call("run-1", model=name)
        shelf.breaker(name or "empty", "open", 1)
    return shelf


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_prometheus_reads_what_is_written_for_it() -> None:
    """Parsed back by its own client: names, types, exact values, whatever workers are called."""
    # shows: N10
    shelf = hostile_shelf()
    shelf.whole_run("run-2")
    text = metrics.prometheus(shelf.ledger, shelf.clock.now())
    found = families(text)
    assert {family.type for family in found.values()} == {"counter", "gauge", "histogram"}
    assert {f"daybreak_{one.name}" for one in COUNTERS if not one.unit or one.unit == "tokens"} <= found.keys()
    workers = {one.labels["worker"]: one.value for one in found["daybreak_attempts"].samples}
    assert workers == dict.fromkeys({*map(label_of, HOSTILE), "codex"}, 1.0)
    money = {one.labels["source"]: one.value for one in found["daybreak_money_usd"].samples}
    assert money == {"gateway": 0.0048, "told": 0.013}
    for name in (f"daybreak_{one.name}_seconds" for one in SPREADS):
        buckets = [one for one in found[name].samples if one.name.endswith("_bucket")]
        assert {one.labels["le"] for one in buckets} >= {"+Inf", "0.004"}
    keys = [(one.name, tuple(sorted(one.labels.items()))) for family in found.values() for one in family.samples]
    assert len(keys) == len(set(keys)), "one series is told twice, and the whole answer would be refused"
    assert all(line.isprintable() for line in text.split("\n"))


@settings(max_examples=15)
@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=25))
def test_counters_never_fall(told: list[str]) -> None:
    """Whatever comes, also days later."""
    shelf = Shelf()
    shelf.add("run-1")
    before: dict[Any, float] = {}
    for at, action in enumerate(told):
        act(shelf, action, "run-1", at % 6)
        now = {
            (one.name, tuple(sorted(one.labels.items()))): one.value
            for family in families(metrics.prometheus(shelf.ledger, shelf.clock.now())).values()
            if family.type in ("counter", "histogram")
            for one in family.samples
        }
        assert all(now[key] >= value for key, value in before.items())
        before = now


def test_a_spreadsheet_runs_nothing_of_what_workers_are_called() -> None:
    """CSV as RFC 4180 has it, with lines that end as it says, and cells that begin with no formula."""
    # shows: N10
    shelf = hostile_shelf()
    now = shelf.clock.now()
    text = metrics.as_csv(metrics.trends(shelf.ledger, 7, now=now), metrics.league(shelf.ledger, 7, now=now))
    assert text.replace("\r\n", "").count("\n") == text.replace("\r\n", "").count("\r") == 0
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == HEADER
    assert {len(row) for row in rows} == {len(HEADER)}
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    workers = {row[3] for row in rows if row[0] == "worker"}
    assert workers == {harmless(label_of(name)) for name in HOSTILE}
    assert "'=HYPERLINK(1)" in workers


def test_json_has_the_same_numbers_and_plain_values() -> None:
    """Nothing that JSON has not, and no character that could steer whoever shows it."""
    shelf = hostile_shelf()
    told = metrics.as_json(metrics.trends(shelf.ledger, 3, now=shelf.clock.now()))
    again = json.loads(json.dumps(told, allow_nan=False))
    assert [day["day"] for day in again["days"]] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert again["total"]["attempts"] == len(HOSTILE)
    assert all(label.isprintable() for label in again["total"]["failures"])


def test_a_label_is_one_harmless_line() -> None:
    """Not empty, not long, printable; two names that differ only in what cannot be seen stay two."""
    assert all(label_of(name).isprintable() and 0 < len(label_of(name)) <= 120 for name in HOSTILE)
    assert len({label_of(name) for name in HOSTILE}) == len(HOSTILE)


def test_a_ledger_written_without_the_view_gets_it(tmp_path: Any) -> None:
    """A home of an older version: the view is made from its events when it is opened."""
    from daybreak.ledger import Ledger
    from daybreak.report.metrics.view import METRICS
    from daybreak.testing.clock import FakeClock

    where: dict[str, Any] = {"keys": tmp_path / "keys", "witness": tmp_path / "witness", "clock": FakeClock()}
    event = events.AttemptJudged(run="r", attempt=1, worker="w", task="t", solved=True)
    with Ledger.open(tmp_path / "ledger", **where) as ledger:
        for _ in range(5):
            ledger.append([Draft(POLICY, event)])
    with Ledger.open(tmp_path / "ledger", **where, views=[METRICS]) as ledger:
        now = datetime(2026, 3, 2, tzinfo=UTC)
        (line,) = metrics.league(ledger, 7, now=now)
        assert (line.attempts, line.solved) == (5, 5)
        assert ledger.compare_views() == []
    with pytest.raises(DraftRefused), Ledger.open(tmp_path / "ledger", **where, views=[METRICS]) as ledger:
        ledger.append([Draft("not a stream", event)])
