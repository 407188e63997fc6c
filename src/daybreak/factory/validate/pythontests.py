"""Running a Python project's own tests: under watch where they are plain pytest, with coverage, in its environment.

What cannot be imported because it is not installed is no failing test: it says something about this machine.
"""

from __future__ import annotations

import json
import os
import re
import site
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from daybreak.checks import transcripts, watched
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.repository import checks as repositorychecks
from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository import running, weighing
from daybreak.factory.repository.checks import NotRunnable
from daybreak.factory.repository.running import Seen
from daybreak.factory.validate import commands
from daybreak.factory.validate.guards import (
    MARKS_MAX,
    MESSAGE_CHARS_MAX,
    Guards,
    Looked,
    coverage_evidence,
    out_of_time,
)
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.running import Room

PLUGIN = Path(__file__).parent / "plugin"
COVERAGE = "coverage.json"
_COVERAGE_BYTES_MAX = 4096
_NOT_THERE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
WEIGHED_MAX = 60


def look(
    check: Planned,
    room: Room,
    workspace: str,
    code: Sequence[str],
    *,
    before: Guards | None = None,
    free: Sequence[str] = (),
    weigh: bool = False,
    measure: bool = True,
) -> Looked:
    """Run the tests on a copy, and see them in the light of `before`, what was seen of the state that this one comes
    from: tests in the files `free` may have gone. `weigh`: a worker has made this, so tests that it mended must
    also fail where the program is broken. `measure`: with coverage, which takes a multiple of the time where loops are
    tight. Raises what starting a program in a sandbox raises."""
    [planned] = repositorychecks.plan([check.command])
    if planned.pytest is None:  # then only what they print and how they end is known
        return commands.look(check.model_copy(update={"reading": "any"}), room, workspace, before=before)
    place = room.scratch / "run"
    measured = replace(
        planned,
        pytest=replace(
            planned.pytest,
            arguments=(*planned.pytest.arguments, "-p", "daybreak_measuring"),
            environment={**planned.pytest.environment, **_telling(room, place, code, measure=measure)},
        ),
    )
    seen = running.run(measured, room.bench, place)
    if late := out_of_time(seen.finished, room.limit_s):
        seen = replace(seen, problems=(*seen.problems, late))
    assert seen.tally is not None, "pytest is always under watch"
    problems = _regressions(seen, before, free)
    missing = _missing(seen, room.files)
    duration_ms = seen.finished.duration_ms
    counting = ""
    mended = sorted(seen.tally.passed - set(before.passed)) if before is not None else []
    if weigh and not problems and mended and code:
        found, more_ms = _weighed(planned, seen, room, code, mended)
        problems += found
        duration_ms += more_ms
        counting = f", {len(mended)} of them did not before" if not found else ""
    tests = _evidence(check, seen, problems, missing, workspace, counting, duration_ms)
    percent = _percent(place / "home" / COVERAGE)
    beside = coverage_evidence("python", percent, workspace, check.command)
    return Looked((tests, beside), _guards(seen))


def _telling(room: Room, place: Path, code: Sequence[str], *, measure: bool) -> dict[str, str]:
    """Variables that the plugin and Python read."""
    copy = place / "copy"
    roots = [copy / "src", copy] if (room.files / "src").is_dir() else [copy]
    libraries = [path for path in site.getsitepackages() if (Path(path) / "coverage").is_dir()]
    return {
        "PYTHONPATH": os.pathsep.join(map(str, [PLUGIN, *roots])),
        "DAYBREAK_COVERAGE": str(place / "home" / COVERAGE) if measure else "",
        "DAYBREAK_SOURCE": os.pathsep.join(str(copy / one) for one in measured_roots(code)),
        "DAYBREAK_TREE": str(copy),
        "DAYBREAK_LIBRARIES": libraries[0] if libraries else "",
    }


def measured_roots(code: Sequence[str]) -> list[str]:
    """Folders whose lines count for coverage: `src`, otherwise packages at the top that hold no tests."""
    tops = {path.split("/")[0] for path in code if "/" in path and not repositoryguard.is_test(path)}
    if "src" in tops:
        return ["src"]
    packages = {top for top in tops if f"{top}/__init__.py" in code}
    return sorted(packages) or sorted(tops - {"docs", "examples", "scripts", "benchmarks", "tools"}) or ["."]


def _percent(path: Path) -> float | None:
    """What the plugin has written, if it is no more than two numbers: the tests could have written it as well."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        told = file.read(_COVERAGE_BYTES_MAX)
    try:
        said = json.loads(told)
        statements, covered = said["statements"], said["covered"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(statements) is not int or type(covered) is not int or not 0 <= covered <= statements or not statements:
        return None
    return int(covered * 1000 // statements) / 10


# -- what was seen


def _missing(seen: Seen, files: Path) -> dict[str, list[str]]:
    """Modules that are not installed, and the tests that need them."""
    assert seen.tally is not None
    own = {path.name.removesuffix(".py") for folder in (files, files / "src", files / "tests") if folder.is_dir()
           for path in folder.iterdir()}  # fmt: skip
    found: dict[str, list[str]] = {}
    for test, why in seen.tally.failed.items():
        for module in _NOT_THERE.findall(why)[-1:]:
            name = module.split(".")[0]
            if name not in own and name not in sys.stdlib_module_names:
                found.setdefault(name, []).append(test)
    if not seen.tally.items and not found:  # a conftest.py that cannot be loaded ends the run before any test
        for module in _NOT_THERE.findall(transcripts.text(seen.printed))[-1:]:
            name = module.split(".")[0]
            if name not in own and name not in sys.stdlib_module_names and name != "pytest":
                found[name] = []
    return found


def _regressions(seen: Seen, before: Guards | None, free: Sequence[str]) -> list[str]:
    """What passed before and does not any more, and what was not done to the run of the tests before."""
    if before is None:
        return []
    tally = seen.tally
    assert tally is not None
    if tally.end is None:
        return ["nothing is known of the tests any more"] if before.passed else []
    guards = {test for test in before.passed if test.split("::")[0] not in free}
    problems = [trick for trick in seen.tricks if trick not in before.tricks]
    if broken := sorted(guards & set(tally.failed)):
        problems.append(f"{len(broken)} tests that passed before fail: {watched.some(broken)}")
    if lost := sorted(guards - tally.passed - set(tally.failed)):
        problems.append(f"{len(lost)} tests that passed before were skipped or not run: {watched.some(lost)}")
    return problems


def _weighed(
    planned: repositorychecks.Check, seen: Seen, room: Room, code: Sequence[str], tests: Sequence[str]
) -> tuple[list[str], int]:
    """Do these tests, which pass, fail where the functions of the program are broken?"""
    step = max(1, len(tests) // WEIGHED_MAX)
    sources = [path for path in code if not repositoryguard.is_test(path)]
    first_s = seen.finished.duration_ms / 1000
    try:
        weighed = weighing.weigh(
            planned, room.bench, room.scratch / "weighed", sources, tests[::step][:WEIGHED_MAX], first_s
        )
    except NotRunnable as error:
        return [error.message], 0
    return (weighed.problems(), weighed.duration_ms) if weighed is not None else ([], 0)


def _evidence(
    check: Planned,
    seen: Seen,
    regressions: Sequence[str],
    missing: Mapping[str, Sequence[str]],
    workspace: str,
    counting: str,
    duration_ms: int,
) -> Evidence:
    tally = seen.tally
    assert tally is not None
    away = {test for tests in missing.values() for test in tests}
    failed = {test: why for test, why in tally.failed.items() if test not in away}
    needs = [
        f"{name} is not installed here, and {len(tests) or 'all'} test files need it" for name, tests in missing.items()
    ]
    own = [
        one for one in seen.problems if not missing or not one.startswith((f"{len(tally.failed)} failed", "no test"))
    ]
    if missing and failed:
        own.append(f"{len(failed)} failed: {watched.some(sorted(failed))}")
    problems = [*regressions, *own]
    outcome = "passed"
    if seen.finished.cancelled or seen.unusable:
        outcome = "unusable"
    elif problems:
        outcome = "failed"
    elif missing:
        outcome = "unusable"
    marks = [Mark(message=transcripts.cut(one, MESSAGE_CHARS_MAX)) for one in (*problems, *needs)]
    marks += [
        Mark(message=transcripts.cut(why, MESSAGE_CHARS_MAX), place=watched.short(test))
        for test, why in sorted(failed.items())
    ]
    passed = f"{len(tally.passed)} passed{counting}"
    summary = "; ".join(transcripts.cut(one, 400) for one in [*problems, *needs][:3])
    return Evidence.model_validate(
        {
            "check": check.name,
            "workspace": workspace,
            "outcome": outcome,
            "summary": " ".join((summary or passed).split())[:1000],
            "command": check.command,
            "counts": {
                "tests": len(tally.passed) + len(failed),
                "passed": len(tally.passed),
                "failed": len(failed),
                "skipped": len(tally.skipped),
                "not_importable": len(away),
                "regressions": len(regressions),
            },
            "marks": tuple(marks[:MARKS_MAX]) if outcome != "passed" else (),
            "output": transcripts.cut(seen.output),
            "duration_ms": duration_ms,
        }
    )


def _guards(seen: Seen) -> Guards:
    tally = seen.tally
    assert tally is not None
    return Guards(passed=tuple(sorted(tally.passed)), tricks=seen.tricks, count=len(tally.passed))
