"""The gateway's door inside the sandbox: a port on its own loopback, whose connections are carried to the gateway's
socket outside. Bytes only: it knows neither HTTP nor the token. Needs nothing but Python itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

CONNECTIONS_MAX = 200
_CHUNK = 65_536
_CONNECT_S = 10.0


class Portal:
    """Listens on 127.0.0.1 at a port of the system's choice, inside a `with` block.

    Each connection goes to the unix socket, for as long as both ends are there; where one end is closed the other is
    told at once, so that a client that goes away is seen outside. Where nobody listens at the socket, the connection
    is closed. Raises OSError where there is no loopback.
    """

    def __init__(self, socket_path: str | Path) -> None:
        self._path = str(socket_path)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        self._closing = False
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, name="portal", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closing = True
            self._over.set()
            ends = list(self._open)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        self._listener.close()
        for end in ends:
            _shut(end, socket.SHUT_RDWR)
        self._acceptor.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                self._places.release()
                self._over.wait(0.1)  # the worker has taken all descriptors: again when one is free
                continue
            thread = threading.Thread(target=self._carry, args=(client,), name="portal connection", daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()]
            try:
                thread.start()
            except RuntimeError:  # the worker may have no more threads
                client.close()
                self._places.release()
                continue
            self._threads.append(thread)

    def _carry(self, client: socket.socket) -> None:
        try:
            # No descriptor may be free in the worker's process: then this connection is closed.
            with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gateway:
                if not self._kept(client, gateway):
                    return
                try:
                    self._connect(client, gateway)
                finally:
                    with self._lock:
                        self._open -= {client, gateway}
        finally:
            self._places.release()

    def _kept(self, *ends: socket.socket) -> bool:
        with self._lock:
            if not self._closing:
                self._open |= set(ends)
            return not self._closing

    def _connect(self, client: socket.socket, gateway: socket.socket) -> None:
        if not reach(gateway, self._path, _CONNECT_S, self._over):
            return
        gateway.settimeout(None)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_pump, args=(gateway, client), name="portal answers", daemon=True)
        back.start()
        _pump(client, gateway)
        back.join()


def reach(end: socket.socket, path: str, within_s: float, over: threading.Event) -> bool:
    """Connect to whoever listens there; `end` blocks for `within_s` afterwards. False: nobody does, has no room for so
    long, or `over` was set meanwhile. Raises nothing."""
    ends_s = time.monotonic() + within_s
    end.settimeout(within_s)
    while True:
        try:
            end.connect(path)
            return True
        except BlockingIOError:  # more have come at once than it has taken so far
            if time.monotonic() > ends_s or over.wait(0.01):
                return False
        except OSError:
            return False


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until the source ends or the target takes no more; either is told of it. The other way goes
    on: a server may answer and close before it has read all of the question."""
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    try:
        while count := source.recv_into(buffer):
            target.sendall(view[:count])
    except OSError:
        _shut(source, socket.SHUT_RD)
    _shut(target, socket.SHUT_WR)


def _shut(end: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(how)
