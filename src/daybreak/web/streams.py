"""`GET /live`, and how every stream of server-sent events is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from daybreak.web import live
from daybreak.web.desk import Desk, Here
from daybreak.web.live import Hub
from daybreak.web.problems import BodyWrong, TooMany
from daybreak.web.who import Asker, Looker

router = APIRouter()

INDEX_DIGITS = 15


def last_event(request: Request) -> int | None:
    """Where a client stopped, as it says itself. Raises BodyWrong."""
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= INDEX_DIGITS):
        raise BodyWrong("Last-Event-ID is no index of an event", hint="send back the `id` of the last message, or none")
    return max(-1, int(text))


def respond(desk: Desk, asker: Asker, messages: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """A stream that ends with the server, with its asker's token, and with a client that takes nothing.

    Raises TooMany."""
    if desk.hub.streams.total() >= live.STREAMS_MAX:
        raise TooMany(f"{live.STREAMS_MAX} streams are open, which is the most", hint="close some, or try again later")
    if desk.hub.streams[asker.counted] >= live.STREAMS_EACH:
        raise TooMany(
            f"{asker.label} has {live.STREAMS_EACH} streams open, which is the most of one token", hint="close some"
        )
    return EventSourceResponse(
        _counted(desk, asker, messages),
        ping=live.BEAT_S,
        sep="\n",
        ping_message_factory=lambda: ServerSentEvent(comment="beat", sep="\n"),
        send_timeout=live.SEND_S,
        headers={"Cache-Control": "no-store"},
        cleanup_timeout=2,
    )


async def _counted(
    desk: Desk, asker: Asker, messages: AsyncIterator[ServerSentEvent]
) -> AsyncIterator[ServerSentEvent]:
    async with _open(desk.hub, asker.counted):
        async for message in messages:
            if desk.clock.now() >= asker.until or desk.hub.heard_revoked(asker.revocations):
                yield ServerSentEvent(event="over", data="the token is no longer good", sep="\n")
                return
            yield message


@asynccontextmanager
async def _open(hub: Hub, whose: str) -> AsyncIterator[None]:
    hub.streams[whose] += 1
    try:
        yield
    finally:
        hub.streams[whose] -= 1
        if not hub.streams[whose]:
            del hub.streams[whose]


@router.get("/live", include_in_schema=False)
async def follow(request: Request, desk: Here, asker: Looker) -> EventSourceResponse:
    """What changed, for pages."""

    async def messages() -> AsyncIterator[ServerSentEvent]:
        async for name, index, what in live.changes(desk.hub, last_event(request)):
            yield ServerSentEvent(event=name, id=str(index), data=what, retry=live.RETRY_MS, sep="\n")

    last_event(request)
    return respond(desk, asker, messages())
