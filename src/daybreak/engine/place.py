"""The place of a night: the one supervisor of its home or a helper of it, and a seat among other homes."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from daybreak.engine.keeper import Takeover
from daybreak.engine.night import OtherHomeBusy, SupervisorBusy
from daybreak.engine.outfit import Outfit
from daybreak.host.locks import LockHeld

LOCK = "supervisor"
"""Name of the lock of the one supervisor."""

_log = logging.getLogger(__name__)


class Place:
    """Where it is taken, as the plan says: an error, wait for it, or work beside whoever has it."""

    def __init__(self, outfit: Outfit) -> None:
        self._locks = outfit.locks
        self._plan = outfit.plan
        self._keeper = outfit.keeper
        self._seats = outfit.seats
        self._neighbours = outfit.neighbours
        self._waking = outfit.waking
        self._ending = outfit.ending
        self.helper = False
        """It works beside another supervisor of the same home."""

    async def take(self, stack: ExitStack, taken: list[Takeover]) -> bool:
        """Become the supervisor, or a helper; False where it was stopped while it waited."""
        while self._ending.why is None:
            try:
                stack.enter_context(self._locks.hold(LOCK))
            except LockHeld as held:
                if self._plan.if_busy == "help":
                    self.helper = True
                    return True
                if self._plan.if_busy == "refuse" or self._ending.is_late():
                    raise self._busy(held) from held
            else:
                return True
            self._waking.reset()
            if self._keeper is not None:
                for one in await self._keeper.look([LOCK]):
                    taken.append(one)
                    _log.warning("%s", one.words)
            await self._waking.wait(min(1.0, self._plan.look_s))
        return False

    async def sit(self, night: str) -> bool:
        """Be seen by other homes; False where the night was stopped while it waited for theirs."""
        seats, plan = self._seats, self._plan
        if seats is None:
            return True
        while self._ending.why is None:
            others = await seats.sit(night=night, lease_s=plan.lease_s, alone=not plan.join)
            if not others:
                assert self._neighbours is not None, "there are seats"
                await self._neighbours.look()
                return True
            if plan.if_busy != "wait" or self._ending.is_late():
                late = " and was so when this night's time was over" if plan.if_busy == "wait" else ""
                raise OtherHomeBusy(
                    f"another home's night is at work on this ledger{late}: {'; '.join(map(str, others))}"[:500],
                    hint="--join works beside it and shares its budget; --if-busy wait waits for its end; "
                    "`daybreak status` shows what it does",
                    owner=None,
                )
            await self._waking.wait(min(1.0, plan.look_s))
            self._waking.reset()
        return False

    def _busy(self, held: LockHeld) -> SupervisorBusy:
        late = " and was so when this night's time was over" if self._plan.if_busy == "wait" else ""
        return SupervisorBusy(
            f"another supervisor is at work here{late}: {held.owner or 'it has not yet written its name'}",
            hint="`daybreak status` shows what it does; --if-busy wait waits for its end, help works beside it; "
            "`daybreak unlock` ends one that hangs",
            owner=held.owner,
        )

    def succeed(self, stack: ExitStack) -> None:
        """A helper becomes the supervisor once there is none."""
        try:
            stack.enter_context(self._locks.hold(LOCK))
        except LockHeld:
            return
        self.helper = False
