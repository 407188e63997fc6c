"""The morning report: what needs a decision first, then what was verified, what was only claimed, what failed; every
result can be accepted, rejected or undone here, and every line leads to its evidence."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from daybreak.engine import nights
from daybreak.errors import DaybreakError
from daybreak.factory import verdicts
from daybreak.home import mornings
from daybreak.home.acting import Hand, writing
from daybreak.report.morning import words
from daybreak.web.desk import Here
from daybreak.web.pages import asking, kept
from daybreak.web.pages.acts import Form, Judging
from daybreak.web.pages.base import back, page, refused
from daybreak.web.pages.kept import Kept
from daybreak.web.who import Looker

router = APIRouter(include_in_schema=False)

NIGHTS_MAX = 12
REPORTS: Kept[Any] = Kept()
LINES_MAX = 60
"""Runs of one part that are told one by one."""


@router.get("/report")
def report(
    request: Request, desk: Here, asker: Looker, night: Annotated[str | None, Query(max_length=100)] = None
) -> HTMLResponse:
    """Of the night that is named; without one of the newest night, or of the time since the last report."""
    told = REPORTS.get(desk, night or "", lambda: mornings.collect(desk.home, desk.clock.now(), night=night or None))
    ledger = desk.home.ledger
    asked = {one.run: one for decision in told.decisions[:LINES_MAX] if (one := asking.of_run(ledger, decision.run))}
    return page(
        request,
        "report.html",
        told=told,
        title=words.title(told),
        span=words.span(told),
        words=words,
        most=LINES_MAX,
        asked=asked,
        night=night or "",
        nights=nights.nights(ledger, NIGHTS_MAX),
    )


@router.post("/report/accept")
def accept(desk: Here, asker: Judging, form: Form) -> Response:
    """All that was verified in the report and of which nobody said anything else."""
    try:
        told = mornings.collect(desk.home, desk.clock.now(), night=form.get("night") or None)
        runs = [one.run for one in told.verified]
        with writing(Hand(asker.actor)):
            accepted = verdicts.accept_night(desk.home.ledger, runs, actor=asker.actor)
    except DaybreakError as error:
        return refused(form, error, to="/report")
    kept.drop(desk)
    changed = sum(one.changed for one in accepted)
    left = [f"{one.title}: {one.why_not}" for one in accepted if not one.accepted]
    rest = f" Left out: {'; '.join(left)[:300]}" if left else ""
    return back(form, f"{changed} accepted.{rest}", to="/report")
