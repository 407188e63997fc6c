"""A port of ours through which one program in a sandbox can be reached, though it can reach nobody.

The program listens in its own network namespace. For each connection that comes in here, the first process of
the sandbox is asked to open one to the program and hand it out; we carry bytes between the two. So nothing
leads from the sandbox to anything else: connections are only ever made towards the program.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import threading

CONNECTIONS_MAX = 128
LOOK_S = 0.01
_CHUNK_BYTES = 65536


class Forward:
    """127.0.0.1:`port` outside is 127.0.0.1:`port` inside, from when the program listens there. The port is taken
    at once (OSError where it is in use), so nobody else gets it; connections are refused until then."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._outside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._outside.bind(("127.0.0.1", port))
        except OSError:
            self.close_all()
            raise
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, name=f"forward {port}", daemon=True)

    @property
    def control_fd(self) -> int:
        """For the first process of the sandbox."""
        return self._theirs.fileno()

    def begin(self) -> None:
        """The sandbox has been started and has its end."""
        self._theirs.close()
        self._thread.start()

    def close(self) -> None:
        """Cut every connection and give the port back. Twice is once."""
        self._over.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for one in (self._ours, self._outside):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread
        if self._thread.ident is not None:
            self._thread.join()
        self.close_all()

    def close_all(self) -> None:
        for one in (self._ours, self._theirs, self._outside):
            one.close()

    def _serve(self) -> None:
        try:
            while not self._ask(b"?"):
                if self._over.wait(LOOK_S):
                    return
            self._outside.listen(CONNECTIONS_MAX)
            while not self._over.is_set():
                self._take(self._outside.accept()[0])
        except OSError:
            return  # closed, or the sandbox has ended

    def _take(self, client: socket.socket) -> None:
        inner = None
        with self._lock:
            room = len(self._open) < 2 * CONNECTIONS_MAX
        try:
            inner = self._connect() if room else None
        finally:
            if inner is None:
                # A reset, as from a port where nobody listens.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
                client.close()
        if inner is not None:
            threading.Thread(target=self._carry_both, args=(client, inner), daemon=True).start()

    def _ask(self, question: bytes) -> bool:
        self._ours.send(question + self._port.to_bytes(2, "big"))
        answer = self._ours.recv(8)
        if not answer:
            raise ConnectionResetError("the sandbox has ended")
        return answer == b"y"

    def _connect(self) -> socket.socket | None:
        self._ours.send(b"c" + self._port.to_bytes(2, "big"))
        numbers = array.array("i")
        answer, extra, _, _ = self._ours.recvmsg(8, socket.CMSG_SPACE(numbers.itemsize))
        if not answer:
            raise ConnectionResetError("the sandbox has ended")
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
        found = None
        for number in numbers:
            if found is None and (candidate := _tcp(number)) is not None:
                found = candidate
        return found

    def _carry_both(self, client: socket.socket, inner: socket.socket) -> None:
        with client, inner:
            with self._lock:
                self._open |= {client, inner}
            if self._over.is_set():
                return
            back = threading.Thread(target=_carry, args=(inner, client), daemon=True)
            back.start()
            _carry(client, inner)
            back.join()
            with self._lock:
                self._open -= {client, inner}


def _tcp(number: int) -> socket.socket | None:
    """The descriptor as a TCP socket; None, and closed, where it is something else."""
    try:
        connection = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        return None
    if connection.family == socket.AF_INET and connection.type == socket.SOCK_STREAM:
        connection.settimeout(None)
        return connection
    connection.close()
    return None


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(_CHUNK_BYTES):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
