"""The queue: what is under way, what comes next, why each of the others waits, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from daybreak.engine.listing import Row
from daybreak.engine.view import PRIORITY_MAX, UNDER_WAY
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import asking
from daybreak.web.pages.base import page, pager
from daybreak.web.pages.kept import Kept
from daybreak.web.who import Looker

router = APIRouter(include_in_schema=False)

SIZE = 40
ASKED_MAX = 20
LISTINGS: Kept[list[Row]] = Kept()


@dataclass(frozen=True, slots=True)
class Line:
    """A run of the queue, and what can be done to it."""

    row: Row
    under_way: bool
    held: bool

    @property
    def up(self) -> int | None:
        """The priority one higher; None where it has the highest."""
        return self.row.priority + 1 if self.row.priority < PRIORITY_MAX else None

    @property
    def down(self) -> int | None:
        return self.row.priority - 1 if self.row.priority > -PRIORITY_MAX else None


@router.get("/queue")
def queue(
    request: Request,
    desk: Here,
    asker: Looker,
    project: Annotated[str, Query(max_length=200)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    rows = listed(desk)
    projects = sorted({row.project for row in rows})
    word = q.casefold()
    wanted = [
        row
        for row in rows
        if (not project or row.project == project)
        and (not word or word in row.title.casefold() or word in row.run or word in row.why.casefold())
    ]
    pages = pager(request, number, len(wanted), SIZE)
    first = (pages.page - 1) * SIZE
    shown = wanted[first : first + SIZE]
    held = _held(desk, [row.run for row in shown])
    return page(
        request,
        "queue.html",
        lines=[Line(row, row.state in UNDER_WAY, row.run in held) for row in shown],
        total=len(rows),
        found=len(wanted),
        projects=projects,
        project=project,
        q=q,
        pager=pages,
        paused=desk.home.engine.queue.paused(),
        asked={one.run: one for one in asking.asked(desk.home.ledger, ASKED_MAX)},
    )


def listed(desk: Desk) -> list[Row]:
    """Every run that is not over, in its order."""
    return LISTINGS.get(desk, "", lambda: desk.home.engine.queue.listing(desk.clock.now()))


def _held(desk: Desk, runs: list[str]) -> set[str]:
    marks = ", ".join("?" * len(runs))
    return {
        run for (run,) in desk.home.ledger.query(f"SELECT run FROM view_runs WHERE held AND run IN ({marks})", runs)
    }
