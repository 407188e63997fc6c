"""Why a night comes to its end. Whoever finds a reason says so here; the first one counts, and a failure more."""

from __future__ import annotations

import logging

import anyio

from daybreak.clock import Clock
from daybreak.engine.night import Plan, Why
from daybreak.engine.telling import said
from daybreak.engine.waking import Waking

_log = logging.getLogger(__name__)
_WORDS: dict[Why, str] = {
    "empty": "nothing more is ready",
    "deadline": "the night's time is over",
    "budget": "the night's budget is used up",
    "stopped": "the night was stopped",
    "incident": "an incident of level 3 stopped the night",
    "failed": "the night failed",
    "died": "the night died",
}


class Ending:
    """See the module."""

    def __init__(self, clock: Clock, plan: Plan, waking: Waking) -> None:
        self._clock = clock
        self._plan = plan
        self._waking = waking
        self.why: Why | None = None
        """None while nothing ends it."""
        self.hasty = False
        self.failure: Exception | None = None
        self.closing: anyio.CancelScope | None = None
        """Of what is being put away at the end."""
        self._text = ""

    @property
    def words(self) -> str:
        """Why, for people."""
        assert self.why is not None, "it is ending"
        return _WORDS[self.why]

    def is_late(self) -> bool:
        return self._plan.until is not None and self._clock.now() >= self._plan.until

    def end(self, why: Why, text: str = "") -> None:
        if self.why is None:
            self.why, self._text = why, text

    def stop(self, *, hasty: bool) -> None:
        """A person ends it; hasty: what is being put away is left."""
        self.end("stopped")
        if hasty:
            self.hasty = True
            if self.closing is not None:
                self.closing.cancel("in haste")
        self._waking.wake()

    def fail(self, problem: Exception) -> None:
        """The night cannot go on: nothing is certain to be recorded any more."""
        if self.failure is None:
            _log.error("the night fails", exc_info=problem)
            self.failure = problem
            self.why, self._text, self.hasty = "failed", said(problem), True
        self._waking.wake()

    def text(self, counts: dict[str, int]) -> str:
        """Why, and what the night brought: how many runs to each state."""
        brought = ", ".join(f"{number} {state}" for state, number in counts.items()) or "no runs"
        return f"{self.words}: {brought}" + (f"; {self._text}" if self._text else "")
