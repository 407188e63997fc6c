"""Merging by meaning against plain `git merge-file` (and `git merge-tree` for folders) on the merge corpus.

    python -m benchmarks merging

Right: the expected result, or one that means the same (the same syntax tree but for the order of definitions, the same
values), or a conflict where there is one. Wrong: a clean merge that is none of these, the worst outcome because nobody
looks at it. Conflict: one where a careful person merges.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import Figure, higher, lower
from daybreak.host.merge import Conflicts, Merged, merge, merge_trees

CORPUS = Path(__file__).parents[1] / "tests" / "corpus" / "merge"
GROUPS = {
    "py": "Python",
    "json": "JSON",
    "yaml": "YAML",
    "toml": "TOML",
    "text": "text",
    "binary": "binary",
    "tree": "trees",
}
Outcome = str
"""right, wrong or conflict."""


def by_git(folder: Path) -> bytes | None:
    """None for a conflict."""
    with tempfile.TemporaryDirectory() as name:
        for side in ("base", "ours", "theirs"):
            Path(name, side).write_bytes((folder / side).read_bytes())
        command = ["git", "merge-file", "-p", "-q", "ours", "base", "theirs"]
        done = subprocess.run(command, cwd=name, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def tree_by_git(folder: Path) -> dict[str, tuple[bytes, bool]] | None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)

        def git(*arguments: str, work: Path = place, ok: tuple[int, ...] = (0,)) -> str:
            who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
            places = {"GIT_DIR": str(place / "git"), "GIT_WORK_TREE": str(work), "GIT_CONFIG_GLOBAL": os.devnull}
            environment = {"PATH": os.environ["PATH"], **who, **places}
            done = subprocess.run(["git", *arguments], cwd=place, env=environment, capture_output=True, text=True)
            assert done.returncode in ok, done.stderr
            return done.stdout if done.returncode == 0 else ""

        git("init", "-q")
        commits: list[str] = []
        for side in ("base", "ours", "theirs"):
            git("add", "-A", work=(folder / side).resolve())
            parents = ["-p", commits[0]] if commits else []
            commits.append(git("commit-tree", git("write-tree").strip(), *parents, "-m", side).strip())
        tree = git("merge-tree", "--write-tree", commits[1], commits[2], ok=(0, 1)).strip()
        if not tree:
            return None
        (out := place / "out").mkdir()
        git("read-tree", tree)
        git("checkout-index", "-a", work=out)
        return files(out)


def files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file()
    }


def meaning(content: bytes, path: str) -> Any:
    """Equal for contents that mean the same; None where it cannot be read."""
    try:
        if path.endswith(".py"):
            return _unordered(ast.parse(content))
        if path.endswith(".json"):
            return json.loads(content)
        if path.endswith((".yml", ".yaml")):
            return yaml.safe_load(content)
        return tomllib.loads(content.decode()) if path.endswith(".toml") else None
    except (SyntaxError, ValueError, yaml.YAMLError):
        return None


def _unordered(node: ast.Module | ast.ClassDef) -> list[str]:
    """Definitions and imports in any order, the rest in its own."""
    free = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom)
    rest = [ast.dump(one) for one in node.body if not isinstance(one, (*free, ast.ClassDef))]
    names = sorted(ast.dump(one) for one in node.body if isinstance(one, free))
    classes = [(one.name, _unordered(one)) for one in node.body if isinstance(one, ast.ClassDef)]
    return [*names, *map(repr, sorted(classes)), *rest]


def judged(folder: Path, found: Any, path: str) -> Outcome:
    """`found`: the merged bytes or tree, or None for a conflict."""
    if not (folder / "expected").exists():
        return "right" if found is None else "wrong"
    if found is None:
        return "conflict"
    if isinstance(found, dict):
        return "right" if found == files(folder / "expected") else "wrong"
    wanted = (folder / "expected").read_bytes()
    same = found == wanted or (meaning(wanted, path) is not None and meaning(found, path) == meaning(wanted, path))
    return "right" if same else "wrong"


def ours(folder: Path, path: str) -> Any:
    if (folder / "base").is_dir():
        with tempfile.TemporaryDirectory() as name:
            result = merge_trees(folder / "base", folder / "ours", folder / "theirs", Path(name, "out"))
            return None if isinstance(result, Conflicts) else files(Path(name, "out"))
    base, one, other = ((folder / side).read_bytes() for side in ("base", "ours", "theirs"))
    found = merge(base, one, other, path)
    return found.content if isinstance(found, Merged) else None


def take(quick: bool = False) -> Iterator[Figure]:
    counts: Counter[tuple[str, str, Outcome]] = Counter()
    worse, taken = [], {"ours": 0.0, "git": 0.0}
    for folder in sorted(CORPUS.iterdir()):
        path, group = json.loads((folder / "case.json").read_text())["path"], GROUPS[folder.name.split("-")[0]]
        started = time.perf_counter()
        mine = ours(folder, path)
        between = time.perf_counter()
        theirs = tree_by_git(folder) if (folder / "base").is_dir() else by_git(folder)
        taken["ours"] += between - started
        taken["git"] += time.perf_counter() - between
        verdict = judged(folder, mine, path)
        counts["ours", group, verdict] += 1
        counts["git", group, judged(folder, theirs, path)] += 1
        if verdict != "right":
            worse.append(f"{folder.name}: {verdict}")
    _table(counts)
    for line in worse:
        print("  not right:", line)
    cases = sum(1 for _ in CORPUS.iterdir())
    if not quick:  # starting a process, or our own processor time: not the same from machine to machine
        yield lower("a case", taken["ours"] / cases * 1000, "ms", "git", taken["git"] / cases * 1000)
    right, wrong = ({who: _total(counts, who, what) for who in ("ours", "git")} for what in ("right", "wrong"))
    yield higher("merged right", right["ours"], "cases", "git", right["git"])
    yield lower("merged wrong", wrong["ours"], "cases", "git", wrong["git"], aim=0, aim_of="value")


def _total(counts: Counter[tuple[str, str, Outcome]], who: str, outcome: Outcome) -> int:
    return sum(counts[who, group, outcome] for group in GROUPS.values())


def _table(counts: Counter[tuple[str, str, Outcome]]) -> None:
    print(f"{'':8}{'by meaning':>27}{'git':>33}")
    print(f"{'':8}" + f"{'right':>9}{'WRONG':>9}{'conflict':>9}{'':6}" * 2)
    for group in GROUPS.values():
        line = f"{group:8}"
        for who in ("ours", "git"):
            line += "".join(f"{counts[who, group, outcome]:>9}" for outcome in ("right", "wrong", "conflict"))
            line += f"{'':6}"
        print(line.rstrip())
