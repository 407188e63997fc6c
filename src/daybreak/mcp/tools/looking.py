"""Tools that look: how it stands, which runs there are, what one of them came to, what an error means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from daybreak.mcp.desk import Desk
from daybreak.mcp.refusals import NothingThere
from daybreak.mcp.tools.tool import Gives, Takes, Tool
from daybreak.mcp.words import TITLE, Outside, Speaking, clean

RUNS_MAX = 100
LINES_MAX = 50
Run = Annotated[
    str, Field(min_length=1, max_length=200, description="A run's id (run-…); the beginning is enough if it is unique.")
]


class Nothing(Takes):
    """No arguments."""


# -- status


class NightNow(Gives):
    night: str
    began: str
    until: str
    ending: bool
    workers: int
    budget: dict[str, str]


class Work(Gives):
    run: str
    kind: str
    state: str
    since: str
    title: Outside


class Asks(Gives):
    run: str
    since: str
    title: Outside


class Status(Gives):
    """How it stands at this moment. Moments are UTC."""

    now: str
    scopes: list[str]
    """What this assistant may do here."""
    nights: list[NightNow]
    counts: dict[str, int]
    """Runs by state."""
    under_way: list[Work]
    waiting_for_a_person: list[Asks]
    breakers: list[str]
    """Names of those that are not closed."""
    incidents_open: int
    wakes: str
    """When the next run or window comes by time alone."""


def _status(desk: Desk, _: Nothing) -> Status:
    from daybreak.home import standing

    now, told = standing.look(desk.home), desk.speaking
    return Status(
        now=now.now,
        scopes=sorted(desk.asker.scopes),
        nights=[
            NightNow(
                night=one.night, began=one.began, until=one.until, ending=bool(one.ending), workers=one.workers,
                budget=one.budget,
            )
            for one in now.nights
        ],
        counts=now.counts,
        under_way=[
            Work(run=one.run, kind=one.kind, state=one.state, since=one.since, title=told.title(one.title))
            for one in now.work[:RUNS_MAX]
        ],
        waiting_for_a_person=[
            Asks(run=one.run, since=one.since, title=told.title(one.title)) for one in now.questions[:RUNS_MAX]
        ],
        breakers=[clean(one.name, TITLE) for one in now.breakers],
        incidents_open=len(now.incidents),
        wakes=now.wakes,
    )  # fmt: skip


# -- runs


class WhichRuns(Takes):
    state: Annotated[
        str | None, Field(max_length=20, description="Only runs in this state, such as queued, parked, failed or done.")
    ] = None
    before: Annotated[
        str | None, Field(max_length=200, description="For the next page: the last run of the page before.")
    ] = None
    most: Annotated[int, Field(ge=1, le=RUNS_MAX, description="Runs on a page.")] = 20


class RunRow(Gives):
    run: str
    kind: str
    state: str
    created: str
    updated: str
    code: str
    """Of the error that it ended with."""
    title: Outside
    why: Outside | None
    """None without the scope `evidence`."""


class Runs(Gives):
    runs: list[RunRow]
    """The newest first."""
    more: bool


def _runs(desk: Desk, which: WhichRuns) -> Runs:
    wanted: list[Any] = []
    where = "1"
    if which.state is not None:
        where += " AND state = ?"
        wanted.append(which.state)
    if which.before is not None:
        where += " AND (created, run) < (SELECT created, run FROM view_runs WHERE run = ?)"
        wanted.append(desk.run(which.before))
    found = desk.home.ledger.query(
        "SELECT run, kind, state, created, updated, code, title, why FROM view_runs "
        f"WHERE {where} ORDER BY created DESC, run DESC LIMIT ?",
        (*wanted, which.most + 1),
    )
    told = desk.speaking
    rows = [
        RunRow(
            run=run, kind=kind, state=state, created=created, updated=updated, code=code, title=told.title(title),
            why=told.word(why),
        )
        for run, kind, state, created, updated, code, title, why in found[: which.most]
    ]  # fmt: skip
    return Runs(runs=rows, more=len(found) > which.most)


# -- one run


class WhichRun(Takes):
    run: Run


class Seen(Gives):
    """One thing that happened, and the event that says so."""

    what: str
    outcome: str
    event: str
    held_out: bool
    summary: Outside | None


class Requirement(Gives):
    id: str
    must: bool
    verdict: str
    text: Outside | None


class Story(Gives):
    """What a run came to. Words of workers need the scope `evidence`, those of held-out examples `held-out`."""

    run: str
    kind: str
    state: str
    code: str
    began: str
    ended: str
    title: Outside
    why: Outside | None
    question: Outside | None
    requirements: list[Requirement]
    attempts: list[Seen]
    """What workers claimed; never a verdict."""
    checks: list[Seen]
    gates: list[Seen]
    """What was decided from evidence."""
    delivered: Seen | None
    verdicts: list[Seen]
    """What people said of the result."""
    left_out: int
    """Lines beyond the first of each list."""


def _story(desk: Desk, which: WhichRun) -> Story:
    from daybreak import events
    from daybreak.report.run import collect

    run, told = desk.run(which.run), desk.speaking
    found = collect([*desk.home.records(run), *desk.home.ledger.read(events.control_stream(run))])
    lists = {name: getattr(found, name) for name in ("attempts", "checks", "gates", "verdicts")}
    return Story(
        run=found.run or run,
        kind=found.kind,
        state=found.state,
        code=found.code,
        began=found.began,
        ended=found.ended,
        title=told.title(found.title),
        why=told.word(found.why),
        question=told.word(found.question),
        requirements=[
            Requirement(id=clean(one.id, TITLE), must=one.must, verdict=one.verdict, text=told.word(one.text))
            for one in found.requirements[:LINES_MAX]
        ],
        delivered=None if found.delivered is None else _seen(found.delivered, told),
        left_out=sum(max(0, len(one) - LINES_MAX) for one in (*lists.values(), found.requirements)),
        **{name: [_seen(one, told) for one in lines[:LINES_MAX]] for name, lines in lists.items()},
    )


def _seen(line: Any, told: Speaking) -> Seen:
    hidden = line.held_out and not told.examples
    return Seen(
        what="a held-out example" if hidden else clean(line.what if told.words else _sort(line.what), TITLE),
        outcome=clean(line.outcome, TITLE) if told.words else _sort(line.outcome),
        event=clean(line.event, TITLE),
        held_out=line.held_out,
        summary=None if hidden else told.word(line.summary),
    )


def _sort(text: str) -> str:
    """The first word where it is one of a plain kind: the rest may be a worker's."""
    first = text.split(" ", 1)[0].split(":", 1)[0]
    return first if first.isascii() and first.replace("-", "").isalpha() and len(first) <= 20 else ""


# -- errors


class WhichError(Takes):
    asked: Annotated[
        str, Field(min_length=1, max_length=4_000, description="A code such as U177, or the message as it was told.")
    ]


class Explained(Gives):
    code: str
    name: str
    cause: str
    remedies: list[str]
    examples: list[str]


class Explanation(Gives):
    errors: list[Explained]
    """One is certain; of several, one may be meant."""
    near: list[str]


def explanation(asked: str) -> Explanation:
    """What the catalogue has on it; nothing of the home is read."""
    from daybreak.report.catalogue import entry
    from daybreak.report.catalogue.asked import find

    answer = find(asked, entry.entries())
    return Explanation(
        errors=[
            Explained(
                code=one.code, name=one.name, cause=one.cause, remedies=list(one.remedies)[:10],
                examples=list(one.examples)[:10],
            )
            for one in answer.entries
        ],
        near=list(answer.near),
    )  # fmt: skip


def _explain(_: Desk, which: WhichError) -> Explanation:
    found = explanation(which.asked)
    if not found.errors and not found.near:
        raise NothingThere("the catalogue has nothing on that", hint="give the code that stands in every message")
    return found


TOOLS = (
    Tool("status", "How it stands", "How everything stands now: nights, runs by state, what waits for a person, and "
         "which scopes you have.", "look", Nothing, Status, _status, repeats=True),
    Tool("list_runs", "Runs", "List runs, the newest first, page by page.", "look", WhichRuns, Runs, _runs,
         repeats=True),
    Tool("show_run", "One run", "What one run came to: requirements, what workers claimed, what checks saw, what gates "
         "decided, what was delivered.", "look", WhichRun, Story, _story, repeats=True),
    Tool("explain_error", "Explain an error", "What an error of Daybreak means and what to do about it.", "look",
         WhichError, Explanation, _explain, repeats=True),
)  # fmt: skip
