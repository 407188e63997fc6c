"""What atomicity costs: a file replaced by `write_file` against the bare calls, and the syncs of a large transaction.

    python -m benchmarks file_transactions

The contenders take turns, one replacement each, because a disk may change its speed from one second to the next.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Unavailable, lower
from daybreak.host.files import transaction, write_file

ROUNDS = 300
DATA = b"x" * 4096
GOAL_RATIO = 1.3
FILES = 1000
CONSTANT = 16
"""Syncs that a transaction may make whatever its size is."""

PROGRAM = """
import sys
from daybreak.host.files import transaction
with transaction(sys.argv[1]) as files:
    for number in range(int(sys.argv[2])):
        files.write(f"{number % int(sys.argv[3])}/{number}", b"x" * 1000)
"""


def bare(path: Path) -> None:
    """What anybody would have to do: write, fsync, rename, fsync of the folder."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(descriptor, DATA)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def by_library(path: Path) -> None:
    write_file(path, DATA)


def by_transaction(path: Path) -> None:
    with transaction(path.parent) as files:
        files.write(path.name, DATA)


def measure(folder: Path | None = None, rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each contender; each replaces a file of its own in a folder of its own."""
    contenders: dict[str, Callable[[Path], None]] = {
        "bare": bare,
        "write_file": by_library,
        "transaction": by_transaction,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory(dir=folder) as home:
        for name, replace in contenders.items():
            Path(home, name).mkdir()
            for _ in range(5):
                replace(Path(home, name, "file"))
        for turn in range(rounds):
            order = list(contenders)
            for name in order[turn % 3 :] + order[: turn % 3]:
                started = time.perf_counter()
                contenders[name](Path(home, name, "file"))
                times[name].append(time.perf_counter() - started)
    return {name: median(taken) for name, taken in times.items()}


def count_syncs(files: int, folders: int, place: Path | None = None) -> tuple[int, float]:
    """Syncs of one transaction as `strace -c -f` counts them, and the seconds it takes without strace."""
    with tempfile.TemporaryDirectory(dir=place) as home:
        program = [sys.executable, "-c", PROGRAM, home, str(files), str(folders)]
        told = subprocess.run(
            ["strace", "-c", "-f", "-e", "trace=fsync,fdatasync,sync,syncfs", *program],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    with tempfile.TemporaryDirectory(dir=place) as home:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", PROGRAM, home, str(files), str(folders)], check=True)
        taken = time.perf_counter() - started
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(?:fsync|fdatasync|sync|syncfs)$", told, re.MULTILINE)
    return sum(int(row) for row in rows), taken


def _verdict(*, fits: bool) -> str:
    return "within" if fits else "OVER"


def take(quick: bool = False) -> Iterator[Figure]:
    """The short form counts syncs alone: how long they take, the disk decides."""
    place = Path(folder) if (folder := os.environ.get("FOLDER")) else None
    if not quick:
        yield from _times(place)
    if shutil.which("strace") is None:
        raise Unavailable("syncs cannot be counted: strace is missing")
    files = FILES // 5 if quick else FILES
    for folders in (10, files):
        syncs, seconds = count_syncs(files, folders, place)
        name = f"syncs of {files:,} files in {folders:,} new folders"
        print(f"  {seconds:.2f} s with the interpreter")
        yield lower(name, syncs, "syncs", "one for each file", files, aim=2 * files + CONSTANT, aim_of="value")


def _times(place: Path | None) -> Iterator[Figure]:
    taken = measure(place)
    bare = taken["bare"] * 1e6
    what = "bare write, fsync, rename, fsync of the folder"
    yield lower("replace 4 KiB by write_file", taken["write_file"] * 1e6, "µs", what, bare, aim=GOAL_RATIO)
    yield lower("replace 4 KiB by a transaction", taken["transaction"] * 1e6, "µs", what, bare)
