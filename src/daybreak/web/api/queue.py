"""The queue: what waits, why, and in what order; and what is put into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from daybreak.engine.queue import Row
from daybreak.policy.bearer import ScopeMissing
from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.api.runs import Done, State, Steers, done, known
from daybreak.web.api.seeing import Name, Run, Words
from daybreak.web.desk import Desk, Here
from daybreak.web.fresh import of, size
from daybreak.web.paging import Cursor, Limit, link
from daybreak.web.who import Asker, Looker

router = APIRouter(tags=["queue"])


class QueueLine(BaseModel):
    """A run that is not over."""

    position: int | None = Field(description="1 for the next; null for what is under way or cannot be picked now.")
    run: str
    kind: str
    title: str
    project: str
    priority: int
    state: State
    why: str
    since: str
    until: str = Field(description="When time alone lets it go on; empty where something else must happen.")
    deadline: str


class Pause(BaseModel):
    project: str = Field(description="Empty: everything.")
    since: str
    why: str


class Queue(BaseModel):
    runs: list[QueueLine]
    more: int = Field(description="So many more are behind these.")
    next: int | None = Field(description="`cursor` of the next page; null at the end.")
    paused: list[Pause]


@router.get("/queue", operation_id="getQueue")
def queue(
    request: Request,
    response: Response,
    desk: Here,
    asker: Looker,
    limit: Limit = 100,
    cursor: Cursor = None,
    project: Annotated[str | None, Query(max_length=200, description="Only of this one.")] = None,
) -> Queue:
    """Every run that is not over: what is under way, what comes next, and what the others wait for. `cursor` counts
    from the top, so what moves between two pages may be met twice or not at all."""
    found = desk.home.engine.queue
    rows = [row for row in _listing(desk) if project is None or row.project == project]
    begin = min(cursor or 0, len(rows))
    shown = rows[begin : begin + limit]
    more = len(rows) - begin - len(shown)
    following = begin + len(shown) if more else None
    link(request, response, following)
    pauses = [
        Pause(project=name, since=since, why=seeing.text(why, asker)) for name, (since, why) in found.paused().items()
    ]
    return Queue(runs=[_line(row, asker) for row in shown], more=more, next=following, paused=pauses)


def _listing(desk: Desk) -> Sequence[Row]:
    """The whole queue as it stands. It looks at every run that is not over, so it is made once for all who ask within
    a moment and while nothing is appended."""
    return desk.kept.of("queue", size(desk), lambda: desk.home.engine.queue.listing(desk.clock.now()))


def _line(row: Any, asker: Asker) -> QueueLine:
    return QueueLine(
        position=row.position,
        run=row.run,
        kind=row.kind,
        title=seeing.text(row.title, asker),
        project=row.project,
        priority=row.priority,
        state=row.state,
        why=seeing.text(row.why, asker),
        since=row.since,
        until=row.until,
        deadline=row.deadline,
    )


class Place(BaseModel):
    """Where a run stands; what is null stays as it is."""

    priority: Annotated[int, Field(ge=-1_000, le=1_000)] | None = None
    not_before: AwareDatetime | None = None
    deadline: AwareDatetime | None = None
    no_deadline: bool = False

    @model_validator(mode="after")
    def _something(self) -> Place:
        if self.priority is None and self.not_before is None and self.deadline is None and not self.no_deadline:
            raise ValueError("nothing was said to change")
        return self


class Placed(BaseModel):
    run: str
    priority: int
    not_before: str
    deadline: str


def _placed(desk: Desk, run: str) -> Placed:
    known(desk, run)
    sql = "SELECT priority, not_before, deadline FROM view_runs WHERE run = ?"
    ((priority, not_before, deadline),) = desk.home.ledger.query(sql, (run,))
    return Placed(run=run, priority=priority, not_before=not_before, deadline=deadline)


@router.get("/queue/{run}", operation_id="getPlace")
def place(run: Run, desk: Here, asker: Looker, response: Response) -> Placed:
    """A run's place. Its ETag goes into If-Match of a move."""
    found = _placed(desk, run)
    response.headers["ETag"] = of(found)
    return found


@router.patch("/queue/{run}", operation_id="moveRun")
def move(run: Run, act: Steers, body: Place) -> Placed:
    """Give a run another place in the queue."""

    def work() -> Placed:
        act.match(of(_placed(act.desk, run)))
        act.desk.home.engine.queue.move(
            run,
            priority=body.priority,
            not_before=_whole(body.not_before),
            deadline=_whole(body.deadline),
            no_deadline=body.no_deadline,
        )
        return _placed(act.desk, run)

    return act.do(work)


def _whole(moment: datetime | None) -> datetime | None:
    from datetime import UTC

    from daybreak.web.problems import BodyWrong

    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise BodyWrong(
            f"{moment} is no moment that can be kept", hint="give one between the years 1 and 9999"
        ) from error


Project = Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")]


class Pausing(BaseModel):
    project: Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")] = Field(
        default="", description="Empty: everything."
    )
    why: Words = ""


class PausedOrNot(BaseModel):
    project: str
    paused: bool
    changed: bool


@router.post("/queue/pause", operation_id="pauseQueue")
def pause(act: Steers, body: Pausing | None = None) -> PausedOrNot:
    """Pick nothing more of a project, or nothing at all. What is under way goes on."""
    told = body or Pausing()

    def work() -> PausedOrNot:
        changed = act.desk.home.engine.queue.pause(project=told.project, why=told.why)
        return PausedOrNot(project=told.project, paused=True, changed=changed)

    return act.do(work)


class Resuming(BaseModel):
    project: Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")] = Field(
        default="", description="Empty: everything."
    )


@router.post("/queue/resume", operation_id="resumeQueue")
def resume(act: Steers, body: Resuming | None = None) -> PausedOrNot:
    """Undo the pause of a project, or of everything."""
    told = body or Resuming()

    def work() -> PausedOrNot:
        changed = act.desk.home.engine.queue.resume(project=told.project)
        return PausedOrNot(project=told.project, paused=False, changed=changed)

    return act.do(work)


# -- handing work over

_Text = Annotated[str, Field(max_length=1_000_000, pattern="^[^\\x00]*$")]
_Line = Annotated[str, Field(min_length=1, max_length=10_000, pattern="^[^\\x00]+$")]
_Path = Annotated[str, Field(min_length=1, max_length=4_000, pattern="^[^\\x00]+$")]


class Task(BaseModel):
    """What is to be done: one of `text`, `command`, `source`, or `task` with `repo`; and its place in the queue."""

    model_config = {"extra": "forbid"}

    text: _Text | None = Field(default=None, description="A specification or a task file itself.")
    name: Annotated[str, Field(max_length=200, pattern="^[^\\x00/]*$")] | None = Field(
        default=None, description="Of `text`, as its file would be called; the ending says what it is written in."
    )
    command: _Line | None = Field(default=None, description="Shell text; it runs in the sandbox.")
    checks: list[_Line] = Field(default=[], max_length=50, description="Shell text that must end with 0.")
    unchecked: bool = Field(default=False, description="Nothing checks the command; its result is then a claim.")
    repo: _Path | None = Field(default=None, description="A repository below the server's folders, with `task`.")
    task: _Line | None = Field(default=None, description="With `repo`: what is to be done there, in plain words.")
    source: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="FORGE:OWNER/NAME: its open issues."
    )
    labels: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=20)
    title: Annotated[str, Field(max_length=200, pattern="^[^\\x00]*$")] | None = None
    output: _Path | None = Field(default=None, description="A folder below the server's folders.")
    workers: list[Name] = Field(default=[], max_length=20)
    attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    needs: list[Annotated[str, Field(max_length=1_000)]] = Field(
        default=[],
        max_length=200,
        description="With `repo` or `source`: what a machine must have on which attempts and checks are done: "
        "`docker`, `gpu=a100`, `cpus=4`, `memory=8GiB`. A specification says it itself.",
        examples=[["docker", "cpus=4", "memory=8GiB"]],
    )
    project: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] | None = None
    not_before: Annotated[str, Field(max_length=60)] | None = Field(default=None, description="22:00, +90m, a moment.")
    deadline: Annotated[str, Field(max_length=60)] | None = None
    dedupe: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="A run with the same word that is not over is given instead of another one."
    )
    budget: Annotated[str, Field(max_length=100)] | None = Field(default=None, description="`2usd 30min`.")
    after: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(default=[], max_length=100)
    once: bool = Field(default=False, description="One run, although the task has a schedule of its own.")


class Handed(BaseModel):
    """What became of it."""

    run: str | None = Field(description="The run that stands in the queue; null where a schedule was made.")
    schedule: str | None
    existed: bool = Field(description="It was there already.")
    kind: str
    title: str
    waits: str = Field(description="Why nobody takes it before a night of a certain home begins; else empty.")


@router.post("/tasks", operation_id="handOver")
def hand_over(act: Annotated[Act, acting("hand-over")], body: Task) -> Handed:
    """Put a task into the queue, durable when this is answered. What a token can hand over is less than what the
    command line can: always sandboxed, in the server's folders only, no code of this machine."""
    from daybreak.home import handover
    from daybreak.home.handover import PlaceWords

    def work() -> Handed:
        desk = act.desk
        folders = [Path(folder) for folder in desk.folders]
        words = _words(body)
        place = PlaceWords(
            project=body.project,
            priority=body.priority,
            not_before=body.not_before,
            deadline=body.deadline,
            dedupe=body.dedupe,
            budget=body.budget,
            after=tuple(known(desk, run) for run in body.after),
        )
        ready = handover.ask_outside(
            words, place, folders=folders, environment=os.environ, clock=desk.clock, once=body.once
        )
        if ready.comes_again and not act.asker.has("steer"):
            raise ScopeMissing.of("steer", act.asker.label)  # that is more than one piece of work
        told = ready.put(desk.home)
        return Handed(
            run=told.get("run"),
            schedule=told.get("schedule"),
            existed=bool(told.get("existed", not told.get("changed", True))),
            kind=str(told.get("kind", "")),
            title=seeing.text(str(told.get("title", "")), act.asker),
            waits=str(told.get("waits", "")),
        )

    return act.do(work)


def _words(body: Task) -> Any:
    from daybreak.home.handover import Words as Asked

    words = Asked(
        task=body.task,
        command=body.command,
        checks=tuple(body.checks),
        unchecked=body.unchecked,
        title=body.title,
        workers=tuple(body.workers),
        attempts=body.attempts,
        needs=tuple(body.needs),
        source=body.source,
        labels=tuple(body.labels),
        text=body.text,
        name=body.name,
    )
    return replace(
        words,
        output=None if body.output is None else Path(body.output),
        repo=None if body.repo is None else Path(body.repo),
    )


__all__ = ["Done", "done", "router"]
