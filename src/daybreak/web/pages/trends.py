"""The page of trends: days together and one by one, who is good at what, and which alerts fire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from daybreak.report import metrics
from daybreak.report.alerts.view import Standing, standing
from daybreak.report.metrics import Line
from daybreak.web.desk import Here
from daybreak.web.pages import charts, explain
from daybreak.web.pages.base import page
from daybreak.web.pages.charts import Chart
from daybreak.web.who import Looker

router = APIRouter()

DAYS = (7, 14, 30, 90)
LEAGUE_MOST = 50
BAR = 100
"""Width of the bar on which an interval is drawn."""


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's line in the table."""

    worker: str
    share: str
    between: str
    """The interval, in words."""
    low: float
    middle: float
    high: float
    """Of `BAR`."""
    solved: str
    attempts: int
    cost: str
    per_solved: str
    took: str


@dataclass(frozen=True, slots=True)
class Model:
    """What the page shows."""

    days: int
    charts: tuple[Chart, ...]
    total: metrics.Day
    cost: str
    success: str
    took: str
    league: tuple[Place, ...]
    more: int
    """Workers beyond those shown."""
    alerts: tuple[Standing, ...]
    quiet: tuple[Standing, ...]
    """Alerts that do not fire."""


def model(log: metrics.Asked, days: int, now: datetime) -> Model:
    """Of the last `days` UTC days."""
    told = metrics.trends(log, days, now=now)
    lines = metrics.league(log, days, now=now)
    told_alerts = standing(log)
    whole = told.total
    return Model(
        days=days,
        charts=charts.charts(told),
        total=whole,
        cost=charts.usd(whole.money_microusd),
        success=charts.share(whole.success_share),
        took="–" if whole.run_duration is None else charts.rough(whole.run_duration.p50.value),
        league=tuple(_place(one) for one in lines[:LEAGUE_MOST]),
        more=max(0, len(lines) - LEAGUE_MOST),
        alerts=tuple(one for one in told_alerts if one.state != "clear"),
        quiet=tuple(one for one in told_alerts if one.state == "clear"),
    )


def _place(one: Line) -> Place:
    per_solved = one.money_per_solved_microusd
    return Place(
        worker=one.worker,
        share=charts.share(one.share),
        between=f"{charts.bound(one.low)} to {charts.bound(one.high)}" if one.counted else "not known yet",
        low=round(BAR * one.low, 1),
        middle=round(BAR * (one.share or 0.0), 1),
        high=round(BAR * one.high, 1),
        solved=f"{one.solved:,} of {one.counted:,}",
        attempts=one.attempts,
        cost=charts.usd(one.money_microusd),
        per_solved="–" if per_solved is None else charts.usd(per_solved),
        took="–" if one.duration is None else charts.span(one.duration.p50.value),
    )


@router.get("/trends", response_class=HTMLResponse, include_in_schema=False)
def trends(
    request: Request, desk: Here, asker: Looker, days: Annotated[int, Query(ge=1, le=DAYS[-1])] = 7
) -> HTMLResponse:
    """The days are UTC days, as the ledger counts them. More of them than a page can hold: `daybreak metrics`."""
    made = model(desk.home.ledger, days, desk.clock.now())
    return page(request, "trends.html", told=made, choices=DAYS, linked=explain.linked)
