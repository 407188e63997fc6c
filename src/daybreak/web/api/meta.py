"""What the server is: its version, its workers, what its error codes mean, who asks."""

from __future__ import annotations

import os
import platform
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from daybreak.clock import stamp
from daybreak.version import __version__
from daybreak.web.api import seeing
from daybreak.web.desk import Here
from daybreak.web.problems import NotThere
from daybreak.web.who import Looker

router = APIRouter(tags=["server"])


class Version(BaseModel):
    daybreak: str
    python: str


@router.get("/version", operation_id="getVersion")
def version(asker: Looker) -> Version:
    """The version of Daybreak and of Python."""
    return Version(daybreak=__version__, python=platform.python_version())


class Me(BaseModel):
    label: str
    scopes: list[str]
    until: str


@router.get("/me", operation_id="getMe")
def me(asker: Looker) -> Me:
    """Who the token says that you are, what it lets you do, and until when."""
    return Me(label=asker.label, scopes=sorted(asker.scopes), until=stamp(asker.until))


class Doctor(BaseModel):
    """What the server itself sees; `daybreak doctor` looks at the whole machine."""

    hub: str = Field(description="Why the ledger is no longer heard; empty where it is.")
    streams: int = Field(description="Open streams of events.")
    settings: str = Field(description="Why daybreak.toml cannot be used; empty where it can.")
    events: int


@router.get("/health", operation_id="getHealth")
def health(desk: Here, asker: Looker) -> Doctor:
    """Whether everything is well here."""
    problem = desk.home.problem
    return Doctor(
        hub=seeing.text(desk.hub.failed, asker),
        streams=desk.hub.streams.total(),
        settings="" if problem is None else seeing.text(f"{problem.code} {problem.message}", asker),
        events=desk.hub.position + 1,
    )


class Worker(BaseModel):
    name: str
    kind: str
    place: int | None = Field(description="In the order in which they are asked; null where it is not in it.")
    missing: str = Field(description="Why it cannot be asked here; empty where it can.")
    version: str
    provider: str
    model: str
    budget: str


class Workers(BaseModel):
    workers: list[Worker]


@router.get("/agents", operation_id="listAgents")
def agents(desk: Here, asker: Looker) -> Workers:
    """Workers in the order in which they are asked, then the others. Asks nobody anything."""
    from daybreak.agents import found as finding
    from daybreak.errors import DaybreakError
    from daybreak.settings import BUILDER

    told = desk.home.settings
    rows = []
    for name in dict.fromkeys([*told.order, *sorted(told.workers), BUILDER]):
        worker = told.worker(name)
        try:
            found = finding.find(name, worker, told, os.environ)
        except DaybreakError as error:
            found = finding.Found(missing=error.message)
        rows.append(
            Worker(
                name=name,
                kind=worker.kind,
                place=told.order.index(name) + 1 if name in told.order else None,
                missing=seeing.text(found.missing, asker),
                version=found.version,
                provider=worker.provider,
                model=worker.model,
                budget=found.budget,
            )
        )
    return Workers(workers=rows)


class Explained(BaseModel):
    code: str
    name: str
    cause: str
    remedies: list[str]
    examples: list[str]


@router.get("/errors/{code}", operation_id="explainError")
def explain(asker: Looker, code: Annotated[str, Path(pattern="^[A-Z][0-9]{3}$")]) -> Explained:
    """What an error means and what to do about it."""
    from daybreak.report.catalogue import entry

    found = entry.entries().get(code)
    if found is None:
        raise NotThere(f"there is no code {code}", hint="`daybreak explain --list` has them all")
    return Explained(code=code, name=found.name, cause=found.cause, remedies=found.remedies, examples=found.examples)
