"""The coordinator's end of the way from workers on other machines to the gateway.

    way = gateway.way(ticket.token, listen="127.0.0.1:0", advertise="")     # coordinator, once per attempt
    body = msgspec.to_builtins(way)                                         # into the job: address, fingerprint, secret

On the node `outpost.Outpost(socket_path, way.address, way.fingerprint, way.secret)` opens a unix socket; whatever
connects there speaks to the gateway's socket here. `gateway.close_ticket(ticket.token)` ends the way with the ticket.

One TLS 1.3 listener for a process, started by the first call of `Gateway.way` and ended with the gateway. Its
certificate is made at the start, its key is in memory only; nodes know it by its fingerprint. A connection that does
not prove the secret of an open way is closed at once. One that does is joined with the gateway's socket, and with
nothing else. Bytes only: metering, budgets and the provider's key stay in the gateway.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import resource
import secrets
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from daybreak.agents.gateway import carrying, certificate, listening
from daybreak.agents.gateway.listening import RelayBroken as RelayBroken
from daybreak.agents.gateway.portal import reach
from daybreak.agents.gateway.way import (
    CLOSED,
    FULL,
    HELLO,
    HELLO_BYTES,
    OPEN,
    SECRET_BYTES,
    Way,
    digest,
)

CONNECTIONS_MAX = 100
"""Of one attempt at once."""
ALL_MAX = 800
"""Of all attempts: twice what the gateway takes, which makes room by ending those on which nothing is under way. Fewer
where this process may open few descriptors, see `_places`."""
STRANGERS_MAX, STRANGER_S = 128, 1.0
"""Connections that have not proved themselves yet. One more has to wait, until the oldest has had so long and is
closed: many nodes may come at once, and nobody can keep them out."""
HELLO_S, CONNECT_S = 10.0, 5.0
"""For the handshake and the proof together; for reaching the gateway's socket."""
IDLE_S = 660.0
"""Longer than a provider may be silent."""
LISTEN = "127.0.0.1:0"

_log = logging.getLogger("daybreak.gateway")


@dataclass(eq=False)
class _Open:
    """A way that is open: what it leads to and who is on it."""

    socket_path: str
    digest: bytes = field(repr=False)
    ends: dict[int, tuple[socket.socket, ...]] = field(default_factory=dict)
    """The two sockets of each connection, by a number of its own."""
    closed: bool = False


class Relay:
    """A listener with threads of its own, inside a `with` block. Methods may be called from any thread.

    `listen`: `HOST:PORT` (IPv6 in brackets, port 0: any that is free). `advertise`: `HOST` or `HOST:PORT` by which
    nodes reach it; empty: where it listens, which cannot be so for 0.0.0.0 and [::]. `idle_s`: how long a connection
    may move nothing. Entering raises RelayBroken."""

    def __init__(self, *, listen: str = LISTEN, advertise: str = "", idle_s: float = IDLE_S) -> None:
        self._listen, self._advertise, self._idle_s = listen, advertise, idle_s
        self._lock = threading.Lock()
        self._ways: dict[bytes, _Open] = {}
        self._strangers: dict[int, socket.socket] = {}
        self._since: dict[int, float] = {}
        self._left = threading.Condition(self._lock)
        """One of them has proved itself, or is gone."""
        self._threads: dict[int, threading.Thread] = {}
        self._count = self._joined = 0
        self._all_max = _places()
        self._closing = False
        self._over = threading.Event()
        self.refused = 0
        """Connections that proved nothing, so far."""
        self.address = ""
        """By which nodes reach it."""

    # -- starting and ending

    def __enter__(self) -> Self:
        try:
            self._context, self._fingerprint = certificate.make()
        except (OSError, ssl.SSLError, AttributeError) as problem:
            raise RelayBroken(
                f"no certificate can be made in memory: {problem}", hint="needs Linux with /proc mounted"
            ) from problem
        self._listener, self.address = listening.bound(self._listen, self._advertise)
        self._acceptor = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closing = True
            self._over.set()
            self._left.notify_all()
            for way in list(self._ways.values()):
                self._end(way)
            for stranger in self._strangers.values():
                carrying.cut(stranger)
            threads = list(self._threads.values())
        carrying.cut(self._listener)  # wakes whoever waits in accept
        self._listener.close()
        for thread in (self._acceptor, *threads):
            thread.join()

    def must_be(self, listen: str, advertise: str) -> None:
        """Raises RelayBroken where it was started with other addresses."""
        if (listen, advertise) != (self._listen, self._advertise):
            raise RelayBroken(
                f"the relay listens at {self._listen!r} as {self._advertise!r} already, not at {listen!r:.80}",
                hint="there is one for a process: give each attempt the same `listen` and `advertise`",
            )

    # -- ways

    def open(self, socket_path: str) -> Way:
        """A way to that unix socket, with a secret of its own. Raises RelayBroken."""
        secret = secrets.token_bytes(SECRET_BYTES)
        with self._lock:
            if self._closing:
                raise RelayBroken("the relay is over", hint="use it inside its `with` block")
            way = _Open(socket_path, digest(secret))
            self._ways[way.digest] = way
        return Way(address=self.address, fingerprint=self._fingerprint, secret=secret.hex())

    def close(self, way: Way) -> None:
        """End it: not a byte goes through any more when this returns, and new connections are refused. A second time
        does nothing. Waits for nobody."""
        with self._lock:
            found = self._ways.get(digest(bytes.fromhex(way.secret)))
            if found is not None:
                self._end(found)

    def _end(self, way: _Open) -> None:
        del self._ways[way.digest]
        way.closed = True
        for ends in way.ends.values():
            for end in ends:
                carrying.cut(end)

    # -- connections

    def _accept(self) -> None:
        told = False
        while True:
            try:
                client, address = self._listener.accept()
            except OSError as problem:
                if self._closing:
                    return
                if not told:
                    _log.warning("the relay could not take a connection: %s", problem.strerror)
                told = True
                self._over.wait(0.1)  # no descriptor is free: again when one is
                continue
            told = False
            self._welcome(client, address[0])

    def _welcome(self, client: socket.socket, host: str) -> None:
        """Give it a thread, in which it has to prove itself."""
        with self._lock:
            self._make_room()
            if self._closing:
                client.close()
                return
            self._count += 1
            number = self._count
            thread = threading.Thread(
                target=self._take, args=(number, client, host), name="relay connection", daemon=True
            )
            self._strangers[number], self._threads[number] = client, thread
            self._since[number] = time.monotonic()
            try:
                thread.start()
            except RuntimeError:  # no more threads
                del self._strangers[number], self._threads[number], self._since[number]
                client.close()

    def _make_room(self) -> None:
        while len(self._strangers) >= STRANGERS_MAX and not self._closing:
            oldest = next(iter(self._strangers))
            left = self._since[oldest] + STRANGER_S - time.monotonic()
            if left <= 0:
                carrying.cut(self._strangers[oldest])
                self._forget(oldest)
            else:
                self._left.wait(left)

    def _forget(self, number: int) -> None:
        """Who is no stranger any more; with the lock."""
        self._strangers.pop(number, None)
        self._since.pop(number, None)
        self._left.notify_all()

    def _take(self, number: int, client: socket.socket, host: str) -> None:
        try:
            with client, contextlib.ExitStack() as own:
                try:
                    way, tls = self._proved(number, client, own)
                    if way is None or tls is None:
                        self._refuse(host)
                    else:
                        self._join(number, way, tls)
                finally:
                    # Before it is closed: nobody may cut a descriptor that is another's by then.
                    with self._lock:
                        self._forget(number)
        finally:
            with self._lock:
                self._threads.pop(number, None)

    def _proved(
        self, number: int, client: socket.socket, own: contextlib.ExitStack
    ) -> tuple[_Open | None, ssl.SSLSocket | None]:
        """Handshake and secret, in time."""
        ends = time.monotonic() + HELLO_S
        try:
            client.settimeout(HELLO_S)
            carrying.watchful(client)
            client.getpeername()  # raises: Python forgets to close one that is gone when it is wrapped
            tls = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            own.enter_context(tls)
            with self._lock:  # wrapping has moved the descriptor
                if number not in self._strangers or self._closing:
                    return None, None
                self._strangers[number] = tls
            tls.do_handshake()
            hello = b""
            while len(hello) < HELLO_BYTES:
                tls.settimeout(max(0.001, ends - time.monotonic()))
                more = tls.recv(HELLO_BYTES - len(hello))
                if not more:
                    return None, None
                hello += more
        except OSError:  # of TLS, or late
            return None, None
        return self._find(hello), tls

    def _find(self, hello: bytes) -> _Open | None:
        wanted = digest(hello[len(HELLO) :])
        with self._lock:
            found = self._ways.get(wanted)
        right = found is not None and hmac.compare_digest(found.digest, wanted)
        return found if right and hmac.compare_digest(hello[: len(HELLO)], HELLO) else None

    def _refuse(self, host: str) -> None:
        with self._lock:
            if self._closing:
                return
            self.refused += 1
            count = self.refused
        if count & (count - 1) == 0:  # 1, 2, 4, 8 …: nobody can fill the log from outside
            _log.warning("the relay refused a connection from %s that proved nothing; %d so far", host, count)

    def _join(self, number: int, way: _Open, tls: ssl.SSLSocket) -> None:
        """The gateway's socket and this connection, until one of them ends or the way does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gateway:
            try:
                with self._lock:
                    self._forget(number)
                    if way.closed:
                        return
                    full = len(way.ends) >= CONNECTIONS_MAX or not self._is_room(way)
                    if not full:
                        way.ends[number] = (tls, gateway)
                        self._joined += 1
                if full:
                    tls.sendall(FULL)
                    return
                self._carry(way, tls, gateway)
            except OSError:
                return  # whoever asked is gone
            finally:
                with self._lock:
                    if way.ends.pop(number, None) is not None:
                        self._joined -= 1

    def _is_room(self, way: _Open) -> bool:
        """Where there is none, whoever has the most gives up his oldest to one who has fewer; with the lock."""
        if self._joined < self._all_max:
            return True
        most = max(self._ways.values(), key=lambda one: len(one.ends))
        if len(most.ends) < len(way.ends) + 2:
            return False
        self._joined -= 1
        for end in most.ends.pop(next(iter(most.ends))):
            carrying.cut(end)
        return True

    def _carry(self, way: _Open, tls: ssl.SSLSocket, gateway: socket.socket) -> None:
        tls.settimeout(CONNECT_S)
        if not reach(gateway, way.socket_path, CONNECT_S, self._over):
            tls.sendall(CLOSED)
            return
        with self._lock:
            if way.closed:  # a socket that is not connected yet cannot be cut
                return
        tls.sendall(OPEN)
        try:
            carrying.carry(gateway, tls, self._idle_s)
        except carrying.Broken as broken:
            if not way.closed:
                _log.info("a connection through the relay broke: %s", broken)


def _places() -> int:
    """For connections at once. Each takes three descriptors of the coordinator: two here, one in the gateway. More
    than half of what there is they must not take, or it could not open its ledger."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ALL_MAX if allowed == resource.RLIM_INFINITY else min(ALL_MAX, max(1, allowed // 6))
