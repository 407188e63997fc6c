"""Runs the application with uvicorn, and ends it: open streams are told first, so that Ctrl-C ends within 2 s."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn

from daybreak.web import app
from daybreak.web.desk import Desk

GRACE_S = 2
CONNECTIONS_MAX = 1_000


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
