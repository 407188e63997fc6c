"""The pages of the ledger: its signed head, its events a page at a time, one event with its proof, and verification."""

from __future__ import annotations

import threading
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from daybreak import events
from daybreak.errors import DaybreakError
from daybreak.ledger.record import decode_header
from daybreak.policy.bearer import ScopeMissing
from daybreak.policy.redaction import holds_secret
from daybreak.web import forms
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import browsing, explain, heads, reading, withheld
from daybreak.web.pages.base import back, page, refused
from daybreak.web.pages.browsing import Listing, Streams, Wanted
from daybreak.web.pages.verifying import Verifying
from daybreak.web.problems import NotThere
from daybreak.web.who import Asker, Looker, may

router = APIRouter()

Form = Annotated[dict[str, str], Depends(forms.fields)]
Text = Annotated[str, Query(max_length=300)]
_GUARD = threading.Lock()


def verifying_of(request: Request, desk: Desk) -> Verifying:
    """The one of this server."""
    with _GUARD:
        found = getattr(request.app.state, "verifying", None)
        if not isinstance(found, Verifying):
            found = request.app.state.verifying = Verifying(desk.home.places, desk.clock)
        return found


# -- the list


@router.get("/ledger", response_class=HTMLResponse, include_in_schema=False)
def ledger(
    request: Request,
    desk: Here,
    asker: Looker,
    of: Text = "",
    kind: Text = "",
    before: Text = "",
    after: Text = "",
) -> Response:
    """Newest first. `of`: a stream, a run, the beginning of either; of an event its index or STREAM#SEQ."""
    log = desk.home.ledger
    if (place := reading.find(log, of)) is not None:
        return RedirectResponse(f"/ledger/{place}", 303)
    meant = browsing.streams(log, of)
    wanted = Wanted(meant.stream, kind.strip(), browsing.number(before), browsing.number(after))
    nowhere = bool(of.strip()) and not meant.stream
    found = Listing((), -1, None, None, None) if nowhere else browsing.page(log, wanted, withheld.of(asker))
    marks, marks_wrong = heads.marks(desk.home)
    return page(
        request,
        "ledger.html",
        of=of.strip(),
        kind=wanted.type,
        meant=meant,
        nowhere=nowhere,
        listing=found,
        kinds=_kinds(wanted.type),
        streams=browsing.KNOWN_STREAMS,
        links=_links(meant, wanted, found),
        live=wanted.before is None and wanted.after is None and not nowhere,
        head=heads.look(desk.home),
        marks=marks,
        marks_wrong=marks_wrong,
        check=verifying_of(request, desk).check,
        sees=withheld.of(asker),
        may_whole=asker.has("admin"),
        linked=explain.linked,
    )


def _kinds(chosen: str) -> list[str]:
    return sorted({*events.BY_TYPE, *([chosen] if chosen else [])})


def _links(meant: Streams, wanted: Wanted, found: Listing) -> dict[str, str]:
    base = {name: value for name, value in (("of", meant.stream), ("kind", wanted.type)) if value}

    def link(**place: int) -> str:
        told = urlencode({**base, **place})
        return f"/ledger?{told}" if told else "/ledger"

    return {
        "newest": link(),
        "older": "" if found.older is None else link(before=found.older),
        "newer": "" if found.newer is None else link(after=found.newer),
    }


# -- verification


@router.get("/ledger/verification", response_class=HTMLResponse, include_in_schema=False)
def verification(request: Request, desk: Here, asker: Looker) -> Response:
    """How the check that was begun here stands, for the page to ask while it runs."""
    return page(
        request,
        "parts/ledger-verification.html",
        current="ledger",
        check=verifying_of(request, desk).check,
        head=heads.look(desk.home),
        may_whole=asker.has("admin"),
        sees=withheld.of(asker),
        linked=explain.linked,
    )


@router.post("/ledger/verify", include_in_schema=False)
def verify(request: Request, desk: Here, asker: Annotated[Asker, may("evidence")], form: Form) -> Response:
    """Begin a check in the background; everything is read only for whoever may have that done."""
    whole = form.get("whole") == "1"
    if whole and not asker.has("admin"):
        needs = ScopeMissing(
            "to have everything verified needs the scope admin, because it takes this machine's time",
            hint="`daybreak ledger verify` does it on the command line.",
        )
        return refused(form, needs, to="/ledger")
    if desk.home.ledger.postgres is not None:
        said = "A ledger on Postgres is verified whole, with `daybreak ledger verify` on the command line."
        return back(form, said, kind="bad", to="/ledger")
    begun = verifying_of(request, desk).begin(whole=whole)
    said = "The check has begun; pages go on meanwhile." if begun else "A check is under way already."
    return back(form, said, to="/ledger")


# -- one event


@router.get("/ledger/{name}", response_class=HTMLResponse, include_in_schema=False)
def event(request: Request, desk: Here, asker: Looker, name: str) -> Response:
    """By its index, or as STREAM#SEQ."""
    index = _index(desk, name)
    problem, found = None, None
    try:
        found = reading.read(desk.home.ledger, index, withheld.of(asker))
    except reading.Missing:
        raise _nothing(name) from None
    except DaybreakError as error:  # what is stored is not what was signed: a page that says so
        problem = error
    return page(
        request,
        "event.html",
        current="ledger",
        index=index,
        event=found,
        problem=problem,
        sees=withheld.of(asker),
        hides=found is not None and withheld.holds_something(found.type) and not asker.has("held-out"),
        hidden=found is not None and withheld.NOT_SHOWN in found.said.text,
        linked=explain.linked,
    )


@router.get("/ledger/{name}/proof", include_in_schema=False)
def proof(desk: Here, asker: Looker, name: str, payload: bool = False) -> Response:
    """The bundle that `daybreak ledger prove` writes; with `payload` also what the event says."""
    from daybreak.ledger import Prover, keyfile, write_bundle

    index = _index(desk, name)
    _check_leaving(desk, asker, index, payload=payload)
    with Prover(desk.home.places.ledger, keyfile.load_verifier(desk.home.places.keys)) as prover:
        data = write_bundle(prover.prove([index], withhold=not payload))
    headers = {"Content-Disposition": f'attachment; filename="event-{index}.proof"'}
    return Response(data, media_type="application/json", headers=headers)


def _index(desk: Desk, name: str) -> int:
    index = reading.find(desk.home.ledger, name[:300])
    if index is None:
        raise _nothing(name)
    return index


def _nothing(name: str) -> NotThere:
    return NotThere(f"there is no event {name[:80]}", hint="an event has an index, or is named STREAM#SEQ")


def _check_leaving(desk: Desk, asker: Asker, index: int, *, payload: bool) -> None:
    """May this event leave as it was stored? Raises ScopeMissing, LedgerTampered."""
    cli = f"`daybreak ledger prove {index}` gives it on the command line"
    without = f"{cli}; without `payload` the proof shows that it is there"
    if payload and not asker.has("evidence"):
        raise ScopeMissing("payloads need the scope evidence", hint=f"{without}.")
    ((raw, stored),) = desk.home.ledger.query("SELECT header, payload FROM event WHERE leaf = ?", (index,))
    with reading.rows(desk.home.ledger) as reader:
        record, _ = reader.record(index, raw, stored)
    if holds_secret(record.header.decode("utf-8", "replace")):
        raise ScopeMissing("the event's header looks as if it held a secret, which no page gives away", hint=f"{cli}.")
    if not payload:
        return
    kind = decode_header(record.header).type
    if withheld.holds_something(kind) and not asker.has("held-out"):
        raise ScopeMissing(
            f"a {kind} may hold acceptance examples that workers must not see; that needs the scope held-out",
            hint=f"{without}.",
        )
    if holds_secret(record.payload.decode("utf-8", "replace")):
        raise ScopeMissing(
            "what the event says looks as if it held a secret, which no page gives away", hint=f"{without}."
        )
