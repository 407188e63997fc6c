"""Whether the cluster to which attempts go is one that anybody may use who reaches it."""

from __future__ import annotations

from collections.abc import Mapping

from daybreak.settings import Dispatching


def token_shown(told: Dispatching, environment: Mapping[str, str]) -> bool:
    return bool(told.token) or environment.get("RAY_AUTH_MODE") == "token"


def exposed(told: Dispatching, environment: Mapping[str, str]) -> str:
    """What to say of it; empty where nobody else can reach it, or where it asks for a token."""
    if told.engine != "ray" or token_shown(told, environment):
        return ""
    from daybreak.engine.dispatch.ray import Cluster

    if Cluster(address=told.address).loopback:
        return ""
    return f"the cluster at {told.address} is used without a token: whoever reaches it can run programs there"
