"""What all branches of one run share while it is under way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NoReturn, Protocol, TypeVar

from daybreak.clock import Clock
from daybreak.engine.facts import Facts
from daybreak.engine.flow import Waiting
from daybreak.engine.history import History
from daybreak.engine.journal import Journal
from daybreak.ids import Entropy
from daybreak.policy.accounts import Accounts
from daybreak.policy.breaker import BreakerRule, Circuit

T = TypeVar("T")

IN_PLACE_S = 5.0
"""Shorter waits keep their worker; for longer ones the run gives it back."""

POLL_S = 1.0
"""How often a waiting branch looks whether the run was cancelled, and whether it is the last one awake."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something volatile about a run that is under way; shown, never recorded.

    `started` is True where a step begins to be computed (not where it is replayed); then `text` is empty.
    """

    run: str
    branch: str
    step: str
    text: str
    fraction: float | None = None
    started: bool = False


Listener = Callable[[Told], None]
"""Called in the thread that tells, which may be a step's; must be quick. One that raises is dropped."""

Sleep = Callable[[float], Awaitable[None]]


class Listeners:
    """Whoever listens. A broken one must not break a run: it is logged with its traceback and dropped."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def tell(self, told: Told) -> None:
        for listener in list(self._listeners):
            try:
                listener(told)
            except Exception:
                self._listeners.remove(listener)
                logging.getLogger(__name__).exception("a listener broke; run %s goes on without it", told.run)


class Circuits(Protocol):
    """Where the states of breakers are kept; `policy.circuits.LedgerCircuits` is the durable one."""

    async def change_async(self, name: str, change: Callable[[Circuit], tuple[Circuit, T]]) -> T: ...


@dataclass
class Surroundings:
    journal: Journal
    history: History
    clock: Clock
    entropy: Entropy
    sleep: Sleep
    listeners: Listeners
    host: str
    circuits: Circuits
    rules: Mapping[str, BreakerRule]
    """Of breakers that have another rule than the usual one."""
    accounts: Accounts
    seat: str = ""
    """Of this process, where several homes share the ledger."""
    account: str = ""
    """Where the run's steps reserve what they cost; none where it is empty."""
    awake: int = field(default=1)
    """Branches that are not waiting for a time or for their children."""

    @cached_property
    def facts(self) -> Facts:
        """What stands in the run's stream."""
        return Facts(self.journal.log, self.journal.run)

    async def wait_until(self, moment: datetime | None, why: str, *, over: Callable[[], bool] | None = None) -> None:
        """Wait for a time, or until `over` says so. Raises Waiting where that takes long and nothing else of the run
        is awake, and what a person asked for meanwhile (CancelHonoured, Paused)."""
        self.awake -= 1
        try:
            while over is None or not over():
                left_s = self._left_s(moment)
                if left_s <= 0:
                    return
                if self.awake == 0 and left_s > IN_PLACE_S:
                    self._give_back(moment, why)
                await self.sleep(min(left_s, POLL_S))
                self.journal.honour()
        finally:
            self.awake += 1

    def _left_s(self, moment: datetime | None) -> float:
        return float("inf") if moment is None else (moment - self.clock.now()).total_seconds()

    def _give_back(self, moment: datetime | None, why: str) -> NoReturn:
        self.journal.stopped = None
        raise Waiting(moment, why)
