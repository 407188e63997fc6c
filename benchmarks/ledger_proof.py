"""What an inclusion proof costs in a long ledger, against one SHA-256 chain over as many events: what has to be hashed
again to show the same without a tree.

    EVENTS=100000 python -m benchmarks ledger_proof

Times are of the processor (this process's). The ledger is filled with small events, which takes about 50 s of it per
million; the size of the proof and its cost grow with the number of digits only.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, lower
from benchmarks.ledger_verify import fill
from daybreak.clock import SystemClock
from daybreak.ledger import Ledger, Prover, check_proof, write_bundle
from daybreak.ledger.tree import verify_inclusion

GOAL_US = 1000
TRIES = 300
HEADER_BYTES = 350
"""About what a header has."""


def each_us(action: Callable[[int], object], indexes: list[int]) -> float:
    """Median microseconds of the processor for one."""
    times = []
    for index in indexes:
        started = time.process_time()
        action(index)
        times.append((time.process_time() - started) * 1e6)
    return median(times)


def chain_us(events: int) -> float:
    """Microseconds to hash a chain of that length."""
    data, digest = b"x" * (HEADER_BYTES - 32), bytes(32)
    started = time.process_time()
    for _ in range(events):
        digest = sha256(digest + data).digest()
    return (time.process_time() - started) * 1e6


def measure(events: int = 1_000_000) -> dict[str, float]:
    """Microseconds for each part, the length of a proof, and how many times dearer the chain is."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FOLDER")) as folder:
        home = Path(folder)
        places = {"keys": home / "keys", "witness": home / "witness"}
        started = time.process_time()
        with Ledger.open(home / "ledger", clock=SystemClock(), **places) as ledger:
            fill(ledger, events)
            filled = time.process_time() - started
            indexes = random.Random(events).choices(range(events), k=TRIES)
            figures = parts(ledger, indexes)
        chain = chain_us(events)
    return {"events": events, **figures, "chain_us": chain, "ratio": chain / figures["proof_us"], "fill_s": filled}


def parts(ledger: Ledger, indexes: list[int]) -> dict[str, float]:
    """What proofs of these events cost, each way."""
    key = ledger.verifier

    def first(index: int) -> None:
        with Prover(ledger.directory, key) as prover:
            prover.inclusion_proof(index)

    cold_us = each_us(first, indexes[:50])
    open_us = each_us(ledger.inclusion_proof, indexes)
    with Prover(ledger.directory, key) as prover:
        proof_us = each_us(prover.inclusion_proof, indexes)
        growth_us = each_us(prover.consistency_proof, indexes)
        bundle_us = each_us(lambda index: write_bundle(prover.prove([index], chain=0)), indexes)
        data = write_bundle(prover.prove([indexes[0]], chain=0))
        head, path = prover.inclusion_proof(indexes[0])
    check_us = each_us(lambda _: check_proof(data, [key]), indexes)
    leaf = check_proof(data, [key]).events[0].event.hash
    assert verify_inclusion(indexes[0], head.size, leaf, path, ledger.head().root)
    return {
        "proof_us": proof_us,
        "open_us": open_us,
        "cold_us": cold_us,
        "growth_us": growth_us,
        "bundle_us": bundle_us,
        "check_us": check_us,
        "hashes": len(path),
        "bytes": len(data),
    }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(20_000 if quick else int(os.environ.get("EVENTS", "1_000_000")))
    chain, what = found["chain_us"], "hashing a chain of that length"
    print(f"  a proof has {found['hashes']} hashes, a bundle {found['bytes']:,} bytes")
    yield lower("inclusion", found["proof_us"], "µs", what, chain, aim=GOAL_US, aim_of="value")
    yield lower("inclusion, from an open ledger", found["open_us"], "µs", what, chain)
    yield lower("inclusion, with opening the file", found["cold_us"], "µs", what, chain)
    yield lower("consistency", found["growth_us"], "µs", what, chain)
    yield lower("a whole bundle, read back and checked", found["bundle_us"], "µs", what, chain)
    yield lower("checking a bundle", found["check_us"], "µs", what, chain)
