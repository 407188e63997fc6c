"""Witnesses for tests: a ledger, a witness server in a thread, a time stamp server made of openssl."""

from __future__ import annotations

import importlib.util
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from daybreak.clock import SystemClock
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.note import Verifier
from daybreak.ledger.witness.cosigning import Cosigner
from daybreak.ledger.witness.register import Register
from daybreak.ledger.witness.server import WitnessServer

Answer = tuple[int, str, bytes]


def load(name: str) -> Any:
    """A module beside this one."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ledger_home = load("ledger_home")


def cosigner(name: str = "w.example/1", seed: int = 7) -> Cosigner:
    return Cosigner(name, bytes([seed]) * 32)


def grow(ledger: Ledger, count: int, *, start: int = 0) -> None:
    ledger.append([Draft("control:r1", ledger_home.step(number)) for number in range(start, start + count)])


def register(folder: Path, *logs: Verifier, key: Cosigner | None = None) -> Register:
    return Register(folder, key or cosigner(), logs, SystemClock())


@contextmanager
def served(server: HTTPServer) -> Iterator[str]:
    """Its address, while it serves."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def witness(folder: Path, *logs: Verifier) -> Iterator[str]:
    """The address of an honest witness."""
    with served(WitnessServer(("127.0.0.1", 0), register(folder, *logs))) as address:
        yield address


@contextmanager
def answering(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """The address of a server that answers (method, path, body) as the function says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._reply(b"")

        def _reply(self, body: bytes) -> None:
            status, kind, data = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with served(HTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield address


_CONFIGURATION = """
[tsa]
default_tsa = t
[t]
serial = {0}/serial
crypto_device = builtin
signer_cert = {0}/{1}.pem
certs = {0}/ca.pem
signer_key = {0}/{1}.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
tsa_name = yes
"""
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """A time stamp authority of openssl: `ca.pem`, and `tsa.pem` for signing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "serial").write_text("01\n")
        ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
        self._run("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "2", *ca)
        self._certificate("tsa", "extendedKeyUsage=critical,timeStamping")

    @property
    def certificates(self) -> Path:
        return self.folder / "ca.pem"

    def stamp(self, query: bytes) -> bytes:
        (self.folder / "q").write_bytes(query)
        (self.folder / "tsa.cnf").write_text(_CONFIGURATION.format(self.folder, "tsa"))
        self._run("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q", "-out", "r")
        return (self.folder / "r").read_bytes()

    def verifies(self, answer: Path, data: Path) -> bool:
        """Does openssl think so too?"""
        words = ["ts", "-verify", "-in", str(answer), "-data", str(data), "-CAfile", "ca.pem"]
        return subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=False).returncode == 0

    def _certificate(self, name: str, usage: str) -> None:
        (self.folder / "ext").write_text(f"{usage}\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n")
        self._run("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"]
        self._run("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True)


def home(root: Path) -> Any:
    return ledger_home.Home(root / "home")
