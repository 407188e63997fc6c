"""The page of health: what the doctor finds, breakers, incidents, locks, what others keep of the ledger, channels."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import apsw
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from daybreak.clock import Clock
from daybreak.errors import DaybreakError
from daybreak.home import Home
from daybreak.ledger import database
from daybreak.policy.journal import IncidentRow, Journal
from daybreak.version import __version__
from daybreak.web import forms
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import explain, heads
from daybreak.web.pages.base import back, page, refused
from daybreak.web.pages.examining import Examining
from daybreak.web.who import Asker, Looker, may

router = APIRouter()
router.include_router(explain.router)

PAGE = "/health"
CLOSED_MOST = 10
OPEN_MOST = 50
BREAKERS_MOST = 100
LOCKS_MOST = 50
WHY_MAX = 300
Form = Annotated[dict[str, str], Depends(forms.fields)]
_GUARD = threading.Lock()
_INCIDENTS = "SELECT * FROM view_incidents WHERE closed = '' ORDER BY level DESC, raised DESC, incident DESC LIMIT ?"
_CLOSED = "SELECT * FROM view_incidents WHERE closed <> '' ORDER BY closed DESC, incident DESC LIMIT ?"
_OPEN = "SELECT count(*) FROM view_incidents WHERE closed = ''"
_BREAKERS = """SELECT name, state, until, why, changed, openings FROM view_circuits
  ORDER BY state = 'closed', name LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Breaker:
    name: str
    state: str
    until: str
    why: str
    changed: str
    openings: int


@dataclass(frozen=True, slots=True)
class Lock:
    """One that somebody holds."""

    name: str
    host: str
    pid: int
    since: str


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes."""

    free: int
    of: int
    ledger: int
    """The database with its write-ahead log."""

    @property
    def used_share(self) -> float:
        return 1 - self.free / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Incidents:
    open: tuple[IncidentRow, ...]
    more: int
    """Open ones beyond those shown."""
    closed: tuple[IncidentRow, ...]
    """The newest."""


def examining_of(request: Request, desk: Desk) -> Examining:
    """The one of this server."""
    with _GUARD:
        found = getattr(request.app.state, "examining", None)
        if not isinstance(found, Examining):
            found = request.app.state.examining = Examining(desk.home.places, desk.clock)
        return found


def breakers(log: Any) -> tuple[Breaker, ...]:
    """Those that are not closed first."""
    return tuple(Breaker(*row) for row in log.query(_BREAKERS, (BREAKERS_MOST,)))


def incidents(log: Any) -> Incidents:
    """The worst open ones first."""
    shown = tuple(IncidentRow._make(row) for row in log.query(_INCIDENTS, (OPEN_MOST,)))
    ((count,),) = log.query(_OPEN)
    closed = tuple(IncidentRow._make(row) for row in log.query(_CLOSED, (CLOSED_MOST,)))
    return Incidents(shown, int(count) - len(shown), closed)


def locks(home: Home, clock: Clock) -> tuple[Lock, ...]:
    """Those that are held now, by name."""
    from daybreak.host.locks import FileLocks

    files = FileLocks(home.places.locks, clock)
    found = []
    for name in files.names()[: LOCKS_MOST * 4]:
        try:
            owner = files.owner(name)
        except DaybreakError:
            continue  # somebody else's file: the doctor tells of it
        if owner is not None:
            found.append(Lock(name, owner.host, owner.pid, owner.started))
    return tuple(found[:LOCKS_MOST])


def disk(home: Home) -> Disk | None:
    """None where it cannot be asked."""
    folder = home.places.ledger
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    size = 0
    for name in (database.FILE, f"{database.FILE}-wal"):
        try:
            size += (folder / name).stat().st_size
        except OSError:
            continue  # it is not there, or on another kind of store
    return Disk(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize, size)


def channels(home: Home, clock: Clock) -> tuple[Sequence[Any], str]:
    """How the channels of messages stand; or why that cannot be told."""
    if not home.settings.notify.channels:
        return (), ""
    from daybreak.home import notifying
    from daybreak.report.notify import listing

    try:
        return listing.look(notifying.rounds(home.ledger, home.settings, home.places, clock)), ""
    except DaybreakError as error:
        return (), f"{error.code} {error.message}; {error.hint}"


@router.get(PAGE, response_class=HTMLResponse, include_in_schema=False)
def health(request: Request, desk: Here, asker: Looker) -> HTMLResponse:
    examining = examining_of(request, desk)
    examining.begin(anyway=False)
    home = desk.home
    marks, marks_wrong = heads.marks(home)
    told, told_wrong = channels(home, desk.clock)
    return page(
        request,
        "health.html",
        found=examining.found,
        breakers=breakers(home.ledger),
        incidents=incidents(home.ledger),
        locks=locks(home, desk.clock),
        disk=disk(home),
        marks=marks,
        marks_wrong=marks_wrong,
        channels=told,
        channels_wrong=told_wrong,
        places=home.places,
        problem=home.problem,
        hub=desk.hub.failed,
        version=__version__,
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        system=f"{platform.system()} {platform.release()}",
        sees_incidents=asker.has("incidents"),
        linked=explain.linked,
    )


@router.get(PAGE + "/findings", response_class=HTMLResponse, include_in_schema=False)
def findings(request: Request, desk: Here, asker: Looker) -> HTMLResponse:
    """For the page to ask while a look is under way."""
    found = examining_of(request, desk).found
    return page(request, "parts/health-findings.html", current="health", found=found, linked=explain.linked)


@router.post(PAGE + "/look", include_in_schema=False)
def look(request: Request, desk: Here, asker: Looker, form: Form) -> Response:
    """Another look at this machine."""
    begun = examining_of(request, desk).begin()
    return back(form, "Looking again." if begun else "A look is under way already.", to=PAGE)


@router.post(PAGE + "/incidents/{incident}/close", include_in_schema=False)
def close(desk: Here, asker: Annotated[Asker, may("incidents")], incident: str, form: Form) -> Response:
    """Somebody has dealt with it, and says how."""
    why = " ".join(form.get("why", "").split())[:WHY_MAX]
    if not why:
        return back(form, "An incident is closed with a reason: what it was and what was done.", kind="bad", to=PAGE)
    try:
        Journal(desk.home.ledger, desk.clock, actor=asker.actor).close_incident(incident, why=why)
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    return back(form, f"Incident {incident} is closed.", to=PAGE)
