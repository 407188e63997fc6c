"""The page of schedules: which windows come, what became of those that were, and what a person can do about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from daybreak.clock import stamp
from daybreak.engine.schedule_view import SELECT, Past, Row, Stored, row_of
from daybreak.engine.schedules import Schedules, ScheduleUnknown, TaskTemplate
from daybreak.errors import DaybreakError
from daybreak.home import scheduling
from daybreak.home.waiting import waits
from daybreak.web import forms
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import explain, withheld
from daybreak.web.pages.base import back, page, refused
from daybreak.web.pages.withheld import NOTHING, Sees
from daybreak.web.who import Asker, Looker, may

router = APIRouter()

SHOWN_MAX = 100
COMING = 3
PAST_MOST = 12
PAGE = "/schedules"
Form = Annotated[dict[str, str], Depends(forms.fields)]


@dataclass(frozen=True, slots=True)
class Line:
    """A schedule as the page shows it. Moments are texts as in the ledger."""

    name: str
    when: str
    title: str
    kind: str
    project: str
    coming: tuple[tuple[str, str], ...]
    """Windows to come: local time with its offset, and the moment."""
    due: int
    """Windows that have come and that nobody has looked at yet."""
    past: tuple[Past, ...]
    """The newest first."""
    not_over: int
    missed: str
    """What is done about windows that were missed, in words."""
    edited: str

    @property
    def skipped(self) -> int:
        """Of the windows that are shown."""
        return sum(1 for one in self.past if not one.run)


@dataclass(frozen=True, slots=True)
class Gone:
    """A schedule that was removed: nothing of it comes, and it can be set again."""

    name: str
    title: str
    since: str


@dataclass(frozen=True, slots=True)
class Model:
    lines: tuple[Line, ...]
    gone: tuple[Gone, ...]
    broken: tuple[tuple[str, str], ...]
    """Those that cannot be followed here: name and why."""
    more: int
    """Schedules beyond those shown."""


def schedules_of(desk: Desk) -> Schedules:
    return Schedules(desk.home.ledger, desk.clock, desk.home.engine.queue)


def model(schedules: Schedules, log: Any, now: datetime, sees: Sees = NOTHING) -> Model:
    """`log` answers questions about the views."""
    rows = schedules.all()
    lines = [_line(schedules, row, now, sees) for row in rows[:SHOWN_MAX]]
    lines.sort(key=lambda one: (one.coming[0][1] if one.coming else "~", one.name))
    return Model(tuple(lines), tuple(_gone(log)), tuple(schedules.broken()), max(0, len(rows) - SHOWN_MAX))


def _line(schedules: Schedules, row: Row, now: datetime, sees: Sees) -> Line:
    place = row.template.get("place", {})
    return Line(
        name=row.name,
        when=scheduling.words(row.schedule),
        title=str(row.template["title"]),
        kind=str(row.template["kind"]),
        project=str(place.get("project", "")) if isinstance(place, Mapping) else "",
        coming=tuple((window.key, stamp(window.start)) for _, window in schedules.next(now, row.name, COMING)),
        due=schedules.due(now, row.name),
        past=tuple(_seen(one, sees) for one in schedules.history(row.name, PAST_MOST)),
        not_over=len(schedules.not_over(row.name)),
        missed=_missed(row),
        edited=row.edited,
    )


def _seen(past: Past, sees: Sees) -> Past:
    """Both may hold what its run asks, and that what a gate said of an example."""
    return replace(past, why=withheld.words(past.why, sees), question=withheld.words(past.question, sees))


def _missed(row: Row) -> str:
    rule = row.schedule
    late = {
        "skip": f"A window that begins more than {rule.late_s:g} s late is skipped",
        "once": "Of windows that were missed the newest is caught up",
        "all": "All windows that were missed are caught up",
    }[rule.catch_up]
    busy = "waits" if rule.queues else "is skipped"
    return f"{late}; one that comes while a run of it is not over {busy}"


def _gone(log: Any) -> list[Gone]:
    rows = log.query(f"{SELECT} WHERE removed ORDER BY edited DESC LIMIT {SHOWN_MAX}")
    found = []
    for name, _, task, _, _, edited, _ in rows:
        kept = json.loads(task)
        found.append(Gone(name, str(kept.get("title", "")), edited))
    return found


@router.get(PAGE, response_class=HTMLResponse, include_in_schema=False)
def schedules(request: Request, desk: Here, asker: Looker) -> HTMLResponse:
    told = model(schedules_of(desk), desk.home.ledger, desk.clock.now(), withheld.of(asker))
    return page(
        request,
        "schedules.html",
        told=told,
        may_steer=asker.has("steer"),
        may_hand_over=asker.has("hand-over"),
        linked=explain.linked,
    )


@router.post(PAGE + "/{name}/run", include_in_schema=False)
def run(desk: Here, asker: Annotated[Asker, may("hand-over")], name: str, form: Form) -> Response:
    """A run of it now, beside its windows."""
    try:
        made = schedules_of(desk).force(name)
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    said = f"{made.run} of schedule {name} is in the queue; its windows stay as they are."
    if told := waits(desk.home, made.run):
        said = f"{said} Nobody takes it yet: {told}."
    return back(form, said, to=PAGE)


@router.post(PAGE + "/{name}/remove", include_in_schema=False)
def remove(desk: Here, asker: Annotated[Asker, may("steer")], name: str, form: Form) -> Response:
    """No window of it opens any more, as with `daybreak schedule remove`; windows that nobody has looked at are skipped
    with that reason."""
    try:
        schedules_of(desk).remove(name)
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    said = f"Schedule {name} is removed: no window of it comes. Its runs in the queue and its history stay."
    return back(form, said, to=PAGE)


@router.post(PAGE + "/{name}/set", include_in_schema=False)
def set_again(desk: Here, asker: Annotated[Asker, may("steer")], name: str, form: Form) -> Response:
    """A removed one, with the times and the task that it had; windows from now on are its own."""
    try:
        row = stored(desk.home.ledger, name)
        template = row.template
        task = TaskTemplate(
            kind=template["kind"], title=template["title"], args=template["args"], place=template.get("place", {})
        )
        schedules_of(desk).set(name, row.schedule, task)
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    return back(form, f"Schedule {name} is set again: windows from now on are its own.", to=PAGE)


def stored(log: Any, name: str) -> Row:
    """A removed schedule as it was. Raises ScheduleUnknown, ScheduleWrong."""
    found = log.query(f"{SELECT} WHERE name = ? AND removed", (name,))
    if not found:
        raise ScheduleUnknown(
            f"no schedule {name[:80]!r} was removed",
            hint="`daybreak schedule add` makes one",
        )
    return row_of(Stored(*found[0]))
