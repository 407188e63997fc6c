"""One run from its events, for its page: bounded however long its stream is, and without what the asker may not see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from daybreak import events
from daybreak.home.opening import Home
from daybreak.ledger import Record
from daybreak.report import run as reporting
from daybreak.report.run import Line, RunReport, Use
from daybreak.web.pages.happened import without_examples

FIRST, LAST = 300, 1_700
"""Events of a long stream that are read: its begin, with the plan, and its end."""
POLICY_MAX = 20_000
"""Events of the stream `policy` that are looked through for one run."""
STEPS_MAX = 60
HIDDEN = "a held-out example"
_RUN = """SELECT place, kind, title, state, created, updated, project, priority, held, cancel, host, night, args
  FROM view_runs WHERE run = ?"""


class Row(NamedTuple):
    place: int
    kind: str
    title: str
    state: str
    created: str
    updated: str
    project: str
    priority: int
    held: int
    cancel: int
    host: str
    night: str
    args: str


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    branch: str
    state: str
    at: str
    duration_ms: int
    index: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    attempt: int
    worker: str
    blob: str
    index: int


@dataclass
class Story:
    row: Row
    report: RunReport
    records: list[Record]
    skipped: int
    """Events in the middle that were not read."""
    places: Mapping[str, int]
    """Positions in the ledger, by `stream#seq`."""
    steps: list[Step] = field(default_factory=list)
    steps_left_out: int = 0
    patches: list[Patch] = field(default_factory=list)


def row_of(home: Home, run: str) -> Row | None:
    found = home.ledger.query(_RUN, (run,))
    return Row(*found[0]) if found else None


def told(home: Home, run: str, row: Row, *, held_out: bool, words: bool) -> Story:
    """Everything that the page says of it. `words`: what workers say of themselves, too."""
    records, skipped = _records(home, run, row)
    story = Story(
        row, reporting.collect(records), records, skipped, {f"{one.stream}#{one.seq}": one.index for one in records}
    )
    steps = [step for one in records if (step := _step(one)) is not None]
    story.steps, story.steps_left_out = steps[-STEPS_MAX:], max(0, len(steps) - STEPS_MAX)
    story.patches = patches(records)
    report = story.report
    report.models.update(_models(home, run, records))
    for line in (*report.checks, *report.gates):
        _withhold(line, held_out=held_out)
    if not words:
        for line in report.attempts:
            line.summary, line.marks = "", []
    report.why = without_examples(report.why, held_out=held_out)
    return story


def _withhold(line: Line, *, held_out: bool) -> None:
    if held_out:
        return
    if line.held_out:
        line.what, line.summary, line.output, line.command, line.marks = HIDDEN, "", "", "", []
    line.summary = without_examples(line.summary, held_out=False)
    line.marks = [without_examples(mark, held_out=False) for mark in line.marks]


def _records(home: Home, run: str, row: Row) -> tuple[list[Record], int]:
    ledger, stream = home.ledger, events.run_stream(run)
    ((last,),) = ledger.query("SELECT ifnull(max(seq), -1) FROM event WHERE stream = ?", (stream,))
    found = ledger.at([row.place])
    skipped = max(0, last + 1 - FIRST - LAST)
    if skipped:
        found += _few(ledger.read(stream), FIRST)
        found += ledger.read(stream, after=last - LAST)
    else:
        found += ledger.read(stream)
    found += _few(ledger.read(events.control_stream(run)), LAST)
    found += _incidents(home, run)
    return found, skipped


def _few(records: Iterator[Record], most: int) -> list[Record]:
    return [record for _, record in zip(range(most), records, strict=False)]


def _of_policy(home: Home, run: str, first: int, kind: str) -> list[tuple[int, bytes]]:
    """Payloads of events of that type about the run, from those that came after it began."""
    sql = """SELECT leaf, payload FROM (SELECT leaf, header, payload FROM event WHERE stream = 'policy' AND seq >
        (SELECT ifnull(max(seq), 0) - ? FROM event WHERE stream = 'policy'))
      WHERE leaf > ? AND payload IS NOT NULL AND instr(header, ?) AND instr(payload, ?)"""
    return [
        (int(leaf), bytes(payload))
        for leaf, payload in home.ledger.query(
            sql, (POLICY_MAX, first, f'"type":"{kind}"'.encode(), f'"{run}"'.encode())
        )
    ]


def _models(home: Home, run: str, records: list[Record]) -> dict[str, Use]:
    used: dict[str, Use] = {}
    decoder = msgspec.json.Decoder(events.ModelCalled)
    for _, payload in _of_policy(home, run, records[0].index, events.ModelCalled.type):
        try:
            call = decoder.decode(payload)
        except msgspec.MsgspecError:
            continue  # sealed: nobody reads it without its key
        if call.run == run:
            name = f"{call.provider}/{call.model}"
            used[name] = used.get(name, Use()).plus(call)
    return used


def _incidents(home: Home, run: str) -> list[Record]:
    if not home.ledger.query("SELECT 1 FROM view_incidents WHERE run = ? LIMIT 1", (run,)):
        return []
    ((first,),) = home.ledger.query("SELECT place FROM view_runs WHERE run = ?", (run,))
    return home.ledger.at([leaf for leaf, _ in _of_policy(home, run, first, events.IncidentRaised.type)][-50:])


def _step(record: Record) -> Step | None:
    match record.event:
        case events.StepDone() as one:
            return Step(one.name, one.branch, "done", record.ts, one.duration_ms, record.index)
        case events.StepFailed() as one:
            return Step(one.name, one.branch, "failed", record.ts, one.duration_ms, record.index, one.message)
        case events.StepTried() as one:
            return Step(one.name, one.branch, "waiting", record.ts, one.duration_ms, record.index, one.what)
        case _:
            return None


def patches(records: list[Record]) -> list[Patch]:
    """What attempts changed, as it is kept: of tasks on repositories."""
    found: list[Patch] = []
    for record in records:
        event = record.event
        if isinstance(event, events.StepDone) and isinstance(event.result, dict):
            left: Any = event.result.get("left")
            blob = left.get("patch") if isinstance(left, dict) else None
            if isinstance(blob, str) and len(blob) == 64:
                found.append(Patch(len(found) + 1, str(event.result.get("worker", "")), blob, record.index))
    return found
