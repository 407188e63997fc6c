"""What a sandbox adds to starting a program: the same program with and without, taking turns.

python benchmarks/sandbox_launch.py
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

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


def measure() -> dict[str, float | str]:
    """Medians of the launches, and of what each round's sandboxed launch took more than its plain one."""
    machine = detect()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        box = Sandbox(writable=(folder,), require="none")
        best, weaker = prepare(box, machine), prepare(box, replace(machine, bwrap=""))
        for sandbox in (None, best, weaker):
            launch_ms(folder, sandbox)
        rounds = [[launch_ms(folder, sandbox) for sandbox in (None, best, weaker)] for _ in range(ROUNDS)]
    plain, boxed, kernel = (median(column) for column in zip(*rounds, strict=True))
    return {
        "mode": best.mode.strength,
        "plain_ms": plain,
        "boxed_ms": boxed,
        "more_ms": median(one[1] - one[0] for one in rounds),
        "ratio": median(one[1] / one[0] for one in rounds),
        "kernel_mode": weaker.mode.strength,
        "kernel_ms": kernel,
        "kernel_more_ms": median(one[2] - one[0] for one in rounds),
    }


def main() -> None:
    print(
        "sandbox: {mode} {boxed_ms:.1f} ms a launch, {plain_ms:.1f} without: {ratio:.1f} times, {more_ms:.1f} ms more "
        "(goal {goal} ms); {kernel_mode}, without bubblewrap: {kernel_more_ms:.1f} ms more".format(
            **measure(), goal=GOAL_MS
        )
    )


if __name__ == "__main__":
    main()
