"""`GET /events/stream`: every event as it comes, without a gap and without a repeat.

Each message has the event's index as `id`, so that a client which sends `Last-Event-ID` (browsers do) goes on behind
it, over restarts of the server too. What lies too far back for the ring is read from the ledger, a page at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from daybreak.errors import LedgerBehind
from daybreak.policy.bearer import Scope
from daybreak.web import live, streams
from daybreak.web import topics as topic_names
from daybreak.web.api import records, seeing
from daybreak.web.desk import Desk, Here
from daybreak.web.fresh import size
from daybreak.web.live import Heard, Hub
from daybreak.web.paging import CURSOR_MAX
from daybreak.web.who import Asker, Looker

router = APIRouter(tags=["ledger"])
PAGE = 200
SMALL = 4_096
KEPT = 2_048
_SHOW_MORE: frozenset[Scope] = frozenset({"evidence", "held-out", "admin"})
"""Scopes that show more of an event than others see."""


@router.get(
    "/events/stream",
    operation_id="streamEvents",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The stream."}},
)
async def stream(
    request: Request,
    desk: Here,
    asker: Looker,
    topics: Annotated[
        str | None,
        Query(
            max_length=500,
            pattern="^[A-Za-z0-9_.:,-]*$",
            description=f"With commas: {', '.join(topic_names.TOPICS)}, or runs by name. None: everything.",
        ),
    ] = None,
    after: Annotated[
        int | None, Query(ge=-1, le=CURSOR_MAX, description="Behind this index; else Last-Event-ID, else from now.")
    ] = None,
) -> EventSourceResponse:
    """Events as server-sent events: `event:` its type, `id:` its index, `data:` as `GET /ledger/events` has it."""
    last = streams.last_event(request)
    position = last if last is not None else after
    newest = await anyio.to_thread.run_sync(size, desk) - 1
    if position is None:
        position = desk.hub.position
    elif position > newest:
        raise LedgerBehind(
            f"the ledger holds {newest + 1} events, and those after event {position} were asked for",
            hint="the position is that of another ledger: begin again from the head",
        )
    wanted = frozenset(part for part in (topics or "").split(",") if part)
    return streams.respond(desk, asker, _messages(desk, asker, position, wanted))


async def _messages(desk: Desk, asker: Asker, position: int, wanted: frozenset[str]) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="open", retry=live.RETRY_MS, sep="\n")
    hub = desk.hub
    while not hub.closed:
        heard = hub.after(position)
        if heard is None or (not heard and position < hub.position):
            heard = await anyio.to_thread.run_sync(_read, desk, position)
        for one in heard:
            position = one.record.index
            if not wanted or wanted & one.topics:
                yield await _message(one, asker, hub)
        if not heard:
            await hub.news(position, 60)


def _read(desk: Desk, position: int) -> list[Heard]:
    from daybreak.web.topics import of_record

    return [Heard(record, of_record(record)) for record in islice(desk.home.ledger.read_all(after=position), PAGE)]


async def _message(one: Heard, asker: Asker, hub: Hub) -> ServerSentEvent:
    sees = asker.scopes & _SHOW_MORE
    key = one.record.index, sees
    data = hub.written.get(key)
    if data is None:
        if len(one.record.payload) < SMALL:
            data = _written(one, asker)
        else:  # redaction of much text takes its time
            data = await anyio.to_thread.run_sync(_written, one, asker)
        if len(data) < SMALL:
            hub.written[key] = data
            while len(hub.written) > KEPT:
                del hub.written[next(iter(hub.written))]
    return ServerSentEvent(data=data, event=seeing.redacted(one.record.type), id=str(one.record.index), sep="\n")


def _written(one: Heard, asker: Asker) -> str:
    return records.told(one.record, asker).model_dump_json()
