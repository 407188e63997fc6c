"""The gateway's HTTP server, as uvicorn is set up for it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from daybreak.agents.gateway.connection import Connection


def server(app: Any, ready: threading.Event) -> uvicorn.Server:
    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    config = uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    return Server(config)


@contextmanager
def quiet() -> Iterator[None]:
    """Of uvicorn in this thread, warnings and errors only. An answer without an end is how a cut is passed on, which
    uvicorn takes for a mistake of the application; and with requests that are none a worker could fill our log."""
    ours = threading.current_thread().name

    def told(record: logging.LogRecord) -> bool:
        if record.threadName != ours:
            return True
        return record.levelno >= logging.WARNING and not any(one in str(record.msg) for one in _EXPECTED)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(told)
    try:
        yield
    finally:
        logger.removeFilter(told)


_EXPECTED = ("without completing response", "Invalid HTTP request")
