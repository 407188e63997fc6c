"""Doing something for somebody: in their name, once for each idempotency key, and not over somebody else's change.

    @router.post("/runs/{run}/cancel", operation_id="cancelRun")
    def cancel(run: Run, act: Annotated[Act, acting("steer")]) -> Moved:
        return act.do(lambda: …)

With the header `Idempotency-Key`, a repeat of the same request gives the first answer, also after a crash and from
another process; the same key with another request is refused. The mark stands in the commit of what was done
(`hand`), so there is no moment between the two. Where a crash came between that commit and the answer, a repeat does
nothing and says so.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Header, Request
from fastapi.encoders import jsonable_encoder
from starlette.responses import Response

from daybreak import events
from daybreak.home.acting import Hand, Taken, is_taken, writing
from daybreak.ledger import Draft
from daybreak.policy.bearer import Scope
from daybreak.web import fresh
from daybreak.web.desk import Desk, desk_of
from daybreak.web.problems import Changed, KeyReused
from daybreak.web.who import Asker, Scoped

BODY_MAX = 64 * 1024
"""A longer answer is not kept; a repeat is then told that it was done."""
T = TypeVar("T")
_LOCKS = tuple(threading.Lock() for _ in range(64))
"""Two requests with one key in this process wait for each other."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern="^[!-~]{1,200}$",
        description="A repeat with the same key gives the first answer and does nothing.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        pattern='^(\\*|(W/)?"[!#-~]*")$',
        description="The ETag that was read; refused with 412 where somebody changed it since.",
    ),
]


@dataclass(frozen=True)
class Act:
    """What one request may do."""

    desk: Desk
    asker: Asker
    request: str
    """The request's id."""
    key: str
    """Hash of who asked and the key; empty without one."""
    digest: str
    """Hash of method, address and body."""
    if_match: str | None

    def match(self, tag: str) -> None:
        """Raises Changed where the asker looked at another state than this one."""
        given = self.if_match
        if given is not None and given != "*" and fresh.plain(given) != fresh.plain(tag):
            raise Changed("somebody changed it since you looked", hint="read it again, then decide again")

    def do(self, work: Callable[[], T]) -> T:
        """The work's answer; or the first one's, where the request is a repeat."""
        if not self.key:
            with writing(Hand(self.asker.actor)):
                return work()
        with _LOCKS[int(self.key[:8], 16) % len(_LOCKS)]:
            return self._once(work)

    def _once(self, work: Callable[[], T]) -> T:
        if (first := self._first()) is not None:
            return cast(T, first)
        mark = events.RequestTaken(key=self.key, request=self.digest, id=self.request)
        try:
            with writing(Hand(self.asker.actor, mark)) as hand:
                told = work()
        except Taken:
            return cast(T, self._first())
        body = json.dumps(jsonable_encoder(told))
        drafts = [] if hand.marked else [self._draft(mark, f"request:{self.key}")]
        kept = body if len(body) <= BODY_MAX else ""
        drafts.append(self._draft(events.RequestAnswered(key=self.key, status=200, body=kept)))
        ledger = self.desk.home.ledger
        ledger.append(drafts)
        assert not is_taken(ledger, mark), "the mark stands in the commit of what was done"
        return told

    def _draft(self, event: events.Event, idem: str | None = None) -> Draft:
        return Draft(events.REQUESTS, event, actor=self.asker.actor, idem=idem)

    def _first(self) -> Response | None:
        """What the first request with this key was answered. Raises KeyReused."""
        found = self.desk.home.ledger.query(
            "SELECT request, status, body FROM view_requests WHERE key = ?", (self.key,)
        )
        if not found:
            return None
        ((request, status, body),) = found
        if request != self.digest:
            raise KeyReused("the Idempotency-Key came before with another request", hint="use a new key")
        if not body:
            raise KeyReused(
                "the request with this Idempotency-Key was carried out, and its answer is not known",
                hint="look at what it was about; nothing was done now",
            )
        return Response(body, status, media_type="application/json", headers={"Idempotent-Replayed": "true"})


class Acting(Scoped):
    """The dependency behind `acting`."""

    async def __call__(self, request: Request, key: Key = None, if_match: IfMatch = None) -> Act:
        asker = await self.asker(request)
        desk = desk_of(request)
        body = await request.body()
        where = f"{request.method} {request.url.path}?{request.url.query}\0".encode()
        return Act(
            desk=desk,
            asker=asker,
            request=request.scope.get("daybreak.request", ""),
            key="" if key is None else hashlib.sha256(f"{asker.own}\0{key}".encode()).hexdigest(),
            digest=hashlib.sha256(where + body).hexdigest(),
            if_match=if_match,
        )


def acting(scope: Scope) -> Any:
    """Only whoever has this scope; gives an `Act`."""
    return Depends(Acting(scope))
