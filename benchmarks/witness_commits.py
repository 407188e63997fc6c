"""What witnesses cost a commit: CPU time per commit beside a silent one, a dead one and an honest one, against none.

    python -m benchmarks witness_commits

The phases take turns; the honest witness runs in this process, so its own work is counted too.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, lower
from daybreak import settings
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.factory.witnessing import beside
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.witness.cosigning import Cosigner
from daybreak.ledger.witness.register import Register
from daybreak.ledger.witness.server import WitnessServer

COMMITS = 400
ROUNDS = 5


class _Silent(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        time.sleep(1)

    def log_message(self, format: str, *args: object) -> None:
        pass


def commits(ledger: Ledger) -> tuple[float, float]:
    """Seconds of this process's CPU time, and of the clock, for one commit."""
    step = StepDone(run="run-1", branch="", name="step", nth=0, args="a" * 64, result={"n": 1})
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(COMMITS):
        ledger.append([Draft("control:run-1", step)])
    return (time.process_time() - cpu) / COMMITS, (time.perf_counter() - began) / COMMITS


def take(quick: bool = False) -> Iterator[Figure]:
    clock, cosigner = SystemClock(), Cosigner("w.example/1", b"\x01" * 32)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=clock) as ledger:
            silent = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
            honest = WitnessServer(("127.0.0.1", 0), Register(root / "state", cosigner, [ledger.verifier], clock))
            for server in (silent, honest):
                threading.Thread(target=server.serve_forever, daemon=True).start()
            ports = {"silent": silent.server_address[1], "dead": 9, "honest": honest.server_address[1]}
            places = {
                kind: {"kind": "tlog", "address": f"http://127.0.0.1:{port}", "key": cosigner.key.text, "every_s": 0.1}
                for kind, port in ports.items()
            }
            told = settings.checked({"witnesses": places}, root / "daybreak.toml")
            none, all_three = [], []
            for _ in range(ROUNDS):
                none.append(commits(ledger))
                panel = beside(ledger, told, root / "witness", clock, {})
                panel.start()
                time.sleep(1.1)
                all_three.append(commits(ledger))
                panel.close()
            for server in (silent, honest):
                server.shutdown()
                server.server_close()
    for what, at in (("processor", 0), ("by the clock", 1)):
        base, beside_them = (median(each[at] for each in rounds) * 1e6 for rounds in (none, all_three))
        yield lower(f"a commit beside three witnesses, {what}", beside_them, "µs", "alone", base)
