"""Who may pass: paths, tokens, bodies, breaker and budget; then the request is a `Call`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from daybreak import events
from daybreak.agents.gateway import reach, wire
from daybreak.agents.gateway.dialects.anthropic import Anthropic
from daybreak.agents.gateway.dialects.dialect import FINAL, STATUS, Action, Asked, Dialect, Refusal, RequestWrong
from daybreak.agents.gateway.dialects.gemini import Gemini
from daybreak.agents.gateway.dialects.openai import OpenAI
from daybreak.agents.gateway.reserving import Log, Reserving, TooDear
from daybreak.agents.gateway.ticket import Ticket, Tickets
from daybreak.agents.protocol import Trouble
from daybreak.clock import Clock, stamp
from daybreak.errors import DaybreakError
from daybreak.ledger.record import Draft
from daybreak.policy.breaker import Breaker, BreakerOpen
from daybreak.policy.failure import Failure

if TYPE_CHECKING:
    from daybreak.agents.gateway.call import Call

_log = logging.getLogger("daybreak.gateway")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DIALECTS: tuple[Dialect, ...] = (OpenAI(), Anthropic(), Gemini())
_REFUSED: dict[Refusal, Trouble] = {"budget": "budget", "breaker": "outage", "broken": "outage"}


class ProviderFailed(Exception):
    """Tells a breaker how a call ended."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


def as_told(error: BaseException, now: datetime) -> Failure:
    """What breakers are to think of a call's end."""
    assert isinstance(error, ProviderFailed), "nothing else is told to them"
    return error.failure


@dataclass
class Desk:
    """What every request needs; one for a gateway."""

    tickets: Tickets
    reserving: Reserving
    client: httpx.AsyncClient
    breaker: Callable[[str], Breaker]
    """By a provider's name."""
    clock: Clock
    log: Log
    no_usage: set[str] = field(default_factory=set)
    """Providers that refuse to be asked for usage in streams."""
    shapes: dict[tuple[str, str], tuple[bool, int]] = field(default_factory=dict)
    """By provider and model: whether it takes a limit of output under the API's other name, and how much at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One that may pass."""

    ticket: Ticket
    dialect: Dialect
    action: Action
    model: str
    """Of the path, where it names one."""
    path: str
    """Behind the prefix."""
    query: bytes
    headers: wire.Headers
    body: bytes


class Gone(Exception):
    """The client went away."""


class Refused(Exception):
    """The gateway answers itself."""

    def __init__(self, why: Refusal, message: str, until: datetime | None = None) -> None:
        super().__init__(message)
        self.why, self.message, self.until = why, message, until


class Passage:
    """The gateway as an ASGI application."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        dialect = next((one for one in DIALECTS if scope["path"].startswith(f"{one.prefix}/")), DIALECTS[0])
        try:
            route = _route(dialect, scope)
            ticket = self._desk.tickets.find(scope["headers"], scope["query_string"])
            if ticket is None:
                raise Refused("token", "this token is not known, or its attempt is over")
        except Refused as refused:
            await _drain(receive)
            await refuse(send, dialect, refused)
            return
        with anyio.CancelScope() as cancel:
            ticket.scopes.add(cancel)
            try:
                async with ticket.places:
                    await self._admitted(ticket, dialect, route, scope, receive, send)
            finally:
                ticket.scopes.discard(cancel)
                if ticket.idle is not None and not ticket.scopes:
                    ticket.idle.set()

    async def _admitted(
        self, ticket: Ticket, dialect: Dialect, route: tuple[Action, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        from daybreak.agents.gateway.call import Call

        action, model = route
        asked = None
        began_s = self._desk.clock.monotonic()
        try:
            if ticket.provider.api != dialect.name:
                raise Refused("path", f"this attempt's model is reached by the {ticket.provider.api} API")
            request = Request(
                ticket=ticket,
                dialect=dialect,
                action=action,
                model=model,
                path=scope["path"][len(dialect.prefix) :],
                query=wire.query(scope["query_string"]),
                headers=scope["headers"],
                body=await _body(scope["headers"], receive),
            )
            asked = self._asked(request)
            call = Call(self._desk, request, asked, began_s)
            with anyio.CancelScope(shield=True):  # milliseconds; halfway nobody would know what is set aside
                await self._pass(call)
        except Refused as refused:
            await self._refused(ticket, asked, refused, began_s)
            await refuse(send, dialect, refused, self._desk.clock.now())
            return
        except Gone:
            return
        await call.run(receive, send)

    def _asked(self, request: Request) -> Asked:
        ticket = request.ticket
        usage = ticket.provider_name not in self._desk.no_usage
        try:
            plain = wire.plain(request.body, request.headers)
            if request.action != "models":
                reach.refuse(ticket.provider.api, plain, network=ticket.network)
            asked = request.dialect.asked(request.action, plain, request.model, ticket.model, usage)
        except RequestWrong as wrong:
            raise Refused("request", str(wrong)) from None
        if request.action == "stream" and b"alt=sse" not in request.query.split(b"&"):
            return replace(asked, stream=False)  # Gemini then sends all of it as one list, which cannot be cut
        return asked

    async def _pass(self, call: Call) -> None:
        """By the breaker and the budget. Raises Refused."""
        ticket = call.request.ticket
        try:
            await call.pass_breaker()
            try:
                call.held = await self._desk.reserving.reserve(ticket, call.asked)
            except BaseException:
                await call.breaker.ended_async(call.mark, asyncio.CancelledError())
                raise
        except BreakerOpen as held_back:
            raise Refused("breaker", f"provider {ticket.provider_name} is out of order", held_back.until) from None
        except TooDear as dear:
            raise Refused("budget", str(dear)) from None
        except DaybreakError as problem:
            _log.error("a request was refused, because the ledger did not take it: %s %s", problem.code, problem)
            raise Refused("broken", "the gateway cannot write its ledger") from None

    async def _refused(self, ticket: Ticket, asked: Asked | None, refused: Refused, began_s: float) -> None:
        """Count it; the first of each kind goes into the ledger, since a client may come back very often."""
        ticket.refused += 1
        trouble = _REFUSED.get(refused.why)
        if trouble is None:
            return
        ticket.note(trouble, refused.until)
        if refused.why in ticket.told or refused.why == "broken":
            return
        ticket.told.add(refused.why)
        call = events.ModelCalled(
            run=ticket.run,
            attempt=ticket.attempt,
            provider=ticket.provider_name,
            model=asked.model if asked is not None else ticket.model,
            status=0,
            trouble=trouble,
            until=stamp(refused.until) if refused.until is not None else "",
            duration_ms=int((self._desk.clock.monotonic() - began_s) * 1000),
        )
        try:
            await self._desk.log.append_async([Draft(events.POLICY, call)])
        except DaybreakError as problem:
            _log.error("a refusal was not written: %s %s", problem.code, problem)


def _route(dialect: Dialect, scope: Scope) -> tuple[Action, str]:
    path: str = scope["path"]
    route = dialect.route(scope["method"], path[len(dialect.prefix) :]) if path.startswith(dialect.prefix) else None
    if route is None:
        raise Refused("path", "there is no such path at this gateway")
    return route


async def _body(headers: wire.Headers, receive: Receive) -> bytes:
    """Raises Refused, Gone."""
    length = next((value for name, value in headers if name == b"content-length"), b"")
    if length.isdigit() and int(length[:18]) > wire.BODY_BYTES_MAX:
        await _drain(receive)
        raise Refused("large", f"at most {wire.BODY_BYTES_MAX} bytes")
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > wire.BODY_BYTES_MAX:
            await _drain(receive)
            raise Refused("large", f"at most {wire.BODY_BYTES_MAX} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _drain(receive: Receive) -> None:
    """Take what the client still sends, within reason: most look for an answer only after their last word."""
    size = 0
    while size <= 4 * wire.BODY_BYTES_MAX:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        size += len(message.get("body", b""))


async def refuse(send: Send, dialect: Dialect, refused: Refused, now: datetime | None = None) -> None:
    """Answer as the API's own errors do."""
    headers = [(b"content-type", b"application/json")]
    if refused.why in FINAL:
        headers.append((b"x-should-retry", b"false"))
    if refused.until is not None and now is not None:
        seconds = max(1, math.ceil((refused.until - now).total_seconds()))
        headers.append((b"retry-after", str(seconds).encode()))
    await whole(send, STATUS[refused.why], headers, dialect.refusal(refused.why, f"daybreak gateway: {refused}"))


async def whole(send: Send, status: int, headers: wire.Headers, body: bytes) -> None:
    """An answer in one piece."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
