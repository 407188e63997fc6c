"""What happened, one line for each thing that a person wants to hear of while runs are under way, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from daybreak import events
from daybreak.events import State
from daybreak.ledger.record import Record
from daybreak.report.shown import shown

_TOLD: frozenset[State] = frozenset({"done", "failed", "parked", "paused", "waiting", "cancelled"})
LINE_CHARS_MAX = 2_000
"""A longer line is cut, and says so."""


class Happened(NamedTuple):
    ts: str
    word: str
    """What it is, in one word: done, failed, incident …"""
    text: str


def happened(record: Record, title: Callable[[str], str]) -> Happened | None:
    """None where there is nothing to tell. `title`: of a run, by its name."""
    found = _told(record, title)
    return None if found is None else Happened(record.ts, *found)


def _told(record: Record, title: Callable[[str], str]) -> tuple[str, str] | None:
    match record.event:
        case events.RunMoved() as moved if moved.new in _TOLD:
            why = moved.question or moved.why
            until = f" until {moved.until}" if moved.until else ""
            return moved.new, f"{moved.run}  {title(moved.run)}{until}{f': {why}' if why else ''}"
        case events.NightBegan() as began:
            return "began", f"night {began.night} with {began.workers} workers"
        case events.NightNoted() as noted:
            return noted.what, noted.text
        case events.NightEnded() as ended:
            return ended.why, f"night {ended.night}: {ended.text}"
        case events.WindowSkipped() as skipped:
            return "skipped", f"{skipped.schedule}, window {skipped.window}: {skipped.why}"
        case events.IncidentRaised() as raised:
            return "incident", f"level {raised.level} {raised.kind}: {raised.what}"
        case events.BreakerChanged(state="open") as changed:
            return "breaker", f"{changed.name} is open until {changed.until}: {changed.why}"
        case _:
            return None


def line(told: Happened) -> str:
    """`04:30:00            done  run-…  title`, by the clock on the wall; harmless on a terminal."""
    at = datetime.fromisoformat(told.ts).astimezone().strftime("%H:%M:%S")
    return short(f"{at}  {told.word:>14}  {told.text}")


def short(text: str) -> str:
    """One line, cut where it is very long."""
    cut = text if len(text) <= LINE_CHARS_MAX else f"{text[:LINE_CHARS_MAX]}… ({len(text):,} characters)"
    return shown(cut.replace("\n", " "))
