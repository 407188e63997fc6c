"""Runs the application with uvicorn, and ends it: open streams are told first, so that Ctrl-C ends within 2 s."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from daybreak.web import app
from daybreak.web.desk import Desk

GRACE_S = 2
HEADERS_S = 15.0
"""A request's headers have to be there so long after its first byte, or after the connection: whoever only holds
connections open keeps nobody else out."""
CONNECTIONS_MAX = 1_000


class Patient(H11Protocol):
    """HTTP/1.1 of one connection, whose patience ends."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # a request has begun, and is not all there
            self._wait()
        else:
            self._end_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEADERS_S, self._late)

    def _end_wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Ends the desk's streams before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        for one in sockets or ():
            if one.family != socket.AF_UNIX:  # asyncio does so only where the socket names its protocol
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._desk.hub.close()
        await super().shutdown(sockets)


def make(desk: Desk, *, certificate: Path | None = None, key: Path | None = None) -> Server:
    """A server that is run with `server.run(sockets=[…])`, on sockets that listen already."""
    config = uvicorn.Config(
        app.make(desk),
        http=Patient,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=64 * 1024,
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if key is None else str(key),
    )
    return Server(config, desk)
