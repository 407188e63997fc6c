"""Daybreak in one file: how large it is, and how long it takes to start, the first time and later, beside a bare
interpreter and beside the command as it is installed."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Unavailable, lower

RUNS, RUNS_QUICK = 9, 5
MEGABYTES_MOST, START_S_MOST = 60, 1.0
PYTHON = os.path.realpath(sys.executable)


def seconds(argv: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def take(quick: bool = False) -> Iterator[Figure]:
    from daybreak.factory import bundling

    with tempfile.TemporaryDirectory(prefix="daybreak-bench-") as folder:
        scratch = Path(folder).resolve()
        began = time.perf_counter()
        try:
            made = bundling.make(scratch / "daybreak.pyz", try_out=False)
        except bundling.BundlerMissing as error:
            raise Unavailable(f"{error.message}: {error.hint}") from error
        print(f"made in {time.perf_counter() - began:.1f} s, not tried out")
        unpacked = sum(one.bytes for one in made.contents.distributions) / 1e6
        yield lower("size", made.bytes / 1e6, "MB", "unpacked", unpacked, aim=MEGABYTES_MOST, aim_of="value")
        yield from _starts(str(made.file), scratch, quick)


def _starts(file: str, scratch: Path, quick: bool) -> Iterator[Figure]:
    environment = {"HOME": str(scratch / "home"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    bundle, bare = [PYTHON, file, "--version"], [PYTHON, "-c", "pass"]
    installed = [sys.executable, "-m", "daybreak", "--version"]
    first = []
    for _ in range(1 if quick else 3):
        shutil.rmtree(scratch / "home", ignore_errors=True)
        first.append(seconds(bundle, environment))
    rounds = [
        tuple(seconds(argv, environment) for argv in (bundle, bare, installed))
        for _ in range(RUNS_QUICK if quick else RUNS)
    ]
    later, nothing, ordinary = (statistics.median(column) for column in zip(*rounds, strict=True))
    yield lower("first start, with unpacking", statistics.median(first), "s", "later starts", later)
    yield lower("start", later, "s", "a bare interpreter", nothing, aim=START_S_MOST, aim_of="value")
    yield lower("start beside the installed command", later, "s", "the installed command", ordinary)
