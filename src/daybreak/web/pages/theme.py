"""Light or dark, for browsers without scripts; with them the page switches by itself and only the cookie is kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from daybreak.web import forms
from daybreak.web.pages.base import THEME, THEMES, local_path
from daybreak.web.who import Looker

router = APIRouter(include_in_schema=False)


@router.post("/theme")
def switch(request: Request, asker: Looker, form: Annotated[dict[str, str], Depends(forms.fields)]) -> Response:
    """The other theme than the one of the cookie; from none it is the dark one."""
    now = request.cookies.get(THEME, "")
    other = THEMES[0] if now == THEMES[1] else THEMES[1]
    made = RedirectResponse(local_path(form.get("back", "")), 303)
    made.set_cookie(THEME, other, max_age=365 * 86_400, path="/", samesite="lax")
    return made
