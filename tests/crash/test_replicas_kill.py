"""Replicas under kill -9 at any sync, write and rename, of the ledger's or their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak.clock import SystemClock
from daybreak.ledger import Ledger
from daybreak.ledger.replicas import Replication, reading
from daybreak.ledger.replicas.target import open_target

WRITER = """
import sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.replicas import Replication
root = Path(sys.argv[1])
with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock()) as ledger:
    ledger.replicate(Replication([str(root / "one"), str(root / "two")], 1))
    for number in range(4):
        texts = ["x" * 5000, *["y"] * 79]
        steps = [StepDone(run="r", branch="", name="s", nth=n, args="", result=text) for n, text in enumerate(texts)]
        ledger.append([Draft("queue", step) for step in steps])
        ledger.wait_replicated(timeout_s=60)
        print(ledger.replicated, flush=True)
"""

SHORT = [("fsync", 20), ("fsync", 40), ("renameat", 9)]
"""System calls of one thread: the writer's, or that of a replica."""
LONG = [("fsync", n) for n in range(4, 60, 2)] + [("renameat", n) for n in range(2, 30)]


def _chaos(cases: list[tuple[str, int]]) -> list[object]:
    return [pytest.param(*case, marks=pytest.mark.chaos) for case in cases if case not in SHORT]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("call", "when"), [*SHORT, *_chaos(LONG)])
def test_killed_anywhere_replicas_are_whole_and_are_caught_up(tmp_path: Path, call: str, when: int) -> None:
    """What was called replicated is on a replica, no replica is ahead of the ledger, and the next process completes
    both."""
    # shows: N18, N1
    command = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"]
    done = subprocess.run(
        [*command, "-o", "/dev/null", sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed here")
    replicated = int(done.stdout.split()[-1]) if done.stdout.split() else 0
    places = {"keys": tmp_path / "keys", "witness": tmp_path / "witness"}
    names = [str(tmp_path / name) for name in ("one", "two")]
    with Ledger.open(tmp_path / "ledger", **places, clock=SystemClock()) as ledger:
        size = ledger.head().size
        held = []
        for target in (open_target(name, tmp_path / "ledger") for name in names):
            if target.read("checkpoint") is not None:
                found = reading.check(target, ledger.verifier)
                assert found.problems == []
                held.append(found.size)
        assert max(held, default=0) >= replicated
        assert max(held, default=0) <= size
        ledger.replicate(Replication(names, 2))
        ledger.wait_replicated(timeout_s=60)
        for name in names:
            found = reading.check(open_target(name, tmp_path / "ledger"), ledger.verifier)
            assert (found.problems, found.size) == ([], ledger.head().size)
