"""One call of a tool: who asks, whether they may, the home opened, the tool done, the home closed again.

The home is open for the time of a call only: an assistant keeps its servers for days, and must not hold a ledger that
long. Calls of one process follow one another.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from daybreak.config import Places
from daybreak.errors import DaybreakError
from daybreak.home.withheld import without_examples
from daybreak.mcp.asker import Asker, Credentials
from daybreak.mcp.desk import Desk
from daybreak.mcp.refusals import ArgumentsWrong, CallsMany, HomeMoved, NothingThere
from daybreak.mcp.words import TEXT, clean

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.mcp.tools.tool import Tool

T = TypeVar("T")
_PROBLEMS_MAX = 10
CALLS_MAX = 32
"""Under way and waiting, of one server."""


@dataclass
class Caller:
    """Blocking; call it from a worker thread."""

    credentials: Credentials
    folders: tuple[Path, ...]
    clock: Clock
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    places: Places | None = None
    """Of the home that the server was started for; None: whichever applies."""
    guard: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around a call, on the loop that hands calls to threads: what waits takes memory. Raises CallsMany."""
        if self.under_way >= CALLS_MAX:
            raise CallsMany(
                f"{CALLS_MAX} calls are under way; nothing was done", hint="wait for their answers, then ask again"
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def asker(self) -> Asker:
        """Whoever asks now. Raises NotAllowed."""
        return self._with_home(lambda desk: desk.asker, changes=False)

    def allowed(self) -> list[Tool]:
        """The tools that the asker may use now."""
        from daybreak.mcp.tools import TOOLS

        asker = self.asker()
        return [one for one in TOOLS.values() if asker.has(one.scope)]

    def call(self, name: str, arguments: Mapping[str, Any] | None) -> BaseModel:
        """What the tool gives. Raises DaybreakError, and what no tool should."""
        from daybreak.mcp.tools import TOOLS

        tool = TOOLS.get(name)
        if tool is None:
            raise NothingThere("there is no such tool", hint=f"there are {', '.join(TOOLS)}")

        return self._with_home(lambda desk: done(tool, desk, arguments), changes=tool.changes)

    def read(self, do: Callable[[Desk], T]) -> T:
        """Something that only looks, on an open home."""
        return self._with_home(do, changes=False)

    def _with_home(self, do: Callable[[Desk], T], *, changes: bool) -> T:
        from daybreak import home
        from daybreak.home import acting
        from daybreak.policy.journal import Journal

        with self.guard:
            self._check_home(home.places())
            with home.opened(looking=not changes, through=acting.through) as opened:
                asker = self.credentials.asker(Journal(opened.ledger, self.clock, actor="mcp"), self.clock)
                with acting.writing(acting.Hand(asker.actor)):
                    return do(Desk(opened, asker, self.clock, self.folders, self.environment))

    def _check_home(self, places: Places) -> None:
        """Work in the folder that the server runs in could make another home there, which knows of no revoked token."""
        if self.places is not None and places != self.places:
            raise HomeMoved(
                f"the home is another one now: {places.why}",
                hint="look what made it; set DAYBREAK_HOME where the server is started, and start it again",
            )


def done(tool: Tool, desk: Desk, arguments: Mapping[str, Any] | None) -> BaseModel:
    """Raises ScopeMissing before anything else is looked at, ArgumentsWrong, and what the tool does."""
    desk.asker.needs(tool.scope)
    return tool.do(desk, checked(tool.takes, arguments))


def checked(takes: type[BaseModel], arguments: Mapping[str, Any] | None) -> BaseModel:
    """Raises ArgumentsWrong, which never holds what was given."""
    try:
        return takes.model_validate(dict(arguments or {}))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{clean('.'.join(map(str, one['loc'])), 60) or 'arguments'}: {one['msg']}" for one in found]
        more = f" and {len(told) - _PROBLEMS_MAX} more" if len(told) > _PROBLEMS_MAX else ""
        known = ", ".join(takes.model_fields) or "nothing"
        raise ArgumentsWrong("; ".join(told[:_PROBLEMS_MAX]) + more, hint=f"it takes {known}") from None


def told(error: BaseException) -> dict[str, str]:
    """An error as an assistant may hear of it: code, message, hint. One of ours that nobody foresaw says no word of
    what it was about; that stands in the log."""
    if not isinstance(error, DaybreakError):
        logging.getLogger(__name__).error("a call failed", exc_info=error)
        error = DaybreakError(
            f"this is an error in Daybreak: {type(error).__name__}", hint="`daybreak logs` shows where it happened"
        )
    message, hint = (clean(without_examples(text), TEXT) for text in (error.message, error.hint))
    return {"code": error.code, "message": message, "hint": hint}
