"""Workspaces against what one would do by hand: `git worktree add` and `cp -r`, 2,000 files, same disk, same minute.

    python benchmarks/workspaces.py        (FOLDER=/somewhere for another disk)

The ways take turns, because a busy machine is slower from one second to the next.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from daybreak.host.workspaces import Workspaces

FILES = 2000
ROUNDS = 7
GOAL_S = 0.2


def git(folder: Path, *arguments: str) -> None:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **who}
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def make_repository(folder: Path) -> None:
    """2,000 files of 1 to 4 KB in 40 folders, one commit."""
    for number in range(FILES):
        path = folder / f"package_{number % 40}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE_{number} = {number}\n" * (50 + number % 100))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure() -> dict[str, float]:
    """Medians in seconds."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FOLDER")) as name:
        home = Path(name)
        (source := home / "source").mkdir()
        make_repository(source)
        workspaces = Workspaces(home / "root")
        columns: dict[str, list[float]] = {key: [] for key in ("worktree", "ours", "cp", "copy", "discard")}
        for _ in range(ROUNDS):
            made = []
            columns["worktree"].append(timed(lambda: git(source, "worktree", "add", "-q", "--detach", str(home / "w"))))
            columns["ours"].append(timed(lambda: made.append(workspaces.from_git(source))))  # noqa: B023 - called at once
            columns["discard"].append(timed(lambda: made[0].discard("succeeded")))  # noqa: B023
            git(source, "worktree", "remove", "--force", str(home / "w"))
            columns["cp"].append(timed(lambda: subprocess.run(["cp", "-r", source, home / "c"], check=True)))
            columns["copy"].append(timed(lambda: made.append(workspaces.from_folder(source, leave_out=()))))  # noqa: B023
            made[1].discard("succeeded")
            subprocess.run(["rm", "-rf", home / "c"], check=True)
        return {key: median(times) for key, times in columns.items()}


def main() -> None:
    figures = measure()
    print(
        f"workspace off a commit, {FILES:,} files: {figures['ours']:.3f} s (goal {GOAL_S} s), bare `git worktree add` "
        f"{figures['worktree']:.3f} s: {figures['ours'] / figures['worktree']:.2f} times; "
        f"removed in {figures['discard']:.3f} s"
    )
    print(
        f"workspace as a copy: {figures['copy']:.3f} s, `cp -r` {figures['cp']:.3f} s: "
        f"{figures['copy'] / figures['cp']:.2f} times"
    )


if __name__ == "__main__":
    main()
