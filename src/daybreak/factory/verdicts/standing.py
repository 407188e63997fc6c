"""How a run stands before anybody judges it: is it over, what verified it, and where the ledger says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daybreak import events
from daybreak.engine.log import Log
from daybreak.errors import UnknownRun, UsageError
from daybreak.ledger.record import Record

OUTCOME = "outcome"
"""The step of a merge that says what became of every branch."""


class NotFinished(UsageError):
    """The run is not over, so there is no result to judge."""

    code = "U271"


class NotVerified(UsageError):
    """Nothing verified the result: it is merely claimed."""

    code = "U272"


class TakenBack(UsageError):
    """The result was undone, so there is none to accept."""

    code = "U275"


@dataclass(frozen=True)
class Standing:
    """One run, as its own stream tells it."""

    run: str
    kind: str
    title: str
    state: str
    records: tuple[Record, ...]
    """Of its own stream, in order."""
    about: Record
    """The gate's last decision; without one, the last event of the run."""
    unverified: str
    """Why it is not verified; empty where it is."""

    @property
    def place(self) -> str:
        return f"{self.about.stream}#{self.about.seq}"

    @property
    def over(self) -> bool:
        return self.state in events.FINAL


def look(log: Log, run: str) -> Standing:
    """Raises UnknownRun."""
    rows = log.query("SELECT kind, title, state FROM view_runs WHERE run = ?", (run,))
    if not rows:
        raise UnknownRun(f"there is no run {ascii(run)[:80]}", hint="`daybreak runs` lists them")
    kind, title, state = rows[0]
    records = tuple(log.read(events.run_stream(run)))
    gates = [record for record in records if isinstance(record.event, events.GateDecided)]
    about = gates[-1] if gates else records[-1]
    return Standing(run, kind, title, state, records, about, _unverified(state, records, gates))


def finished(log: Log, run: str) -> Standing:
    """The same, of one that is over. Raises UnknownRun, NotFinished."""
    found = look(log, run)
    if not found.over:
        raise NotFinished(
            f"run {run} is {found.state}: there is no result yet",
            hint=f"`daybreak resume {run}` goes on with it, `daybreak cancel {run}` ends it",
        )
    return found


def _unverified(state: str, records: tuple[Record, ...], gates: list[Record]) -> str:
    if state != "done":
        return f"it is {state}"
    outcome = _last_step(records, OUTCOME)
    if isinstance(outcome, dict) and "left_out" in outcome:  # of a merge, whose last gate says nothing of the others
        left = [str(one.get("branch", "")) for one in outcome["left_out"]]
        return f"{', '.join(left)[:200]} was left out" if left else ""
    if not gates:
        return "no gate has decided: it is merely claimed"
    decided = gates[-1].event
    assert isinstance(decided, events.GateDecided)
    return "" if decided.verdict == "passed" else f"its gate says {decided.verdict}"


def _last_step(records: tuple[Record, ...], name: str) -> Any:
    results = [one.event.result for one in records if isinstance(one.event, events.StepDone) and one.event.name == name]
    return results[-1] if results else None


def since_delivery(log: Log, found: Standing) -> list[events.Event]:
    """What people said after the last delivery: a run that goes on later may deliver again."""
    last = max((one.index for one in found.records if isinstance(one.event, events.Delivered)), default=-1)
    return [one.event for one in log.read(events.control_stream(found.run)) if one.index > last]


def taken_back(log: Log, found: Standing) -> events.ResultUndone | None:
    """What was said when it was undone; None where it is not."""
    return next((one for one in since_delivery(log, found) if isinstance(one, events.ResultUndone)), None)


def task_of(log: Log, run: str) -> events.TaskAdded:
    """What was asked of it. Raises UnknownRun."""
    for record in log.read(events.QUEUE):
        if isinstance(record.event, events.TaskAdded) and record.event.run == run:
            return record.event
    raise UnknownRun(f"there is no run {ascii(run)[:80]}", hint="`daybreak runs` lists them")
