"""What one run may spend while it has an owner: its account below that of the night, and its time.

Time is reserved when the run is leased, as much as is left, and settled when it gives its worker back; an owner that
died has used the time from its lease to its last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import anyio

from daybreak.clock import Clock
from daybreak.engine.flow import Parked
from daybreak.engine.history import History
from daybreak.engine.journal import Journal
from daybreak.events import Event
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit

TIME_SPENT = "the run's time is used up: raise its budget?"


def account_of(run: str) -> str:
    return f"run:{run}"


class Purse:
    """See the module."""

    def __init__(self, accounts: Accounts, clock: Clock, journal: Journal, above: str) -> None:
        self._accounts = accounts
        self._clock = clock
        self._journal = journal
        self._above = above
        self._began_s = clock.monotonic()
        self._time_key = ""
        self._time_ms: int | None = None
        self.account = above
        """Where the run's steps reserve; empty where nothing limits it."""

    async def open(self, budget: Mapping[str, int]) -> None:
        """Open the run's own account where it has a budget, and reserve its time. Raises Parked where none is left."""
        run, name = self._journal.run, account_of(self._journal.run)
        if budget or self._accounts.limit(name) is not None:
            limit = self._accounts.limit(name) or Limit(**budget)
            if opened := self._accounts.open(name, limit, self._above):
                await self._journal.append([opened])
            self.account = name
        if self.account and (left_ms := self._accounts.left(self.account).time_ms) is not None:
            self._time_ms = left_ms
            if left_ms > 0:
                key = f"{run}/time/{self._journal.epoch}"
                worst = Amounts(time_ms=left_ms)
                await self._journal.append([self._accounts.reserve(key, self.account, worst, run=run)])
                self._time_key = key

    @contextmanager
    def time_limit(self) -> Iterator[None]:
        """Raises Parked when the run's time is used up."""
        if self._time_ms is None:
            yield
            return
        with anyio.move_on_after(self._time_ms / 1000) as scope:
            if self._time_ms > 0:
                yield
        if scope.cancelled_caught or self._time_ms <= 0:
            raise Parked(TIME_SPENT, f"of account {self.account}")

    def closing(self) -> Sequence[Event]:
        """What was used and not settled yet, for the commit that ends this part of the run."""
        run, events = self._journal.run, []
        for key, _, worst in self._accounts.reserved_by(run):
            if key == self._time_key:
                used = Amounts(time_ms=int((self._clock.monotonic() - self._began_s) * 1000))
                events.append(self._accounts.settle(key, used, run=run)[0])
            else:
                events.append(self._accounts.settle(key, worst, run=run, presumed=True)[0])
        return events

    @staticmethod
    def presumed(accounts: Accounts, history: History) -> list[Event]:
        """What an owner that died had reserved: the worst case is taken as used, of time what it was seen to use."""
        events: list[Event] = []
        for key, _, worst in accounts.reserved_by(history.run):
            used = worst
            if key.startswith(f"{history.run}/time/"):
                used = Amounts(time_ms=min(worst.time_ms, _between_ms(history.lease_at, history.last_at)))
            events.append(accounts.settle(key, used, run=history.run, presumed=True)[0])
        return events


def _between_ms(first: str, last: str) -> int:
    if not first or not last:
        return 0
    return max(0, int((datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() * 1000))
