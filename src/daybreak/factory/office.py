"""What all attempts of a process share: settings, who is here, what is left, and the gateway."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from daybreak.agents import found as finding
from daybreak.agents.cascade import Held
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Context
from daybreak.engine.dispatch import Dispatch, Jobs
from daybreak.events import Event
from daybreak.factory import dispatching, exposure
from daybreak.ledger import Ledger
from daybreak.memory import lessons, outcomes, routing
from daybreak.policy.accounts import Accounts
from daybreak.policy.circuits import LedgerCircuits
from daybreak.policy.journal import Journal
from daybreak.settings import Settings, Worker

if TYPE_CHECKING:
    from daybreak.agents.gateway import Gateway as GatewayServer


class Office:
    """What all attempts of a process share: settings, the machine's environment, and the gateway, which begins with the
    first attempt that has a provider. Closed at the end of the process's work."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        places: Places,
        clock: Clock,
        environment: Mapping[str, str],
        *,
        dispatch: Dispatch | None = None,
    ) -> None:
        """`dispatch`: instead of what the settings say; closed with this office."""
        self.settings = settings
        self.environment = environment
        self.places = places
        self.clock = clock
        self._ledger = ledger
        self._lock = threading.Lock()
        self._gateway: GatewayServer | None = None
        self._draw = random.SystemRandom()
        self._dispatch = dispatch
        self._here: Dispatch | None = None
        self._exposure_told = False

    def gateway(self) -> GatewayServer:
        with self._lock:
            if self._gateway is None:
                from daybreak.agents.gateway import Gateway

                gateway = Gateway(
                    self.settings,
                    self._ledger,
                    self.clock,
                    folder=self.places.cache / "gateway",
                    environment=self.environment,
                )
                gateway.__enter__()
                self._gateway = gateway
            return self._gateway

    @property
    def dispatch(self) -> Dispatch:
        """Where attempts and checks are done. Raises KeyUnresolved where its token is not there."""
        with self._lock:
            if self._dispatch is None:
                self._dispatch = dispatching.make(self.settings, self.places, self.environment)
            return self._dispatch

    def here(self) -> Dispatch:
        """What does here what no node of the cluster has the programs for."""
        with self._lock:
            if self._here is None:
                self._here = dispatching.here(self.settings)
            return self._here

    def jobs(self, ctx: Context, cancelled: threading.Event) -> Jobs:
        """For one run, or a branch of it. The first one of a process tells the ledger where the cluster is one that
        anybody may use."""
        self._tell_exposed(ctx.run)
        return Jobs(ctx, self.dispatch, cancelled, self.clock)

    def _tell_exposed(self, run: str) -> None:
        with self._lock:
            told, self._exposure_told = self._exposure_told, True
        if not told and (what := exposure.exposed(self.settings.dispatch, self.environment)):
            Journal(self._ledger, self.clock).raise_incident("cluster_exposed", what, run=run)

    def find(self, name: str) -> tuple[Worker, finding.Found]:
        """Raises SettingsWrong where there is no worker of that name."""
        worker = self.settings.worker(name)
        found = finding.find(name, worker, self.settings, self.environment)
        if found.budget == "hard" and not self._priced(worker):
            found = replace(found, budget="soft")  # tokens are counted, but nobody knows what they cost
        return worker, found

    def _priced(self, worker: Worker) -> bool:
        if not worker.provider:
            return True
        prices = self.settings.provider(worker.provider).prices
        return worker.model in prices or "*" in prices

    def held(self, names: Sequence[str], now: datetime) -> dict[str, Held]:
        """Workers behind an open breaker of their provider, by name."""
        circuits = {row.name: row.circuit for row in LedgerCircuits(self._ledger, self.clock).all()}
        found = {}
        for name in names:
            worker = self.settings.worker(name)
            circuit = circuits.get(f"provider:{worker.provider}") if worker.provider else None
            if circuit is not None and circuit.state == "open" and circuit.until is not None and circuit.until > now:
                found[name] = Held(until=circuit.until, why=f"breaker of {worker.provider}: {circuit.why}")
        return found

    def ordered(self, run: str, names: Sequence[str], task: str) -> tuple[tuple[str, ...], dict[str, str], list[Event]]:
        """Workers in the order in which outcomes suggest to ask them, why, and what the ledger is told about it."""
        memory = self.settings.memory
        known = memory.routing == "learned" and set(names) & set(outcomes.read(self._ledger).workers(task))
        if not known or len(names) < 2:
            return tuple(names), {}, []  # as somebody wrote it, until something is known
        hour = round(memory.hour_usd * 1_000_000)
        choices = routing.order(self._ledger, names, task, self._draw, hour_microusd=hour)
        reasons = {one.worker: one.why for one in choices}
        return tuple(one.worker for one in choices), reasons, [routing.said(run, task, choices)]

    def lessons(self, text: str, task: str) -> list[lessons.Lesson]:
        """What was learned elsewhere and may help with this."""
        return lessons.recall(self._ledger, text, task, self.settings.memory.lessons_tokens)

    def left(self, account: str) -> tuple[int | None, int | None]:
        """Money (in millionths of a US dollar) and tokens that an account may still spend; None: no limit."""
        if not account:
            return None, None
        left = Accounts(self._ledger).left(account)
        return left.money_microusd, left.tokens

    def close(self) -> None:
        with self._lock:
            gateway, self._gateway = self._gateway, None
            dispatches = (self._dispatch, self._here)
            self._dispatch = self._here = None
        for dispatch in filter(None, dispatches):
            dispatch.close()
        if gateway is not None:
            gateway.__exit__(None, None, None)
