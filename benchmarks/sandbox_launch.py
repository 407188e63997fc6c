"""What a sandbox adds to starting a program: the same program with and without, taking turns.

python -m benchmarks sandbox_launch
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure, lower
from daybreak.host import process
from daybreak.host.sandbox import Ready, Sandbox, detect, prepare

ROUNDS = 40
GOAL_MS = 40
"""At most this much more than without."""


def launch_ms(folder: Path, sandbox: Ready | None) -> float:
    """Milliseconds from asking for a program that does nothing to having its result."""
    started = time.perf_counter()
    done = process.run(["/bin/true"], cwd=folder, env={"PATH": process.DEFAULT_PATH}, timeout_s=20, sandbox=sandbox)
    assert done.ok, done
    return (time.perf_counter() - started) * 1000


def measure(rounds_asked: int = ROUNDS) -> dict[str, Any]:
    """Medians of the launches, and of what each round's sandboxed launch took more than its plain one."""
    machine = detect()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        box = Sandbox(writable=(folder,), require="none")
        best, weaker = prepare(box, machine), prepare(box, replace(machine, bwrap=""))
        for sandbox in (None, best, weaker):
            launch_ms(folder, sandbox)
        rounds = [[launch_ms(folder, sandbox) for sandbox in (None, best, weaker)] for _ in range(rounds_asked)]
    plain, boxed, kernel = (median(column) for column in zip(*rounds, strict=True))
    return {
        "plain_ms": plain,
        "boxed_ms": boxed,
        "more_ms": median(one[1] - one[0] for one in rounds),
        "boxed_mode": best.mode.strength,
        "boxed_ratio": median(one[1] / one[0] for one in rounds),
        "kernel_ratio": median(one[2] / one[0] for one in rounds),
        "kernel_mode": weaker.mode.strength,
        "kernel_ms": kernel,
    }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(15 if quick else ROUNDS)
    plain = found["plain_ms"]
    for which in ("boxed", "kernel"):
        name = f"a launch, {found[f'{which}_mode']}" + (" without bubblewrap" if which == "kernel" else "")
        yield lower(name, found[f"{which}_ms"], "ms", "without a sandbox", plain, ratio=found[f"{which}_ratio"])
    if quick:  # what it adds is near nothing beside a slow start, and many times more or less from run to run
        return
    more = found["more_ms"]
    yield lower("what it adds", max(more, 0.0), "ms", "without a sandbox", plain, aim=GOAL_MS, aim_of="value")
