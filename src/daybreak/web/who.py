"""Who asks, and what they may.

As a handler's argument:

    from daybreak.web.who import Asker, Looker, may

    @router.get("/runs")
    def runs(desk: Here, asker: Looker) -> …                         # anybody with the scope `look`

    @router.post("/runs/{run}/answer")
    def answer(desk: Here, asker: Annotated[Asker, may("answer")], …) -> …

Programs send `Authorization: Bearer dbt1.…`. Browsers send the cookie of a session (`login`); then every unsafe method
must also carry the session's CSRF value, as the header `X-CSRF-Token` or the form field `csrf`, and come from a page of
ours. In a template: `<meta name="csrf" content="{{ csrf(request) }}">`, or `hx-headers='{"X-CSRF-Token": …}'` on body.
What is done is done in the name of `asker.actor`. `asker.has("evidence")` asks without refusing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import anyio.to_thread
from fastapi import Depends, Request

from daybreak.policy.bearer import Scope, ScopeMissing
from daybreak.policy.refusal import NotAllowed, TokenExpired, TokenRevoked
from daybreak.web import forms
from daybreak.web.desk import Desk, desk_of
from daybreak.web.problems import CsrfRefused, NotSignedIn, TooOften

if TYPE_CHECKING:
    from daybreak.web.sessions import Session

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who is known, at this moment."""

    label: str
    scopes: frozenset[Scope]
    until: datetime
    csrf: str = ""
    """Of a browser's session; empty for a program."""
    revocations: tuple[str, ...] = ()
    token: str = ""
    """The label of the token; empty behind a login link. Narrower ones that were made from it have the same."""

    @property
    def counted(self) -> str:
        """Whom requests and streams are counted for. A name will not do: anybody's token may have it."""
        return self.token or self.label

    @property
    def own(self) -> str:
        """What nobody else shares who may do something else: idempotency keys belong to it."""
        return " ".join((self.label, *(self.revocations or sorted(self.scopes))))

    @property
    def actor(self) -> str:
        """For events."""
        return f"api {self.label}"

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes


def cookie_name(desk: Desk) -> str:
    """Under TLS the name itself keeps others on this host from setting it."""
    return "__Host-daybreak" if desk.secure else "daybreak"


async def asker_of(request: Request) -> Asker:
    """Raises NotSignedIn, NotAllowed, CsrfRefused, TooOften."""
    known = getattr(request.state, "asker", None)
    if isinstance(known, Asker):
        return known
    desk = desk_of(request)
    header = request.headers.get("authorization")
    asker = await (_by_cookie(request, desk) if header is None else _by_token(request, desk, header))
    _count(desk, asker.counted)
    request.state.asker = asker
    return asker


def _count(desk: Desk, whom: str) -> None:
    """Raises TooOften."""
    if wait := desk.buckets.take(whom):
        raise TooOften("too many requests", hint=f"wait {wait:.1f} s; [web] sets how many are allowed", wait_s=wait)


def address_of(request: Request) -> str:
    """Whom attempts are counted for. IPv6 by its /64, which is what one person has."""
    import ipaddress

    host = request.client.host if request.client else "local"
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:  # they share one /64
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return host


async def _by_token(request: Request, desk: Desk, header: str) -> Asker:
    kind, _, text = header.partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise NotSignedIn("the Authorization header is not `Bearer TOKEN`", hint="send `Authorization: Bearer dbt1.…`")
    return await by_text(request, desk, text.strip())


async def by_text(request: Request, desk: Desk, text: str) -> Asker:
    """Whoever has this token's text; wrong ones are counted. Raises NotAllowed, TooOften."""
    address = address_of(request)
    if not desk.tokens.knows(text):  # another program at this address may be wrong as often as it likes
        refuse_while_waiting(desk, address)
    try:
        found = await anyio.to_thread.run_sync(desk.tokens.admit, text)
    except (TokenExpired, TokenRevoked):  # its signatures are right: nobody guesses
        _count(desk, f"address {address}")
        raise
    except NotAllowed:
        desk.attempts.wrong(address)
        raise
    return Asker(found.name or found.label, found.scopes, found.until, revocations=found.revocations, token=found.label)


def refuse_while_waiting(desk: Desk, address: str) -> None:
    """Raises TooOften where somebody at this address was wrong too often."""
    if wait := desk.attempts.wait_s(address):
        raise TooOften("too many wrong attempts to sign in", hint=f"wait {wait:.0f} s", wait_s=wait)


async def session_of(request: Request, desk: Desk) -> Session | None:
    """The browser's session, good at this moment; None where there is none. Raises TokenRevoked, TokenExpired."""
    name = request.cookies.get(cookie_name(desk))
    session = desk.sessions.find(name) if name else None
    if session is not None and session.bearer is not None:
        await anyio.to_thread.run_sync(desk.tokens.check, session.bearer)
    return session


async def _by_cookie(request: Request, desk: Desk) -> Asker:
    session = await session_of(request, desk)
    if session is None:
        raise NotSignedIn(
            "nobody is signed in", hint="open the link that `daybreak serve` printed, or sign in with a token"
        )
    if request.method not in SAFE:
        await _check_csrf(request, session)
    found = session.bearer
    revocations, token = ((), "") if found is None else (found.revocations, found.label)
    return Asker(session.label, session.scopes, session.until, session.csrf, revocations, token)


async def _check_csrf(request: Request, session: Session) -> None:
    check_origin(request)
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        given = (await forms.fields(request)).get(CSRF_FIELD, "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), session.csrf.encode()):
        raise CsrfRefused("the request does not carry its session's CSRF value", hint="reload the page and try again")


def check_origin(request: Request) -> None:
    """Browsers say where a request comes from. Raises CsrfRefused unless it is from a page of this server."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CsrfRefused("the request comes from another site", hint="use the pages of this server")
    if origin is not None and not _same(origin, request):
        raise CsrfRefused("the request comes from another origin", hint="use the pages of this server")
    if site is None and origin is None:
        referer = request.headers.get("referer")
        if referer is None or not _same(referer, request):
            raise CsrfRefused(
                "the browser does not say where the request comes from", hint="use a browser of today, or a token"
            )


def _same(origin: str, request: Request) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return f"{parts.scheme}://{parts.netloc}".lower() == own.lower()


class Scoped:
    """What a handler asks of whoever asks; `scope` is looked at where all routes are gone through."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def asker(self, request: Request) -> Asker:
        """Raises ScopeMissing, and what `asker_of` raises."""
        asker = await asker_of(request)
        if self.scope not in asker.scopes:
            raise ScopeMissing.of(self.scope, asker.label)
        return asker


class Needs(Scoped):
    """The dependency behind `may`."""

    async def __call__(self, request: Request) -> Asker:
        return await self.asker(request)


def may(scope: Scope) -> Any:
    """Only whoever has this scope. Raises ScopeMissing beside what `asker_of` raises."""
    return Depends(Needs(scope))


look = Needs("look")
Looker = Annotated[Asker, Depends(look)]
"""Anybody who may see how everything stands."""


def csrf(request: Request) -> str:
    """The CSRF value of this browser's session, for a template; empty where nobody is signed in or a token asked."""
    asker = getattr(request.state, "asker", None)
    return asker.csrf if isinstance(asker, Asker) else ""
