"""The close of a night: what is under way comes to rest, everything is put away, and the last word is written."""

from __future__ import annotations

import anyio

from daybreak.engine.outfit import Outfit
from daybreak.events import NightEnded


class Closing:
    """`wind_down`, then `close`, once the night has a reason to end."""

    def __init__(self, outfit: Outfit) -> None:
        self._engine = outfit.engine
        self._clock = outfit.clock
        self._plan = outfit.plan
        self._hooks = outfit.hooks
        self._accounts = outfit.accounts
        self._waking = outfit.waking
        self._ending = outfit.ending
        self._tell = outfit.tell
        self._crew = outfit.crew

    async def wind_down(self) -> None:
        """Let what is under way reach the end of its step; cancel what does not."""
        assert self._ending.why is not None, "it is ending"
        if self._ending.why == "deadline" and self._crew:
            await self._tell.note("deadline", 0, f"{len(self._crew)} runs were under way", runs=sorted(self._crew))
        ends_s = self._clock.monotonic() + self._plan.grace_s
        while self._crew and not self._ending.hasty and (left_s := ends_s - self._clock.monotonic()) > 0:
            self._waking.reset()
            self._engine.wind_down(self._ending.words)
            await self._waking.wait(min(1.0, left_s))
        self._crew.cancel("the night is over")
        ends_s = self._clock.monotonic() + self._plan.leave_s
        while self._crew and (left_s := ends_s - self._clock.monotonic()) > 0:
            self._waking.reset()
            await self._waking.wait(left_s)
        if self._crew:
            await self._tell.note("stuck", 2, "runs did not end although they were cancelled", runs=sorted(self._crew))

    async def close(self) -> tuple[dict[str, int], dict[str, int]]:
        """Put everything away; the closing event comes last. How many runs were brought to each state, and what was
        used, as in `NightResult`."""
        assert self._ending.why is not None, "it is ending"
        counts = self._crew.counts
        used: dict[str, int] = {}
        try:
            if self._ending.failure is None:
                with anyio.CancelScope() as self._ending.closing:
                    await self._tell.ask("reconciliation", self._hooks.reconcile)
                    await self._tell.ask("snapshot", self._hooks.snapshot)
            if self._crew.account:
                used = self._accounts.used(self._crew.account).by_name
            text = self._ending.text(counts)
            await self._tell.end(
                NightEnded(night=self._tell.night, why=self._ending.why, counts=counts, used=used, text=text)
            )
        except Exception as problem:  # noqa: BLE001 - the next night writes the end
            self._ending.fail(problem)
        await self._tell.do("report", self._hooks.report, self._tell.night)
        if self._ending.failure is None and self._hooks.ping is not None:
            await self._tell.do("ping", self._hooks.ping, "end")
        return counts, used
