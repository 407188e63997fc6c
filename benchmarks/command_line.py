"""How instant the command line feels: `daybreak --help` beside a bare interpreter that starts and ends."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import Figure, lower

RUNS = 9
HELP_S_MAX = 0.3


def seconds(argv: list[str]) -> float:
    """Median wall time of the command over RUNS runs after a warm-up."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def take(quick: bool = False) -> Iterator[Figure]:
    bare = seconds([sys.executable, "-c", "pass"])
    shown = seconds([sys.executable, "-m", "daybreak", "--help"])
    yield lower("daybreak --help", shown, "s", "a bare interpreter", bare, aim=HELP_S_MAX, aim_of="value")
