"""All runs, the newest first, whether they are over or not."""

from __future__ import annotations

from typing import Annotated, NamedTuple, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from daybreak.engine import verdicts
from daybreak.events import State
from daybreak.web.desk import Here
from daybreak.web.pages.base import page, pager
from daybreak.web.who import Looker

router = APIRouter(include_in_schema=False)

SIZE = 50
STATES = get_args(State)
_COLUMNS = "run, kind, title, project, state, created, updated, why, question, code"
_COUNTS = "SELECT state, count(*) FROM view_runs GROUP BY state"


class Line(NamedTuple):
    run: str
    kind: str
    title: str
    project: str
    state: str
    created: str
    updated: str
    why: str
    question: str
    code: str


@router.get("/runs")
def runs(
    request: Request,
    desk: Here,
    asker: Looker,
    state: Annotated[str, Query(max_length=20)] = "",
    run: Annotated[str, Query(max_length=100)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    log = desk.home.ledger
    counts = {name: int(count) for name, count in log.query(_COUNTS)}
    state = state if state in STATES else ""
    name = run.strip()
    total = counts.get(state, 0) if state else sum(counts.values())
    pages = pager(request, 1 if name else number, total, SIZE)
    first = (pages.page - 1) * SIZE
    if name:
        begins = "run >= ?1 AND substr(run, 1, length(?1)) = ?1 AND run < ?1 || '~'"
        sql = f"SELECT {_COLUMNS} FROM view_runs WHERE {begins} ORDER BY run LIMIT ?2"
        found = log.query(sql, (name, SIZE))
    elif state:
        sql = f"SELECT {_COLUMNS} FROM view_runs WHERE state = ? ORDER BY created DESC LIMIT ? OFFSET ?"
        found = log.query(sql, (state, SIZE, first))
    else:
        found = log.query(f"SELECT {_COLUMNS} FROM view_runs ORDER BY run DESC LIMIT ? OFFSET ?", (SIZE, first))
    lines = [Line(*row) for row in found]
    said = {line.run: verdict for line in lines if (verdict := verdicts.of(log, line.run)) is not None}
    return page(
        request,
        "runs.html",
        lines=lines,
        said=said,
        counts=counts,
        states=STATES,
        state=state,
        run=name,
        total=sum(counts.values()),
        pager=pages,
    )
