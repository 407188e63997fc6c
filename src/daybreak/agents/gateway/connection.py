"""One connection of the gateway's server: the strict parser, always the same, and no more of them than we can hold."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

CONNECTIONS_MAX = 400
"""At once, of all attempts: each costs this process a descriptor, and a worker may open as many as it likes."""


class Connection(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the class itself
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._leave_one()

    def _leave_one(self) -> None:
        """One on which nothing is under way makes room; where there is none, this one does."""
        idle = (one for one in self.connections if isinstance(one, Connection) and one is not self and one.is_idle)
        leaving = next(idle, self)
        self.connections.discard(leaving)  # now, and not when the loop gets to it: many may come at once
        leaving.transport.abort()

    @property
    def is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete
