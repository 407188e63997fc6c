"""A build killed with SIGKILL at a random moment, then resumed: nothing lost, nothing done twice, same bytes.

`KILLS=50 SEED=1 python -m benchmarks kill_build`. The tests run a short form of the same.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.build import SPEC, daybreak
from benchmarks.figures import Figure, count
from daybreak.factory import holdout

VOLATILE = ("run", "verified_at")
"""Keys of the manifest that are times and ids."""
TRACES = "docs/daybreak/traceability.json"
"""Names events by their places in the ledger; a resumed run has more of them before."""


@dataclass(frozen=True)
class Undisturbed:
    """What a build that nobody kills delivers, and how long it takes."""

    seconds: float
    files: dict[str, bytes]


@dataclass(frozen=True)
class Killed:
    """One killed and resumed build. `problems` is empty if every promise was kept."""

    after_s: float
    kept_before: int
    problems: tuple[str, ...]


def delivered(output: Path) -> dict[str, bytes]:
    """Every delivered file but the provenance, which is signed over times and ids; of the manifest all but these, of
    the traces all but places in the ledger."""
    files = {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}
    assert files.pop("daybreak.provenance.json", b""), "a delivery carries its provenance"
    manifest = json.loads(files["daybreak.manifest.json"])
    for key in VOLATILE:
        manifest.pop(key)
    if TRACES in files:
        files[TRACES] = re.sub(rb'"event": \d+', b'"event": 0', files[TRACES])
        manifest["files"].pop(TRACES)
    files["daybreak.manifest.json"] = json.dumps(manifest).encode()
    return files


def _places(folder: Path) -> tuple[Path, Path]:
    """A home and where it delivers. The same examples are held out in every home: each has a key of its own for that,
    and what is delivered says what shows each requirement."""
    home = folder / "home"
    (home / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
    key = home / "keys" / holdout.KEY_FILE
    key.write_bytes(b"k" * holdout.KEY_BYTES)
    key.chmod(0o600)
    return home, folder / "output"


def undisturbed(folder: Path, spec: Path = SPEC) -> Undisturbed:
    home, output = _places(folder)
    began = time.perf_counter()
    daybreak(home, "build", str(spec), "--output", str(output), "--json")
    return Undisturbed(time.perf_counter() - began, delivered(output))


def steps(home: Path) -> dict[tuple[str, str, int], tuple[int, Any]]:
    """Every kept step of the only run: (branch, name, nth) → (seq, payload). Fails on a step kept twice."""
    found: dict[tuple[str, str, int], tuple[int, Any]] = {}
    for record in json.loads(daybreak(home, "ledger", "show", "--json")):
        if record["type"] in ("step.done", "step.failed"):
            body = record["payload"]
            identity = (body["branch"], body["name"], body["nth"])
            assert identity not in found, f"step {identity} was kept twice"
            found[identity] = (record["seq"], body)
    return found


def kill_and_resume(folder: Path, after_s: float, reference: Undisturbed, spec: Path = SPEC) -> Killed:
    """Kill a build after `after_s` seconds, resume it to the end, and compare with the undisturbed one."""
    home, output = _places(folder)
    command = [sys.executable, "-m", "daybreak", "build", str(spec), "--output", str(output), "--json"]
    environment = {**os.environ, "DAYBREAK_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    runs = json.loads(daybreak(home, "runs", "--json")) if (home / "ledger").exists() else []
    before = steps(home) if runs else {}
    if not runs:  # killed before anything was asked for: the same command again is the way on
        daybreak(home, "build", str(spec), "--output", str(output), "--json")
    elif runs[0]["state"] != "done":
        daybreak(home, "resume", "--json")
    problems = []
    after = steps(home)
    if changed := [identity for identity, kept in before.items() if after.get(identity) != kept]:
        problems.append(f"kept steps changed: {changed}")
    daybreak(home, "provenance", "verify", str(output))  # raises where it does not pass
    files = delivered(output)
    if different := sorted(
        name for name in files.keys() | reference.files.keys() if files.get(name) != reference.files.get(name)
    ):
        problems.append(f"other files than undisturbed: {different}")
    return Killed(after_s, len(before), tuple(problems))


def take(quick: bool = False) -> Iterator[Figure]:
    kills, seed = int(os.environ.get("KILLS", "50")), int(os.environ.get("SEED", "1"))
    chance = random.Random(seed)
    good = 0
    with tempfile.TemporaryDirectory() as top:
        reference = undisturbed(Path(top) / "undisturbed")
        for number in range(kills):
            outcome = kill_and_resume(Path(top) / str(number), chance.uniform(0.1, reference.seconds), reference)
            good += not outcome.problems
            verdict = "; ".join(outcome.problems) or "fine"
            print(f"  killed after {outcome.after_s:5.2f} s, {outcome.kept_before:3} steps kept: {verdict}", flush=True)
    print(f"  seed {seed}, undisturbed {reference.seconds:.1f} s")
    yield count("resumed as promised", good, kills, "killed builds", aim=1)
