"""Lists a page at a time: `limit`, `cursor`, and `Link: <…>; rel="next"`.

A cursor is a place, not a count: what is added meanwhile neither repeats nor hides anything.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

LIMIT_MAX = 500
CURSOR_MAX = 2**53 - 1
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="So many at most.")]
Cursor = Annotated[int | None, Query(ge=0, le=CURSOR_MAX, description="From the `next` of the page before.")]


def link(request: Request, response: Response, following: int | None) -> None:
    """Say where the next page is, if there is one."""
    if following is None:
        return
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    target = f"{request.url.path}?{urlencode([*asked, ('cursor', following)])}"
    response.headers["Link"] = f'<{target}>; rel="next"'
