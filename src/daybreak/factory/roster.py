"""Who there is to ask: the configuration, and orchestrators of others that are installed here."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from daybreak.settings import Settings, Worker

GROUP = "daybreak.orchestrators"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


def with_plugins(settings: Settings) -> Settings:
    """Where nobody wrote an order, installed orchestrators are asked before all others, by the name of their entry
    point; a broken one too, so that the cascade says what is wrong with it. Looks at metadata only, loads nothing."""
    if "order" in settings.model_fields_set:
        return settings
    taken = {worker.program for worker in settings.workers.values() if worker.kind == "outside"}
    found = {
        point.name: Worker(kind="outside", program=point.name)
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)
        if _NAME.fullmatch(point.name) and point.name not in settings.workers and point.name not in taken
    }
    if not found:
        return settings
    return settings.model_copy(update={"workers": {**settings.workers, **found}, "order": (*found, *settings.order)})
