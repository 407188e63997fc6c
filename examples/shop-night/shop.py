"""A shop with an API that behaves as badly as real ones do: the outside of this example.

    python shop.py --port 8700 --journal shop.jsonl --seed 1        prints its address, and serves until it is stopped

    POST /listings            puts a listing up, takes money for the call, answers 201
    GET  /listings?key=KEY    the listing that was put up with that Idempotency-Key, or 404
    GET  /listings?sku=SKU    all listings of that product
    GET  /account             what was charged

It takes an Idempotency-Key and keeps it beside the listing, but does not mind it: the same call twice is two listings
on sale (`--honours-keys` makes it a better shop). Every call that it takes on costs money, also one that ends with 500.

What goes wrong, in an order that follows from the seed: 429 with Retry-After, 500, calls that hang and do nothing, calls
that are taken and then hang, and calls that are taken while the connection is cut. Whoever calls cannot tell the last
three from each other.

What was published stands in the journal, one line of JSON each, synced before anybody hears of it. That file is the
truth about the night, whatever anybody else has written down.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PRICE_MOST = 10_000
"""The most that a call costs, in millionths of a dollar: one cent."""
HANG_S = 10.0
"""Longer than anybody waits."""


@dataclass
class Answer:
    """`then`: `answer`, or `hang` and say nothing, or `cut` the connection."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    then: str = "answer"


def fates(seed: int) -> Iterator[str]:
    """What happens to one call after the other."""
    draw = random.Random(seed)
    while True:
        for trouble in (["error", "taken and hangs"], ["hang", "taken and cut"]):
            some = [*trouble, *["fine"] * 6]
            draw.shuffle(some)
            yield from some
            yield "quota"
            yield from ["fine"] * 2


class Shop:
    """The shop's books. Safe to use from many threads."""

    def __init__(self, journal: Path, seed: int, honours_keys: bool) -> None:
        self._lock = threading.Lock()
        self._fates = fates(seed)
        self._draw = random.Random(seed)
        self._honours_keys = honours_keys
        self._closed_until = 0.0
        self._looked = 0
        self._listings: list[dict[str, Any]] = []
        self._charged = self._calls = 0
        self._journal = journal.open("a+b")
        self._journal.seek(0)
        for line in self._journal:
            self._take(json.loads(line))

    def close(self) -> None:
        self._journal.close()

    def publish(self, key: str, product: dict[str, Any]) -> Answer:
        with self._lock:
            if time.monotonic() < self._closed_until:
                return self._closed()
            if self._honours_keys and (known := self._with("key", key)):
                return Answer(200, known[0])
            fate = next(self._fates)
            if fate == "quota":
                self._closed_until = time.monotonic() + self._draw.choice([1, 1, 2, 7])
                self._write({"what": "refused", "status": 429, "key": key, "charged": 0})
                return self._closed()
            price = self._draw.randint(PRICE_MOST // 2, PRICE_MOST)
            if fate in ("error", "hang"):
                self._write({"what": fate, "key": key, "charged": price})
                told = Answer(500, {"error": "something went wrong"}, {"X-Charged": str(price)})
                return told if fate == "error" else Answer(0, None, then="hang")
            listing = {"listing": len(self._listings) + 1, "sku": product["sku"], "key": key}
            self._write({"what": "published", **listing, "charged": price, "fate": fate})
            then = {"taken and hangs": "hang", "taken and cut": "cut"}.get(fate, "answer")
            return Answer(201, listing, {"X-Charged": str(price)}, then)

    def look(self, name: str, value: str) -> Answer:
        """Every eleventh look fails too."""
        with self._lock:
            self._looked += 1
            if self._looked % 11 == 0:
                return Answer(500, {"error": "something went wrong"})
            found = self._with(name, value)
            if name == "key":
                return Answer(200, found[0]) if found else Answer(404, {"error": "there is none"})
            return Answer(200, found)

    def account(self) -> Answer:
        with self._lock:
            return Answer(200, {"calls": self._calls, "charged_microusd": self._charged})

    def _closed(self) -> Answer:
        left_s = max(1, round(self._closed_until - time.monotonic() + 0.5))
        return Answer(429, {"error": "too many calls"}, {"Retry-After": str(left_s)})

    def _with(self, name: str, value: str) -> list[dict[str, Any]]:
        return [one for one in self._listings if one[name] == value]

    def _write(self, line: dict[str, Any]) -> None:
        """Nothing counts before it is on the disk."""
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        self._calls += 1
        self._charged += line["charged"]
        if line["what"] == "published":
            self._listings.append({name: line[name] for name in ("listing", "sku", "key")})


class Server(ThreadingHTTPServer):
    """Answers a look only when every call that came before it is decided. So "there is none" means that there will be
    none either: a call that is still on its way in cannot slip through behind the answer."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, shop: Shop, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.shop = shop
        self._arrived = 0
        self._undecided: dict[Any, int] = {}
        self._changed = threading.Condition()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._arrived += 1
            self._undecided[request] = self._arrived
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.decided(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever called may be dead by the time that he is answered."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def decided(self, request: Any) -> None:
        with self._changed:
            self._undecided.pop(request, None)
            self._changed.notify_all()

    def server_close(self) -> None:
        super().server_close()
        self.shop.close()

    def wait_for_earlier(self, request: Any) -> None:
        with self._changed:
            mine = self._undecided.pop(request, self._arrived)
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(number > mine for number in self._undecided.values()))


class Handler(BaseHTTPRequestHandler):
    """One call per connection (HTTP/1.0)."""

    server: Server
    timeout = 5.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            product = json.loads(body)  # of a caller that died while it was sending, half of it
        except ValueError:
            return self._send(Answer(400, {"error": "that is no listing"}))
        answer = self.server.shop.publish(self.headers.get("Idempotency-Key", ""), product)
        self.server.decided(self.request)
        self._send(answer)

    def do_GET(self) -> None:
        self.server.wait_for_earlier(self.request)
        asked = urlsplit(self.path)
        if asked.path == "/account":
            return self._send(self.server.shop.account())
        ((name, (value, *_)),) = parse_qs(asked.query).items()
        self._send(self.server.shop.look(name, value))

    def _send(self, answer: Answer) -> None:
        if answer.then == "hang":
            time.sleep(HANG_S)
        if answer.then != "answer":
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(answer.body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, default=Path("shop.jsonl"), help="default: shop.jsonl")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--seed", type=int, default=1, help="of what goes wrong; default: 1")
    parser.add_argument("--honours-keys", action="store_true", help="the same Idempotency-Key gives the same listing")
    told = parser.parse_args()
    server = Server(Shop(told.journal, told.seed, told.honours_keys), told.port)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
