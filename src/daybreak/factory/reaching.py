"""How an attempt reaches its model: a ticket of the gateway, a way to it for each try, and what is done where a node
does not get through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from daybreak.agents.gateway.listening import RelayBroken
from daybreak.agents.gateway.outpost import OutpostBroken, RelayForged, RelayRefuses, RelayUnreachable
from daybreak.agents.protocol import Gateway, Usage
from daybreak.engine import Context
from daybreak.engine.dispatch import Answer, Job, Jobs, Key, NodeRefused
from daybreak.engine.dispatch.job import OnLine
from daybreak.engine.flow import Parked
from daybreak.errors import WorkerError
from daybreak.events import JobLost, JobPlaced
from daybreak.factory.hearing import NOTHING_USED
from daybreak.factory.office import Office
from daybreak.settings import Worker

UNREACHED = (OutpostBroken, RelayUnreachable, RelayForged, RelayRefuses)
"""The node has no way to the coordinator's gateway. Its worker was not started."""
TRIES_MAX = 3
"""So many nodes may find that out; then the worker is not there as it must be."""


def ticket(office: Office, ctx: Context, number: int, worker: Worker, before: Usage) -> Gateway | None:
    """The attempt's way to its model, where it has a provider; `before` is what it has used of its limits before a
    crash. Raises KeyAbsent."""
    if not worker.provider:
        return None
    money = None if worker.money_usd is None else round(worker.money_usd * 1_000_000) - before.money_microusd
    tokens = None if worker.tokens is None else worker.tokens - before.input_tokens - before.output_tokens
    return office.gateway().ticket(
        ctx.run,
        number,
        provider=worker.provider,
        model=worker.model,
        account=ctx.account,
        money_microusd=None if money is None else max(0, money),
        tokens=None if tokens is None else max(0, tokens),
        requests=max(0, worker.requests - before.requests),
        network=worker.network,
    )


def used_before(office: Office, ctx: Context, number: int, worker: Worker) -> Usage:
    """What this attempt has used through the gateway, where it began before; what it may cost holds for all."""
    return office.gateway().used(ctx.run, number) if worker.provider else NOTHING_USED


def way(office: Office, gateway: Gateway | None) -> dict[str, Any]:
    """How the process of one try reaches the gateway, from wherever it runs; nothing where it has none. The way of the
    try before is ended by it, so that a node which was given up and comes back spends nothing.

    Raises Parked where this machine cannot listen as the settings say: no worker and no node can help that, a person
    can."""
    if gateway is None:
        return {}
    if not office.dispatch.remote:
        return {"socket": gateway.socket}
    told = office.settings.dispatch
    try:
        made = office.gateway().way(gateway.token, listen=told.listen, advertise=told.advertise)
    except RelayBroken as broken:
        raise Parked(f"{broken.message}: go on?", why=f"{broken.code}: {broken.hint}") from broken
    found: dict[str, Any] = msgspec.to_builtins(made)
    return found


@dataclass
class Tries:
    """Of one attempt's job, beside those that `Jobs` makes of it: nodes that have no way to the gateway are passed
    over, each of them is told in the ledger, and after TRIES_MAX of them it is over."""

    jobs: Jobs
    name: str
    make: Callable[[Key, tuple[str, ...]], Job]
    on_line: OnLine
    _key: Key | None = None
    _passed_over: list[str] = field(default_factory=list)

    def go(self) -> Answer:
        """Raises what `Jobs.do` raises, and what is in UNREACHED."""
        unreached: list[WorkerError] = []
        while True:
            try:
                return self.jobs.do(self.name, self._made, self.on_line)
            except UNREACHED as problem:
                unreached.append(problem)
                again = self.jobs.dispatch.remote and len(unreached) < TRIES_MAX
                self._tell(problem, again=again)
                if not again:
                    raise
            except NodeRefused as refused:
                if refused.node or not self._passed_over:
                    raise
                self._passed_over = []  # they are all there is, and it may have passed

    def _made(self, key: Key, avoid: tuple[str, ...]) -> Job:
        self._key = key
        return self.make(key, (*avoid, *(one for one in self._passed_over if one not in avoid)))

    def _tell(self, problem: WorkerError, *, again: bool) -> None:
        key = self._key
        assert key is not None, "a job is made before it is done"
        if not self.jobs.dispatch.remote:
            return
        placed = [one.event for one in self.jobs.ctx.records() if isinstance(one.event, JobPlaced)]
        node = next((one.node for one in reversed(placed) if (one.job, one.nth) == (key.step, key.nth)), "")
        self._passed_over += [node] if node else []
        lost = JobLost(
            run=key.run,
            job=key.step,
            nth=key.nth,
            node=node,
            why=f"it has no way to the model: {problem.message}"[:1000],
            again=again,
        )
        anyio.from_thread.run(self.jobs.ctx.tell, lost)
