"""Schedules: tasks that come again by the clock."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from daybreak.engine.schedules import Schedules
from daybreak.home.waiting import waits
from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.desk import Desk, Here
from daybreak.web.fresh import Fresh, of
from daybreak.web.who import Asker, Looker

router = APIRouter(tags=["schedules"])
Name = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="A schedule's name.")]
Steers = Annotated[Act, acting("steer")]


class When(BaseModel):
    """A cron line, or every hour, day or week at a time."""

    model_config = {"extra": "forbid"}

    cron: Annotated[str, Field(max_length=200)] | None = None
    every: Literal["hour", "day", "week"] | None = None
    at: Annotated[str, Field(max_length=5, pattern="^([0-9]{1,2})?:[0-9]{2}$")] | None = None
    on: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = None
    zone: Annotated[str, Field(min_length=1, max_length=60)] = "UTC"
    catch_up: Literal["skip", "once", "all"] = "once"


class Schedule(BaseModel):
    name: str
    cron: str
    zone: str
    catch_up: str
    title: str
    kind: str
    edited: str
    next: str | None = Field(description="When the next window starts; null where none comes.")
    due: int = Field(description="Windows that have come and wait for a night.")
    not_over: list[str] = Field(description="Runs of it that are not over.")
    etag: str = Field(description="Send it as If-Match with a change.")


class Broken(BaseModel):
    name: str
    problem: str


class Listed(BaseModel):
    schedules: list[Schedule]
    broken: list[Broken] = Field(description="Those that cannot be followed, and why.")


def _of(desk: Desk) -> Schedules:
    return Schedules(desk.home.ledger, desk.clock, desk.home.engine.queue)


def _one(schedules: Schedules, row: Any, desk: Desk, asker: Asker) -> Schedule:
    now = desk.clock.now()
    coming = schedules.next(now, row.name)
    return Schedule(
        name=row.name,
        cron=row.schedule.cron,
        zone=row.schedule.zone,
        catch_up=row.schedule.catch_up,
        title=seeing.text(str(row.template.get("title", "")), asker),
        kind=str(row.template.get("kind", "")),
        edited=row.edited,
        next=coming[0][1].start.isoformat() if coming else None,
        due=schedules.due(now, row.name),
        not_over=[past.run for past in schedules.not_over(row.name)],
        etag=_tag(row),
    )


def _tag(row: Any) -> str:
    return of(row.name, row.edits, row.edited)


@router.get("/schedules", operation_id="listSchedules")
def schedules(desk: Here, asker: Looker) -> Listed:
    """The schedules, their next windows, and what of them is not over."""
    found = _of(desk)
    return Listed(
        schedules=[_one(found, row, desk, asker) for row in found.all()],
        broken=[Broken(name=name, problem=why) for name, why in found.broken()],
    )


@router.get("/schedules/{name}", operation_id="getSchedule")
def schedule(name: Name, desk: Here, asker: Looker, response: Response) -> Schedule:
    """One schedule."""
    found = _of(desk)
    told = _one(found, found.get(name), desk, asker)
    response.headers["ETag"] = told.etag
    return told


class Window(BaseModel):
    window: str
    start: str
    told: str
    forced: bool
    run: str
    why: str
    state: str
    moved: str
    question: str


class History(BaseModel):
    windows: list[Window]


@router.get("/schedules/{name}/history", operation_id="getScheduleHistory")
def history(
    name: Name, desk: Here, asker: Looker, tag: Fresh, limit: Annotated[int, Query(ge=1, le=500)] = 20
) -> History:
    """What became of its windows, the newest first."""
    rows = [asdict(past) for past in _of(desk).history(name, limit)]
    for row in rows:
        row["why"], row["question"] = seeing.text(row["why"], asker), seeing.text(row["question"], asker)
    return History(windows=[Window(**row) for row in rows])


@router.put("/schedules/{name}/when", operation_id="setScheduleTimes")
def change(name: Name, act: Steers, body: When) -> Schedule:
    """Give a schedule other times; its task stays. A new one is made with `POST /tasks`, by a task that has a
    schedule, or at the command line."""
    from dataclasses import replace

    from daybreak.engine.schedules import TaskTemplate
    from daybreak.engine.window import ScheduleWrong
    from daybreak.factory import asked

    def work() -> Schedule:
        found = _of(act.desk)
        row = found.get(name)
        act.match(_tag(row))
        made = asked.schedule(
            every=body.every, at=body.at, on=body.on, cron=body.cron, zone=body.zone, catch_up=body.catch_up
        )
        if made is None:
            raise ScheduleWrong("it does not say when it comes", hint="give `every` or `cron`")
        template = row.template
        task = TaskTemplate(
            kind=template["kind"], title=template["title"], args=template["args"], place=template.get("place", {})
        )
        old = row.schedule
        times = replace(made, late_s=old.late_s, gap=old.gap, repeated=old.repeated, waiting_max=old.waiting_max)
        found.set(name, times, task)
        return _one(found, found.get(name), act.desk, act.asker)

    return act.do(work)


class Forced(BaseModel):
    schedule: str
    window: str
    run: str
    waits: str = Field(description="Why nobody takes it before a night of a certain home begins; else empty.")


@router.post("/schedules/{name}/run", operation_id="runSchedule")
def run(name: Name, act: Steers) -> Forced:
    """A run of it now, beside its time."""

    def work() -> Forced:
        opened = _of(act.desk).force(name)
        told = waits(act.desk.home, opened.run)
        return Forced(schedule=name, window=opened.window, run=opened.run, waits=told)

    return act.do(work)


class Removed(BaseModel):
    removed: str
    not_over: list[str] = Field(description="Runs of it that stay in the queue.")


@router.delete("/schedules/{name}", operation_id="removeSchedule")
def remove(name: Name, act: Steers) -> Removed:
    """No window of it opens any more. Its runs and its history stay."""

    def work() -> Removed:
        found = _of(act.desk)
        act.match(_tag(found.get(name)))
        left = [past.run for past in found.not_over(name)]
        found.remove(name)
        return Removed(removed=name, not_over=left)

    return act.do(work)
