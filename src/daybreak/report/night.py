"""A night as it stands in the ledger, for the morning: what was done, what needs a person, what it cost.

A night whose supervisor was killed and begun again is one night: the report of the last start tells what all did.
Reads views and nothing else, so it serves a night that died as well as one that ended, in any process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from daybreak.engine import nights, verdicts
from daybreak.engine.log import Log
from daybreak.engine.nights import NightRow
from daybreak.errors import UsageError
from daybreak.events import KEYS, ViewsDrifted
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit
from daybreak.report.shown import shown

ORDER = ("parked", "failed", "leased", "running", "verifying", "paused", "waiting", "queued", "done", "cancelled")
"""States, those first that somebody must look at."""
OPENING = "opening"
"""The actor of what the ledger finds out when it is opened."""
NAMED_MAX = 50
"""Runs of one state that the text names one by one."""

_RUNS = """SELECT run, kind, title, project, state, updated, why, question, code, hint FROM view_runs
  WHERE night IN (SELECT value FROM json_each(?)) ORDER BY place"""
_INCIDENTS = "SELECT incident, kind, level, run, raised, what FROM view_incidents WHERE closed = '' ORDER BY raised"
_BEFORE = "SELECT max(iif(ended = '', began, ended)) FROM view_nights WHERE began < ?"
_BREAKERS = "SELECT name, state, until, why FROM view_circuits WHERE state <> 'closed' ORDER BY name"


class NightUnknown(UsageError):
    """There was no such night."""

    code = "U183"


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run that the night, or a start of it that died, had last."""

    run: str
    kind: str
    title: str
    project: str
    state: str
    since: str
    why: str
    question: str
    code: str
    hint: str
    verdict: str = ""
    """What people said of its result, in a sentence; empty where nobody did."""


@dataclass(frozen=True, slots=True)
class NoteLine:
    """What the night noted."""

    at: str
    what: str
    level: int
    text: str
    run: str


@dataclass(frozen=True, slots=True)
class IncidentLine:
    incident: str
    kind: str
    level: int
    run: str
    raised: str
    what: str


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """A breaker that is not closed."""

    name: str
    state: str
    until: str
    why: str


@dataclass(frozen=True, slots=True)
class NightReport:
    """Moments are texts as in the ledger."""

    night: str
    state: str
    """`ended`, `died`, or `under way`."""
    why: str
    """Why it ended; empty while it has not."""
    text: str
    host: str
    began: str
    until: str
    ended: str
    workers: int
    once: bool
    went_before: str
    starts: Sequence[str]
    """The nights that are told of, the oldest first: those that had died and were gone on with, and this one."""
    first_began: str
    """When the oldest of them began."""
    runs: Sequence[RunLine]
    notes: Sequence[NoteLine]
    incidents: Sequence[IncidentLine]
    """Those that are open now."""
    breakers: Sequence[BreakerLine]
    budget: str
    """Its limit in words; empty without one."""
    used: str
    left: str

    @property
    def counts(self) -> dict[str, int]:
        """How many of its runs are in each state now."""
        found = [run.state for run in self.runs]
        return {state: found.count(state) for state in ORDER if state in found}

    @property
    def next_steps(self) -> list[str]:
        """What a person can do now."""
        steps = [f"daybreak answer {run.run} ANSWER" for run in self.runs if run.state == "parked"]
        steps += [f"daybreak retry {run.run}" for run in self.runs if run.state == "failed"]
        if self.state == "died" or any(run.state in ("paused", "leased", "running") for run in self.runs):
            steps.append("daybreak night goes on with what is left")
        if any(run.state == "done" and not run.verdict for run in self.runs):
            steps.append("daybreak accept --night, or daybreak reject RUN --because ...")
        if self.incidents:
            steps.append("daybreak incidents list --open")
        return steps


def collect(log: Log, night: str | None = None, *, alive: bool = False) -> NightReport:
    """The report of that night (the beginning of its name is enough), or of the newest.

    `alive`: is its supervisor's lock held? Only whoever sees the machine knows. Raises NightUnknown.
    """
    row = pick(log, night)
    starts = nights.starts(log, row.night)[::-1]
    named = [one.night for one in starts]
    used, left = _money(log, row)
    return NightReport(
        night=row.night,
        state="died" if row.why == "died" else "ended" if row.ended else "under way" if alive else "died",
        why=row.why,
        text=row.text,
        host=row.host,
        began=row.began,
        until=row.until,
        ended=row.ended,
        workers=row.workers,
        once=row.once,
        went_before=row.went_before,
        starts=named,
        first_began=starts[0].began,
        runs=sorted(_judged(log, named), key=_urgency),
        notes=[
            *_mended(log, starts[0].began, row.ended),
            *(
                NoteLine(at, one.what, one.level, one.text, one.run)
                for start in starts
                for at, one in nights.notes(log, start)
            ),
        ],
        incidents=open_incidents(log),
        breakers=[BreakerLine(*found) for found in _rows(log, "view_circuits", _BREAKERS)],
        budget=Limit.of(row.budget).words if row.budget else "",
        used=used,
        left=left,
    )


def _judged(log: Log, named: Sequence[str]) -> Iterable[RunLine]:
    """The runs of these nights, with what people said of them."""
    said = verdicts.all_of(log)
    for found in log.query(_RUNS, (json.dumps(named),)):
        verdict = said.get(found[0])
        yield replace(RunLine(*found), verdict=verdict.words if verdict is not None else "")


def _mended(log: Log, began: str, ended: str) -> Iterable[NoteLine]:
    """Views that somebody had defined otherwise since the night before, as the ledger found on its own. (A comparison
    notes what it finds.)"""
    ((before,),) = log.query(_BEFORE, (began,))
    for record in log.read(KEYS):
        event = record.event if record.type == ViewsDrifted.type and record.actor == OPENING else None
        if not isinstance(event, ViewsDrifted) or record.ts < (before or "") or (ended and record.ts > ended):
            continue
        for drift in event.drifts:
            level = 2 if drift.severity == "critical" else 1
            text = f"{drift.severity}: view {drift.view}, {drift.table} was defined otherwise; it was made again"
            yield NoteLine(record.ts, "views", level, text, "")


def open_incidents(log: Log) -> list[IncidentLine]:
    """Those that nobody has closed, the oldest first."""
    return [IncidentLine(*found) for found in _rows(log, "view_incidents", _INCIDENTS)]


def pick(log: Log, night: str | None) -> NightRow:
    """Raises NightUnknown."""
    found = nights.nights(log, 2, named=night or "")
    exact = [row for row in found if row.night == night]
    if night is None and found:
        return found[0]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if night is None:
        raise NightUnknown("there was no night here yet", hint="`daybreak night` begins one")
    what = "several nights are" if found else "no night is"
    raise NightUnknown(f"{what} called {night[:80]!r}", hint="leave the name out for the newest")


def as_json(report: NightReport) -> dict[str, Any]:
    return {**asdict(report), "counts": report.counts, "next_steps": report.next_steps}


def as_text(report: NightReport) -> str:
    """Lines for people, none of which can steer a terminal."""
    lines = [f"Night {report.night}: {_headline(report)}", _span(report)]
    if report.went_before:
        lines.append(f"It went on where night {report.went_before} had died.")
    if len(report.starts) > 1:
        lines.append(f"It was begun {len(report.starts)} times since {_at(report.first_began)}; all that is told here.")
    if report.budget:
        lines.append(f"Budget: {report.used} used of {report.budget}; {report.left} left.")
    lines += _runs(report)
    if report.incidents:
        lines += ["", "Open incidents:"]
        lines += [f"  level {one.level}  {one.kind}  {one.incident}  {one.what}" for one in report.incidents]
    if report.breakers:
        lines += ["", "Breakers that are not closed:"]
        lines += [f"  {one.name}: {one.state} until {_at(one.until)}: {one.why}" for one in report.breakers]
    if report.notes:
        lines += ["", "Noted:"]
        lines += [f"  {_at(one.at)}  {'!' * one.level:2} {one.what}: {one.text}" for one in report.notes]
    if report.next_steps:
        lines += ["", "Next:"]
        lines += [f"  {step}" for step in report.next_steps[:NAMED_MAX]]
    return "\n".join(shown(line.replace("\n", " ")) for line in lines) + "\n"


def _headline(report: NightReport) -> str:
    brought = ", ".join(f"{number} {state}" for state, number in report.counts.items()) or "no runs"
    if report.state == "under way":
        return f"under way; so far {brought}"
    if report.state == "died":
        return f"it died; what it left: {brought}"
    return f"{report.text.partition(':')[0] or report.why}; {brought}"


def _span(report: NightReport) -> str:
    ended = f"ended {_at(report.ended)}" if report.ended and report.state == "ended" else ""
    if report.state == "died":
        ended = f"found dead {_at(report.ended)}" if report.ended else "it ended without a word"
    until = f", was to end {_at(report.until)}" if report.until else ""
    ended = ended or "still at work"
    return f"Began {_at(report.began)} on {report.host} with {report.workers} workers{until}; {ended}."


def _runs(report: NightReport) -> list[str]:
    lines: list[str] = []
    for state in report.counts:
        runs = [run for run in report.runs if run.state == state]
        lines += ["", f"{state} ({len(runs)}):"]
        for run in runs[:NAMED_MAX]:
            what = run.question or (f"{run.code} {run.why}".strip() if state != "done" else "")
            said = f" [{run.verdict}]" if run.verdict else ""
            lines.append(f"  {run.run}  {run.title}{f': {what}' if what else ''}{said}")
        if len(runs) > NAMED_MAX:
            lines.append(f"  and {len(runs) - NAMED_MAX} more")
    return lines


def _money(log: Log, row: NightRow) -> tuple[str, str]:
    if not row.budget:
        return "", ""
    account = nights.account_of(log, row.night)
    accounts = Accounts(log)
    if row.used and row.ended:
        used = Amounts.of(row.used)
    else:
        used = accounts.used(account)
    left = accounts.left(account) if accounts.limit(account) is not None else Limit.of(row.budget)
    return used.words, left.words


def _urgency(run: RunLine) -> int:
    return ORDER.index(run.state)


def _rows(log: Log, table: str, sql: str) -> Iterable[tuple[Any, ...]]:
    """Nothing where the ledger was opened without that view."""
    if not log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)):
        return []
    return log.query(sql)


def _at(moment: str) -> str:
    """To the second, in this machine's time."""
    if not moment:
        return "a word"
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
