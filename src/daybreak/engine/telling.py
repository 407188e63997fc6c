"""What a night says: its notes in the ledger, and the calls of its hooks, none of which ever ends it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import anyio

from daybreak.engine import nights
from daybreak.engine.log import Log
from daybreak.engine.night import Found, Hooks
from daybreak.engine.scopes import shielded
from daybreak.errors import DaybreakError, IdemConflict, LedgerBusy, LedgerError
from daybreak.events import Event, NightEnded, NightNoted
from daybreak.ledger.record import Draft

ACTOR = "supervisor"
TEXT_MAX = 2000
BUSY_TRIES = 3
"""How often an append is tried while another process holds the ledger; each try waits by itself."""

What = Literal["recovery", "stuck", "takeover", "reconciliation", "snapshot", "preflight", "alert", "deadline"]
_HOOKS: dict[str, What] = {"preflight": "preflight", "reconciliation": "reconciliation", "snapshot": "snapshot"}
"""Hooks whose failures are noted under their own name; those of all others are alerts."""

_log = logging.getLogger(__name__)


class Teller:
    """Speaks for one night. `fail` ends that night, and is called where the ledger takes no more notes."""

    def __init__(self, log: Log, hooks: Hooks, fail: Callable[[Exception], None]) -> None:
        self._ledger = log
        self._limit_s = hooks.limit_s
        self._fail = fail
        self._failed = False
        self._told: set[str] = set()
        """Complaints that are told once."""
        self.night = ""

    async def append(self, stream: str, event: Event) -> None:
        """Raises what the ledger raises; where another process holds it for too long, it is tried again first."""
        for _ in range(BUSY_TRIES - 1):
            try:
                await self._ledger.append_async([Draft(stream, event, ACTOR)])
                return
            except LedgerBusy:
                _log.warning("the ledger is busy; %s is appended again", event.type)
        await self._ledger.append_async([Draft(stream, event, ACTOR)])

    async def note(self, what: What, level: int, text: str, *, run: str = "", **details: Any) -> None:
        """Raises as `append`."""
        noted = NightNoted(night=self.night, what=what, level=level, text=text[:TEXT_MAX], run=run, details=details)
        await self.append(nights.STREAM, noted)

    async def end(self, ended: NightEnded) -> bool:
        """The last word on a night; False where somebody had it before. Raises what the ledger raises."""
        try:
            with shielded():
                await self._ledger.append_async([Draft(nights.STREAM, ended, ACTOR, idem=f"ended:{ended.night}")])
        except IdemConflict:
            return False
        return True

    async def ask(self, what: What, hook: Callable[[], Awaitable[Sequence[Found]]] | None) -> None:
        """Let a hook look, and note what it found."""
        if hook is None:
            return
        found: list[Found] = []

        async def look() -> None:
            found.extend(await hook())

        await self.do(what, look)
        for one in found:
            await self.note(what, one.level, one.text, **one.details)

    async def do(self, what: str, hook: Callable[..., Awaitable[None]] | None, *args: Any) -> None:
        """Call a hook; that it fails, or takes too long, is noted once until it works again."""
        if hook is None:
            return
        try:
            with anyio.fail_after(self._limit_s):
                await hook(*args)
        except Exception as problem:  # noqa: BLE001 - hooks serve the night; they never end it
            await self.complain(what, problem)
        else:
            self._told.discard(what)

    async def complain(self, what: str, problem: Exception) -> None:
        """Note that something beside the work failed. Raises nothing: where that cannot be noted, the night fails."""
        _log.warning("%s failed in night %s", what, self.night, exc_info=problem)
        if what in self._told or self._failed:
            return
        self._told.add(what)
        noted = _HOOKS.get(what, "alert")
        try:
            await self.note(noted, 2 if noted == "snapshot" else 1, f"{what} failed: {said(problem)}")
        except LedgerError as error:
            self._failed = True
            self._fail(error)


def said(problem: Exception) -> str:
    """An error in one line, cut."""
    if isinstance(problem, DaybreakError):
        return f"{problem.code} {problem.message}"[:500]
    return f"{type(problem).__name__}: {problem}"[:500]
