"""What the way from another machine costs: outpost and relay, against the gateway's own socket.

    python -m benchmarks relay

Node and coordinator are two processes of one machine, so that no network is in the figures: what is left is TLS and two
hands more on each byte. The provider answers at once. Phases take turns, because a machine's speed changes.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.figures import Figure, higher, lower
from benchmarks.gateway import provider
from benchmarks.running import ROOT
from daybreak.agents.gateway import Gateway, Outpost, Way
from daybreak.agents.gateway.relay import Relay
from daybreak.clock import SystemClock
from daybreak.engine import VIEWS
from daybreak.ledger import Ledger
from daybreak.settings import Price, Provider, Settings

ROUNDS = 7
REQUESTS = 40
POURED = 100_000_000
MOST_TIMES = 2
"""Beside a model that answers at once; a real one takes a second for what this one does in a millisecond."""

_ASK = {"model": "m", "messages": [{"role": "user", "content": "x" * 4_000}], "max_tokens": 1_000}


@contextmanager
def spring(path: Path) -> Iterator[str]:
    """A socket out of which bytes pour."""
    block = bytes(1 << 20)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    for _ in range(0, POURED if client.recv(1) else 0, len(block)):
                        client.sendall(block)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(path)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


# -- the node


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("gateway")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def ask(connection: http.client.HTTPConnection, token: str) -> None:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", "/openai/v1/chat/completions", json.dumps(_ASK), headers)
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data


def warm(path: str, token: str) -> Callable[[], float]:
    """Seconds of a request over a connection that is kept."""
    connection = _Unix(path)
    ask(connection, token)

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(REQUESTS):
            ask(connection, token)
        return (time.perf_counter() - started) / REQUESTS

    return measure


def cold(path: str, token: str) -> Callable[[], float]:
    """Seconds of a request over a connection of its own."""

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(REQUESTS):
            connection = _Unix(path)
            ask(connection, token)
            connection.close()
        return (time.perf_counter() - started) / REQUESTS

    return measure


def pouring(path: str, _: str) -> Callable[[], float]:
    """Seconds until all has come."""
    buffer = bytearray(1 << 20)

    def measure() -> float:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(path)
            started = time.perf_counter()
            end.sendall(b"x")
            while end.recv_into(buffer):
                pass
            return time.perf_counter() - started

    return measure


def node() -> None:
    """Measures each phase at the socket itself and at an outpost's, in turns; medians as JSON."""
    order = json.loads(sys.stdin.readline())
    token = order["token"]
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, phase in (("warm", warm), ("cold", cold), ("pouring", pouring)):
            place = order["spring" if name == "pouring" else "gateway"]
            way = msgspec.convert(place["way"], Way)
            with Outpost(Path(folder) / name, way.address, way.fingerprint, way.secret) as outpost:
                direct, through = phase(place["socket"], token), phase(str(outpost.socket), token)
                pairs = [(direct(), through()) for _ in range(order["rounds"])]
                assert outpost.problem is None, outpost.problem
            found[name] = median(one for one, _ in pairs), median(one for _, one in pairs)
    print(json.dumps(found))


# -- the coordinator


def take(quick: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, provider() as address:
        folder = Path(name)
        prices = {"*": Price(input=1, output=2)}
        settings = Settings(providers={"p": Provider(api="openai", address=address, prices=prices)})
        clock = SystemClock()
        with (
            Ledger.open(
                folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=clock, views=VIEWS
            ) as ledger,
            Gateway(settings, ledger, clock, folder=folder / "gw", environment={}) as gateway,
            spring(folder / "spring") as source,
            Relay() as relay,
        ):
            ticket = gateway.ticket("run", 1, provider="p", model="m", requests=10**6)
            order = {
                "rounds": 2 if quick else ROUNDS,
                "token": ticket.token,
                "gateway": {"socket": ticket.socket, "way": gateway.way(ticket.token)},
                "spring": {"socket": source, "way": relay.open(source)},
            }
            command = [sys.executable, "-m", "benchmarks.relay"]
            done = subprocess.run(
                command, input=msgspec.json.encode(order), stdout=subprocess.PIPE, check=True, cwd=ROOT
            )
    yield from report(json.loads(done.stdout))


def report(found: dict[str, tuple[float, float]]) -> Iterator[Figure]:
    here = "at the gateway's own socket"
    for name, asked in (("warm", "a request over a connection that is kept"), ("cold", "a request over a new one")):
        direct, through = (1000 * one for one in found[name])
        print(f"{asked}: {direct:.2f} ms {here}, {through:.2f} ms from a node: {through - direct:.2f} ms more")
        yield lower(asked, through, "ms", here, direct, aim=MOST_TIMES if name == "warm" else None)
    direct, through = (POURED / one / 1e6 for one in found["pouring"])
    yield higher("bytes", through, "MB/s", "a unix socket of this machine", direct)


if __name__ == "__main__":
    node()
