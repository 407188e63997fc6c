"""What the gateway costs: time added to a request, and how fast it meters a long stream; against the provider itself.

    python -m benchmarks gateway

The provider is a server in the same process that answers at once, so that the ratios are the worst that there are: a
real one takes a second for what this one does in a millisecond. Phases take turns, because a machine's speed changes.
"""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, higher, lower
from daybreak import events
from daybreak.agents.gateway import Gateway, Portal
from daybreak.clock import SystemClock
from daybreak.engine import VIEWS
from daybreak.ledger import Draft, Ledger
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Limit
from daybreak.settings import Price, Provider, Settings

ROUNDS = 5
REQUESTS = 40
EVENTS = 20_000
"""In a long stream; a piece of a word each."""
ADDED_MS_MAX = 25
EVENTS_PER_S_MIN = 5_000
"""The fastest models write some hundred tokens a second."""

_ASK = {"model": "m", "messages": [{"role": "user", "content": "x" * 4_000}], "max_tokens": 1_000}
_USAGE = {"prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010}
_WHOLE = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": _USAGE}).encode()
_CHUNK = {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "word "}}]}
_EVENT = b"data: " + json.dumps(_CHUNK).encode() + b"\n\n"


def stream(count: int) -> bytes:
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1_000, "completion_tokens": count}}
    end = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in (last, usage))
    return _EVENT * count + end + b"data: [DONE]\n\n"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    long = stream(EVENTS)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        streamed = b'"stream":true' in body.replace(b" ", b"")
        data = self.long if streamed else _WHOLE
        kind = "text/event-stream" if streamed else "application/json"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        self.wfile.write(head + data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def provider() -> Iterator[str]:
    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asking(address: str, token: str) -> Callable[[bool], int]:
    """One request over a connection that is kept; how many bytes came."""
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(streamed: bool) -> int:
        body = json.dumps(_ASK | ({"stream": True, "max_tokens": EVENTS * 2} if streamed else {}))
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        connection.request("POST", f"/{path}/chat/completions", body, headers)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return len(data)

    return ask


def seconds(ask: Callable[[bool], int], count: int, streamed: bool) -> float:
    started = time.perf_counter()
    for _ in range(count):
        ask(streamed)
    return (time.perf_counter() - started) / count


def take(quick: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, provider() as address:
        folder = Path(name)
        settings = Settings(
            providers={"p": Provider(api="openai", address=address, prices={"*": Price(input=1, output=2)})}
        )
        clock = SystemClock()
        with (
            Ledger.open(
                folder / "ledger", keys=folder / "keys", witness=folder / "witness", clock=clock, views=VIEWS
            ) as ledger,
            Gateway(settings, ledger, clock, folder=folder / "gw", environment={}) as gateway,
        ):
            opened = Accounts(ledger).open("night", Limit(money_microusd=10**12))
            assert opened is not None
            ledger.append([Draft(events.POLICY, opened)])
            ticket = gateway.ticket("run", 1, provider="p", model="m", account="night", requests=10**6)
            with Portal(ticket.socket) as portal:
                ways = asking(address, "none"), asking(f"{portal.url}/openai/v1", ticket.token)
                yield from report(*ways, 2 if quick else ROUNDS)


def report(direct: Callable[[bool], int], through: Callable[[bool], int], rounds: int) -> Iterator[Figure]:
    for ask in (direct, through):
        ask(False)
    plain: list[tuple[float, float]] = []
    long: list[tuple[float, float]] = []
    for _ in range(rounds):
        plain.append((seconds(direct, REQUESTS, False), seconds(through, REQUESTS, False)))
        long.append((seconds(direct, 1, True), seconds(through, 1, True)))
    straight_ms, way_ms = (1000 * median(one[at] for one in plain) for at in (0, 1))
    straight_s, way_s = (median(one[at] for one in long) for at in (0, 1))
    added_ms, rate = way_ms - straight_ms, EVENTS / way_s
    print("  a request goes with two durable commits and the budget")
    if rounds == ROUNDS:  # in the short form the disk would be all that is compared
        name = "what is added to a request"
        yield lower(name, max(0.0, added_ms), "ms", "direct", straight_ms, aim=ADDED_MS_MAX, aim_of="value")
    straight = EVENTS / straight_s
    name = f"a stream of {EVENTS:,} events, metered"
    yield higher(name, rate, "events/s", "direct", straight, aim=EVENTS_PER_S_MIN, aim_of="value")
