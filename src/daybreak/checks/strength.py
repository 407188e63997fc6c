"""Check `mutation`: how many slightly wrong programs the project's own tests would accept.

A sample of small changes (see `mutants`) is made of the functions that changed, and the tests are run on each, the
ones that reach the changed line first and no others. A change that no test notices *survives*; some survivors do
exactly what the program does, which nobody can decide, so that a share and no list decides the outcome.

Tests could seem strong by failing on every text that is not the program's. So changes that change nothing run along
under the same conditions, in each process one; tests that fail on them prove nothing, and the check fails. As with
`twins`, code that works out what a change does, or reaches into the runner, can still lie; what stands in the way is
the sandbox, and that it has to be written into the tests for somebody to find.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daybreak.checks import mutated, sandboxed
from daybreak.checks.evidence import Evidence, Mark, Outcome
from daybreak.checks.mutated import SRC, Change, NotMutated, Reached, Suite
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "mutation"
STRENGTH_MIN = 60.0
"""Percent of the changes that have to be noticed, where nothing else is said."""
MOST = 40
BUDGET_S = 60.0
BATCH = 10
"""Changes in one process: to start it, and to import what they need, takes as long as to try a few."""
MARKS_MAX = 50
LISTING_S_MAX = 60.0
_MUTANTS = str(Path(__file__).with_name("mutants.py"))


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    seed: str = "",
    base: Path | None = None,
    most: int = MOST,
    strength_min: float = STRENGTH_MIN,
    budget_s: float = BUDGET_S,
    module: bool = False,
    lanes: int = 1,
    batch: int = BATCH,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 300,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Try at most `most` changes of the functions in `src` (with `base`, another tree: only of those that differ from
    it; with `module`, also outside of functions), for `budget_s` seconds, in `lanes` processes at a time.

    Passed: at least `strength_min` percent were noticed. Killed changes are those on which a test failed or hung;
    `not_covered` ones, which no test reaches, are not run and count as not noticed. `timeout_s` is for the one run of
    all tests before. The same seed and sources give the same sample; how much of it is tried depends on the time.
    """
    started = time.monotonic()
    try:
        folder = Path(tempfile.mkdtemp(prefix="mutation-", dir=scratch.resolve()))
        plain = folder / "plain"
        shutil.copytree(tree, plain, symlinks=True)
        shutil.rmtree(plain / "tests" / "__pycache__", ignore_errors=True)
        suite = Suite(plain, folder / "runs", require, cancelled)
        suite.folder.mkdir()
        reached = suite.measure(timeout_s)
        changes, controls = _changes(plain, base, folder, reached, (seed, most, batch, module), require)
        parts = _parts([change for change in changes if change.covered], controls, batch)
        outcomes = suite.outcomes(parts, reached, budget_s=budget_s, lanes=lanes)
    except NotMutated as why:
        return _evidence(workspace, started, "failed", why.message)
    except (HostError, OSError) as error:
        return _evidence(workspace, started, "unusable", f"could not look: {error}")
    if cancelled is not None and cancelled.is_set():
        return _evidence(workspace, started, "unusable", "it was cancelled")
    return _judged(workspace, started, changes, controls, outcomes, strength_min)


# -- what there is to change


def _changes(
    plain: Path,
    base: Path | None,
    folder: Path,
    reached: Reached,
    sample: tuple[str, int, int, bool],
    require: Strength,
) -> tuple[list[Change], list[Change]]:
    seed, most, batch, module = sample
    place = folder / "listing"
    place.mkdir()
    readable = [plain]
    before = None
    if base is not None and (base / SRC).is_dir():
        before = place / "base"
        shutil.copytree(base / SRC, before, symlinks=True)
        readable.append(before)
    order = {
        "src": str(plain / SRC),
        "base": str(before) if before else None,
        "seed": seed,
        "most": most,
        "controls": most // max(1, batch) + 1,
        "module": module,
    }
    finished = process.run(
        [sys.executable, "-I", "-S", _MUTANTS, "list"],
        cwd=place,
        env=process.clean_environment(place),
        stdin=json.dumps(order).encode(),
        timeout_s=LISTING_S_MAX,
        output_bytes_max=mutated.TOLD_BYTES_MAX,
        sandbox=sandboxed.around(*sandboxed.homes(place), readable=readable, require=require),
    )
    try:
        if not finished.ok:
            raise ValueError(finished.ending)
        said = json.loads(finished.stdout)
        made = [_change(number, one, reached) for number, one in enumerate(said["mutants"])]
        controls = [_change(-1 - number, one, reached) for number, one in enumerate(said["controls"])]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotMutated(
            f"no changes can be made of the sources: {finished.ending}",
            hint="look for a file in src that is very large or deeply nested, and split it",
        ) from error
    return made, [one for one in controls if one.covered]


def _change(id_: int, told: dict[str, Any], reached: Reached) -> Change:
    path, line = str(told["path"]), int(told["line"])
    tests, covered = reached.of(path, line)
    return Change(
        *(id_, path, line, str(told["words"])[:300], int(told["start"]), int(told["end"]), str(told["text"])),
        *(tests, covered and bool(tests), reached.time_s(tests)),
    )


def _parts(changes: Sequence[Change], controls: Sequence[Change], batch: int) -> list[list[Change]]:
    """The changes in parts, in each of them one that changes nothing, nobody knows where."""
    parts = [list(changes[at : at + batch]) for at in range(0, len(changes), max(1, batch))]
    for number, part in enumerate(parts):
        if controls:
            part.insert(secrets.randbelow(len(part) + 1), controls[number % len(controls)])
    return parts


# -- judging


def _judged(
    workspace: str,
    started: float,
    changes: Sequence[Change],
    controls: Sequence[Change],
    outcomes: Mapping[int, str],
    strength_min: float,
) -> Evidence:
    reach = max((id_ for id_ in outcomes if id_ >= 0), default=-1)
    if not any(change.covered for change in changes):
        reach = len(changes)
    uncovered = [change for change in changes if not change.covered and change.id <= reach]
    survived = [change for change in changes if outcomes.get(change.id) == "survived"]
    timeout = sum(outcomes.get(change.id) == "timeout" for change in changes)
    killed = timeout + sum(outcomes.get(change.id) == "killed" for change in changes)
    viable = killed + len(survived) + len(uncovered)
    score = 100.0 * killed / viable if viable else 100.0
    counts: dict[str, float] = {
        "mutants": viable,
        "killed": killed,
        "survived": len(survived),
        "timeout": timeout,
        "not_covered": len(uncovered),
        "score": int(score * 10) / 10,
        "not_tried": len(changes) - viable,
    }
    if not changes:
        return _evidence(workspace, started, "passed", "there is nothing in src to change", counts)
    if not viable:
        return _evidence(workspace, started, "unusable", "could not look: no change was tried in time", counts)
    false = sum(outcomes.get(control.id, "survived") != "survived" for control in controls)
    problems = []
    if false:
        problems.append(
            f"the tests fail on {false} copies of the program that do the same, so their failing says nothing"
        )
    if score < strength_min:
        problems.append(f"the tests notice {score:.0f} % of small mistakes, {strength_min:g} % are needed")
    marks = [Mark(message=problem) for problem in problems]
    marks += [
        Mark(
            message=f"{change.words} and {'no test noticed' if change.covered else 'no test reaches it'}",
            place=f"{SRC}/{change.path}:{change.line}",
        )
        for change in [*survived, *uncovered][:MARKS_MAX]
    ]
    summary = "; ".join(problems) or f"the tests notice {killed} of {viable} small mistakes"
    if left := len(changes) - viable:
        summary += f" ({left} more were not tried: the time was over)"
    return _evidence(workspace, started, "failed" if problems else "passed", summary, counts, marks)


def _evidence(
    workspace: str,
    started: float,
    outcome: Outcome,
    summary: str,
    counts: dict[str, float] | None = None,
    marks: Sequence[Mark] = (),
) -> Evidence:
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome=outcome,
        summary=summary,
        command="pytest tests on copies of src with one change in each",
        counts=counts or {},
        marks=tuple(marks),
        duration_ms=round((time.monotonic() - started) * 1000),
    )
