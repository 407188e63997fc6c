"""Who of an order can be asked here, and what each may spend past us: for a plan, before anything is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daybreak.agents import found as finding
from daybreak.errors import DaybreakError
from daybreak.factory.plan import PlannedWorker
from daybreak.settings import Settings, Worker


def look(
    names: Sequence[str], settings: Settings, environment: Mapping[str, str], *, beyond: str = ""
) -> tuple[PlannedWorker, ...]:
    """Each of `names`, in their order. `beyond`: why the embedded builder cannot do the task; empty where it can.
    Starts programs to ask for their versions. Raises SettingsWrong for a name that is not known."""
    return tuple(_looked(name, settings.worker(name), settings, environment, beyond) for name in names)


def _looked(
    name: str, worker: Worker, settings: Settings, environment: Mapping[str, str], beyond: str
) -> PlannedWorker:
    try:
        found = finding.find(name, worker, settings, environment)
    except DaybreakError as error:
        return PlannedWorker(name=name, kind=worker.kind, missing=error.message)
    missing = found.missing or (beyond if worker.kind == "builder" else "")
    prices = settings.provider(worker.provider).prices if worker.provider else {}
    unpriced = bool(worker.provider) and worker.model not in prices and "*" not in prices
    soft = found.budget == "hard" and unpriced  # tokens are counted, but nobody knows what they cost
    return PlannedWorker(name=name, kind=worker.kind, missing=missing, budget="soft" if soft else found.budget)
