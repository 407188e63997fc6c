"""Runs that are about somebody. Views show neither their titles nor their arguments: those stand in the log, sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybreak.engine import plain
from daybreak.engine.history import past_forgotten
from daybreak.engine.log import Log
from daybreak.events import QUEUE, TaskAdded
from daybreak.ledger import sealing
from daybreak.ledger.record import Record


@dataclass(frozen=True, slots=True)
class Words:
    """What a task was asked for, as far as it can be read."""

    title: str
    args: Any
    subject: str
    """Whom it is about; empty where that was forgotten, or its key is not here."""
    key: str = ""
    """The name of that key."""


def words_of(log: Log, run: str) -> Words | None:
    """Of a run that is about somebody; None for all others, which is known without reading the log."""
    for place, args in log.query("SELECT place, args FROM view_runs WHERE run = ?", (run,)):
        return read(log, run, place) if sealing.is_secret(plain.decode(args.encode())) else None
    return None


def read(log: Log, run: str, place: int) -> Words:
    """From the log, where the task was added at that position."""
    record = _at(log, place)
    added = record.event
    assert isinstance(added, TaskAdded), f"the view says that event {place} added a task"
    assert added.run == run, f"the view says that event {place} added run {run}"
    key = "" if record.secret is None else record.secret.key
    return Words(added.title, added.args, record.subject or "", key)


def subject_of(log: Log, run: str) -> str | None:
    """Whom what is said to a run is about; None: nobody. Raises PastForgotten where that cannot be known any more."""
    words = words_of(log, run)
    if words is None:
        return None
    if not words.subject:
        raise past_forgotten(run, "what it was asked for")
    return words.subject


def _at(log: Log, place: int) -> Record:
    """The event of the queue's stream with that index: its seq, which nobody has noted, is found by halves."""
    low, high = 0, place
    while low < high:
        middle = (low + high) // 2
        found = next(iter(log.read(QUEUE, after=middle - 1)), None)
        if found is None or found.index >= place:
            high = middle
        else:
            low = middle + 1
    found = next(iter(log.read(QUEUE, after=low - 1)), None)
    assert found is not None, f"the view says that event {place} is in the queue's stream"
    return found
