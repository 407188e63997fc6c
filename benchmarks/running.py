"""Runs benchmarks one after the other. Whatever one does, the next one gets its turn."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.figures import Figure

ROOT = Path(__file__).parent.parent
LIMIT_S, QUICK_LIMIT_S = 3600.0, 300.0
"""A benchmark that takes longer is ended: it hangs. Short forms take seconds; a machine may be many times slower."""

State = Literal["done", "failed", "unavailable", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """Of one benchmark. What had been found before it failed is kept."""

    name: str
    figures: tuple[Figure, ...]
    seconds: float
    state: State = "done"
    why: str = ""
    """Of a failure, or why this machine cannot have these figures."""


def run(name: str, *, quick: bool, limit_s: float | None = None, package: str = "benchmarks") -> Outcome:
    """The benchmark in a process of its own, which prints as it goes. Raises nothing that it does."""
    limit_s = limit_s or (QUICK_LIMIT_S if quick else LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-") as folder:
        told = Path(folder, "figures")
        command = [sys.executable, "-m", "benchmarks.alone", f"{package}.{name}", str(told)]
        command += ["quick"] if quick else []
        began = time.monotonic()
        code, late = _watched(command, limit_s)
        seconds = time.monotonic() - began
        figures, unavailable = _read(told)
    if late:
        return Outcome(name, figures, seconds, "failed", f"had not ended after {limit_s:.0f} s")
    if code:
        return Outcome(name, figures, seconds, "failed", f"ended with code {code}")
    if unavailable:
        return Outcome(name, figures, seconds, "unavailable", unavailable)
    return Outcome(name, figures, seconds)


def _watched(command: list[str], limit_s: float) -> tuple[int, bool]:
    """Exit code, and whether it had to be ended; with it ends whatever it has started."""
    sys.stdout.flush()
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        return process.wait(timeout=limit_s), False
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL, True
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(path: Path) -> tuple[tuple[Figure, ...], str]:
    """The figures, and why there are none."""
    figures: list[Figure] = []
    unavailable = ""
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if not line.endswith("\n"):
            break  # it was ended while it wrote
        told = json.loads(line)
        if "figure" in told:
            figures.append(Figure.read(told["figure"]))
        unavailable = unavailable or told.get("unavailable", "")
    return tuple(figures), unavailable
