"""What people said of a result, a line of a report for each word."""

from __future__ import annotations

from typing import Any

from daybreak import events


def line(event: events.Event, who: str, when: str) -> dict[str, Any] | None:
    """Fields of `report.run.Line`; None for an event that is no such word."""
    who = who or "somebody"
    match event:
        case events.ResultAccepted():
            unverified = [f"nothing had verified it: {event.unverified}"] if event.unverified else []
            return _line("accepted", who, when, event.note, [*unverified, f"about {event.about}"])
        case events.ResultRejected():
            lesson = [f"lesson {event.lesson}"] if event.lesson else []
            again = [f"again as {event.task}"] if event.task else []
            alone = [event.alone] if event.alone else []
            return _line("rejected", who, when, event.because, [*lesson, *again, *alone, f"about {event.about}"])
        case events.ResultUndoing():
            told = "; ".join(str(one.get("what", "")) for one in event.effects)
            return _line("undo begun", who, when, told, [])
        case events.ResultUndone():
            marks = [_part(one) for one in event.effects]
            return _line("undone", who, when, "", [*marks, *(f"not undone: {one}" for one in event.remains)])
    return None


def _line(outcome: str, who: str, when: str, summary: str, marks: list[str]) -> dict[str, Any]:
    return {"what": f"{who}, {when[:10]} {when[11:19]}Z", "outcome": outcome, "summary": summary, "marks": marks}


def _part(told: dict[str, Any]) -> str:
    kept = f"; kept as {told['kept']}" if told.get("kept") else ""
    return f"{told.get('what', '')}: {told.get('done', '')}{kept}"
