"""`/explain/CODE`: what an error means and what to do about it, from the catalogue; codes in texts as links there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup, escape

from daybreak.report.catalogue import entry
from daybreak.report.catalogue.asked import CODE, find
from daybreak.report.catalogue.entry import Entry
from daybreak.web.pages import text
from daybreak.web.pages.base import page
from daybreak.web.who import Looker

router = APIRouter()

ASKED_MAX = 500


@dataclass(frozen=True, slots=True)
class Explained:
    """A code as a page shows it."""

    entry: Entry
    below: tuple[Entry, ...]
    """Codes that it stands for as well."""
    within: tuple[Entry, ...]
    """What it belongs to, the nearest first."""


def explained(code: str) -> Explained | None:
    """None where there is no such code; in any case of letters."""
    known = entry.entries()
    one = known.get(code.upper())
    if one is None:
        return None
    within = tuple(known[above] for above in one.within if above in known)
    return Explained(one, tuple(entry.below(one.code, known)), within)


def linked(told: object, most: int = text.CHARS_MAX) -> Markup:
    """The beginning of a text without secrets, each code in it that the catalogue knows a link to what it says."""
    safe, known = str(text.harmless(str(told), most)), entry.entries()
    parts: list[str] = []
    at = 0
    for found in CODE.finditer(safe):
        if (code := found[1]) not in known:  # as it is written: `b123` is a word
            continue
        parts += [str(escape(safe[at : found.start(1)])), f'<a href="/explain/{code}">{code}</a>']
        at = found.end(1)
    parts.append(str(escape(safe[at:])))
    return Markup("".join(parts))  # what others wrote was escaped just here


@router.get("/explain", response_class=HTMLResponse, include_in_schema=False)
def ask(request: Request, asker: Looker, q: Annotated[str, Query(max_length=ASKED_MAX)] = "") -> Response:
    """A code, a message as it was told, or a part of a name; without anything the families of codes."""
    known = entry.entries()
    found = find(q, known) if q.strip() else None
    if found is not None and len(found.entries) == 1:
        return RedirectResponse(f"/explain/{found.entries[0].code}", 303)
    return page(
        request,
        "explain.html",
        current="health",
        asked=q,
        one=None,
        found=() if found is None else found.entries,
        near=() if found is None else found.near,
        families=[] if found is not None else entry.families(known),
    )


@router.get("/explain/{code}", response_class=HTMLResponse, include_in_schema=False)
def explain(request: Request, asker: Looker, code: str) -> Response:
    """One code, or the codes that begin like this."""
    one = explained(code[:20])
    known = entry.entries()
    family = [each for name, each in known.items() if name.startswith(code[:2].upper())] if one is None else []
    return page(
        request,
        "explain.html",
        status=200 if one is not None or family else 404,
        current="health",
        asked="" if one else code[:20],
        one=one,
        found=family,
        near=(),
        families=[] if one is not None or family else entry.families(known),
    )
