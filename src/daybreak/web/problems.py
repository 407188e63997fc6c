"""Errors as answers: RFC 9457 problem details for programs, a plain page for people.

Every error of the API is `application/problem+json` with `type`, `title`, `status`, `detail`, `instance`, and of ours
`code` (as `daybreak explain CODE` takes it) and `hint`. What nobody foresaw is a 500 that says nothing of our insides;
the log has them under the correlation id that the answer names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from daybreak.errors import (
    DaybreakError,
    DraftRefused,
    EngineError,
    HostError,
    IdemConflict,
    LeaseLost,
    LedgerBehind,
    LedgerBusy,
    LedgerError,
    NotPlain,
    PolicyError,
    RunBusy,
    SpecError,
    UnknownRun,
    UsageError,
)
from daybreak.policy.redaction import redact

DOCS = "urn:daybreak:error:"
"""What `daybreak explain CODE` and `docs/reference/errors.md` say more of."""
MEDIA = "application/problem+json"
DETAIL_MAX = 2_000


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str = Field(description="The request's correlation id, as the server's log has it.")
    code: str = Field(description="Stable; `daybreak explain CODE` says more.")
    hint: str = Field(description="What to do next.")
    errors: list[dict[str, Any]] = Field(default=[], description="Of a request that does not fit its schema: where.")


class ApiError(UsageError):
    """A request cannot be answered as it is."""

    code = "U310"
    status = 400
    headers: ClassVar[Mapping[str, str]] = {}


class NotSignedIn(ApiError):
    """Nobody knows who asks."""

    code = "U311"
    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="daybreak"'}


class CsrfRefused(PolicyError):
    """A request that would change something came with a browser's cookie, and not from a page of ours."""

    code = "P311"
    status = 403


class HostRefused(PolicyError):
    """The Host header names a server that this one is not."""

    code = "P312"
    status = 421


class TooOften(ApiError):
    """More requests than are allowed, or too many wrong attempts to sign in."""

    code = "U312"
    status = 429

    def __init__(self, message: str, *, hint: str, wait_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class BodyTooLong(ApiError):
    """The request's body is longer than is taken."""

    code = "U313"
    status = 413


class BodySlow(ApiError):
    """The request's body did not come in time."""

    code = "U314"
    status = 408


class BodyWrong(ApiError):
    """The request does not fit the schema."""

    code = "U315"
    status = 422


class NotThere(ApiError):
    """There is nothing of that name."""

    code = "U316"
    status = 404


class MethodWrong(ApiError):
    """That address does not take this method."""

    code = "U317"
    status = 405


class Changed(ApiError):
    """Somebody changed it since it was looked at."""

    code = "U318"
    status = 412


class KeyReused(ApiError):
    """The same Idempotency-Key came before with another request."""

    code = "U319"
    status = 409


class LinkUsed(ApiError):
    """A login link is good once, for ten minutes."""

    code = "U320"
    status = 401


class TooMany(ApiError):
    """Too many streams are open."""

    code = "U322"
    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


class HandlerSlow(ApiError):
    """The answer was not there in time."""

    code = "U323"
    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


class NotModified(Exception):
    """It is still as the asker has it."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


_STATUS: tuple[tuple[type[DaybreakError], int], ...] = (
    (IdemConflict, 409),
    (LeaseLost, 409),
    (RunBusy, 409),
    (UnknownRun, 404),
    (NotPlain, 422),
    (LedgerBehind, 409),
    (LedgerBusy, 503),
    (DraftRefused, 422),
    (EngineError, 409),
    (PolicyError, 403),
    (SpecError, 422),
    (UsageError, 422),
    (LedgerError, 503),
    (HostError, 503),
)
"""The first that fits. What has a `status` of its own has that one."""

_NOT_FOUND = frozenset({"U111", "U112", "U166", "P141"})
_CONFLICT = frozenset({"U113"})
_SIGN_IN_AGAIN = frozenset({"P102", "P103", "P104", "P105"})


def status_of(error: DaybreakError) -> int:
    """Which status says what this error says."""
    own = getattr(error, "status", None)
    if isinstance(own, int):
        return own
    if error.code in _NOT_FOUND:
        return 404
    if error.code in _CONFLICT:
        return 409
    if error.code in _SIGN_IN_AGAIN:
        return 401
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def title_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def answer(
    status: int,
    code: str,
    detail: str,
    hint: str,
    *,
    instance: str = "",
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> Response:
    """A problem. Texts are redacted here once more: they may repeat what somebody sent."""
    told: dict[str, Any] = {
        "type": f"{DOCS}{code.lower()}",
        "title": title_of(status),
        "status": status,
        "detail": _said(detail),
        "instance": f"urn:daybreak:request:{instance}",
        "code": code,
        "hint": _said(hint),
    }
    if errors is not None:
        told["errors"] = errors
    return Response(json.dumps(told), status, headers=dict(headers or {}), media_type=MEDIA)


def of_error(error: DaybreakError, *, instance: str = "") -> Response:
    """The answer to an error of ours. One that is a fault of Daybreak says nothing of our insides."""
    status = status_of(error)
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, TooOften):
        headers["Retry-After"] = str(max(1, int(error.wait_s + 0.999)))
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="daybreak", error="invalid_token"')
    return answer(status, error.code, error.message, error.hint, instance=instance, headers=headers)


def unforeseen(instance: str) -> Response:
    """The answer to an error that nobody foresaw."""
    return answer(
        500,
        DaybreakError.code,
        "something went wrong in Daybreak",
        "try again; if it comes again, look for the request's id in `daybreak logs` and report it",
        instance=instance,
    )


def _said(text: str) -> str:
    clean = redact(text.encode("utf-8", "replace").decode()[: DETAIL_MAX * 4]).text
    return clean if len(clean) <= DETAIL_MAX else f"{clean[: DETAIL_MAX - 1]}…"


# -- in the application


def wants_page(request: Request) -> bool:
    """Is it a person's browser that goes to a page, not a program or a fragment of a page?"""
    if request.url.path.startswith("/api/") or request.headers.get("HX-Request"):
        return False
    return "text/html" in request.headers.get("accept", "")


def install(app: FastAPI) -> None:
    """Every error of this application becomes a problem, or a page where a browser asked for one."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, DaybreakError)
        if isinstance(error, NotSignedIn) or error.code in _SIGN_IN_AGAIN:
            if wants_page(request) and request.method in ("GET", "HEAD"):
                return _to_login(request)
            if request.headers.get("HX-Request"):
                return _with(of_error(error, instance=_id(request)), {"HX-Redirect": _login_from_page(request)})
        return _shown(request, of_error(error, instance=_id(request)))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _shown(request, _of_http(request, error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _shown(request, _of_validation(request, error))

    async def unchanged(request: Request, error: Exception) -> Response:
        assert isinstance(error, NotModified)
        return Response(status_code=304, headers={"ETag": error.tag, "Cache-Control": "private, no-cache"})

    app.add_exception_handler(DaybreakError, ours)
    app.add_exception_handler(NotModified, unchanged)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _to_login(request: Request) -> Response:
    from urllib.parse import quote

    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)


def _login_from_page(request: Request) -> str:
    """Signing in, then the page that the form was on."""
    from urllib.parse import quote, urlsplit

    try:
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return "/login"
    target = page.path + (f"?{page.query}" if page.query else "")
    return f"/login?next={quote(target, safe='')}"


def _with(response: Response, headers: Mapping[str, str]) -> Response:
    response.headers.update(headers)
    return response


def _id(request: Request) -> str:
    found: str = request.scope.get("daybreak.request", "")
    return found


def _of_http(request: Request, error: HTTPException) -> Response:
    """What the router itself says: no such address, not that method."""
    headers, instance = dict(error.headers or {}), _id(request)
    if error.status_code == 404:
        hint = "`/api/v1/openapi.json` names every address of the API"
        return answer(404, NotThere.code, f"there is nothing at {request.url.path[:200]}", hint, instance=instance)
    if error.status_code == 405:
        allowed = headers.get("Allow") or headers.get("allow") or ""
        wrong = MethodWrong(
            f"{request.method[:20]} is not for {request.url.path[:200]}",
            hint=f"use {allowed}" if allowed else "`/api/v1/openapi.json` names the methods of every address",
        )
        return _with(of_error(wrong, instance=instance), headers)
    code = BodyWrong.code if error.status_code == 422 else ApiError.code
    status = 422 if error.status_code == 400 else error.status_code
    return answer(status, code, str(error.detail), "look at the schema", instance=instance, headers=headers)


def _of_validation(request: Request, error: RequestValidationError) -> Response:
    found = [
        {"where": ".".join(str(part) for part in one["loc"])[:200], "what": _said(str(one["msg"]))[:300]}
        for one in error.errors()[:20]
    ]
    detail = "; ".join(f"{one['where']}: {one['what']}" for one in found[:3])
    return answer(
        422,
        BodyWrong.code,
        f"the request does not fit: {detail}",
        "`/api/v1/openapi.json` says what this address takes",
        instance=_id(request),
        errors=found,
    )


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} · Daybreak</title>
<link rel="stylesheet" href="{style}"></head><body><main>
<h1>{title}</h1><p>{detail}</p><p>{hint}</p><p><a href="/">Tonight</a></p><p><small>{code} · {instance}</small></p>
</main></body></html>
"""


def _shown(request: Request, problem: Response) -> Response:
    """As a page, where a browser goes to one."""
    if not wants_page(request):
        return problem
    from daybreak.web import assets

    told = {name: escape(str(value)) for name, value in json.loads(bytes(problem.body)).items()}
    page = _PAGE.format(style=escape(assets.url("style.css")), **told)
    headers = {name: value for name, value in problem.headers.items() if name in ("retry-after", "www-authenticate")}
    return HTMLResponse(page, problem.status_code, headers=headers)
