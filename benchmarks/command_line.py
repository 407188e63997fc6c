"""How instant the command line feels: `daybreak --help` beside a bare interpreter that starts and ends."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

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


def main() -> None:
    bare = seconds([sys.executable, "-c", "pass"])
    shown = seconds([sys.executable, "-m", "daybreak", "--help"])
    verdict = "within" if shown < HELP_S_MAX else "OVER"
    print(f"daybreak --help: {shown:.3f} s ({verdict} {HELP_S_MAX} s), {shown / bare:.1f} x a bare interpreter")
