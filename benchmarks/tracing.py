"""What traces cost: durable steps a second with them off, and with all of them sent to a receiver on this machine.

    python -m benchmarks tracing

Both in one process, by turns; the receiver is another process that reads what it is sent and throws it away. Processor
time of this process stands beside the rate, because the sending thread shares its interpreter with the work.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import anyio

from benchmarks.figures import Figure, higher, lower
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Context, Engine
from daybreak.home import tracing
from daybreak.ledger import Ledger
from daybreak.settings import Traces

STEPS = 1_500
ROUNDS = 5
_RECEIVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def _work(ctx: Context, args: dict[str, int]) -> None:
    async def step() -> int:
        return 1

    for number in range(args["steps"]):
        await ctx.step(f"step {number}", step)


def _round(ledger: Ledger, engine: Engine, told: Traces | None, steps: int) -> tuple[float, float]:
    """Steps a second by the clock on the wall, and milliseconds of processor for each."""
    run = engine.submit("bench", "bench", {"steps": steps})
    with nullcontext() if told is None else tracing.beside(ledger, told, os.environ):
        began, used = time.perf_counter(), time.process_time()
        anyio.run(engine.finish, run)
        took, used = time.perf_counter() - began, time.process_time() - used
    return steps / took, used / steps * 1000


def take(quick: bool = False) -> Iterator[Figure]:
    receiver = subprocess.Popen([sys.executable, "-c", _RECEIVER], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(receiver.stdout.readline())}"
        ways = {"off": None, "a tenth": Traces(endpoint=address, sample=0.1), "all": Traces(endpoint=address)}
        with tempfile.TemporaryDirectory(prefix="daybreak-bench-") as name:
            where, clock = Places.below(Path(name), "a benchmark"), SystemClock()
            with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=clock, views=VIEWS) as ledger:
                engine = Engine(ledger, {"bench": _work}, where.locks, clock, os.urandom, [])
                found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
                steps, rounds = (100, 3) if quick else (STEPS, ROUNDS)
                _round(ledger, engine, None, steps)
                for _ in range(rounds):
                    for way, told in ways.items():
                        found[way].append(_round(ledger, engine, told, steps))
    finally:
        receiver.terminate()
        receiver.wait()
    rates = {way: statistics.median(rate for rate, _ in rounds) for way, rounds in found.items()}
    used = {way: statistics.median(used for _, used in rounds) for way, rounds in found.items()}
    for way in ("a tenth", "all"):
        yield lower(f"{way} sent: processor", used[way], "ms a step", "no traces", used["off"])
        if not quick:
            yield higher(f"{way} sent", rates[way], "steps/s", "no traces", rates["off"])
