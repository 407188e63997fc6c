"""Check `base`: the project's tests fail where the program is not there yet, or does nothing.

A test that passes on nothing, or on a program whose every function does nothing, proves nothing. On a repository the
base is a working program, and a test that passes there is a guard: then at least one has to fail.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from daybreak.checks import sandboxed, watched
from daybreak.checks.evidence import Evidence, Mark, Outcome
from daybreak.errors import CheckError, HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "base"
SHARE_MIN = 0.5
"""Of the tests that pass, how many must fail on nothing and on what does nothing."""
BROKEN_S_MIN = 5.0
MAKING_S_MAX = 60.0
MARKS_MAX = 50
_NOTHING, _IDLE = "nothing", "a program that does nothing"
_MUTANTS = str(Path(__file__).with_name("mutants.py"))


class NotMade(CheckError):
    """A program that does nothing could not be made of the sources."""

    code = "C192"


def fails_on_base(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    base: Path | None = None,
    share_min: float = SHARE_MIN,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 300,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Run the tests of `tree` on its own sources, and on those of `base`; without one, on none, and on sources in
    which every function gives None.

    Passed: with `base`, at least one test that passes fails there; without, at least `share_min` of them fail both
    times. Counts: `tests`, `counting`.
    """
    if not (tree / "tests").is_dir():
        return _evidence(workspace, "failed", "there are no tests")
    try:
        folder = Path(tempfile.mkdtemp(prefix="base-", dir=scratch.resolve()))
        first, seen = _run(tree, tree / "src", folder / "as-is", timeout_s, require, cancelled)
        passed = set(seen.passed) - set(seen.failed) - {seen.own_test}
        limit_s = min(timeout_s, max(BROKEN_S_MIN, 2 * first.duration_ms / 1000))
        idle: dict[str, str] = {}
        others = [(_NOTHING, None), (_IDLE, tree / "src")] if base is None else [("the base", base / "src")]
        for kind, sources in others:
            place = folder / kind.replace(" ", "-")
            finished, seen = _run(tree, sources, place, limit_s, require, cancelled, null=kind == _IDLE)
            if finished.cancelled:
                return _evidence(workspace, "unusable", "it was cancelled")
            idle.update(dict.fromkeys(passed & seen.passed - set(seen.failed), kind))
    except NotMade as error:
        return _evidence(workspace, "failed", error.message)
    except (HostError, OSError) as error:
        return _evidence(workspace, "unusable", f"could not look: {error}")
    counting = len(passed) - len(idle)
    needed = 1 if base else max(1.0, share_min * len(passed))
    counts: dict[str, float] = {"tests": len(passed), "counting": counting}
    if counting >= needed:
        where = "the base" if base else "nothing and on a program that does nothing"
        return _evidence(workspace, "passed", f"{counting} of {len(passed)} tests fail on {where}", counts)
    marks = [Mark(message=f"it passes on {kind}", place=watched.short(test)) for test, kind in sorted(idle.items())]
    problem = (
        f"{len(idle)} of {len(passed)} tests pass without the program, so they prove nothing"
        if passed
        else "no test passes"
    )
    return _evidence(workspace, "failed", problem, counts, [Mark(message=problem), *marks[:MARKS_MAX]])


def _run(
    tree: Path,
    sources: Path | None,
    place: Path,
    timeout_s: float,
    require: Strength,
    cancelled: threading.Event | None,
    *,
    null: bool = False,
) -> tuple[process.Finished, watched.Tally]:
    """The tests of `tree` on other sources, or none."""
    copy = place / "copy"
    shutil.copytree(tree, copy, symlinks=True, ignore=lambda where, names: ["src"] if Path(where) == tree else [])
    if sources is not None and sources.is_dir():
        shutil.copytree(sources, copy / "src", symlinks=True)
    else:
        (copy / "src").mkdir()
    if null:
        _make_null(copy / "src", place, require)
    return watched.run(place, measured=False, timeout_s=timeout_s, cancelled=cancelled, require=require)


def _make_null(src: Path, place: Path, require: Strength) -> None:
    finished = process.run(
        [sys.executable, "-I", "-S", _MUTANTS, "null"],
        cwd=place,
        env=process.clean_environment(place),
        stdin=json.dumps({"src": str(src)}).encode(),
        timeout_s=MAKING_S_MAX,
        sandbox=sandboxed.around(src, *sandboxed.homes(place), require=require),
    )
    if not finished.ok:
        raise NotMade(
            f"no program that does nothing can be made of the sources: {finished.ending}",
            hint="look for a file in src that is very large or deeply nested, and split it",
        )


def _evidence(
    workspace: str,
    outcome: Outcome,
    summary: str,
    counts: dict[str, float] | None = None,
    marks: list[Mark] | None = None,
) -> Evidence:
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome=outcome,
        summary=summary,
        command="pytest tests, on other sources",
        counts=counts or {},
        marks=tuple(marks or ()),
    )
