"""What all pages have in common: the frame, the words at its top, and how an answer to a form leads back.

A page is a plain function that gives `page(request, "name.html", …)`. The same address gives the whole document to a
browser and only its `<main>` to the script that keeps it up to date (header `X-Fragment`) and to a form (`HX-Request`).
A form posts to an address of its own, which says what came of it with `back`; without scripts that is a redirect like
any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from daybreak.errors import DaybreakError
from daybreak.web import assets, who
from daybreak.web.desk import Desk, desk_of
from daybreak.web.pages import text

HERE = Path(__file__).parent.parent
FLASH = "daybreak_said"
THEME = "daybreak_theme"
THEMES = ("light", "dark")
FLASH_CHARS_MAX = 600
_ASKING = "SELECT count(*) FROM view_runs WHERE state = 'parked' AND NOT answered"


class NavPage(NamedTuple):
    name: str
    path: str
    title: str


PAGES = (
    NavPage("tonight", "/", "Tonight"),
    NavPage("queue", "/queue", "Queue"),
    NavPage("runs", "/runs", "Runs"),
    NavPage("report", "/report", "Report"),
    NavPage("ledger", "/ledger", "Ledger"),
    NavPage("trends", "/trends", "Trends"),
    NavPage("schedules", "/schedules", "Schedules"),
    NavPage("notes", "/notes", "Notes"),
    NavPage("health", "/health", "Health"),
)
"""The navigation, in its order."""


@cache
def environment() -> Environment:
    """Made once for each process; templates do not change under it."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=text.harmless,
        auto_reload=False,
        cache_size=-1,
    )
    made.globals.update(static=assets.url, looks=text.looks)
    made.filters.update(
        printed=text.printed,
        diff=text.diff,
        cut=text.cut,
        span=text.span,
        bytes=text.bytes_words,
        number=text.number,
        local=_at(text.local),
        when=_at(text.when),
        ago=_at(text.ago),
        since=_at(partial(text.ago, plain=True)),
        ahead=_at(text.ahead),
    )
    return made


def _at(worded: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that knows what time it is on its page."""

    @pass_context
    def word(context: Context, moment: str) -> Any:
        return worded(moment, now=context["now"])

    return word


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The page as an answer, whole or as a fragment. `context` is what the template reads; besides that it has `now`,
    `csrf`, `here` (its own address), `fragment`, `theme`, `waiting` (open questions), `asker`.

    Times go through filters: `{{ ts | when }}`, `| ago` (`3 min ago`), `| since` (the span alone), `| ahead`."""
    desk = desk_of(request)
    flash = _flash(request)
    made = HTMLResponse(rendered(request, desk, template, flash=flash, **context), status)
    made.headers["Cache-Control"] = "no-store"
    made.headers["Vary"] = "X-Fragment, HX-Request, Cookie"
    if flash is not None:
        made.delete_cookie(FLASH, path="/")
    return made


def rendered(request: Request, desk: Desk, template: str, **context: Any) -> str:
    """The text of a page."""
    now = desk.clock.now()
    theme = request.cookies.get(THEME, "")
    return (
        environment()
        .get_template(template)
        .render(
            now=now,
            now_words=now.astimezone().strftime("%H:%M:%S"),
            fragment=is_fragment(request),
            theme=theme if theme in THEMES else "",
            pages=PAGES,
            here=here(request),
            waiting=_asking(desk),
            **_of_asker(request),
            **{"current": Path(template).stem, **context},
        )
    )


def is_fragment(request: Request) -> bool:
    """Is only the `<main>` of the page wanted?"""
    return "x-fragment" in request.headers or "hx-request" in request.headers


def here(request: Request) -> str:
    """The page's own address, for forms to come back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _asking(desk: Desk) -> int:
    ((count,),) = desk.home.ledger.query(_ASKING)
    return int(count)


def _of_asker(request: Request) -> dict[str, Any]:
    found = getattr(request.state, "asker", None)
    asker = found if isinstance(found, who.Asker) else None
    return {
        "asker": asker,
        "csrf": Markup(who.csrf(request)),  # our own, of random letters: nothing may be seen in it
        "logged_in": asker is not None and bool(asker.csrf),
        "who": f"signed in as {asker.label}" if asker is not None else "",
    }


# -- what came of a form


def back(form: dict[str, str], said: str, *, kind: str = "good", to: str = "/") -> Response:
    """To the page that the form was on (its field `back`), which then shows `said` once."""
    made = RedirectResponse(local_path(form.get("back", ""), to), 303)
    told = json.dumps({"kind": kind, "text": text.cut(said, FLASH_CHARS_MAX)})
    made.set_cookie(FLASH, quote(told, safe=""), max_age=30, path="/", httponly=True, samesite="lax")
    return made


def refused(form: dict[str, str], error: DaybreakError, *, to: str = "/") -> Response:
    """The same, where it could not be done: what is wrong, and what to do."""
    hint = f" {error.hint[:1].upper()}{error.hint[1:]}" if error.hint else ""
    return back(form, f"{error.code} {error.message}.{hint}", kind="bad", to=to)


def local_path(given: str, otherwise: str = "/") -> str:
    """An address of this server; `otherwise` for anything else."""
    fits = given.startswith("/") and not given.startswith(("//", "/\\")) and given.isprintable()
    return given if fits and len(given) <= 1_000 and "\\" not in given else otherwise


def _flash(request: Request) -> dict[str, str] | None:
    raw = request.cookies.get(FLASH)
    if not raw or "x-fragment" in request.headers:  # what was said is for whoever said it, not for a page's next look
        return None
    try:
        told = json.loads(unquote(raw))
        return {"kind": "bad" if told["kind"] == "bad" else "good", "text": str(told["text"])}
    except (ValueError, KeyError, TypeError):
        return None


# -- long lists


@dataclass(frozen=True, slots=True)
class Pager:
    """Where one is in a list of many pages."""

    page: int
    count: int
    words: str
    before: str
    after: str


def pager(request: Request, page_number: int, total: int, size: int) -> Pager:
    """Links to the pages beside this one, with the rest of the address as it is."""
    count = max(1, -(-total // size))
    number = min(max(1, page_number), count)
    first, last = (number - 1) * size + 1, min(total, number * size)

    def link(to: int) -> str:
        return str(request.url.include_query_params(page=to).replace(scheme="", netloc="")) if 0 < to <= count else ""

    words = f"{first:,} to {last:,} of {total:,}" if total else "none"
    return Pager(number, count, words, link(number - 1), link(number + 1))
