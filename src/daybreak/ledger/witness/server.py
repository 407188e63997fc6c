"""A witness over HTTP, for a few logs: C2SP tlog-witness, from the standard library's server.

    POST /add-checkpoint                       what `wire` describes; 200 with the cosignature, else 4xx
    GET  /<SHA-256 of the origin>/checkpoint   the last cosigned checkpoint, as others in the field serve it

It asks for no credentials: whoever has no key of a known log gets nothing signed. It speaks plain HTTP and belongs
behind a proxy with TLS wherever somebody else's network lies between.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from daybreak.errors import LedgerError
from daybreak.ledger.witness import wire
from daybreak.ledger.witness.register import Declined, Register

IDLE_S = 10.0
"""A connection that says nothing for so long is closed."""
CONNECTIONS_MAX = 64
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint")
_log = logging.getLogger("daybreak.witness")


class WitnessServer(ThreadingMixIn, HTTPServer):
    """Serves one register. `serve_forever` until `shutdown`; `server_address` says where."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int], register: Register, told: Callable[[str], object] = lambda line: None
    ) -> None:
        """`told` hears a line for each answer. Raises OSError where it cannot listen there."""
        self.register = register
        self.told = told
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more thread, unless there are many already: then whoever comes waits in the system's queue."""
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a connection broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "daybreak-witness"
    sys_version = ""
    timeout = IDLE_S
    server: WitnessServer

    def do_POST(self) -> None:
        if self.path.rstrip("/") != wire.PATH:
            self._answer(HTTPStatus.NOT_FOUND, "there is nothing here\n")
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(HTTPStatus.LENGTH_REQUIRED, "the request has no length\n")
            return
        if int(length) > wire.BODY_BYTES_MAX:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too long\n")
            return
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            self.close_connection = True
            return
        self._whole = True
        self._guarded(lambda: self.server.register.add(data))

    def do_GET(self) -> None:
        self._whole = "Content-Length" not in self.headers and "Transfer-Encoding" not in self.headers
        found = _CHECKPOINT.fullmatch(self.path)

        def last() -> str:
            head = None if found is None else self.server.register.by_hash(found[1])
            if head is None:
                raise Declined(HTTPStatus.NOT_FOUND, "no checkpoint of such a log was cosigned here\n")
            return head.text

        self._guarded(last)

    def _guarded(self, work: Callable[[], str]) -> None:
        try:
            self._answer(HTTPStatus.OK, work())
        except Declined as answer:
            self._answer(answer.status, answer.body, answer.content_type)
        except (LedgerError, OSError) as error:
            _log.error("the witness cannot sign: %s", error)
            self.server.told(f"cannot sign: {error}")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness cannot sign now\n")

    _whole = False
    """Was the whole request read? Otherwise what is left of it would be taken for the next one."""

    def _answer(self, status: HTTPStatus, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if not self._whole:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self._whole = False
        self.server.told(f"{self.command} {status.value}")

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)
