"""How everything stands: status, nights, the morning report, budgets, breakers, incidents."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.api.seeing import Said
from daybreak.web.desk import Here
from daybreak.web.fresh import Fresh, size
from daybreak.web.paging import LIMIT_MAX
from daybreak.web.who import Asker, Looker, may

router = APIRouter(tags=["overview"])
Reader = Annotated[Asker, may("evidence")]
ASKED_MAX = 100
"""Questions that the status holds."""


class Status(BaseModel):
    """As `daybreak status --json` has it."""

    now: str
    nights: list[dict[str, Any]]
    dead: list[str] = Field(description="Nights that died and that nobody has closed yet.")
    questions: list[dict[str, Any]] = Field(description="The oldest; `GET /api/v1/questions` has all.")
    more_questions: int = Field(description="So many more are not in the list.")
    work: list[dict[str, Any]] = Field(description="Runs that are under way.")
    counts: dict[str, int]
    breakers: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    wakes: str
    replicas: list[str]
    marks: dict[str, Any] | None


@router.get("/status", operation_id="getStatus")
def status(desk: Here, asker: Looker) -> Status:
    """How everything stands now: what waits for you, the night, its runs, budgets and breakers."""
    from daybreak.home import standing
    from daybreak.report.standing import as_json

    found = desk.kept.of("status", size(desk), lambda: standing.look(desk.home))
    asked = replace(found, questions=found.questions[:ASKED_MAX])
    told = _worded(as_json(asked), asker)
    told["more_questions"] = len(found.questions) - len(asked.questions)
    if not asker.has("incidents"):
        told["incidents"] = [{**one, "what": "(scope incidents)"} for one in told["incidents"]]
    return Status(**told)


def _worded(value: Any, asker: Asker) -> Any:
    """Every text of it as this asker may see it."""
    if isinstance(value, str):
        return seeing.text(value, asker)
    if isinstance(value, dict):
        return {name: _worded(one, asker) for name, one in value.items()}
    return [_worded(one, asker) for one in value] if isinstance(value, list | tuple) else value


class Night(BaseModel):
    night: str
    host: str
    pid: int
    workers: int
    until: str
    budget: dict[str, int]
    once: bool
    began: str
    went_before: str
    ended: str = Field(description="Empty where nobody has written its end yet.")
    why: str
    counts: dict[str, int]
    used: dict[str, int]
    text: str
    noted: int
    level: int
    seq: int


class Nights(BaseModel):
    nights: list[Night]


@router.get("/nights", operation_id="listNights")
def nights(desk: Here, asker: Looker, tag: Fresh, limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 30) -> Nights:
    """Nights, the newest first."""
    from daybreak.engine import nights as engine

    return Nights(nights=[Night(**_worded(asdict(row), asker)) for row in engine.nights(desk.home.ledger, limit)])


class Morning(BaseModel):
    report: dict[str, Any] = Field(description="As `daybreak report --json` has it.")


@router.get("/report", operation_id="getMorningReport")
def morning(
    desk: Here,
    asker: Reader,
    tag: Fresh,
    since: Annotated[AwareDatetime | None, Query(description="From this moment on.")] = None,
    night: Annotated[
        str | None, Query(max_length=100, description="The beginning of a night's name; empty: the newest.")
    ] = None,
) -> Morning:
    """The morning report: decisions first, then what was verified, what failed and why, what it cost."""
    from daybreak.home import mornings
    from daybreak.report.morning import as_json

    if since is not None:
        try:
            since = since.astimezone(UTC)
        except OverflowError:
            since = None

    def collected() -> Any:
        return mornings.collect(desk.home, desk.clock.now(), since=since, night=None if since is not None else night)

    usual = since is None and night is None
    told = desk.kept.of("report", size(desk), collected) if usual else collected()
    return Morning(report=_worded(as_json(told), asker))


class Budget(BaseModel):
    account: str
    above: str
    limit: str
    used: str
    reserved: str
    warned: list[str]


class Budgets(BaseModel):
    budgets: list[Budget]


@router.get("/budgets", operation_id="listBudgets")
def budgets(desk: Here, asker: Looker, tag: Fresh) -> Budgets:
    """Every account: its limit, what it has used, what is set aside."""
    from daybreak.policy.accounts import Accounts

    rows = Accounts(desk.home.ledger).accounts()
    return Budgets(
        budgets=[
            Budget(
                account=row.account,
                above=row.above,
                limit=row.limit.words,
                used=row.spent.words,
                reserved=row.reserved.words,
                warned=sorted(row.warned),
            )
            for row in rows[:1000]
        ]
    )


class Breaker(BaseModel):
    name: str
    state: str
    until: str
    why: str
    changed: str


class Breakers(BaseModel):
    breakers: list[Breaker]


@router.get("/breakers", operation_id="listBreakers")
def breakers(desk: Here, asker: Looker, tag: Fresh) -> Breakers:
    """Every breaker that ever changed."""
    sql = "SELECT name, state, until, why, changed FROM view_circuits ORDER BY name LIMIT 1000"
    names = ("name", "state", "until", "why", "changed")
    rows = desk.home.ledger.query(sql)
    return Breakers(breakers=[Breaker(**_worded(dict(zip(names, row, strict=True)), asker)) for row in rows])


class Incident(BaseModel):
    incident: str
    kind: str
    level: int
    run: str
    attempt: int
    what: str
    repeated: int
    raised: str
    closed: str
    why: str


class Incidents(BaseModel):
    incidents: list[Incident]


Guards = Annotated[Asker, may("incidents")]


@router.get("/incidents", operation_id="listIncidents")
def incidents(
    desk: Here,
    asker: Guards,
    tag: Fresh,
    open: Annotated[bool, Query(description="Only those that nobody has closed.")] = False,
) -> Incidents:
    """Incidents, the worst first."""
    from daybreak.policy.journal import Journal

    rows = Journal(desk.home.ledger, desk.clock).incidents(only_open=open)
    return Incidents(incidents=[Incident(**_worded(row._asdict(), asker)) for row in rows[:1000]])


class Closing(BaseModel):
    why: Said = Field(description="What it was and what was done.")


class Closed(BaseModel):
    closed: str


@router.post("/incidents/{incident}/close", operation_id="closeIncident")
def close(incident: seeing.Run, act: Annotated[Act, acting("incidents")], body: Closing) -> Closed:
    """Say that an incident was dealt with, and how."""
    from daybreak.policy.journal import Journal

    def work() -> Closed:
        desk = act.desk
        Journal(desk.home.ledger, desk.clock, actor=act.asker.actor).close_incident(incident, why=body.why)
        return Closed(closed=incident)

    return act.do(work)


class Trends(BaseModel):
    trends: dict[str, Any] = Field(description="By day: runs, cost, durations, failures by kind.")
    league: list[dict[str, Any]] = Field(description="Workers, with what they solved.")


@router.get("/metrics/trends", operation_id="getTrends")
def trends(desk: Here, asker: Looker, tag: Fresh, days: Annotated[int, Query(ge=1, le=366)] = 7) -> Trends:
    """What the last days add up to."""
    from daybreak.report import metrics

    ledger, now = desk.home.ledger, desk.clock.now()
    lines = [asdict(one) for one in metrics.league(ledger, days, now=now)]
    return Trends(
        trends=_worded(metrics.as_json(metrics.trends(ledger, days, now=now)), asker), league=_worded(lines, asker)
    )


exposition = APIRouter(tags=["overview"])


@exposition.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "As Prometheus reads."}},
)
def prometheus(desk: Here, asker: Looker) -> Response:
    """The same numbers for Prometheus."""
    from daybreak.report import metrics

    text = metrics.prometheus(desk.home.ledger, desk.clock.now())
    return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})
