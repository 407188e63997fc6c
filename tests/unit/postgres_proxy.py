"""Stands between a client and a Postgres on Unix sockets, and breaks the connection where it is told to.

    with Proxy(server_folder) as proxy:
        url = proxy.url(name)
        proxy.cut("after", b"something that only the fatal request holds")

Where it cuts: `before` that request is passed on; `inside`, with that part of it passed on but not the commit that
follows; `after` all of it was passed on and the server has answered, which the client never hears.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

NAME = ".s.PGSQL.5432"
Where = Literal["before", "inside", "after"]


class Proxy:
    """Takes connections until it is closed. `refusing`: hangs up on everybody who calls."""

    def __init__(self, server: Path) -> None:
        self._server = server / NAME
        self.folder = Path(tempfile.mkdtemp(prefix="proxy-", dir="/tmp"))
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / NAME))
        self._listening.listen()
        self._plan: tuple[Where, bytes] | None = None
        self._open: list[socket.socket] = []
        self.refusing = False
        self.has_cut = threading.Event()
        self.refuse_then = False
        """Refuse everybody after the next cut."""
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def url(self, name: str) -> str:
        return f"postgresql://daybreak@/{name}?host={self.folder}"

    def cut(self, where: Where, mark: bytes) -> None:
        """Once: the connection whose client says this next."""
        self.has_cut.clear()
        self._plan = (where, mark)

    def hang_up(self) -> None:
        """Every connection that there is."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()
        self._thread.join()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._talk(client, server)
        for one in (client, server):
            _hang_up(one)

    def _talk(self, client: socket.socket, server: socket.socket) -> None:
        """Returns when one of them has hung up, or when it is to be cut."""
        both = select.poll()
        for one in (client, server):
            both.register(one, select.POLLIN)
        rest, begun, marked = b"", False, [False]
        while True:
            for handle, _ in both.poll():
                data = (client if handle == client.fileno() else server).recv(1 << 20)
                if not data:
                    return
                if handle == server.fileno():
                    client.sendall(data)
                    continue
                rest += data
                while (length := _length(rest, begun=begun)) is not None:
                    message, rest = rest[:length], rest[length:]
                    begun = begun or message[4:6] == b"\x00\x03"
                    if self._cuts(message, server, marked):
                        return

    def _cuts(self, message: bytes, server: socket.socket, marked: list[bool]) -> bool:
        """Pass it on, or do not; is that the end?"""
        plan = self._plan
        marked[0] = marked[0] or (plan is not None and plan[1] in message)
        if plan is None or not marked[0] or plan[0] != "before":
            server.sendall(message)
        if plan is None or not marked[0] or (plan[0] == "after" and message[:1] != b"S"):
            return False
        if plan[0] == "after":
            server.recv(1 << 20)  # it has done what it was told
        self._plan, self.refusing = None, self.refuse_then
        self.has_cut.set()
        return True


def _length(data: bytes, *, begun: bool) -> int | None:
    """Of the message that the data begins with, if it is there as a whole. The first ones have no letter."""
    head = 1 if begun else 0
    if len(data) < head + 4:
        return None
    length = head + int.from_bytes(data[head : head + 4], "big")
    return length if len(data) >= length else None


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
