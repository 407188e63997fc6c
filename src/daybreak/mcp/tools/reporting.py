"""The tool that reads the morning report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from daybreak.home.withheld import without_examples
from daybreak.mcp.desk import Desk
from daybreak.mcp.tools.tool import Gives, Takes, Tool
from daybreak.mcp.words import DOCUMENT, TITLE, Outside, clean

if TYPE_CHECKING:
    from daybreak.report.morning import Morning

LINES_MAX = 50


class WhichNight(Takes):
    night: Annotated[
        str | None, Field(max_length=200, description="A night's name, or its beginning. Left out: the newest.")
    ] = None


class Decision(Gives):
    run: str
    since: str
    title: Outside
    question: Outside | None


class Brought(Gives):
    run: str
    kind: str
    title: Outside
    output: Outside | None
    score: float | None
    shown: int
    """Requirements that acceptance examples have shown."""
    required: int
    held_out: int
    held_out_passed: int
    unverified: Outside | None
    said: list[str]
    """What people said of it: accepted, rejected, undone."""


class Failed(Gives):
    run: str
    code: str
    ended: str
    title: Outside
    why: Outside | None


class Report(Gives):
    """Decisions first; what was verified and what is merely claimed never stand in one list."""

    night: str
    state: str
    since: str
    until: str
    sentence: str
    counts: dict[str, int]
    decisions: list[Decision]
    verified: list[Brought]
    claimed: list[Brought]
    failed: list[Failed]
    unfinished: list[str]
    """Runs."""
    incidents: int
    left_out: int
    """Lines beyond the first of each list; `show_run` has each run."""


def morning(desk: Desk, night: str | None = None) -> Morning:
    """The report as it is now: of a night, or since the newest one began. Raises NightUnknown."""
    from daybreak.home import standing
    from daybreak.report import morning as reports
    from daybreak.report import night as nights

    ledger = desk.home.ledger
    alive = False
    if night is not None:
        night = nights.pick(ledger, night or None).night
        alive = standing.lock(desk.home, night).held
    return reports.collect(ledger, now=desk.clock.now(), night=night, alive=alive)


def as_text(desk: Desk, night: str | None = None) -> str:
    """The whole report in Markdown, as a person reads it; its words are those of workers and users."""
    from daybreak.report.morning import markdown

    told = markdown.render(morning(desk, night))
    return clean(told if desk.speaking.examples else without_examples(told), DOCUMENT)


def _report(desk: Desk, which: WhichNight) -> Report:
    found, told = morning(desk, which.night), desk.speaking
    lists: list[Any] = [found.decisions, found.verified, found.claimed, found.failed, found.unfinished]
    return Report(
        night=found.night,
        state=found.state,
        since=found.since,
        until=found.until,
        sentence=clean(found.sentence, TITLE) if told.words else "",
        counts=found.counts,
        decisions=[
            Decision(run=one.run, since=one.since, title=told.title(one.title), question=told.word(one.question))
            for one in found.decisions[:LINES_MAX]
        ],
        verified=[_brought(one, desk) for one in found.verified[:LINES_MAX]],
        claimed=[_brought(one, desk) for one in found.claimed[:LINES_MAX]],
        failed=[
            Failed(run=one.run, code=one.code, ended=one.ended, title=told.title(one.title), why=told.word(one.why))
            for one in found.failed[:LINES_MAX]
        ],
        unfinished=[one.run for one in found.unfinished[:LINES_MAX]],
        incidents=sum(one.open for one in found.incidents),
        left_out=sum(max(0, len(one) - LINES_MAX) for one in lists),
    )


def _brought(one: Any, desk: Desk) -> Brought:
    told = desk.speaking
    return Brought(
        run=one.run,
        kind=one.kind,
        title=told.title(one.title),
        output=told.word(one.output, 500),
        score=one.score,
        shown=one.shown,
        required=one.required,
        held_out=one.held_out,
        held_out_passed=one.held_out_passed,
        unverified=told.word(one.unverified),
        said=[clean(said.word, TITLE) for said in one.said],
    )


TOOLS = (
    Tool("report", "Morning report", "The morning report: what needs a decision, what was verified, what is merely "
         "claimed, what failed. Words of workers need the scope `evidence`.", "look", WhichNight, Report, _report,
         repeats=True),
)  # fmt: skip
