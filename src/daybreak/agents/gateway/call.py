"""One request on its way to a provider, and the answer on its way back."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

import anyio
import httpx
import msgspec

from daybreak import events
from daybreak.agents.gateway import troubles, wire
from daybreak.agents.gateway.count import Count
from daybreak.agents.gateway.dialects.dialect import Asked
from daybreak.agents.gateway.form import Form
from daybreak.agents.gateway.lines import Events, EventTooLong
from daybreak.agents.gateway.passage import Desk, ProviderFailed, Receive, Refused, Request, Send, refuse, whole
from daybreak.agents.gateway.reserving import Held
from daybreak.agents.protocol import Trouble
from daybreak.clock import stamp
from daybreak.errors import DaybreakError
from daybreak.policy.failure import OUTAGE_STATUS, Failure, FailureKind

_log = logging.getLogger("daybreak.gateway")

ERROR_BYTES_MAX = 1_000_000
PLAIN_BYTES_MAX = 64 * 1024 * 1024
"""Of an answer in one piece: more is passed on, but not read for its usage."""
_AT_LENGTH = frozenset({"length", "max_output_tokens", "max_tokens", "MAX_TOKENS"})
"""What the APIs say of an answer that has come to the limit of its request."""
_REDACTED = b"[redacted]"
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
CUT = "daybreak gateway: the budget of this attempt is used up; the answer was cut"


class Call:
    """Ends in exactly one settlement, whatever happens: client gone, ticket closed, provider gone, budget used up.

    The settlement is durable before the client sees the end of its answer, so that its next request finds the sums
    right."""

    held: Held

    def __init__(self, desk: Desk, request: Request, asked: Asked, began_s: float) -> None:
        self.request, self.asked = request, asked
        self.breaker = desk.breaker(request.ticket.provider_name)
        self._desk, self._began_s = desk, began_s
        self._meter = request.dialect.meter(request.action)
        self._meter.count.input_tokens = asked.input_tokens
        self._status = 0
        self._trouble: Trouble = ""
        self._until: datetime | None = None
        self._why = ""
        """Of an outage, for the breaker."""
        self._ours = False
        """That was no fault of the provider's, and its breaker hears nothing of it."""
        self._cut = False
        self._free = True
        """Nothing was used: the provider was not reached, or refused."""
        self._settled = False

    async def pass_breaker(self) -> None:
        """Raises BreakerOpen."""
        self.mark = await self.breaker.passed_async()

    async def run(self, receive: Receive, send: Send) -> None:
        """To be called once, after the breaker and the budget have let it pass (`mark`, `held`)."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, receive, group.cancel_scope)
                await self._ask(send)
                group.cancel_scope.cancel()
        finally:
            await self._settle()

    # -- to the provider

    async def _ask(self, send: Send) -> None:
        self._form = form = Form(self._desk, self.request, self.asked, self.held)
        response = await self._sent(form.body, send)
        while response is not None and form.refused(response.status_code):
            body = await _read(response)
            await response.aclose()
            if not form.another(body):
                await self._failed(send, response, body)
                return
            response = await self._sent(form.body, send)
        if response is None:
            return
        try:
            await self._answer(send, response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _sent(self, body: bytes, send: Send) -> httpx.Response | None:
        """The beginning of the answer; None where there is none and the client was told."""
        request = self.request
        address = request.ticket.provider.address.rstrip("/")
        path = request.dialect.path(request.action, self.asked.model, request.path)
        query = f"?{request.query.decode('latin-1')}" if request.query else ""
        try:
            sent = self._desk.client.build_request(
                "GET" if request.action == "models" else "POST",
                f"{address}{path}{query}",
                headers=self._headers(),
                content=body or None,
            )
            self._free = False
            return await self._desk.client.send(sent, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            if isinstance(problem, httpx.LocalProtocolError | httpx.InvalidURL):
                # The client's fault, which says nothing about the provider.
                self._free = True
                await self._settle()
                await refuse(send, request.dialect, Refused("request", "the request has a header that none can have"))
                return None
            self._free = isinstance(problem, _NOT_SENT)
            slow = isinstance(problem, httpx.ReadTimeout | httpx.WriteTimeout)
            self._outage(f"{type(problem).__name__} from provider {request.ticket.provider_name}")
            self._ours = isinstance(problem, httpx.PoolTimeout)
            await self._settle()
            what = "said nothing for too long" if slow else "was not reached"
            message = f"provider {request.ticket.provider_name} {what} ({type(problem).__name__})"
            await refuse(send, request.dialect, Refused("slow" if slow else "unreachable", message))
            return None

    def _headers(self) -> list[tuple[bytes, bytes]]:
        ticket = self.request.ticket
        own = dict(ticket.provider.headers)
        if ticket.key:
            own |= self.request.dialect.key(ticket.key)
        headers = wire.to_provider(self.request.headers, own)
        if ticket.provider.api == "anthropic" and not any(name == b"anthropic-version" for name, _ in headers):
            headers.append((b"anthropic-version", b"2023-06-01"))
        if self.asked.body and not any(name == b"content-type" for name, _ in headers):
            headers.append((b"content-type", b"application/json"))
        return headers

    # -- back to the client

    async def _answer(self, send: Send, response: httpx.Response) -> None:
        self._status = response.status_code
        if response.status_code >= 300:
            await self._failed(send, response, await _read(response))
            return
        self._form.taken()
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            await self._stream(send, response)
        else:
            await self._plain(send, response)

    async def _failed(self, send: Send, response: httpx.Response, body: bytes) -> None:
        """The provider's refusal, as it is, without its key."""
        self._status, self._free = response.status_code, True
        headers = {name.lower(): value for name, value in response.headers.items()}
        found = troubles.of_status(response.status_code, headers, body, self._desk.clock.now())
        self._trouble, self._until = found.trouble, found.until
        self._why = f"provider {self.request.ticket.provider_name} answered {response.status_code}"
        await self._settle()
        await whole(send, response.status_code, self._to_client(response), self._redacted(body))

    async def _plain(self, send: Send, response: httpx.Response) -> None:
        """An answer in one piece, passed on as it comes; its last piece after the settlement."""
        await send(_start(response.status_code, self._to_client(response)))
        kept: list[bytes] = []
        size, held_back, tail = 0, b"", max(0, len(self.request.ticket.key) - 1)
        try:
            async for chunk in response.aiter_bytes():
                held_back = self._redacted(held_back + chunk)  # the key may lie across two pieces
                size += len(chunk)
                if (ready := len(held_back) - max(tail, 1)) > 0:
                    await send(_piece(held_back[:ready]))
                    held_back = held_back[ready:]
                if size <= PLAIN_BYTES_MAX:
                    kept.append(chunk)
        except httpx.HTTPError as problem:
            self._meter.count.characters += size
            self._outage(f"{type(problem).__name__} in an answer of {self.request.ticket.provider_name}")
            await self._settle()
            return  # without an end: the client sees that it was cut
        self._read(b"".join(kept) if size <= PLAIN_BYTES_MAX else None, size)
        if self._form.scarce and self._meter.count.ended in _AT_LENGTH:
            self._trouble = "budget"
        await self._settle()
        await send(_piece(held_back, last=True))

    def _read(self, body: bytes | None, size: int) -> None:
        count = self._meter.count
        if self.request.action in ("count", "models"):
            self._free = True
            return
        try:
            if body is not None:
                self._meter.plain(body)
        except (msgspec.MsgspecError, RecursionError):
            if not body or body.lstrip()[:1] not in (b"{", b"["):
                self._free = True  # a page of somebody on the way: no model has said this
            self._outage(f"no JSON from provider {self.request.ticket.provider_name}")
        if not count.output_told:
            count.characters = max(count.characters, 0 if self._free else size)
        self._faulty()

    async def _stream(self, send: Send, response: httpx.Response) -> None:
        await send(_start(response.status_code, self._to_client(response)))
        cutter = Events()
        self._held_back = b""
        try:
            async for chunk in response.aiter_bytes():
                if not await self._events(send, list(cutter.feed(chunk))):
                    return
        except (httpx.HTTPError, EventTooLong) as problem:
            self._why = f"{type(problem).__name__} in a stream of {self.request.ticket.provider_name}"
        raw, data = cutter.rest()
        if raw and not await self._events(send, [(raw, data)]):
            return
        self._faulty()
        whole_answer = bool(self._meter.count.done or self._meter.count.ended)
        if not whole_answer and self._meter.fault is None:
            self._outage(self._why or f"a stream of {self.request.ticket.provider_name} ended early")
        await self._settle()
        if whole_answer or self._meter.fault is not None:
            await send(_piece(self._held_back, last=True))
        # else without an end: the client sees that it was cut

    async def _events(self, send: Send, found: list[tuple[bytes, bytes | None]]) -> bool:
        """Count them and pass them on; False where the budget has ended the stream."""
        meter, out = self._meter, list[bytes]()
        for raw, data in found:
            if data is not None:
                meter.event(data)
                paid = self._settled or await self._paid()
                if not paid:
                    await self._cut_off(send, out)
                    return False
                if self.asked.usage_added and meter.extra(data):
                    continue
                if (meter.count.done or meter.fault is not None) and not self._settled:
                    await send(_piece(self._redacted(b"".join(out))))
                    out.clear()
                    self._faulty()
                    await self._settle()
            out.append(self._held_back)
            ends = meter.holds_end and bool(meter.count.ended)
            self._held_back = raw if ends else b""
            out.append(b"" if ends else raw)
        if out:
            await send(_piece(self._redacted(b"".join(out))))
        return True

    async def _paid(self) -> bool:
        """Is what was counted so far set aside, or can more be?"""
        reserving, held = self._desk.reserving, self.held
        money, tokens = reserving.used(held, self._meter.count)
        return (money <= held.money and tokens <= held.tokens) or await reserving.extend(held, self._meter.count)

    async def _cut_off(self, send: Send, out: list[bytes]) -> None:
        """Now: what was counted last is not passed on any more."""
        self._cut, self._trouble = True, "budget"
        await self._settle()
        last = self.request.dialect.cut(self.request.action, CUT)
        await send(_piece(self._redacted(b"".join(out)) + last, last=True))

    # -- how it ended

    def _outage(self, why: str) -> None:
        self._trouble, self._why = "outage", why

    def _faulty(self) -> None:
        """An error that stands in an answer of status 200."""
        if self._meter.fault is None:
            return
        found = troubles.of_fault(self._meter.fault, self._desk.clock.now())
        self._trouble, self._until = found.trouble, found.until
        self._why = f"an error in an answer of {self.request.ticket.provider_name}"
        count = self._meter.count
        if not count.characters and not count.input_told:
            self._free = True

    async def _settle(self) -> None:
        """Once; later calls do nothing. Never raises: an answer that was paid for is passed on, and what cannot be
        written now is settled at its worst case when the run is recovered."""
        if self._settled:
            return
        self._settled = True
        ticket, count = self.request.ticket, None if self._free else self._meter.count
        if self.request.action in ("count", "models"):
            count = None
        if count is not None and self._cut:
            count.output_told = False
        call = self._called(count)
        aside = self.request.action in ("count", "models")
        # Of lists and counts many servers have neither, and nobody minds; and a request that was broken off before
        # there was an answer says nothing about how the last one went.
        silent = self._trouble in ("", "unavailable") if aside else not (self._trouble or self._status)
        if not silent:
            ticket.note(self._trouble, self._until)
        ticket.estimated += call.counted == "estimated"
        ticket.unpriced += count is not None and self.held.price is None
        with anyio.CancelScope(shield=True):
            try:
                await self._desk.reserving.settle(self.held, count, call)
                await self.breaker.ended_async(self.mark, self._told())
            except DaybreakError as problem:
                _log.error("a request of run %s was not settled: %s %s", ticket.run, problem.code, problem)

    def _called(self, count: Count | None) -> events.ModelCalled:
        ticket, used = self.request.ticket, count or Count()
        money, _ = self._desk.reserving.used(self.held, used)
        return events.ModelCalled(
            run=ticket.run,
            attempt=ticket.attempt,
            provider=ticket.provider_name,
            model=self.asked.model,
            status=self._status,
            input_tokens=used.input_tokens,
            cached_tokens=used.cached_tokens,
            output_tokens=used.output_now,
            money_microusd=money,
            counted="told" if count is None or count.told else "estimated",
            ended=used.ended[:100],
            trouble="cut" if self._trouble == "budget" else self._trouble,
            until=stamp(self._until) if self._until is not None else "",
            duration_ms=int((self._desk.clock.monotonic() - self._began_s) * 1000),
        )

    def _told(self) -> BaseException | None:
        """To the breaker: only an outage is a failure. Whoever refuses a key or a quota is there; and of a call that
        was ended before there was an answer nothing is known."""
        if self._trouble != "outage" or self._ours:
            return None if self._status else asyncio.CancelledError()
        known = self._until is not None or self._status in OUTAGE_STATUS
        kind: FailureKind = "outage" if known else "retryable"
        return ProviderFailed(Failure(kind, self._why[:500], self._until, self._status or None))

    def _to_client(self, response: httpx.Response) -> wire.Headers:
        return wire.to_client(response.headers.raw, self.request.ticket.key)

    def _redacted(self, body: bytes) -> bytes:
        key = self.request.ticket.key.encode()
        return body.replace(key, _REDACTED) if key and key in body else body


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _read(response: httpx.Response) -> bytes:
    """An error's body, as far as it comes."""
    parts, size = [], 0
    try:
        async for chunk in response.aiter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size > ERROR_BYTES_MAX:
                break
    except httpx.HTTPError:
        _log.info("an error's body ended early")
    return b"".join(parts)[:ERROR_BYTES_MAX]


def _start(status: int, headers: wire.Headers) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _piece(body: bytes, *, last: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": not last}
