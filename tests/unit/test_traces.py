"""Spans are made of events alone, are named alike by everybody, and never make anybody wait."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.otlp_receiver import receiver

from daybreak import events
from daybreak.clock import stamp
from daybreak.ledger.record import Record
from daybreak.report.traces import naming, sending, spans
from daybreak.report.traces.otlp import Otlp
from daybreak.report.traces.sending import Sender
from daybreak.report.traces.spans import Line, Span, Weaver, nanoseconds
from daybreak.testing.clock import FakeClock


class Told:
    """Records, one second after another."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.weaver = Weaver(lambda run: ("python", f"title of {run}"))
        self.spans: list[Span] = []

    def __call__(self, event: events.Event, epoch: int = 1, after_s: float = 1) -> list[Span]:
        self.clock.advance(after_s)
        found = self.weaver.take(record(event, stamp(self.clock.now()), epoch))
        self.spans += found
        return found


class _Record:
    def __init__(self, event: events.Event, ts: str, epoch: int) -> None:
        self.event, self.ts, self.epoch = event, ts, epoch
        self.secret: object = None
        self.type, self.stream = event.type, events.run_stream(getattr(event, "run", ""))


def record(event: events.Event, ts: str, epoch: int = 1) -> Any:
    return _Record(event, ts, epoch)


def lease(run: str = "run-1", night: str = "night-1") -> events.LeaseGranted:
    return events.LeaseGranted(run=run, owner="o", host="h", pid=1, night=night)


def moved(new: Any, run: str = "run-1", **fields: str) -> events.RunMoved:
    return events.RunMoved(run=run, old="leased", new=new, **fields)


def done(name: str, run: str = "run-1", ms: int = 500) -> events.StepDone:
    return events.StepDone(run=run, branch="", name=name, nth=0, args="a", result=None, duration_ms=ms)


def attempt(number: int = 1) -> events.AttemptBegan:
    return events.AttemptBegan(run="run-1", attempt=number, worker="codex", why="first")


def claimed(number: int = 1) -> events.AttemptClaimed:
    return events.AttemptClaimed(
        run="run-1", attempt=number, worker="codex", outcome="finished", summary="s", workspace="w"
    )


def test_a_step_lies_below_its_attempt_and_a_model_call_too() -> None:
    told = Told()
    told(lease())
    told(moved("running"))
    told(attempt())
    (call,) = told(
        events.ModelCalled(run="run-1", attempt=1, provider="p", model="m", status=200, input_tokens=7, duration_ms=300)
    )
    (step,) = told(done("look"))
    (tried,) = told(claimed())
    (outside,) = told(done("deliver"))
    task, run = told(moved("done"))
    assert (call.parent, step.parent, tried.parent) == (tried.span, tried.span, task.span)
    assert (outside.parent, task.parent, run.parent) == (task.span, run.span, naming.span_of("night", "night-1"))
    assert (call.attributes["gen_ai.usage.input_tokens"], call.client) == (7, True)
    assert call.end_ns - call.start_ns == 300_000_000


def test_between_two_attempts_at_once_nobody_guesses() -> None:
    """A step that may belong to either hangs below the task."""
    told = Told()
    told(lease())
    told(moved("running"))
    told(attempt(1))
    told(attempt(2))
    (step,) = told(done("look"))
    task, _ = [*told(moved("done"))][-2:]
    assert step.parent == task.span


def test_a_step_that_was_tried_again_is_one_span_over_all_its_tries() -> None:
    told = Told()
    told(lease())
    told(moved("running"))
    (first,) = told(
        events.StepTried(
            run="run-1", branch="", name="pay", nth=0, args="a", kind="retryable", what="503 busy",
            again="", tries={}, duration_ms=200,
        )
    )  # fmt: skip
    (step,) = told(done("pay"), after_s=60)
    assert first.parent == step.span
    assert first.error.startswith("503")
    assert step.start_ns == first.start_ns
    assert step.end_ns - step.start_ns > 60 * 10**9


def test_what_an_owner_left_open_ends_with_its_time() -> None:
    told = Told()
    told(lease())
    told(moved("running"))
    told(attempt())
    tried, task, run = told(moved("failed", code="W101", why="it broke"))
    assert (tried.error, task.error, run.error) == ("it was not ended", "W101 it broke", "W101 it broke")
    told(lease(), epoch=2)
    told(moved("running"), epoch=2)
    *_, again = told(moved("done"), epoch=2)
    assert again.span != run.span, "another owner's time is another span"
    assert again.trace == run.trace


def test_of_a_trace_that_is_left_out_there_is_nothing() -> None:
    told = Told()
    told.weaver = Weaver(lambda run: ("", ""), share=0)
    for event in (lease(), moved("running"), attempt(), done("look"), claimed(), moved("done")):
        assert told(event) == []


def test_what_was_begun_elsewhere_has_no_span_here() -> None:
    """A process that comes in the middle tells of nothing that it has not seen begin."""
    told = Told()
    for event in (moved("running"), done("x"), claimed(), moved("done")):
        assert told(event) == []


@given(st.text(), st.text())
def test_names_are_never_zero_and_follow_from_what_they_name(night: str, run: str) -> None:
    assert naming.trace_of(night, run) == naming.trace_of(night, run)
    assert 0 < naming.trace_of(night, run) < 2**128
    assert 0 < naming.span_of(night, run) < 2**64


def test_a_share_of_the_traces_is_kept_whole() -> None:
    """0 keeps none, 1 all, and a tenth about a tenth."""
    traces = [naming.trace_of(f"night-{number}") for number in range(2_000)]
    assert not any(naming.sampled(one, 0.0) for one in traces)
    assert all(naming.sampled(one, 1.0) for one in traces)
    assert 140 < sum(naming.sampled(one, 0.1) for one in traces) < 260


def test_a_moment_of_the_ledger_is_exact_to_the_microsecond() -> None:
    assert nanoseconds("2026-11-21T04:30:00.123456Z") == 1_795_235_400_123_456_000


class _Collector:
    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.free = threading.Event()
        self.began = threading.Semaphore(0)
        self.whole = True
        self.whole_lines = True

    def spans(self, found: Sequence[Span]) -> bool:
        return self._take(found)

    def lines(self, found: Sequence[Line]) -> bool:
        return self._take([one.text for one in found]) and self.whole_lines

    def _take(self, found: Sequence[Any]) -> bool:
        self.began.release()
        self.free.wait(30)
        self.sent += found
        return self.whole

    def close(self) -> None:
        self.sent.append("closed")


class Nothing:
    """Weaves nothing; every run stands at span 7."""

    def take(self, record: Record) -> Iterable[Span]:
        return ()

    def standing(self, run: str) -> int:
        return 7


class Raising(Nothing):
    def take(self, record: Record) -> Iterable[Span]:
        raise RuntimeError("the ledger is closed")


def a_span(name: str = "x", parent: int = 1, **more: Any) -> Span:
    return Span(name, 1, 2, parent, 10, 20, {"daybreak.run": "r", **more})


def test_whoever_works_never_waits_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is counted; what is held is sent at the end."""
    monkeypatch.setattr(sending, "HELD_MAX", 10)
    collector = _Collector()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    sender.put(Line("first"))
    assert collector.began.acquire(timeout=30), "it hangs in there now"
    for number in range(25):
        sender.put(Line(f"{number}"))
    assert sender.dropped == 15
    collector.free.set()
    sender.close()
    assert collector.sent == ["first", *map(str, range(10)), "closed"]


def test_a_failing_collector_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    collector = _Collector()
    collector.whole = False
    collector.free.set()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    for _ in range(3):
        sender.put(Line("line"))
        assert collector.began.acquire(timeout=30)
    sender.close()
    assert sender.dropped == 3
    assert caplog.text.count("cannot be sent as traces") == 1


def test_a_collector_that_takes_no_log_lines_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Spans go on between the lines that are refused; a warning each time would itself be a line that is refused."""
    collector = _Collector()
    collector.whole_lines = False
    collector.free.set()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    for number in range(6):
        sender.put(a_span() if number % 2 else Line("line"))
        assert collector.began.acquire(timeout=30)
    sender.close()
    assert caplog.text.count("cannot be sent as traces") == 1
    assert sum(isinstance(one, Span) for one in collector.sent) == 3


def test_the_end_does_not_wait_for_a_collector_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it left is counted: what is held, and what is on its way."""
    monkeypatch.setattr(sending, "CLOSE_S", 0.05)
    collector = _Collector()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    sender.put(Line("first"))
    assert collector.began.acquire(timeout=30)
    sender.put(Line("second"), a_span())
    sender.close()
    assert "3 spans and log lines were not sent" in caplog.text
    collector.free.set()
    sender._thread.join(30)
    assert collector.sent == ["first", "closed"]


def test_results_of_any_size_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "HELD_BYTES_MAX", 1_000)
    collector = _Collector()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    sender.put(Line("first"))
    assert collector.began.acquire(timeout=30)
    sender.put(Line("a" * 600), Line("b" * 600), Line("c" * 400))
    assert sender.dropped == 1
    collector.free.set()
    sender.close()
    assert [one[0] for one in collector.sent] == ["f", "a", "c", "c"]


def test_a_record_of_which_no_span_can_be_made_ends_nothing() -> None:
    collector = _Collector()
    collector.free.set()
    sender = Sender(collector, Raising(), pause_s=0.01)
    bad: Any = type("Bad", (), {"payload": b""})()
    sender.put(bad, Line("after"))
    sender.close()
    assert collector.sent == ["after", "closed"]
    assert sender.dropped == 1


def test_what_stands_in_a_run_and_in_no_step_hangs_below_the_run() -> None:
    """A line, and a file that was written: nothing but a night is the root of a trace."""
    kept: list[Line] = []

    class Keeping(_Collector):
        def lines(self, found: Sequence[Line]) -> bool:
            kept.extend(found)
            return True

    collector = Keeping()
    collector.free.set()
    sender = Sender(collector, Nothing(), pause_s=0.01)
    sender.put(Line("a", "n", "r"), Line("b", "n", "r", "k"), Line("c", "n"), a_span(parent=0), a_span(parent=5))
    sender.close()
    assert [one.span for one in kept] == [7, 0, 0]
    assert [one.parent for one in collector.sent if isinstance(one, Span)] == [7, 5]


def test_the_span_that_is_open_for_a_run_is_one_that_will_be_sent() -> None:
    told = Told()
    told(lease())
    before = told.weaver.standing("run-1")
    told(moved("running"))
    within = told.weaver.standing("run-1")
    task, run = told(moved("done"))
    assert (before, within, told.weaver.standing("run-1")) == (run.span, task.span, 0)


def test_runs_that_never_move_here_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process took them over."""
    monkeypatch.setattr(spans, "TENURES_MAX", 10)
    told = Told()
    for number in range(25):
        told(lease(f"run-{number}"))
    assert len(told.weaver._tenures) == 10
    assert told.weaver.standing("run-24")


def test_of_a_sealed_event_no_text_is_sent() -> None:
    """What lies at a collector could not be forgotten."""
    told = Told()
    told(lease())
    told(moved("running"))
    sealed = record(moved("failed", code="W101", why="anna's address"), stamp(told.clock.now()))
    sealed.secret = object()
    found = told.weaver.take(sealed)
    assert len(found) == 2
    assert "anna" not in str(found)
    assert "title of" not in str(found)


HOSTILE = "a\udc80\x00\x1b[2J\u202e</script>"


def test_no_text_spoils_what_is_sent_with_it() -> None:
    """A file's name that is no text, numbers beyond all bounds."""
    told = Told()
    told.weaver = Weaver(lambda run: (HOSTILE, HOSTILE))
    told(lease())
    told(moved("running"))
    found = told(moved("failed", code="W101", why=HOSTILE))
    file = spans.file_write("run-1", "night-1", "", f"/x/{HOSTILE}", 1, 0, 1)
    text = json.dumps({"ts": stamp(told.clock.now()), "event": HOSTILE, HOSTILE: 2**70, "m": [HOSTILE], "f": 1e400})
    with receiver() as received:
        otlp = Otlp(f"{received.address}/v1/traces", {}, "host")
        assert otlp.spans([*found, file])
        assert otlp.lines([Line(text)])
        otlp.close()
    assert len(received.spans) == 3
    assert len(received.lines) == 1


def test_what_the_environment_holds_for_others_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither headers of another collector, nor through a proxy."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=hush-4711")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with receiver() as received:
        otlp = Otlp(received.address, {"X-Key": "k"}, "host")
        assert otlp.spans([a_span()])
        otlp.close()
    (headers,) = received.headers
    assert headers["x-key"] == "k"
    assert "hush-4711" not in str(headers)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_collector_that_sends_elsewhere_is_one_that_took_nothing(status: int) -> None:
    """And its headers go nowhere else."""
    with receiver() as received:
        received.status = status
        otlp = Otlp(received.address, {"x-key": "k"}, "host")
        assert not otlp.spans([a_span()])
        otlp.close()
    assert len(received.headers) == 1


def test_a_line_of_the_log_names_the_span_of_its_step() -> None:
    text = (
        '{"ts": "2026-11-21T04:30:00.000000Z", "level": "warning", "event": "slow", "run": "r", "key": "k", "n": [1]}'
    )
    with receiver() as received:
        otlp = Otlp(received.address, {}, "host")
        assert otlp.lines([Line(text, "", "r", "k"), Line(text, "night-1")])
        otlp.close()
    found, of_night = received.lines
    assert int.from_bytes(of_night.span_id, "big") == naming.span_of("night", "night-1")
    assert found.body.string_value == "slow"
    assert int.from_bytes(found.span_id, "big") == naming.span_of("step", "k")
    assert int.from_bytes(found.trace_id, "big") == naming.trace_of("", "r")
    assert found.severity_text == "warning"
