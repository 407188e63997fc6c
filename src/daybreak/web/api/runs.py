"""Runs: what was run here, one run's story, and words to a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from daybreak import events
from daybreak.errors import UnknownRun
from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.api.seeing import Run, Said, Words
from daybreak.web.desk import Desk, Here
from daybreak.web.fresh import Fresh, of
from daybreak.web.paging import Cursor, Limit, link
from daybreak.web.problems import Changed
from daybreak.web.who import Asker, Looker, may

router = APIRouter(tags=["runs"])
Steers = Annotated[Act, acting("steer")]
Reader = Annotated[Asker, may("evidence")]
State = Literal[
    "queued", "leased", "running", "waiting", "verifying", "paused", "parked", "done", "failed", "cancelled"
]


class RunLine(BaseModel):
    """A run."""

    run: str
    kind: str
    title: str
    state: State
    project: str
    created: str
    updated: str
    why: str = Field(description="What it waits for, or why it ended so.")
    code: str = Field(description="Of the error that it ended with; empty without one.")
    question: str = Field(description="What it is parked with; empty where it asks nothing.")
    held: bool = Field(description="A person paused it.")
    verdict: str = Field(description="What people said of its result; empty where nobody did.")


class Runs(BaseModel):
    runs: list[RunLine]
    next: int | None = Field(description="`cursor` of the next page; null at the end.")


_COLUMNS = """r.rowid, r.run, r.kind, r.title, r.state, r.project, r.created, r.updated, r.why, r.code, r.question,
  r.held, coalesce(v.verdict, '') FROM view_runs r LEFT JOIN view_verdicts v ON v.run = r.run"""


def _line(row: tuple[Any, ...], asker: Asker) -> RunLine:
    _, run, kind, title, state, project, created, updated, why, code, question, held, verdict = row
    return RunLine(
        run=run,
        kind=kind,
        title=seeing.text(title, asker),
        state=state,
        project=project,
        created=created,
        updated=updated,
        why=seeing.text(why, asker),
        code=code,
        question=seeing.text(question, asker),
        held=bool(held),
        verdict=verdict,
    )


def known(desk: Desk, run: str) -> str:
    """The run itself. Raises UnknownRun."""
    if not desk.home.ledger.query("SELECT 1 FROM view_runs WHERE run = ?", (run,)):
        raise UnknownRun(f"there is no run {run[:100]!a}", hint="`GET /api/v1/runs` lists them by their whole names")
    return run


def one(desk: Desk, run: str, asker: Asker) -> RunLine:
    """Raises UnknownRun."""
    known(desk, run)
    (row,) = desk.home.ledger.query(f"SELECT {_COLUMNS} WHERE r.run = ?", (run,))
    return _line(row, asker)


def _behind(desk: Desk, cursor: int | None, state: str | None) -> tuple[str, tuple[Any, ...]]:
    """What comes after the run with this number, in the order of the list: with a state that is by the time at which
    a run came, which a clock that is set back makes another one than that of the numbers."""
    last = 2**53 if cursor is None else cursor
    if state is None:
        return "r.rowid < ?", (last,)
    found = desk.home.ledger.query("SELECT created FROM view_runs WHERE rowid = ?", (last,))
    if not found:
        return "r.state = ? AND r.rowid < ?", (state, last)
    return "r.state = ? AND (r.created, r.rowid) < (?, ?)", (state, found[0][0], last)


@router.get("/runs", operation_id="listRuns")
def runs(
    request: Request,
    response: Response,
    desk: Here,
    asker: Looker,
    tag: Fresh,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
) -> Runs:
    """Every run, the newest first."""
    where, values = _behind(desk, cursor, state)
    order = "r.rowid DESC" if state is None else "r.created DESC, r.rowid DESC"  # each as an index has it
    sql = f"SELECT {_COLUMNS} WHERE {where} ORDER BY {order} LIMIT ?"
    rows = desk.home.ledger.query(sql, (*values, limit + 1))
    following = int(rows[limit - 1][0]) if len(rows) > limit else None
    link(request, response, following)
    return Runs(runs=[_line(row, asker) for row in rows[:limit]], next=following)


@router.get("/runs/{run}", operation_id="getRun")
def run_(run: Run, desk: Here, asker: Looker, tag: Fresh) -> RunLine:
    """One run."""
    return one(desk, run, asker)


# -- what it did


class Step(BaseModel):
    """An outcome that counts; `key` is what fork and rollback take."""

    index: int
    key: str
    name: str
    branch: str
    nth: int
    failed: bool
    once: bool
    at: str
    duration_ms: int


class Steps(BaseModel):
    steps: list[Step]


@router.get("/runs/{run}/steps", operation_id="listSteps")
def steps(run: Run, desk: Here, asker: Looker, tag: Fresh) -> Steps:
    """What a run has kept, step by step."""
    kept = desk.home.engine.steps(known(desk, run))
    told = []
    for found in kept:
        plain = asdict(found)
        plain.pop("result")
        told.append(Step(**{**plain, "key": seeing.text(found.key, asker), "name": seeing.text(found.name, asker)}))
    return Steps(steps=told)


class Report(BaseModel):
    """As `daybreak show RUN --json` has it."""

    run: str
    report: dict[str, Any] = Field(description="Plan, claims, checks, gates, cost; see `daybreak report --json`.")


@router.get("/runs/{run}/report", operation_id="getRunReport")
def report(run: Run, desk: Here, asker: Reader, tag: Fresh) -> Report:
    """The run's own report: what workers claimed, and what every check saw; without the scope `held-out` of a held-out
    example only whether it passed."""
    from daybreak.report.run import collect

    records = [*desk.home.records(known(desk, run)), *desk.home.ledger.read(events.control_stream(run))]
    told = collect(records)
    plain = {**told.model_dump(mode="json"), "next_steps": told.next_steps}
    if not asker.has("held-out"):
        plain = _without_examples(plain)
    return Report(run=run, report=seeing.clean(plain))


def _without_examples(plain: dict[str, Any]) -> dict[str, Any]:
    """Of the check of a held-out example only whether it passed."""
    for lines in plain.values():
        for line in lines if isinstance(lines, list) else ():
            if isinstance(line, dict) and line.get("held_out"):
                line.update(summary="", output="", command="")
    told: dict[str, Any] = seeing.without_examples(plain)
    return told


# -- words to it


class Done(BaseModel):
    """What became of it."""

    run: str
    state: str = Field(description="The run's state now. One that is under way hears of it before its next step.")
    changed: bool = Field(default=True, description="False where it was so already.")


class Why(BaseModel):
    why: Words = Field(default="", description="For the log, and for whoever asks.")


def done(desk: Desk, run: str, changed: bool = True) -> Done:
    ((state,),) = desk.home.ledger.query("SELECT state FROM view_runs WHERE run = ?", (run,))
    return Done(run=run, state=state, changed=changed)


@router.post("/runs/{run}/cancel", operation_id="cancelRun")
def cancel(run: Run, act: Steers, body: Why | None = None) -> Done:
    """Cancel a run. One that is under way stops before its next step. What it has done outside stays done."""

    def work() -> Done:
        home = act.desk.home
        home.engine.queue.cancel(known(act.desk, run), (body or Why()).why)
        _settle(act.desk, run)
        return done(act.desk, run)

    return act.do(work)


def _settle(desk: Desk, run: str) -> None:
    """End a cancelled run that nobody works at, here and now."""
    from daybreak.errors import RunBusy

    async def settle() -> None:
        try:
            await desk.home.engine.supervise(run)
        except RunBusy:
            return  # whoever works at it ends it

    anyio.run(settle)


@router.post("/runs/{run}/pause", operation_id="pauseRun")
def pause(run: Run, act: Steers, body: Why | None = None) -> Done:
    """Hold a run before its next step."""

    def work() -> Done:
        changed = act.desk.home.engine.queue.pause(known(act.desk, run), why=(body or Why()).why)
        return done(act.desk, run, changed)

    return act.do(work)


@router.post("/runs/{run}/resume", operation_id="resumeRun")
def resume(run: Run, act: Steers) -> Done:
    """Let a run go on that was paused, or ask for a parked or failed one to be tried again. A night does it."""

    def work() -> Done:
        return done(act.desk, run, act.desk.home.engine.queue.resume(known(act.desk, run)))

    return act.do(work)


class Again(BaseModel):
    step: Annotated[str, Field(max_length=400)] | None = Field(
        default=None, description="From this step on; null: the one that it failed with."
    )
    again: bool = Field(default=False, description="Consent to a second time of steps that must happen once.")


@router.post("/runs/{run}/retry", operation_id="retryRun")
def retry(run: Run, act: Steers, body: Again | None = None) -> Done:
    """Try a failed run again from the step that it failed with, or from the one that is named."""
    told = body or Again()

    def work() -> Done:
        engine = act.desk.home.engine
        known(act.desk, run)
        if told.step is None:
            engine.queue.retry(run)
        else:
            step = told.step
            anyio.run(lambda: engine.roll_back(run, step, again=told.again, why="tried again"))
        return done(act.desk, run)

    return act.do(work)


class Forking(BaseModel):
    before: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        description="The first step that the new run does itself."
    )
    again: bool = Field(default=False, description="Consent to a second time of steps that must happen once.")


class Forked(BaseModel):
    run: str = Field(description="The new run; it stands in the queue.")
    source: str
    before: str


@router.post("/runs/{run}/fork", operation_id="forkRun")
def fork(run: Run, act: Steers, body: Forking) -> Forked:
    """Begin a new run with what this one had kept before a step."""

    def work() -> Forked:
        engine = act.desk.home.engine
        known(act.desk, run)
        new = anyio.run(lambda: engine.fork(run, body.before, again=body.again))
        return Forked(run=new, source=run, before=body.before)

    return act.do(work)


class RollingBack(BaseModel):
    before: Annotated[str, Field(min_length=1, max_length=400)] = Field(
        description="The first step that no longer counts."
    )
    again: bool = Field(default=False, description="Consent to a second time of steps that must happen once.")
    why: Words = ""


@router.post("/runs/{run}/rollback", operation_id="rollBackRun")
def roll_back(run: Run, act: Steers, body: RollingBack) -> Done:
    """Take a run back to before a step of its own. Nothing is deleted."""

    def work() -> Done:
        engine = act.desk.home.engine
        known(act.desk, run)
        anyio.run(lambda: engine.roll_back(run, body.before, again=body.again, why=body.why))
        return done(act.desk, run)

    return act.do(work)


class Signal(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00]*\\S[^\\x00]*$")]
    value: Any = Field(default=None, description="Goes with it.")


@router.post("/runs/{run}/signal", operation_id="signalRun")
def signal(run: Run, act: Steers, body: Signal) -> Done:
    """Tell a run that something it waits for has happened."""

    def work() -> Done:
        act.desk.home.engine.signal(known(act.desk, run), body.name, body.value)
        return done(act.desk, run)

    return act.do(work)


# -- questions


class Question(BaseModel):
    run: str
    title: str
    question: str
    why: str
    since: str
    etag: str = Field(description="Send it as If-Match with the answer: refused where it asks something else by then.")


class Questions(BaseModel):
    questions: list[Question]


_ASKED = """SELECT run, title, question, why, updated, answered FROM view_runs
  WHERE state = 'parked' AND NOT answered"""


def _question(row: tuple[Any, ...], asker: Asker) -> Question:
    run, title, question, why, since, _ = row
    words = [seeing.text(one, asker) for one in (title, question, why)]
    return Question(run=run, title=words[0], question=words[1], why=words[2], since=since, etag=of(*row[:5]))


@router.get("/questions", operation_id="listQuestions")
def questions(desk: Here, asker: Looker, tag: Fresh) -> Questions:
    """What waits for a person, the oldest first."""
    rows = desk.home.ledger.query(f"{_ASKED} ORDER BY updated, run LIMIT 1000")
    return Questions(questions=[_question(row, asker) for row in rows])


class Answering(BaseModel):
    answer: Any = Field(description="JSON; most questions take `yes` or `no`.")
    question: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None, description="The question that you answer; refused with 412 where it asks another one by now."
    )


@router.post("/runs/{run}/answer", operation_id="answerRun")
def answer(run: Run, act: Annotated[Act, acting("answer")], body: Answering) -> Done:
    """Answer the question that a run is parked with. A night goes on with it."""

    def work() -> Done:
        home = act.desk.home
        known(act.desk, run)
        for row in home.ledger.query(f"{_ASKED} AND run = ?", (run,)):
            act.match(of(*row[:5]))
            if body.question is not None and body.question not in (row[2], seeing.text(row[2], act.asker)):
                raise Changed("the run asks something else by now", hint="`GET /api/v1/questions` has what it asks")
        return done(act.desk, run, home.engine.queue.answer(run, body.answer))

    return act.do(work)


# -- verdicts


class Accepting(BaseModel):
    unverified: bool = Field(default=False, description="Accept it although it was not verified.")
    note: Words = ""


class Accepted(BaseModel):
    run: str
    title: str
    accepted: bool
    changed: bool
    about: str
    index: int
    unverified: str
    why_not: str
    again: str


@router.post("/runs/{run}/accept", operation_id="acceptRun")
def accept(run: Run, act: Annotated[Act, acting("verdict")], body: Accepting | None = None) -> Accepted:
    """Accept what a run brought."""
    from daybreak.factory import verdicts

    told = body or Accepting()

    def work() -> Accepted:
        ledger = act.desk.home.ledger
        found = verdicts.accept(
            ledger, known(act.desk, run), actor=act.asker.actor, unverified=told.unverified, note=told.note
        )
        return Accepted(**{**asdict(found), "title": seeing.text(found.title, act.asker)})

    return act.do(work)


class Rejecting(BaseModel):
    because: Said = Field(description="What is wrong with it. It becomes a lesson, and part of the new task.")
    task: bool = Field(default=True, description="Have it done again.")
    anyway: bool = Field(
        default=False, description="Keep the reason although it looks like an instruction to machines."
    )


class Rejected(BaseModel):
    run: str
    because: str
    changed: bool
    lesson: str
    task: str
    alone: str


@router.post("/runs/{run}/reject", operation_id="rejectRun")
def reject(run: Run, act: Annotated[Act, acting("verdict")], body: Rejecting) -> Rejected:
    """Reject what a run brought. The reason becomes a lesson, and the same task again in the queue."""
    from daybreak.factory import verdicts

    def work() -> Rejected:
        desk = act.desk
        found = verdicts.reject(
            desk.home.ledger,
            known(desk, run),
            body.because,
            actor=act.asker.actor,
            clock=desk.clock,
            entropy=desk.entropy,
            locks=desk.home.places.locks,
            task=body.task,
            anyway=body.anyway,
        )
        names = Rejected.model_fields
        return Rejected(**{name: value for name, value in asdict(found).items() if name in names})

    return act.do(work)


class Undoing(BaseModel):
    dry_run: bool = Field(default=False, description="Only say what would be done.")
    into: Annotated[str, Field(max_length=200, pattern="^[A-Za-z0-9._/-]*$")] = Field(
        default="", description="Where it was merged into several branches: the one to revert in."
    )


class Part(BaseModel):
    what: str
    done: str
    kept: str


class Undone(BaseModel):
    run: str
    undone: bool
    changed: bool
    dry_run: bool
    parts: list[Part]
    remains: list[str] = Field(description="Not undone, because it is outside.")
    waits: list[str] = Field(description="Runs that must revert it first; ask again when they are over.")


@router.post("/runs/{run}/undo", operation_id="undoRun")
def undo(run: Run, act: Annotated[Act, acting("undo")], body: Undoing | None = None) -> Undone:
    """Take back what a run delivered, unless somebody changed it since. Nothing is deleted. What was merged becomes a
    task that reverts it. Checks of one's own are named at the command line."""
    import os

    from daybreak.factory import verdicts

    told = body or Undoing()

    def work() -> Undone:
        desk = act.desk
        around: dict[str, Any] = {
            "places": desk.home.places,
            "clock": desk.clock,
            "entropy": desk.entropy,
            "environment": os.environ,
            "into": told.into,
            "checks": (),
        }
        ledger = desk.home.ledger
        known(desk, run)
        if told.dry_run:
            found = verdicts.plan(ledger, run, **around)
        else:
            found = verdicts.undo(ledger, run, actor=act.asker.actor, **around)
        parts = [Part(what=part.what, done=part.done, kept=str(part.kept)) for part in found.parts]
        return Undone(
            run=run,
            undone=found.undone,
            changed=found.changed,
            dry_run=told.dry_run,
            parts=parts,
            remains=list(found.remains),
            waits=list(found.waits),
        )

    return act.do(work)
