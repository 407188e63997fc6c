"""A request in the form that a provider takes: with what we add to it; without it, or otherwise, where that is refused.

Added are the wish for usage in a stream, and a limit of output tokens where an answer comes in one piece, the request
names none, and there is a budget: nothing else could keep such an answer within it. Models differ in how much they let
one ask for and under which name, and say so in words only; what one has taken is remembered for the next request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from daybreak.agents.gateway import wire
from daybreak.agents.gateway.dialects.dialect import OUTPUT_MAX
from daybreak.agents.gateway.reserving import OUTPUT_MIN

if TYPE_CHECKING:
    from daybreak.agents.gateway.dialects.dialect import Asked
    from daybreak.agents.gateway.passage import Desk, Request
    from daybreak.agents.gateway.reserving import Held

_REFUSED = frozenset({400, 422})
_USAGE = re.compile(rb"stream_options|include_usage")
_LIMIT = re.compile(rb"max_?(?:completion_|output_)?tokens|context[ _](?:length|window|size)|maximum context", re.I)
_OTHER_NAME = re.compile(rb"max_completion_tokens")
_TOO_MUCH = re.compile(rb"too large|too high|exceed|at most|maximum|less than|range", re.I)
_CONTEXT = re.compile(rb"context", re.I)
_SHRINKS_MAX = 2
_SHRINK = 4


class Form:
    """Of one request. `body` is what is to be sent."""

    def __init__(self, desk: Desk, request: Request, asked: Asked, held: Held) -> None:
        self._desk, self._request, self._asked = desk, request, asked
        self._model = (request.ticket.provider_name, asked.model)
        self._other, self._most = desk.shapes.get(self._model, (False, OUTPUT_MAX))
        self._limit, self._scarce = held.answer_max, held.scarce
        self._shrinks = 0
        self._for_context = False
        """It was made smaller for what was asked this time, which says nothing about the next request."""

    @property
    def body(self) -> bytes:
        if self._limit is None:
            return self._asked.body
        return self._request.dialect.limited(self._request.action, self._asked.body, self._tokens, self._other)

    @property
    def scarce(self) -> bool:
        """Does the budget make the answer shorter than it might have been?"""
        return self._limit is not None and self._scarce and self._tokens == self._limit

    def refused(self, status: int) -> bool:
        """May what we added be why?"""
        return status in _REFUSED and (self._asked.usage_added or self._limit is not None)

    def another(self, why: bytes) -> bool:
        """The provider refused it with that body: is there another form to try? Then `body` has it."""
        if self._asked.usage_added and _USAGE.search(why):
            self._desk.no_usage.add(self._request.ticket.provider_name)
            request = self._request
            plain = wire.plain(request.body, request.headers)
            self._asked = request.dialect.asked(request.action, plain, request.model, request.ticket.model, usage=False)
            return True
        return self._limit is not None and self._reshaped(why)

    def taken(self) -> None:
        """The provider answers it."""
        if self._limit is not None:
            most = OUTPUT_MAX if self._for_context else self._most
            self._desk.shapes[self._model] = (self._other, most)

    @property
    def _tokens(self) -> int:
        return min(self._limit or 0, self._most)

    def _reshaped(self, why: bytes) -> bool:
        if not self._other and _OTHER_NAME.search(why) and not _TOO_MUCH.search(why):
            self._other = True
            return True
        if self._shrinks == _SHRINKS_MAX or self._tokens <= OUTPUT_MIN or not _LIMIT.search(why):
            return False
        self._shrinks += 1
        self._most = max(OUTPUT_MIN, self._tokens // _SHRINK)
        self._for_context = self._for_context or bool(_CONTEXT.search(why))
        return True
