"""Starts the result as a server on a free port, for `http` blocks."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.checks import sandboxed
from daybreak.checks.product import Product
from daybreak.host.process import ProgramNotStarted, Server, ServerNotReady
from daybreak.host.sandbox import Strength

PORT_TRIES = 4
HEALTH_TIMEOUT_S = 2.0
NOT_YET = 503


@contextmanager
def serving(
    serve: str,
    product: Product,
    folder: Path,
    *,
    prefix: str = "",
    require: Strength = sandboxed.WANTED,
    ready_s: float,
    timeout_s: float,
    cancelled: threading.Event | None = None,
) -> Iterator[tuple[Server, int]]:
    """The server and its port, from when it is ready until the block is left; then nothing of it runs.

    `serve` is a shell command in which `{port}` stands for the port. Ready is: GET PREFIX/health gives any
    answer but 503. A port that somebody took between our choosing and the server's binding is replaced.
    Raises ServerNotReady, and ProgramNotStarted where its folder cannot be made.
    """
    for tried in range(1, PORT_TRIES + 1):
        port = free_port()
        work = folder / f"work-{tried}"
        try:
            work.mkdir()
        except OSError as error:
            raise ProgramNotStarted(f"{work} cannot be made: {error.strerror}", hint="look at the disk") from error
        server = Server(
            ["/bin/sh", "-c", serve.replace("{port}", str(port))],
            cwd=work,
            env=product.environment(folder),
            ready=_health(port, prefix),
            ready_s=ready_s,
            timeout_s=timeout_s,
            file_bytes_max=64 * 1024 * 1024,
            cancelled=cancelled,
            sandbox=sandboxed.around(
                *(work, *sandboxed.homes(folder)),
                readable=[product.prefix, product.tree, *product.readable],
                port=port,
                require=require,
            ),
        )
        try:
            server.__enter__()
        except ServerNotReady as error:
            if tried < PORT_TRIES and error.ended and b"in use" in error.output:
                continue
            raise
        try:
            yield server, port
        finally:
            server.__exit__(None, None, None)
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _health(port: int, prefix: str) -> Callable[[], bool]:
    def ready() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", f"{prefix}/health")
            return connection.getresponse().status != NOT_YET
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready
