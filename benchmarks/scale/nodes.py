"""Pretended nodes with places for attempts: in virtual time, and for the one measured point in real time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp
from random import Random

import anyio

from daybreak.engine.night import WORKERS_MAX


class NodeLost(ConnectionError):
    """A node vanished with the attempt on it."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large, and how the work is. Times in seconds."""

    attempts: int
    """At once."""
    nodes: int
    rounds: float = 3.0
    """Tasks for each place of an attempt."""
    median_s: float = 480.0
    """Of an attempt's duration, which is log-normal, ..."""
    sigma: float = 0.8
    """... with this spread: at 0.8 one in ten takes longer than 2.8 medians."""
    lost_hours: float = 200.0
    """A node vanishes about so often; 0: never."""
    back_s: float = 300.0
    """Until it is there again."""
    noticed_s: float = 15.0
    """Until the coordinator knows that an attempt is lost."""

    @property
    def slots(self) -> int:
        """Of each node."""
        return ceil(self.attempts / self.nodes)

    @property
    def coordinators(self) -> int:
        """No night has more workers than `WORKERS_MAX`."""
        return ceil(self.attempts / WORKERS_MAX)

    @property
    def tasks(self) -> int:
        return max(1, round(self.attempts * self.rounds))


def percentile(values: Sequence[float], share: float) -> float:
    """0 of nothing."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Nodes:
    """Places for attempts, and the books of what happened on them."""

    def __init__(self, size: Size, chance: Random, now_s: Callable[[], float]) -> None:
        self.size = size
        self._chance = chance
        self._now_s = now_s
        self._free: deque[tuple[float, int, int]] = deque()
        """Since when, node, its life."""
        self._life = [0] * size.nodes
        self._gone = [anyio.Event() for _ in range(size.nodes)]
        self._waiting: deque[anyio.Event] = deque()
        self.finished: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()
        self.begun = 0
        self.idle: list[tuple[float, float]] = []
        """When an attempt began, and how long its place had been empty."""
        self.first: list[float] = []
        left = size.attempts
        for _ in range(size.slots):
            for node in range(size.nodes):
                if left > 0:
                    self._free.append((-1.0, node, 0))
                    left -= 1

    async def attempt(self, number: int) -> int:
        """One try of a task; raises NodeLost."""
        since, node, life = await self._place()
        now_s = self._now_s()
        self.begun += 1
        if since >= 0:
            self.idle.append((now_s, now_s - since))
        else:
            self.first.append(now_s)
        vanished = False
        with anyio.move_on_after(self._duration_s(number)):
            await self._gone[node].wait()
            vanished = True
        if vanished:
            self.lost[number] += 1
            await anyio.sleep(self.size.noticed_s)
            raise NodeLost(f"node {node} vanished")
        self.finished[number] += 1
        self._give_back(node, life)
        return number

    async def vanish(self, node: int) -> None:
        """Now and then, for as long as the night lasts."""
        while self.size.lost_hours > 0:
            await anyio.sleep(self._chance.expovariate(1 / (self.size.lost_hours * 3600)))
            self._life[node] += 1
            gone, self._gone[node] = self._gone[node], anyio.Event()
            self._free = deque(one for one in self._free if one[1] != node)
            gone.set()
            await anyio.sleep(self.size.back_s)
            for _ in range(self._slots_of(node)):
                self._give_back(node, self._life[node])

    def _slots_of(self, node: int) -> int:
        full, more = divmod(self.size.attempts, self.size.nodes)
        return full + (node < more)

    async def _place(self) -> tuple[float, int, int]:
        while not self._free:
            event = anyio.Event()
            self._waiting.append(event)
            await event.wait()
        return self._free.popleft()

    def _give_back(self, node: int, life: int) -> None:
        if life == self._life[node]:
            self._free.append((self._now_s(), node, life))
            if self._waiting:
                self._waiting.popleft().set()

    def _duration_s(self, number: int) -> float:
        """The same on every try: some tasks are long."""
        return self.size.median_s * Random(number).lognormvariate(0.0, self.size.sigma)


def mean_s(size: Size) -> float:
    """Of an attempt's duration."""
    return size.median_s * exp(size.sigma**2 / 2)
