"""The node's end of the way to the coordinator's gateway: a unix socket, for the sandbox of one attempt.

    with Outpost(scratch / "gateway.sock", way.address, way.fingerprint, way.secret) as outpost:
        gateway = msgspec.structs.replace(terms.gateway, socket=str(outpost.socket))   # into the order
        …                                                  # outpost.socket among what the sandbox may read
    outpost.problem      # why the last connection could not be carried; None where all could

Entering opens one connection to the relay and closes it, so that a way that leads nowhere is known before a worker
starts: RelayUnreachable, RelayForged, RelayRefuses.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daybreak.agents.gateway import carrying, certificate, sockets
from daybreak.agents.gateway.way import CLOSED, FULL, HELLO, OPEN, SECRET_BYTES, host_and_port
from daybreak.errors import WorkerError

CONNECTIONS_MAX = 100
"""At once, as the relay has it for one attempt: further ones wait."""
CONNECT_S, ANSWER_S = 5.0, 20.0
"""How long the coordinator may take to be reached; to shake hands, and to answer to the secret."""
_FOR_EVER_S = 86_400.0
"""The relay is the one that ends what moves nothing."""

_log = logging.getLogger("daybreak.gateway")


class OutpostBroken(WorkerError):
    """The socket cannot be made, or an address, fingerprint or secret has no such form."""

    code = "W211"


class RelayUnreachable(WorkerError):
    """Nobody answers at the coordinator's address. Another try may go better."""

    code = "W212"


class RelayForged(WorkerError):
    """Somebody else answers at the coordinator's address: not the certificate of the job. Nothing was sent."""

    code = "W213"


class RelayRefuses(WorkerError):
    """The coordinator knows no such way: the attempt is over there, or has too many connections."""

    code = "W214"


class Outpost:
    """A unix socket (mode 0600) inside a `with` block; each connection to it is carried to the gateway over TLS.

    `socket`: where it is; another place than was asked for where that path is too long for a socket. A connection that
    cannot be carried is closed at once, as is one whose coordinator dies; `problem` says why. Entering raises
    OutpostBroken, RelayUnreachable, RelayForged, RelayRefuses."""

    def __init__(self, socket_path: str | Path, address: str, fingerprint: str, secret: str) -> None:
        self.socket = Path(os.path.realpath(socket_path))  # a sandbox knows real paths only
        self.problem: WorkerError | None = None
        try:
            self._host, self._port = host_and_port(address)
            self._secret = bytes.fromhex(secret)
            digits = bytes.fromhex(fingerprint.removeprefix(certificate.PREFIX))
        except ValueError:
            digits, self._secret = b"", b""
        if len(self._secret) != SECRET_BYTES or len(digits) != 32:
            raise OutpostBroken("that is no way to a relay", hint="give what `Gateway.way` has made, unchanged")
        self._fingerprint = certificate.PREFIX + digits.hex()
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        self._closing = False
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.check_hostname = False  # the fingerprint says more than any name, and is looked at in `_way`
        self._context.verify_mode = ssl.CERT_NONE
        with self._way() as tls, contextlib.suppress(OSError):
            tls.sendall(carrying.END)
        self._own = contextlib.ExitStack()
        try:
            self._listener = self._listen()
        except BaseException:
            self._own.close()
            raise
        self._acceptor = threading.Thread(target=self._accept, name="outpost", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closing = True
            self._over.set()
            for end in self._ends:
                carrying.cut(end)
        carrying.cut(self._listener)  # wakes whoever waits in accept
        self._places.release()
        self._acceptor.join()
        with self._lock:  # not before: it may have begun one more
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        self._own.close()

    # -- the socket

    def _listen(self) -> socket.socket:
        if len(os.fsencode(self.socket)) > sockets.PATH_BYTES_MAX:
            folder = self._own.enter_context(tempfile.TemporaryDirectory(prefix="daybreak-"))
            self.socket = Path(os.path.realpath(folder)) / "gateway.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._own.callback(listener.close)
        try:
            sockets.sweep(self.socket)
            listener.bind(str(self.socket))
            self._own.callback(lambda: self.socket.unlink(missing_ok=True))
            self.socket.chmod(0o600)
            listener.listen(128)
        except OSError as problem:
            raise OutpostBroken(
                f"no socket can be made at {str(self.socket)[-80:]}: {problem.strerror}",
                hint="give a path in a folder of your own on a local disk, where nothing lies yet",
            ) from problem
        return listener

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                worker, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                self._places.release()
                self._over.wait(0.1)  # no descriptor is free: again when one is
                continue
            thread = threading.Thread(target=self._take, args=(worker,), name="outpost connection", daemon=True)
            with self._lock:
                self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:  # no more threads
                self._left(worker, thread)

    def _take(self, worker: socket.socket) -> None:
        try:
            self._carry(worker)
        finally:
            self._left(worker, threading.current_thread())

    def _left(self, worker: socket.socket, thread: threading.Thread) -> None:
        worker.close()
        self._places.release()
        with self._lock:
            self._threads.discard(thread)

    def _carry(self, worker: socket.socket) -> None:
        try:
            with self._kept(worker), self._way() as tls:
                carrying.carry(worker, tls, _FOR_EVER_S)
        except WorkerError as problem:
            self._tell(problem)
        except carrying.Broken as broken:
            self._tell(RelayUnreachable(f"the way to the coordinator broke: {broken}", hint=_LATER))

    @contextlib.contextmanager
    def _kept(self, end: socket.socket) -> Iterator[None]:
        with self._lock:
            self._ends.add(end)
            if self._closing:
                carrying.cut(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends.discard(end)

    def _tell(self, problem: WorkerError) -> None:
        with self._lock:
            if self._closing:  # it was we who ended it
                return
            first, self.problem = self.problem is None, problem
        if first:
            _log.warning("a worker could not reach its model: %s", problem.message)

    # -- the way

    @contextlib.contextmanager
    def _way(self) -> Iterator[ssl.SSLSocket]:
        """A connection that the coordinator has taken."""
        with self._reached() as tls, self._kept(tls):
            tls.settimeout(ANSWER_S)
            self._shake(tls)
            self._prove(tls)
            yield tls

    def _reached(self) -> ssl.SSLSocket:
        why = "no address"
        try:
            places = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            places, why = [], getattr(problem, "strerror", "") or "unknown host"
        for family, kind, protocol, _, place in places:
            if self._closing:
                break
            try:
                return self._dialled(socket.socket(family, kind, protocol), place)
            except OSError as problem:
                why = problem.strerror or str(problem)
        raise RelayUnreachable(f"nobody answers at {self._host} port {self._port}: {why}", hint=_LATER)

    def _dialled(self, raw: socket.socket, place: Any) -> ssl.SSLSocket:
        # Before it is connected: Python forgets to close one that is reset while it is wrapped.
        tls = self._context.wrap_socket(raw, do_handshake_on_connect=False)
        try:
            with self._kept(tls):
                tls.settimeout(CONNECT_S)
                tls.connect(place)
                carrying.watchful(tls)
        except OSError:
            tls.close()
            raise
        return tls

    def _shake(self, tls: ssl.SSLSocket) -> None:
        """Whoever answers must have the certificate of the job; he is told nothing before."""
        try:
            tls.do_handshake()
            found = tls.getpeercert(binary_form=True) or b""
        except ssl.SSLEOFError as problem:
            raise self._unreachable(problem) from None
        except ssl.SSLError as problem:
            raise self._forged(f"no TLS 1.3: {problem.reason}") from None
        except OSError as problem:
            raise self._unreachable(problem) from None
        if not hmac.compare_digest(certificate.fingerprint(found), self._fingerprint):
            raise self._forged(f"it has {certificate.fingerprint(found)}, the job {self._fingerprint}")

    def _prove(self, tls: ssl.SSLSocket) -> None:
        try:
            tls.sendall(HELLO + self._secret)
            answer = tls.recv(1)
        except TimeoutError as problem:
            raise self._unreachable(problem) from None
        except OSError:
            answer = b""
        if answer != OPEN:
            why = {FULL: "too many connections", CLOSED: "its gateway is over"}.get(answer, "it knows no such way")
            raise RelayRefuses(
                f"the coordinator at {self._host} port {self._port} refuses: {why}",
                hint="the attempt's ticket is closed, or the coordinator was started again: give the job anew",
            )

    def _unreachable(self, problem: OSError) -> RelayUnreachable:
        why = problem.strerror or str(problem)
        return RelayUnreachable(f"the coordinator at {self._host} port {self._port} went away: {why}", hint=_LATER)

    def _forged(self, why: str) -> RelayForged:
        return RelayForged(
            f"somebody else answers at {self._host} port {self._port}: {why}",
            hint="`advertise` in [dispatch] must lead to the coordinator itself; nothing between may end TLS",
        )


_LATER = "is the coordinator running, and does `advertise` in [dispatch] name it as nodes reach it?"
