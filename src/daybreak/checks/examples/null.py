"""Programs that do nothing: what an acceptance example must fail on, to prove anything elsewhere."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.checks.product import Product, make_prefix, write_program

_NO_WORKSPACE = "0" * 64
_HEADER_LINES_MAX = 200


def nothing(name: str, folder: Path) -> Product:
    """An empty tree, and nothing installed."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    make_prefix(folder / "prefix")
    return Product(name=name, workspace=_NO_WORKSPACE, tree=tree, prefix=folder / "prefix")


def program(name: str, exit_code: int, folder: Path) -> Product:
    """A command, and a package for `python -m`, that end with that status and say nothing."""
    product = nothing(name, folder)
    write_program(product.bin / name, f"#!/bin/sh\nexit {exit_code}\n")
    package = product.library / product.package
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"raise SystemExit({exit_code})\n")
    return product


class _Silent(socketserver.StreamRequestHandler):
    """Answers one request with a status and nothing else."""

    timeout = 5
    server: _Server

    def handle(self) -> None:
        length = 0
        for _ in range(_HEADER_LINES_MAX):
            line = self.rfile.readline(65536)
            if line in (b"\r\n", b"\n", b""):
                break
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
        self.rfile.read(length)
        self.wfile.write(
            f"HTTP/1.1 {self.server.status} Nothing\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    status = 200


@contextmanager
def server(status: int) -> Iterator[int]:
    """A server on 127.0.0.1 that answers every request with that status and nothing; gives its port."""
    with _Server(("127.0.0.1", 0), _Silent) as running:
        running.status = status
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()
