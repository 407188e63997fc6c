"""Events as lines for people: what happened last, here or in one run, each with its place in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from daybreak import events
from daybreak.clock import SystemClock
from daybreak.ledger import Record
from daybreak.report.progress import Progress
from daybreak.web.pages import withheld
from daybreak.web.pages.withheld import Sees

LOOKED_AT = 120
"""Newest events that are looked at for lines."""
WITHHELD = "a held-out example"


class Log(Protocol):
    def read_all(self, *, after: int = -1) -> Iterator[Record]: ...
    def query(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Line:
    index: int
    at: str
    run: str
    text: str
    state: str
    """Of a state, an outcome or a verdict, where the line is about one."""


def newest(log: Log, most: int, *, held_out: bool, words: bool) -> list[Line]:
    """The newest first. `held_out`: what was seen of held-out examples, too; `words`: what workers claim."""
    ((last,),) = log.query("SELECT max(leaf) FROM event")
    if last is None:
        return []
    found = lines(log.read_all(after=max(-1, last - LOOKED_AT)), held_out=held_out, words=words)
    return found[-most:][::-1]


def lines(records: Iterable[Record], *, held_out: bool, words: bool) -> list[Line]:
    """One for each event that has something to tell, in their order."""
    found = []
    for record in records:
        event = record.event
        if isinstance(event, events.AttemptClaimed) and not words:
            told: tuple[str, str] | None = (f"attempt {event.attempt}: {event.worker} claims {event.outcome}", "")
        else:
            told = _told(record, held_out=held_out)
        if told is not None:
            text, state = without_examples(told[0], held_out=held_out), told[1]
            run = getattr(record.event, "run", "") or ""
            found.append(Line(record.index, record.ts, str(run), text, state))
    return found


def without_examples(text: str, *, held_out: bool) -> str:
    """A text of a gate without what it says of examples, some of which nobody but who may see them should read."""
    return str(withheld.fields(events.GateDecided.type, {"text": text}, Sees(words=True, examples=held_out))["text"])


def _told(record: Record, *, held_out: bool) -> tuple[str, str] | None:
    event = record.event
    match event:
        case events.TaskAdded():
            return f"added: {event.title}", "queued"
        case events.LeaseGranted():
            return f"taken up on {event.host}", "leased"
        case events.RunMoved(new="queued" | "leased"):
            return None
        case events.RunMoved():
            why = event.question or event.why
            return (f"{event.new}: {why}" if why else event.new), event.new
        case events.StepDone():
            return f"step {event.name} is done", "done"
        case events.StepFailed():
            return f"step {event.name} failed: {event.message}", "failed"
        case events.StepTried():
            return f"step {event.name} is tried again: {event.what}", "waiting"
        case events.CheckLooked():
            return _looked(event, held_out=held_out)
        case events.GateDecided():
            return _plain(event), event.verdict
        case _:
            return _other(record)


def _looked(event: events.CheckLooked, *, held_out: bool) -> tuple[str, str]:
    outcome = str(event.evidence.get("outcome", ""))
    if event.held_out and not held_out:
        return f"check {WITHHELD}: {outcome}", outcome
    return f"check {event.evidence.get('check', '')}: {event.evidence.get('summary', '')}", outcome


def _other(record: Record) -> tuple[str, str] | None:
    event = record.event
    match event:
        case events.Answered():
            return "a person answered the question", "done"
        case events.CancelAsked():
            return "a person wants it cancelled", "cancelled"
        case events.PauseAsked():
            return "a person paused it", "paused"
        case events.ResumeAsked():
            return "a person lets it go on", "running"
        case events.ResultAccepted():
            return f"{record.actor or 'somebody'} accepted the result", "accepted"
        case events.ResultRejected():
            return f"{record.actor or 'somebody'} rejected the result: {event.because}", "rejected"
        case events.ResultUndone():
            return f"{record.actor or 'somebody'} took back what it delivered", "cancelled"
        case events.NightBegan():
            return f"a night began with {event.workers} workers", "running"
        case events.NightEnded():
            return f"the night ended: {event.text or event.why}", "done"
        case events.NightNoted():
            return f"{event.what}: {event.text}", "failed" if event.level > 1 else ""
        case events.IncidentRaised():
            return f"incident of level {event.level}: {event.kind.replace('_', ' ')}: {event.what}", "failed"
        case events.BreakerChanged():
            return f"breaker {event.name} is {event.state.replace('_', ' ')}", event.state
        case events.QueuePaused():
            return f"paused: {f'project {event.project}' if event.project else 'the queue'}", "paused"
        case events.QueueResumed():
            return f"goes on: {f'project {event.project}' if event.project else 'the queue'}", "running"
        case _:
            text = _plain(event)
            return None if not text else (text, "")


def _plain(event: events.Event) -> str:
    """As the progress of a run tells it, on one line."""
    return " ".join((Progress(SystemClock()).take(event) or "").split())
