"""Makes spans of events. Pure: the same records give the same spans, whoever feeds them.

A span is handed out when what it tells of has ended. What is under way when this process ends has no span; the process
that goes on with it begins a new one, because a run that was taken over is two owners' work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from daybreak import events
from daybreak.engine.history import Identity
from daybreak.engine.step import key_of
from daybreak.engine.view import UNDER_WAY
from daybreak.ledger.record import Record
from daybreak.policy.redaction import redact
from daybreak.report.traces.naming import sampled, span_of, trace_of

TEXT_MAX = 200
"""Characters of one text in a span."""
TENURES_MAX = 10_000
"""Runs that are watched at a time. One that another process took over never moves here again."""

HEARD = frozenset(
    kind.type
    for kind in (
        events.NightBegan,
        events.NightEnded,
        events.LeaseGranted,
        events.RunMoved,
        events.AttemptBegan,
        events.AttemptClaimed,
        events.ModelCalled,
        events.StepIntended,
        events.StepTried,
        events.StepDone,
        events.StepFailed,
    )
)
"""Types of events that a weaver wants to see; others are not worth being decoded."""

_STEPS = HEARD & {events.StepDone.type, events.StepFailed.type, events.StepTried.type, events.StepIntended.type}
_RUN = len(events.run_stream(""))

Attributes = dict[str, str | int | float]
Known = Callable[[str], tuple[str, str]]
"""Of a run: its kind and its title."""
Words = Callable[[str], str]
"""What is sent of a text."""


@dataclass(frozen=True, slots=True)
class Span:
    """Moments in nanoseconds since 1970, by the clock of the ledger."""

    name: str
    trace: int
    span: int
    parent: int
    """0 for the root of a trace."""
    start_ns: int
    end_ns: int
    attributes: Attributes
    error: str = ""
    """What went wrong; empty where nothing did."""
    client: bool = False
    """It is a call to somebody outside."""


@dataclass(frozen=True, slots=True)
class Line:
    """A log line as `daybreak.logs` makes it, and where it was written."""

    text: str
    night: str = ""
    run: str = ""
    key: str = ""
    """Of the step."""
    span: int = 0
    """The span that it belongs to; 0: none is known."""


@dataclass(slots=True)
class _Tenure:
    """One owner's time with a run."""

    night: str
    epoch: int
    began_ns: int
    running_ns: int | None = None
    attempts: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Attempt → its begin and its worker, while it is under way."""
    ended: dict[int, int] = field(default_factory=dict)
    """Attempts that are over, the newest last → when each began."""
    tried: dict[str, int] = field(default_factory=dict)
    """Key of a step that is tried again → the begin of its first try."""
    intents: dict[str, int] = field(default_factory=dict)
    """Key of a `once` step that is acting → since when."""


class Weaver:
    """Feed it every record that this process commits, in order."""

    def __init__(self, known: Known, share: float = 1.0) -> None:
        """share: of the traces, 0 to 1; of the others there are no spans."""
        self._known = known
        self._share = share
        self._nights: dict[str, int] = {}
        self._tenures: dict[str, _Tenure] = {}

    def take(self, record: Record) -> list[Span]:
        """The spans that have ended with this record."""
        if record.type not in HEARD or (record.type in _STEPS and record.stream[_RUN:] not in self._tenures):
            return []
        return list(self._spans(record))

    def standing(self, run: str) -> int:
        """The span that is open for the run; 0 where there is none."""
        tenure = self._tenures.get(run)
        if tenure is None:
            return 0
        return _run(run, tenure) if tenure.running_ns is None else _task(run, tenure)

    def _spans(self, record: Record) -> Iterator[Span]:
        at = nanoseconds(record.ts)
        words = _text if record.secret is None else _left_out
        match record.event:
            case events.NightBegan() as began if sampled(trace_of(began.night), self._share):
                self._nights[began.night] = at
            case events.NightEnded() as ended:
                yield from self._night(ended, at)
            case events.LeaseGranted() as lease if sampled(trace_of(lease.night, lease.run), self._share):
                self._tenures[lease.run] = _Tenure(lease.night, record.epoch or 0, at)
                if len(self._tenures) > TENURES_MAX:
                    del self._tenures[next(iter(self._tenures))]
            case events.RunMoved() as moved:
                yield from self._moved(moved, at, words)
            case events.AttemptBegan() as began:
                if tenure := self._tenures.get(began.run):
                    tenure.attempts[began.attempt] = (at, began.worker)
            case events.AttemptClaimed() as claimed:
                yield from self._attempt(claimed.run, claimed.attempt, at, claimed.outcome, claimed.trouble)
            case events.ModelCalled() as called:
                yield from self._model(called, at)
            case events.StepIntended() as intended:
                if tenure := self._tenures.get(intended.run):
                    tenure.intents[_key(intended)] = at
            case events.StepTried() as tried:
                yield from self._tried(tried, at, words)
            case events.StepDone() | events.StepFailed() as outcome:
                yield from self._step(outcome, at, words)

    def _night(self, ended: events.NightEnded, at: int) -> Iterator[Span]:
        began = self._nights.pop(ended.night, None)
        if began is not None:
            told: Attributes = {"daybreak.night": ended.night, "daybreak.why": ended.why}
            yield Span("night", trace_of(ended.night), span_of("night", ended.night), 0, began, at, told)

    def _moved(self, moved: events.RunMoved, at: int, words: Words) -> Iterator[Span]:
        tenure = self._tenures.get(moved.run)
        if tenure is None:
            return
        if moved.new == "running" and tenure.running_ns is None:
            tenure.running_ns = at
        if moved.new in UNDER_WAY:
            return
        for number in list(tenure.attempts):
            yield from self._attempt(moved.run, number, at, "", "it was not ended")
        del self._tenures[moved.run]
        kind, title = self._known(moved.run)
        told = {**_about(moved.run, tenure.night), "daybreak.state": moved.new}
        error = f"{moved.code} {words(moved.why)}".strip() if moved.new == "failed" else ""
        trace, run = trace_of(tenure.night, moved.run), _run(moved.run, tenure)
        if tenure.running_ns is not None:
            more: Attributes = {**told, "daybreak.kind": kind}
            yield Span(f"task {kind}", trace, _task(moved.run, tenure), run, tenure.running_ns, at, more, error)
        above = span_of("night", tenure.night) if tenure.night else 0
        named: Attributes = {**told, "daybreak.kind": kind, "daybreak.title": words(title)}
        yield Span("run", trace, run, above, tenure.began_ns, at, named, error)

    def _attempt(self, run: str, number: int, at: int, outcome: str, trouble: str) -> Iterator[Span]:
        tenure = self._tenures.get(run)
        if tenure is None or number not in tenure.attempts:
            return
        began, worker = tenure.attempts.pop(number)
        tenure.ended[number] = began
        told = {
            **_about(run, tenure.night),
            "daybreak.attempt": number,
            "daybreak.worker": _text(worker),
            "daybreak.claim": outcome,
        }
        trace, span = trace_of(tenure.night, run), _attempted(run, tenure, number)
        yield Span(f"attempt {number}", trace, span, _task(run, tenure), began, at, told, _text(trouble))

    def _model(self, called: events.ModelCalled, at: int) -> Iterator[Span]:
        tenure = self._tenures.get(called.run)
        if tenure is None:
            return
        above = _task(called.run, tenure)
        if called.attempt in tenure.attempts or called.attempt in tenure.ended:
            above = _attempted(called.run, tenure, called.attempt)
        told: Attributes = {
            **_about(called.run, tenure.night),
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _text(called.provider),
            "gen_ai.request.model": _text(called.model),
            "gen_ai.usage.input_tokens": called.input_tokens,
            "gen_ai.usage.output_tokens": called.output_tokens,
            "http.response.status_code": called.status,
            "daybreak.money_microusd": called.money_microusd,
        }
        span = span_of("model", called.run, called.attempt, at, called.model)
        began = at - called.duration_ms * 1_000_000
        name = f"effect chat {_text(called.model)}"
        trace = trace_of(tenure.night, called.run)
        yield Span(name, trace, span, above, began, at, told, _text(called.trouble), client=True)

    def _tried(self, tried: events.StepTried, at: int, words: Words) -> Iterator[Span]:
        tenure = self._tenures.get(tried.run)
        if tenure is None:
            return
        key, began = _key(tried), at - tried.duration_ms * 1_000_000
        tenure.tried.setdefault(key, began)
        tenure.intents.pop(key, None)
        told = {**_about(tried.run, tenure.night), "daybreak.failure": tried.kind}
        span, trace = span_of("try", key, at), trace_of(tenure.night, tried.run)
        yield Span(f"try {_text(tried.name)}", trace, span, span_of("step", key), began, at, told, words(tried.what))

    def _step(self, outcome: events.StepDone | events.StepFailed, at: int, words: Words) -> Iterator[Span]:
        tenure = self._tenures.get(outcome.run)
        if tenure is None:
            return
        key = _key(outcome)
        began = tenure.tried.pop(key, at - outcome.duration_ms * 1_000_000)
        told: Attributes = {
            **_about(outcome.run, tenure.night),
            "daybreak.step": _text(outcome.name),
            "daybreak.key": key,
        }
        error = f"{outcome.code} {words(outcome.message)}" if isinstance(outcome, events.StepFailed) else ""
        trace, span = trace_of(tenure.night, outcome.run), span_of("step", key)
        if (acted := tenure.intents.pop(key, None)) is not None:
            effect = span_of("effect", key)
            yield Span(f"effect {_text(outcome.name)}", trace, effect, span, acted, at, told, error, client=True)
        above = _within(outcome.run, tenure, began, at)
        yield Span(f"step {_text(outcome.name)}", trace, span, above, began, at, told, error)


def file_write(run: str, night: str, key: str, path: str, changes: int, start_ns: int, end_ns: int) -> Span:
    """A file transaction that was committed in a run. Outside of a step its parent is left open."""
    told: Attributes = {**_about(run, night), "file.path": _text(path), "daybreak.changes": changes}
    span = span_of("file", key, path, end_ns)
    above = span_of("step", key) if key else 0
    return Span("file write", trace_of(night, run), span, above, start_ns, end_ns, told)


def nanoseconds(ts: str) -> int:
    """Of a moment as the ledger writes it."""
    moment = datetime.fromisoformat(ts)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def _within(run: str, tenure: _Tenure, began: int, at: int) -> int:
    """The one attempt that a step lies in; the task, where there is none or it may be any of several."""
    open_ones = [number for number, (since, _) in tenure.attempts.items() if since <= began]
    if len(open_ones) == 1 and len(tenure.attempts) == 1:
        return _attempted(run, tenure, open_ones[0])
    return _task(run, tenure)


def _key(event: events.StepDone | events.StepFailed | events.StepTried | events.StepIntended) -> str:
    return key_of(event.run, Identity(event.branch, event.name, event.nth, event.args))


def _run(run: str, tenure: _Tenure) -> int:
    return span_of("run", run, tenure.epoch)


def _task(run: str, tenure: _Tenure) -> int:
    return span_of("task", run, tenure.epoch)


def _attempted(run: str, tenure: _Tenure, number: int) -> int:
    return span_of("attempt", run, tenure.epoch, number)


def _about(run: str, night: str) -> Attributes:
    """The correlation ids, by which log lines, events and spans find each other."""
    return {"daybreak.run": run, **({"daybreak.night": night} if night else {})}


def _left_out(_: str) -> str:
    """Of a sealed event: what was sent elsewhere could not be forgotten."""
    return "(sealed)"


def _text(text: str) -> str:
    clean = redact(text).text
    return clean if len(clean) <= TEXT_MAX else f"{clean[:TEXT_MAX]}…"
