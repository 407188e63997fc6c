"""The ledger: its head, its events, the proof of one, evidence behind them, and verification."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from daybreak import events
from daybreak.ledger import Record
from daybreak.policy.bearer import ScopeMissing
from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.api.runs import known
from daybreak.web.api.seeing import Run
from daybreak.web.desk import Here
from daybreak.web.fresh import Fresh
from daybreak.web.pages import withheld
from daybreak.web.paging import CURSOR_MAX
from daybreak.web.problems import NotThere
from daybreak.web.verifying import verifying_of
from daybreak.web.who import Asker, Looker, may

router = APIRouter(tags=["ledger"])
Reader = Annotated[Asker, may("evidence")]
PAYLOAD_MAX = 1024 * 1024
"""Bytes of a payload that is shown."""
PAGE_BYTES = 4 * 1024 * 1024
"""Payloads of one page, about."""
BLOB_MAX = 4 * 1024 * 1024
Index = Annotated[int, Path(ge=0, le=CURSOR_MAX)]


class Head(BaseModel):
    """The newest signed head."""

    origin: str
    size: int = Field(description="Events.")
    root: str = Field(description="Hexadecimal.")
    note: str = Field(description="The signed note itself, as witnesses take it.")


@router.get("/ledger/head", operation_id="getHead")
def head(desk: Here, asker: Looker, tag: Fresh) -> Head:
    """The newest signed head."""
    newest = desk.home.ledger.newest()
    return Head(origin=newest.origin, size=newest.size, root=newest.root.hex(), note=_note(newest))


def _note(checkpoint: Any) -> str:
    text = getattr(checkpoint, "note", None) or getattr(checkpoint, "text", "")
    return text.decode() if isinstance(text, bytes) else str(text)


class Event(BaseModel):
    """An event as it stands in the ledger."""

    index: int
    stream: str
    seq: int
    id: str
    type: str
    ts: str
    actor: str
    trace: str
    epoch: int | None
    gen: int
    hash: str = Field(description="Its leaf's, hexadecimal.")
    payload: Any = Field(description="What it says, without secrets; null where the asker may not see it.")
    withheld: str = Field(description="Why the payload is not shown, or not all of it; empty where it is.")


class Events(BaseModel):
    events: list[Event]
    next: int | None = Field(description="`after` of the next page; null at the end.")


def told(record: Record, asker: Asker) -> Event:
    """As this asker may see it."""
    payload, why = _payload(record, asker)
    return Event(
        index=record.index,
        stream=seeing.redacted(record.stream),
        seq=record.seq,
        id=record.id,
        type=seeing.redacted(record.type),
        ts=record.ts,
        actor=seeing.redacted(record.actor),
        trace=seeing.redacted(record.trace),
        epoch=record.epoch,
        gen=record.gen,
        hash=record.hash.hex(),
        payload=payload,
        withheld=why,
    )


def _payload(record: Record, asker: Asker) -> tuple[Any, str]:
    if not asker.has("evidence"):
        return None, "scope evidence"
    if len(record.payload) > PAYLOAD_MAX:
        return None, f"{len(record.payload)} bytes are too long: `daybreak ledger show` has them"
    if record.secret is not None and not asker.has("admin"):
        return None, "sealed for somebody: scope admin"
    try:
        plain = msgspec.json.decode(record.words)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, "what is stored is no JSON"
    hides = not asker.has("held-out") and withheld.holds_something(record.type)
    return seeing.values(record.type, plain, asker), "scope held-out" if hides else ""


@router.get("/ledger/events", operation_id="listEvents")
def list_events(
    request: Request,
    response: Response,
    desk: Here,
    asker: Looker,
    tag: Fresh,
    after: Annotated[int, Query(ge=-1, le=CURSOR_MAX, description="Behind this index, or place in the stream.")] = -1,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    stream: Annotated[str | None, Query(min_length=1, max_length=200, pattern="^[!-~]+$")] = None,
) -> Events:
    """Events in order; of one stream, or all of them."""
    ledger = desk.home.ledger
    found: list[Event] = []
    size = 0
    following: int | None = None
    for record in ledger.read_all(after=after) if stream is None else ledger.read(stream, after=after):
        if len(found) == limit or size > PAGE_BYTES:
            following = found[-1].index if stream is None else found[-1].seq
            break
        found.append(told(record, asker))
        size += len(record.payload)
    if following is not None:
        asked = request.url.include_query_params(after=following)
        response.headers["Link"] = f'<{asked.path}?{asked.query}>; rel="next"'
    return Events(events=found, next=following)


@router.get("/ledger/events/{index}", operation_id="getEvent")
def event(index: Index, desk: Here, asker: Looker, tag: Fresh) -> Event:
    """One event."""
    for record in desk.home.ledger.read_all(after=index - 1):
        if record.index == index:
            return told(record, asker)
        break
    raise NotThere(f"there is no event {index}", hint="`GET /api/v1/ledger/head` says how many there are")


class Proof(BaseModel):
    """That an event is in the log: check it with any RFC 6962 verifier."""

    index: int
    leaf: str
    size: int = Field(description="Of the signed head that it is proved in.")
    root: str
    path: list[str]
    note: str = Field(description="The signed head.")


@router.get("/ledger/events/{index}/proof", operation_id="getProof")
def proof(index: Index, desk: Here, asker: Looker, tag: Fresh) -> Proof:
    """The inclusion proof of one event. `daybreak ledger prove` writes one that anybody can check offline."""
    found = event(index, desk, asker, tag)
    checkpoint, path = desk.home.ledger.inclusion_proof(index)
    return Proof(
        index=index,
        leaf=found.hash,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        path=[one.hex() for one in path],
        note=_note(checkpoint),
    )


@router.get(
    "/runs/{run}/blobs/{digest}",
    operation_id="getEvidence",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Without secrets."}},
)
def blob(
    run: Run, digest: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], desk: Here, asker: Reader, tag: Fresh
) -> Response:
    """Evidence that an event of this run refers to, as text, without secrets. What may hold held-out examples needs
    the scope `held-out`."""
    from daybreak.factory.blobs import blobs_of

    known(desk, run)
    kinds = {record.type + _sort(record) for record in desk.home.records(run) if digest in set(blobs_of(record.event))}
    if not kinds:
        raise NotThere(
            "no event of this run refers to that", hint="`GET /api/v1/ledger/events?stream=run:…` names them"
        )
    if kinds != {events.ArtefactMade.type} and not asker.has("held-out"):
        raise ScopeMissing("this may hold held-out examples", hint="mint a token with the scope held-out")
    data = desk.home.ledger.get_blob(digest)
    if len(data) > BLOB_MAX:
        raise NotThere(f"{len(data):,} bytes are too long for this", hint="the command line has it")
    return Response(seeing.redacted(data.decode("utf-8", "replace")), media_type="text/plain")


def _sort(record: Record) -> str:
    """Artefacts that hold a specification hold its examples."""
    name = getattr(record.event, "name", "")
    return " specification" if record.type == events.ArtefactMade.type and "spec" in str(name).lower() else ""


class Check(BaseModel):
    """A verification of the whole ledger, or of what is new."""

    state: Literal["none", "running", "done", "failed"]
    began: str
    ended: str
    done: int
    of: int
    ok: bool
    events: int
    problems: list[list[str]]
    why: str


@router.get("/ledger/verification", operation_id="getVerification")
def verification(request: Request, desk: Here, asker: Looker) -> Check:
    """How far the newest verification is, or what it found."""
    found = verifying_of(request, desk).check
    if found is None:
        return Check(
            state="none", began="", ended="", done=0, of=0, ok=False, events=0, problems=[], why="none was begun here"
        )
    return Check(
        state=found.state,
        began=found.began,
        ended=found.ended,
        done=found.done,
        of=found.of,
        ok=found.ok,
        events=found.events,
        problems=[[seeing.redacted(where), seeing.redacted(what)] for where, what in found.problems[:200]],
        why=seeing.redacted(found.why),
    )


class Verifying(BaseModel):
    whole: bool = Field(default=False, description="Everything, not only what is new since the last good check.")


class Begun(BaseModel):
    begun: bool = Field(description="False where one was under way already.")


@router.post("/ledger/verification", operation_id="beginVerification", status_code=202)
def verify(request: Request, act: Annotated[Act, acting("admin")], body: Verifying | None = None) -> Begun:
    """Begin to verify the ledger, in a program of its own; `GET` says how far it is."""
    return Begun(begun=verifying_of(request, act.desk).begin(whole=(body or Verifying()).whole))
