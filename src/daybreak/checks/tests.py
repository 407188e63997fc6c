"""Check `tests`: the project's own tests, run by us, counted by us, and run again on a broken program."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
import threading
from pathlib import Path

from daybreak.checks import sandboxed, transcripts, twins, watched
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.watched import Tally
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "tests"
MARKS_MAX = 100
SKIPPED_SHARE_MAX = 0.5
MESSAGE_CHARS_MAX = 4_000
COVERAGE_BYTES_MAX = 100_000_000
_TESTS_FAILED = 1
"""pytest's exit status when a test failed, as the one of ours must."""

# Our own list: `pragma: no cover` is not on it, since it would let a project choose what is measured.
_NOT_MEASURED = ("if TYPE_CHECKING:", "@overload", r"^\s*\.\.\.$", r"if __name__ == .__main__.:")


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    coverage_min: float = 85,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 300,
    cancelled: threading.Event | None = None,
    trusted: bool = False,
) -> Evidence:
    """Run pytest over `tests` in copies of `tree`, with our configuration and none of the project's.

    Passed: tests were executed, none failed, none was hidden, deselected or tampered with, the lines of `src`
    are covered to at least `coverage_min` percent, and at least half of the tests count (see `twins`): they pass
    also on a copy of the program that does the same, and not on one that is broken. A suite that did not pass is
    not run on those, nor is a `trusted` one: of the embedded builder, which is as much ours as this check.
    `timeout_s` is for each run.
    """
    if not (tree / "tests").is_dir():
        return Evidence(check=CHECK, workspace=workspace, outcome="failed", summary="there are no tests")
    weighed: twins.Weighed | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=scratch.resolve()))
        place = folder / "run"
        place.mkdir()
        shutil.copytree(tree, place / "copy", symlinks=True)
        finished, tally = watched.run(place, measured=True, timeout_s=timeout_s, cancelled=cancelled, require=require)
        problems = _problems(tally, finished)
        coverage = None
        measured = not problems  # of a failed run it would say nothing
        if measured:
            coverage = _coverage(tree, place, require)
        if measured and not trusted:
            place.rename(folder / "first")
            try:
                weighed = twins.weigh(
                    *(tree, place, tally.passed),
                    first_s=finished.duration_ms / 1000,
                    timeout_s=timeout_s,
                    require=require,
                    cancelled=cancelled,
                )
            except twins.NotAltered as error:
                problems.append(error.message)
    except (HostError, OSError) as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=f"could not look: {error}")
    if weighed is not None:
        problems += weighed.problems()
    if measured:
        problems += _uncovered(coverage, coverage_min)
    return _evidence(workspace, finished, tally, problems, coverage, weighed)


def _uncovered(coverage: float | None, coverage_min: float) -> list[str]:
    if coverage is None:
        return ["coverage could not be measured"]
    return [f"coverage is {coverage:g} %, {coverage_min:g} % are needed"] if coverage < coverage_min else []


def _evidence(
    workspace: str,
    finished: process.Finished,
    tally: Tally,
    problems: list[str],
    coverage: float | None,
    weighed: twins.Weighed | None,
) -> Evidence:
    problems = [transcripts.cut(problem, MESSAGE_CHARS_MAX) for problem in problems]
    counts: dict[str, float] = {
        "tests": len(tally.passed) + len([test for test in tally.failed if test in tally.items]),
        "passed": len(tally.passed),
        "failed": len(tally.failed),
        "skipped": len(tally.skipped),
        **({"coverage": coverage} if coverage is not None else {}),
        **({"counting": len(weighed.counting)} if weighed is not None else {}),
    }
    marks = [Mark(message=problem) for problem in problems]
    marks += [
        Mark(message=transcripts.cut(why, MESSAGE_CHARS_MAX), place=watched.short(test))
        for test, why in sorted(tally.failed.items())[:MARKS_MAX]
    ]
    passed = f"{len(tally.passed)} passed"
    if weighed is not None:
        passed += f" ({len(weighed.counting)} of them fail when the program is broken)"
    if coverage is not None:
        passed += f", coverage {coverage:g} %"
    cancelled = finished.cancelled or (weighed is not None and weighed.cancelled)
    said = [f"({watched.short(tally.own_test)} is a test of this check that must fail)"]
    if weighed is not None and (idle := sorted(weighed.unmoved | weighed.unsteady)):
        said.append(f"({len(idle)} of {len(tally.passed)} tests prove nothing: {watched.some(idle)})")
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="unusable" if cancelled else "failed" if marks else "passed",
        summary="; ".join(problems[:3]) if problems else passed,
        command="pytest tests, with coverage of src"
        + ("; again on a working and on a broken copy of src" if weighed is not None else ""),
        counts=counts,
        marks=tuple(marks[:MARKS_MAX]),
        output="\n".join([*said, transcripts.of(finished)]),
        duration_ms=finished.duration_ms + (weighed.duration_ms if weighed is not None else 0),
    )


def _problems(seen: Tally, finished: process.Finished) -> list[str]:
    """Why the tests as a whole did not pass. Takes the test of ours out of the counts."""
    if finished.ended_by_us:
        return [f"the tests did not come to their end: {finished.ending}"]
    if seen.end is None:
        ended = f"the tests ended the test run itself ({finished.ending}), so nothing is known of them"
        return [ended, *dict.fromkeys(seen.tricks)]
    problems = list(dict.fromkeys(seen.tricks))
    if seen.own_test not in seen.failed or seen.own_test in seen.passed:
        problems.append("a test that must fail was not seen to fail: results are changed, or tests are hidden")
    elif finished.exit_code != _TESTS_FAILED or seen.end != _TESTS_FAILED:
        problems.append(f"the exit status {finished.exit_code} does not fit what was seen")
    seen.failed.pop(seen.own_test, None)
    seen.items.discard(seen.own_test)
    if hidden := sorted(seen.written - {item.partition("[")[0] for item in seen.items}):
        problems.append(f"{len(hidden)} tests are written but never collected: {watched.some(hidden)}")
    if lost := sorted(seen.items - seen.passed - seen.skipped - set(seen.failed)):
        problems.append(f"{len(lost)} tests have no result: {watched.some(lost)}")
    if seen.failed:
        problems.append(f"{len(seen.failed)} failed: {watched.some(sorted(seen.failed))}")
    if len(seen.skipped) > SKIPPED_SHARE_MAX * max(1, len(seen.items)):
        problems.append(f"{len(seen.skipped)} of {len(seen.items)} tests were skipped")
    if not seen.passed:
        problems.append("no test was executed and passed")
    return problems


def _coverage(tree: Path, folder: Path, require: Strength) -> float | None:
    """Percent of the lines of src that ran, rounded down to a tenth; None where nothing was measured.

    Measured inside the tests' process, but counted in another one, with our own rules of what counts, over the
    sources as they were before. All that the tests could write is read in there only, and what comes out is a
    text that may hold anything.
    """
    copy, data, counting = folder / "copy", folder / "data", folder / "counting"
    try:
        if not stat.S_ISREG(os.lstat(data / "coverage").st_mode):
            return None  # a pipe would be waited for
    except FileNotFoundError:
        return None
    copy.rename(folder / "ran")
    shutil.copytree(tree, copy, symlinks=True)  # by the same names, which is how lines are known
    counting.mkdir()
    settings = counting / "coverage.ini"
    excluded = "\n    ".join(_NOT_MEASURED)
    settings.write_text(f"[run]\nsource = {copy / 'src'}\n[report]\nexclude_lines =\n    {excluded}\n")
    env = process.clean_environment(counting)
    finished = process.run(
        [
            *(sys.executable, "-I", "-m", "coverage", "json", "-q"),
            *(f"--rcfile={settings}", f"--data-file={data / 'coverage'}", "-o", "-"),
        ],
        cwd=copy,
        env=env,
        timeout_s=60,
        output_bytes_max=COVERAGE_BYTES_MAX,
        sandbox=sandboxed.around(*sandboxed.homes(counting), readable=[settings, data, copy], require=require),
    )
    return percent(finished.stdout) if finished.ok else None


def percent(counted: bytes) -> float | None:
    """The number in a report of coverage.py; None where it is none."""
    try:
        totals = json.loads(counted)["totals"]
        statements, covered = totals["num_statements"], totals["covered_lines"]
        if type(statements) is not int or type(covered) is not int or not 0 <= covered <= statements:
            return None
        return int(covered * 1000 // statements) / 10 if statements else 100.0
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
