"""The loopback gateway: the only way from a sandbox to models.

Outside, `Gateway` holds the providers' keys, passes requests of OpenAI's, Anthropic's and Gemini's shape on as they
are, meters what they use and cuts off at the budget. Inside the sandbox, `portal.Portal` carries a loopback port's
bytes to its socket; that module needs Python only, which is why the names here are loaded as they are used.
On another machine, `outpost.Outpost` stands for the gateway's socket and carries its bytes to `relay.Relay` beside the
gateway.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.agents.gateway.keys import KeyAbsent
    from daybreak.agents.gateway.outpost import Outpost
    from daybreak.agents.gateway.portal import Portal
    from daybreak.agents.gateway.service import Gateway, GatewayBroken, TicketRefused, TicketUnknown
    from daybreak.agents.gateway.ticket import Spent
    from daybreak.agents.gateway.way import Way

__all__ = [
    "Gateway",
    "GatewayBroken",
    "KeyAbsent",
    "Outpost",
    "Portal",
    "Spent",
    "TicketRefused",
    "TicketUnknown",
    "Way",
]

_HOMES = {
    "Gateway": "service",
    "GatewayBroken": "service",
    "KeyAbsent": "keys",
    "Outpost": "outpost",
    "Portal": "portal",
    "Spent": "ticket",
    "TicketRefused": "service",
    "TicketUnknown": "service",
    "Way": "way",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
