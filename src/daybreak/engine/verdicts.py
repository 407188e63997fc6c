"""The view `verdicts`: what people say of what runs brought, one row for each run that somebody said anything of.

The newest word counts: who accepted may reject later, and the other way round. That a result was undone stands beside
it, since that says nothing of its worth. Derived, never the truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from daybreak.events import ResultAccepted, ResultRejected, ResultUndoing, ResultUndone
from daybreak.ledger.record import Record
from daybreak.ledger.views import Statement, View

_SCHEMA = """
CREATE TABLE view_verdicts (
  run        TEXT PRIMARY KEY,
  verdict    TEXT NOT NULL,
  who        TEXT NOT NULL,
  at         TEXT NOT NULL,
  why        TEXT NOT NULL,
  unverified TEXT NOT NULL,
  about      TEXT NOT NULL,
  lesson     TEXT NOT NULL,
  task       TEXT NOT NULL,
  undone     TEXT NOT NULL,
  undone_by  TEXT NOT NULL,
  undone_at  TEXT NOT NULL,
  remains    TEXT NOT NULL
) STRICT;
CREATE INDEX view_verdicts_task ON view_verdicts (task) WHERE task > '';
"""

_SAID = """INSERT INTO view_verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', '', '[]')
  ON CONFLICT (run) DO UPDATE SET
  verdict = excluded.verdict, who = excluded.who, at = excluded.at, why = excluded.why,
  unverified = excluded.unverified, about = excluded.about, lesson = excluded.lesson, task = excluded.task"""
_UNDO = """INSERT INTO view_verdicts VALUES (?, '', '', '', '', '', '', '', '', ?, ?, ?, ?)
  ON CONFLICT (run) DO UPDATE SET
  undone = excluded.undone, undone_by = excluded.undone_by, undone_at = excluded.undone_at,
  remains = excluded.remains"""


def _apply(record: Record) -> Iterable[Statement]:
    who, at = record.actor, record.ts
    match record.event:
        case ResultAccepted() as one:
            yield Statement(_SAID, (one.run, "accepted", who, at, one.note, one.unverified, one.about, "", ""))
        case ResultRejected() as one:
            yield Statement(_SAID, (one.run, "rejected", who, at, one.because, "", one.about, one.lesson, one.task))
        case ResultUndoing() as one:
            yield Statement(_UNDO, (one.run, "begun", who, at, "[]"))
        case ResultUndone() as one:
            yield Statement(_UNDO, (one.run, "undone", who, at, json.dumps(one.remains, ensure_ascii=False)))
        case _:
            pass


VERDICTS = View(
    name="verdicts",
    version=1,
    schema=_SCHEMA,
    apply=_apply,
    of=(ResultAccepted, ResultRejected, ResultUndoing, ResultUndone),
)
"""Register it where the ledger is opened."""


class Asked(Protocol):
    """Whatever answers questions about the views."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people said of one run's result. Moments are texts as in the ledger; empty where nobody did."""

    run: str
    verdict: str
    """`accepted`, `rejected`, or empty."""
    who: str
    at: str
    why: str
    """The reason of a rejection, the note of an acceptance."""
    unverified: str
    """Why nothing had verified what was accepted."""
    about: str
    """The event that it was said of, as `run:ID#7`."""
    lesson: str
    task: str
    """The run that does it again."""
    undone: str
    """`begun` (what it delivered is being taken back), `undone`, or empty."""
    undone_by: str
    undone_at: str
    remains: tuple[str, ...]
    """What could not be taken back."""

    @property
    def word(self) -> str:
        """For a column: `accepted`, `rejected`, `undone`, `rejected, undone`, or empty."""
        undone = {"begun": "undo begun", "undone": "undone"}.get(self.undone, "")
        return ", ".join(filter(None, (self.verdict, undone)))

    @property
    def words(self) -> str:
        """In a sentence: what, who, and why; empty where there is nothing."""
        said = []
        if self.verdict:
            why = f": {self.why}" if self.why else ""
            unverified = f" although unverified ({self.unverified})" if self.unverified else ""
            again = f" (again as {self.task})" if self.task else ""
            said.append(f"{self.verdict}{unverified} by {self.who or 'somebody'}{why}{again}")
        if self.undone:
            what = "undone" if self.undone == "undone" else "being undone"
            left = f"; not undone: {'; '.join(self.remains)}" if self.remains else ""
            said.append(f"{what} by {self.undone_by or 'somebody'}{left}")
        return "; ".join(said)


_COLUMNS = "run, verdict, who, at, why, unverified, about, lesson, task, undone, undone_by, undone_at, remains"


def of(log: Asked, run: str) -> Verdict | None:
    """None where nobody said anything."""
    found = log.query(f"SELECT {_COLUMNS} FROM view_verdicts WHERE run = ?", (run,))
    return _verdict(found[0]) if found else None


def all_of(log: Asked) -> dict[str, Verdict]:
    """By run. Nothing where the ledger was opened without the view."""
    if not log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_verdicts'"):
        return {}
    return {row[0]: _verdict(row) for row in log.query(f"SELECT {_COLUMNS} FROM view_verdicts")}


def rejected_before(log: Asked, run: str) -> Verdict | None:
    """The rejection that `run` was added for."""
    found = log.query(f"SELECT {_COLUMNS} FROM view_verdicts WHERE task = ? AND task > ''", (run,))
    return _verdict(found[0]) if found else None


def _verdict(row: Sequence[Any]) -> Verdict:
    told = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Verdict(**{**told, "remains": tuple(json.loads(told["remains"]))})
