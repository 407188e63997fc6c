"""How fast a large state is put away and brought back, in how much memory, against `cp -r` of the same folder.

    python -m benchmarks snapshots        MEGABYTES=1000 EVENTS=50000 ROUNDS=2 FOLDER=/tmp

The state: blobs that nothing can compress, and a ledger. `cp -r` ends with a sync, because a snapshot does. Everything
that a snapshot promises is in its time: the consistent copy of the database, the verification of every event and blob,
compression, the SHA-256 of every file and of the archive, syncing. In the time of a restore: all checksums, the
verification of the old log, writing the new one and verifying that. Each is done by a process of its own, whose highest
memory (VmHWM) is what counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.figures import BARE_MEMORY, Figure, bare_memory_mb, higher, lower

MEGABYTES = int(os.environ.get("MEGABYTES", "1000"))
EVENTS = int(os.environ.get("EVENTS", "50000"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
GOAL_MB_PER_S = 100
GOAL_MEMORY_MB = 100

_CHILD = """
import json, sys, time
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.host.snapshots import Store
from daybreak.ledger import snapshot
from daybreak.ledger.restore import Restorer
what, home, store = sys.argv[1], Places.below(Path(sys.argv[2]), "a benchmark"), Store(Path(sys.argv[3]))
def refers(record):
    tree = record.event.result["tree"] if record.type == "step.done" else ""
    return [tree] if tree else []
started = time.perf_counter()
if what == "create":
    snapshot.take(store, home, clock=SystemClock(), refers=refers)
elif what == "verify":
    store.verify("newest")
else:
    Restorer(store, home, SystemClock(), refers=refers).to("newest", Path(sys.argv[4]))
seconds = time.perf_counter() - started
memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"s": seconds, "memory_mb": int(memory.split()[1]) / 1024}))
"""


def make_state(home: Path) -> int:
    """A ledger, with events that name blobs; the size of it all in bytes."""
    from daybreak.clock import SystemClock
    from daybreak.events import StepDone, control_stream
    from daybreak.ledger import Draft, Ledger

    random = Random(0)
    blobs, left = home / "ledger" / "blobs", MEGABYTES * 1_000_000
    names = []
    while left > 0:
        data = random.randbytes(min(left, random.choice((70_000, 300_000, 1_000_000, 5_000_000))))
        name = sha256(data).hexdigest()
        (blobs / name[:2]).mkdir(parents=True, exist_ok=True)
        (blobs / name[:2] / name).write_bytes(data)
        names.append(name)
        left -= len(data)
    with Ledger.open(home / "ledger", keys=home / "keys", witness=home / "witness", clock=SystemClock()) as ledger:
        for start in range(0, EVENTS, 1000):
            ledger.append(
                [
                    Draft(
                        control_stream(f"run-{number % 50}"),
                        StepDone(
                            run=f"run-{number % 50}",
                            branch="",
                            name="step",
                            nth=number,
                            args="0" * 64,
                            result={
                                "tree": names[number] if number < len(names) else "",
                                "text": random.randbytes(100).hex(),
                            },
                        ),
                    )
                    for number in range(start, min(start + 1000, EVENTS))
                ]
            )
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def copied(source: Path, target: Path) -> float:
    """Seconds for `cp -r` and a sync of that file system."""
    started = time.perf_counter()
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["sync", "-f", target], check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


def child(what: str, *arguments: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, what, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(folder: Path | None = None) -> dict[str, float]:
    """Medians over the rounds; each round measures `cp -r` too."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        home = root / "home"
        size = make_state(home)
        os.sync()
        rounds = []
        for number in range(ROUNDS):
            store = root / f"store{number}"
            copy_s = copied(home / "ledger", root / "copy")
            create = child("create", home, store)
            verify = child("verify", home, store)
            restore = child("restore", home, store, root / "back")
            shutil.rmtree(root / "back")
            shutil.rmtree(store)
            rounds.append((copy_s, create, verify, restore))
        megabytes = size / 1e6
        return {
            "megabytes": megabytes,
            "create_mb_per_s": median(megabytes / one[1]["s"] for one in rounds),
            "create_memory_mb": max(one[1]["memory_mb"] for one in rounds),
            "verify_mb_per_s": median(megabytes / one[2]["s"] for one in rounds),
            "restore_mb_per_s": median(megabytes / one[3]["s"] for one in rounds),
            "restore_memory_mb": max(one[3]["memory_mb"] for one in rounds),
            "copy_mb_per_s": median(megabytes / one[0] for one in rounds),
        }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(Path(folder) if (folder := os.environ.get("FOLDER")) else None)
    copied_at, bare = found["copy_mb_per_s"], bare_memory_mb()
    print(f"  a state of {found['megabytes']:,.0f} MB")
    for what, aim in (("create", GOAL_MB_PER_S), ("verify", None), ("restore", None)):
        yield higher(what, found[f"{what}_mb_per_s"], "MB/s", "`cp -r`", copied_at, aim=aim, aim_of="value")
    for what in ("create", "restore"):
        memory = found[f"{what}_memory_mb"]
        yield lower(f"memory, {what}", memory, "MB", BARE_MEMORY, bare, aim=GOAL_MEMORY_MB, aim_of="value")
