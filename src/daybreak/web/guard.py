"""What every request passes first: the Host header, the length and time of its body, a correlation id; and what every
answer carries: headers that keep a browser from running or framing what is not ours.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daybreak import ids
from daybreak.web import problems
from daybreak.web.problems import ApiError, BodySlow, BodyTooLong, HandlerSlow, HostRefused

if TYPE_CHECKING:
    from daybreak.web.desk import Desk

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
BODY_S = 20.0
"""A body has to be there after so long."""
ANSWER_S = 30.0
"""An answer has to begin after so long."""
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_log = logging.getLogger("daybreak.web")


class Guard:
    """Outermost of our own layers."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app, self._desk = app, desk
        self._slow: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        request = ids.new("req", self._desk.clock.now(), self._desk.entropy)
        scope["daybreak.request"] = request
        answering = _Answering(send, request, secure=self._desk.secure)
        try:
            self._check_host(Headers(scope=scope))
            body = await self._body(scope, receive)
        except (ApiError, HostRefused) as error:
            await problems.of_error(error, instance=request)(scope, receive, answering)
            return
        except _Gone:
            return
        try:
            await self._answer(scope, _Replay(body, receive), answering)
        except HandlerSlow as error:
            await problems.of_error(error, instance=request)(scope, receive, answering.instead())
        except Exception as error:
            _log.error("request %s failed", request, exc_info=error, extra={"path": scope["path"]})
            if answering.began:
                raise
            await problems.unforeseen(request)(scope, receive, answering)

    async def _answer(self, scope: Scope, receive: Receive, answering: _Answering) -> None:
        """Threads cannot be stopped, so a handler that takes too long goes on, unheard. Raises HandlerSlow."""
        handling = asyncio.ensure_future(self._app(scope, receive, answering))
        try:
            await asyncio.wait({handling}, timeout=ANSWER_S)
            if handling.done() or answering.began:
                await handling
                return
        except asyncio.CancelledError:
            handling.cancel()
            raise
        self._slow.add(handling)
        handling.add_done_callback(self._over)
        once = scope["method"] in ("GET", "HEAD")
        raise HandlerSlow(
            f"the answer was not there within {ANSWER_S:g} s",
            hint="ask again later" if once else "it may be carried out yet: repeat it with the same Idempotency-Key",
        )

    def _over(self, handling: asyncio.Future[None]) -> None:
        self._slow.discard(handling)
        if not handling.cancelled() and (error := handling.exception()) is not None:
            _log.error("a request failed after its answer was given up", exc_info=error)

    def _check_host(self, headers: Headers) -> None:
        """A name that somebody else's DNS points at this machine is not ours. Raises HostRefused."""
        given = headers.getlist("host")
        name = given[0].lower() if len(given) == 1 else ""
        host = name[: name.rfind(":")] if ":" in name and not name.endswith("]") else name
        if host not in LOOPBACK and host not in self._desk.hosts:
            raise HostRefused(
                f"this server is not {host[:100]!a}", hint="use its own name, or name it in `hosts` of [web]"
            )

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """All of it, before anything is done. Raises BodyTooLong, BodySlow."""
        most = self._desk.rule.body_bytes_max
        length = Headers(scope=scope).get("content-length", "0")
        too_long = BodyTooLong(f"the body is longer than {most:,} bytes", hint="send less, or raise it in [web]")
        if length.isdigit() and int(length[:20]) > most:
            raise too_long
        parts: list[bytes] = []
        size = 0
        with anyio.move_on_after(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise too_long
                if not message.get("more_body", False):
                    return b"".join(parts)
        raise BodySlow(f"the body did not come within {BODY_S:g} s", hint="send it again")


class _Gone(Exception):
    """The client went away."""


class _Replay:
    """Gives the body that was read already, then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


class _Answering:
    """Adds the headers to an answer as it begins."""

    def __init__(self, send: Send, request: str, *, secure: bool) -> None:
        self._send, self._request, self._secure = send, request, secure
        self.began = False
        self._given_up = False

    def instead(self) -> _Answering:
        """For another answer; what still comes for this one is dropped."""
        self._given_up = True
        return _Answering(self._send, self._request, secure=self._secure)

    async def __call__(self, message: Message) -> None:
        if self._given_up:
            return
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-Id"] = self._request
            if self._secure:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        await self._send(message)
