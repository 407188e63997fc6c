"""How instant the command line feels: `daybreak --help` beside a bare interpreter that starts and ends."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.figures import Figure, lower

RUNS = 9
HELP_S_MAX = 0.3


def ended_s() -> float:
    """Seconds of the processor of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(argv: list[str], now: Callable[[], float] = time.perf_counter) -> float:
    """Median of the command over RUNS runs after a warm-up."""
    times = []
    for _ in range(RUNS + 1):
        began = now()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        times.append(now() - began)
    return statistics.median(times[1:])


def take(quick: bool = False) -> Iterator[Figure]:
    """The short form counts the processor's time, which is the command's alone."""
    now, unit = (ended_s, "s of the processor") if quick else (time.perf_counter, "s")
    bare = seconds([sys.executable, "-c", "pass"], now)
    shown = seconds([sys.executable, "-m", "daybreak", "--help"], now)
    yield lower("daybreak --help", shown, unit, "a bare interpreter", bare, aim=HELP_S_MAX, aim_of="value")
