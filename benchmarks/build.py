"""The main job on examples/todo: how long it takes, and how much of that is Daybreak itself.

Own work is wall time during which no check and no proof of an example was under way: reading, planning,
generating, the ledger, packing, delivering, starting up. It is computed from the run's own events. Installed
packages have their bytecode beside them; a source tree gets it here first, whatever the environment says.
"""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import daybreak as daybreak_package
from benchmarks.figures import Figure, lower

SPEC = Path(__file__).parent.parent / "examples" / "todo" / "spec.md"
TOTAL_S_MAX = 20.0
OWN_S_MAX = 1.0


def daybreak(home: Path, *arguments: str) -> str:
    """Standard output of `daybreak ARGUMENTS` with its state in `home`. Raises CalledProcessError."""
    environment = {**os.environ, "DAYBREAK_HOME": str(home)}
    command = [sys.executable, "-m", "daybreak", *arguments]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def looking_s(records: list[dict[str, Any]]) -> float:
    """Seconds covered by at least one check or proof, from the ends and durations of the kept steps."""
    spans = []
    for record in records:
        body = record["payload"]
        if record["type"] == "step.done" and body["name"].split()[0] in ("check", "prove"):
            end = datetime.fromisoformat(record["ts"]).timestamp()
            spans.append((end - body["duration_ms"] / 1000, end))
    covered, reached = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def take(quick: bool = False) -> Iterator[Figure]:
    compileall.compile_dir(Path(daybreak_package.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        for label in ("first build, cold caches", "second build"):
            began = time.perf_counter()
            report = json.loads(daybreak(home, "build", str(SPEC), "--output", f"{folder}/{label[0]}", "--json"))
            total = time.perf_counter() - began
            looked = looking_s(json.loads(daybreak(home, "ledger", "show", report["run"], "--json")))
            yield lower(label, total, "s", "checks and proofs alone", looked, aim=TOTAL_S_MAX, aim_of="value")
            own = total - looked
            yield lower(f"{label}: own work", own, "s", "the whole", total, aim=OWN_S_MAX, aim_of="value")
