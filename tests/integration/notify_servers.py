"""Servers on this machine that take messages: a web hook that can be told to fail, and a mail server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """A web hook. `answers` are the statuses of the next requests, 200 after them; 0: it says nothing until the end."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        """Of those that were answered with 200."""
        self.asked = 0
        self.answers: list[int] = []
        self.location = "/elsewhere"
        """Where a 302 leads."""
        self.let_go = threading.Event()
        self.came = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked += 1
                status = hook.answers.pop(0) if hook.answers else 200
                hook.came.set()
                if status == 0:
                    hook.let_go.wait(30)
                    return
                if status == 200:
                    hook.got.append(told)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", hook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_address[1]}"

    @property
    def titles(self) -> list[str]:
        return [str(one["title"]) for one in self.got]

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def begin(self) -> None:
        self._thread.start()


@contextmanager
def hook() -> Iterator[Hook]:
    server = Hook()
    server.begin()
    try:
        yield server
    finally:
        server.close()


class Mail:
    """What a mail server took, as it came."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.to: list[str] = []
        """Whom it was told to hand them to."""
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append(envelope.content)
        self.to += envelope.rcpt_tos
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[Mail]:
    import socket

    from aiosmtpd.controller import Controller

    mail = Mail()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mail.port = free.getsockname()[1]
    controller = Controller(mail, hostname="127.0.0.1", port=mail.port)
    controller.start()
    try:
        yield mail
    finally:
        controller.stop()
