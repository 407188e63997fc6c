"""Signing a browser in and out.

`/login` has a form for a token; `/login?once=…` is the link that `daybreak serve` prints, good once. Either way the
browser gets a cookie that pages cannot read and other sites cannot send.
"""

from __future__ import annotations

import contextlib
from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from daybreak.policy.refusal import NotAllowed
from daybreak.web import assets, forms, who
from daybreak.web.desk import Desk, Here
from daybreak.web.problems import LinkUsed, NotSignedIn
from daybreak.web.sessions import Session

router = APIRouter(include_in_schema=False)

# with the policy `no-referrer`, browsers send `Origin: null` with a form, and nobody could tell it from a foreign one
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="referrer" content="same-origin">
<title>Sign in · Daybreak</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="stylesheet" href="{style}"></head>
<body class="login"><main><h1>Daybreak</h1>
{problem}<form method="post" action="/login">
<input type="hidden" name="next" value="{next}">
<p><label for="token">Token</label><br>
<input id="token" name="token" type="password" autocomplete="off" required autofocus maxlength="65536"></p>
<p><button type="submit">Sign in</button></p></form>
<p>Make one on the machine that Daybreak runs on:<br><code>daybreak token mint --api look,answer --for 12h</code></p>
</main></body></html>
"""


@router.get("/login")
async def show(request: Request, desk: Here, once: str = "", next: str = "/") -> Response:
    """The form; with `once`, signed in at once."""
    if not once:
        return _page(_local(next))
    address = who.address_of(request)
    who.refuse_while_waiting(desk, address)
    scopes = desk.sessions.follow(once)
    if scopes is None:
        desk.attempts.wrong(address)
        raise LinkUsed("this login link was used, or is too old", hint="restart `daybreak serve`, or use a token")
    desk.attempts.right(address)
    name, session = desk.sessions.begin(None, scopes)
    return _signed_in(desk, name, session, _local(next))


@router.post("/login")
async def sign_in(request: Request, desk: Here) -> Response:
    """With a token, from the form."""
    who.check_origin(request)
    given = await forms.fields(request)
    target = _local(given.get("next", "/"))
    text = given.get("token", "").strip()
    if not text:
        return _page(target, "A token is needed.", 422)
    try:
        await who.by_text(request, desk, text)
    except NotAllowed as error:
        return _page(target, f"{error.code}: {error.message}", 401)
    found = desk.tokens.admit_known(text)
    desk.attempts.right(who.address_of(request))
    name, session = desk.sessions.begin(found)
    return _signed_in(desk, name, session, target)


@router.post("/logout")
async def sign_out(request: Request, desk: Here) -> Response:
    """End this browser's session."""
    with contextlib.suppress(NotSignedIn, NotAllowed):  # it was over already
        await who.asker_of(request)
    name = request.cookies.get(who.cookie_name(desk))
    if name:
        desk.sessions.end(name)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(who.cookie_name(desk), path="/", secure=desk.secure, httponly=True, samesite="strict")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _signed_in(desk: Desk, name: str, session: Session, target: str) -> Response:
    response = RedirectResponse(target, 303)
    life = int((session.until - desk.clock.now()).total_seconds())
    response.set_cookie(
        who.cookie_name(desk), name, max_age=life, path="/", secure=desk.secure, httponly=True, samesite="strict"
    )
    return response


def _local(target: str) -> str:
    """Only ever a place on this server."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and target.isascii() and "\\" not in target else "/"


def _page(target: str, problem: str = "", status: int = 200) -> Response:
    said = f'<p role="alert" class="problem">{escape(problem)}</p>' if problem else ""
    style, icon = escape(assets.url("style.css")), escape(assets.url("icon.svg"))
    return HTMLResponse(_PAGE.format(style=style, icon=icon, next=escape(target), problem=said), status)
