"""What `[dispatch]` in daybreak.toml means: where attempts and checks are done, and what they need by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from daybreak.config import Places
from daybreak.engine.dispatch import Dispatch, Local, Needs
from daybreak.factory import machine
from daybreak.settings import Settings

if TYPE_CHECKING:
    from daybreak.factory.spec.model import Needed


def make(settings: Settings, places: Places, environment: Mapping[str, str]) -> Dispatch:
    """Raises KeyUnresolved where the cluster's token is not there."""
    told = settings.dispatch
    if told.engine == "local":
        return Local(machine.cores(), told.labels)
    from daybreak.engine.dispatch.ray import Cluster, RayDispatch

    cluster = Cluster(
        address=told.address,
        token=_token(told.token, environment),
        allow_unauthenticated=told.allow_unauthenticated,
        silence_s=told.silence_s,
        at_a_time=told.jobs,
        labels=told.labels,
        folder=places.cache / "ray",
    )
    return RayDispatch(cluster, environment)


def here(settings: Settings) -> Dispatch:
    """This machine, with what it is said to have, where jobs come back to it from a cluster: of those many more may be
    asked for at a time than it has processors."""
    return Local(machine.cores(), settings.dispatch.labels, in_turn=True)


def needs(settings: Settings, *own: Needed) -> Needs:
    """What tasks ask for together, and for the rest what the settings say."""
    told = settings.dispatch
    labels = (label for one in own for label in one.labels)
    return Needs(
        cpus=max((one.cpus for one in own), default=0) or told.cpus,
        memory_bytes=max((one.memory_bytes for one in own), default=0) or int(told.memory_gib * 2**30),
        labels=tuple(dict.fromkeys((*told.needs, *labels))),
    )


def _token(named: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which Ray's driver shows its token: those that the environment has already, or what the settings
    name."""
    if not named:
        return {name: text for name, text in environment.items() if name.startswith("RAY_AUTH_") and text}
    from daybreak.settings import resolve_key

    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": resolve_key(named, environment)}
