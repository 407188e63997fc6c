"""ETags: what was read is still so while the ledger has no more events.

A resource that is made of the ledger alone takes `tag: Fresh`; whoever sends the tag back as If-None-Match is answered
304 until something is appended.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Header, Request, Response

from daybreak.version import __version__
from daybreak.web.desk import Desk, desk_of
from daybreak.web.problems import NotModified
from daybreak.web.who import asker_of

IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", max_length=2_000, description="Answered with 304 while it is still so.")
]


def size(desk: Desk) -> int:
    """How many events there are: a number that only grows."""
    ((last,),) = desk.home.ledger.query("SELECT coalesce(max(leaf), -1) FROM event")
    return int(last) + 1


def of(*parts: object) -> str:
    """A strong tag of something small."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}"'


def plain(tag: str) -> str:
    return tag.strip().removeprefix("W/")


async def _fresh(request: Request, response: Response, if_none_match: IfNoneMatch = None) -> str:
    """Asked before the resource is read: a tag may be older than what it stands for, never newer.

    Raises NotModified."""
    desk, asker = desk_of(request), await asker_of(request)
    events = await to_thread.run_sync(size, desk)
    day = desk.clock.now().date().isoformat()  # what goes by days changes with them
    tag = f"W/{of(events, day, request.url.path, request.url.query, sorted(asker.scopes), __version__)}"
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    if if_none_match is not None and plain(tag) in {plain(one) for one in if_none_match.split(",")}:
        raise NotModified(tag)
    return tag


Fresh = Annotated[str, Depends(_fresh)]
