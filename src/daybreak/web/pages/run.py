"""One run: its verdict, what shows each requirement, its parts, attempts, gates, checks, changes, logs; and what a
person can say of it."""

from __future__ import annotations

from collections import deque
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from daybreak.engine import verdicts as said
from daybreak.engine.purse import account_of
from daybreak.errors import DaybreakError
from daybreak.events import FINAL
from daybreak.factory import verdicts
from daybreak.ledger import Record
from daybreak.policy.redaction import redact
from daybreak.report import render
from daybreak.report.logbook import Follower, Wanted, for_people
from daybreak.report.tree import Growth, Node
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import asking, story, timeline
from daybreak.web.pages.acts import around
from daybreak.web.pages.base import page
from daybreak.web.pages.story import Row
from daybreak.web.pages.tonight import bars_of, followers
from daybreak.web.problems import NotThere
from daybreak.web.who import Asker, Looker, may

router = APIRouter(include_in_schema=False)

Run = Annotated[str, Path(max_length=200)]
Evidence = Annotated[Asker, may("evidence")]
LOG_LINES = 300
LOG_BYTES = 4_000_000
"""At the end of the newest log file."""
DIFF_CHARS = 200_000
CHECKS_MAX = 80


@router.get("/runs/{run}")
def run(request: Request, desk: Here, asker: Looker, run: Run) -> HTMLResponse:
    row = _row(desk, run)
    home, now = desk.home, desk.clock.now()
    told = story.told(home, run, row, held_out=asker.has("held-out"), words=asker.has("evidence"))
    known = followers(desk)
    found = known.of(run) if row.state not in FINAL else None
    left = known.left(found, now) if found is not None else None
    report = told.report
    return page(
        request,
        "run.html",
        current="runs",
        run=run,
        row=row,
        story=told,
        report=report,
        headline=render.headline(report),
        checks=report.checks[-CHECKS_MAX:],
        more_checks=max(0, len(report.checks) - CHECKS_MAX),
        tree=_tree(desk, run, told.records) if told.records else None,
        timeline=timeline.draw(told.records, now),
        place=told.places.get,
        asked=asking.of_run(home.ledger, run),
        said=said.of(home.ledger, run),
        bars=bars_of(home, account_of(run)),
        done=known.fraction(found, left, now) if found is not None else None,
        left=left,
        final=row.state in FINAL,
    )


def _tree(desk: Desk, run: str, records: list[Record]) -> Node:
    grown = Growth(run, desk.clock)
    for record in records:
        grown.take(record)
    return grown.node(desk.clock.now())


@router.get("/runs/{run}/cancel")
def cancel(request: Request, desk: Here, asker: Annotated[Asker, may("steer")], run: Run) -> HTMLResponse:
    """Asks once more, for browsers without scripts."""
    return page(request, "cancel.html", current="queue", run=run, row=_row(desk, run))


@router.get("/runs/{run}/undo")
def undo(request: Request, desk: Here, asker: Annotated[Asker, may("undo")], run: Run) -> HTMLResponse:
    """What undoing would do; nothing is touched."""
    row, problem, plan = _row(desk, run), None, None
    try:
        plan = verdicts.plan(desk.home.ledger, run, **around(desk))
    except DaybreakError as error:
        problem = error
    return page(request, "undo.html", current="runs", run=run, row=row, plan=plan, problem=problem)


@router.get("/runs/{run}/logs")
def logs(request: Request, desk: Here, asker: Evidence, run: Run) -> HTMLResponse:
    """The newest lines of the log files about it."""
    row = _row(desk, run)
    found: deque[str] = deque(maxlen=LOG_LINES)
    follower, wanted, problem = Follower(desk.home.places.logs, last=LOG_BYTES), Wanted(run), ""
    try:
        for line in follower.news():
            if wanted.holds(line):
                found.append(for_people(line))
    except OSError as error:
        problem = f"the log files cannot be read: {error.strerror or error}"
    finally:
        follower.close()
    return page(
        request, "logs.html", current="runs", run=run, row=row, lines=list(found), problem=problem, most=LOG_LINES,
        megabytes=LOG_BYTES // 1_000_000,
    )  # fmt: skip


@router.get("/runs/{run}/diff")
def diff(
    request: Request, desk: Here, asker: Evidence, run: Run, n: Annotated[int, Query(ge=1, le=10_000)] = 1
) -> HTMLResponse:
    """What an attempt changed, as the ledger keeps it."""
    row = _row(desk, run)
    found = story.told(desk.home, run, row, held_out=False, words=False).patches
    if n > len(found):
        raise NotThere(f"run {run} keeps {len(found)} changes", hint="look at the run's page")
    patch = found[n - 1]
    raw = desk.home.ledger.get_blob(patch.blob)
    text = raw[:DIFF_CHARS].decode("utf-8", "replace")
    return page(
        request, "diff.html", current="runs", run=run, row=row, patch=patch, count=len(found),
        text=redact(text).text, size=len(raw), left=max(0, len(raw) - DIFF_CHARS), most=DIFF_CHARS,
    )  # fmt: skip


def _row(desk: Desk, run: str) -> Row:
    """Raises NotThere."""
    found = story.row_of(desk.home, run)
    if found is None:
        raise NotThere(f"there is no run {run[:80]!a}", hint="the page Runs lists them")
    return found
