"""Where the relay listens, and by which address nodes know it."""

from __future__ import annotations

import ipaddress
import socket

from daybreak.agents.gateway.way import host_and_port, joined
from daybreak.errors import HostError


class RelayBroken(HostError):
    """The relay cannot listen at that address, listens at another one already, or is over."""

    code = "W210"


def bound(listen: str, advertise: str) -> tuple[socket.socket, str]:
    """A listener, and `HOST:PORT` for nodes; see `relay.Relay`. Raises RelayBroken."""
    try:
        host, port = host_and_port(listen)
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and place[0] == "::" and socket.has_dualstack_ipv6()  # all means all
        listener = socket.create_server(place[:2], family=family, backlog=128, dualstack_ipv6=both)
    except (OSError, ValueError) as problem:
        raise _unusable("listen", listen, problem) from problem
    try:
        own_host, own_port = listener.getsockname()[:2]
        if not advertise and ipaddress.ip_address(own_host).is_unspecified:
            raise ValueError(f"nodes cannot reach {own_host}")
        told_host, told_port = host_and_port(advertise, own_port) if advertise else (own_host, own_port)
    except ValueError as problem:
        listener.close()
        raise _unusable("advertise", advertise, problem) from problem
    return listener, joined(told_host, told_port or own_port)


def _unusable(name: str, value: str, problem: Exception) -> RelayBroken:
    why = getattr(problem, "strerror", None) or str(problem)
    return RelayBroken(
        f"the relay's {name} address {value!r:.120} cannot be used: {why}",
        hint=f"set `{name}` in [dispatch]: HOST:PORT of this machine, as nodes reach it",
    )
