"""Workspaces against what one would do by hand: `git worktree add` and `cp -r`, 2,000 files, same disk, same minute.

    python -m benchmarks workspaces        (FOLDER=/somewhere for another disk)

The ways take turns, and who begins changes from round to round, because a busy machine is slower from one second to
the next. Nothing is removed before everything is measured: ext4 gives no number of a file away again within five
minutes of its removal and searches past all of them at each new file, so whoever comes after a removal of thousands
of files pays for it, by five to ten times. (What removing takes is measured afterwards; a second run within five
minutes on the same disk pays for the end of the first one, by hand and with us alike.)
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, lower
from daybreak.host.workspaces import Workspace, Workspaces

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


def measure() -> dict[str, list[float]]:
    """Seconds of each round."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FOLDER")) as name:
        home = Path(name)
        (source := home / "source").mkdir()
        make_repository(source)
        workspaces = Workspaces(home / "root")
        made: list[Workspace] = []
        # a fresh folder for each, as far from each other as ours are
        ways: dict[str, Callable[[int], object]] = {
            "worktree": lambda n: git(source, "worktree", "add", "-q", "--detach", str(home / f"worktree-{n}")),
            "ours": lambda n: made.append(workspaces.from_git(source)),
            "cp": lambda n: subprocess.run(["cp", "-r", source, home / f"copy-{n}"], check=True),
            "copy": lambda n: made.append(workspaces.from_folder(source, leave_out=())),
        }
        columns: dict[str, list[float]] = {key: [] for key in (*ways, "discard")}
        for number in range(ROUNDS):
            for key in ways if number % 2 == 0 else reversed(ways):
                columns[key].append(timed(lambda: ways[key](number)))  # noqa: B023 - called at once
        for workspace in made:
            columns["discard"].append(timed(lambda: workspace.discard("succeeded")))  # noqa: B023 - called at once
        return columns


def take(quick: bool = False) -> Iterator[Figure]:
    times = {what: median(taken) for what, taken in measure().items()}
    name, git_s = f"off a commit, {FILES:,} files", times["worktree"]
    yield lower(name, times["ours"], "s", "bare `git worktree add`", git_s, aim=GOAL_S, aim_of="value")
    yield lower("as a copy", times["copy"], "s", "`cp -r`", times["cp"])
    yield lower("removing one", times["discard"], "s", "making one off a commit", times["ours"])
