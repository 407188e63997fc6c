"""Checks that are shell text: the exit status decides, and what is printed says how many and where."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daybreak.checks import transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.validate import pythontools, readings
from daybreak.factory.validate.guards import (
    MARKS_MAX,
    MESSAGE_CHARS_MAX,
    Guards,
    Looked,
    coverage_evidence,
    out_of_time,
)
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.readings import Tests
from daybreak.factory.validate.running import Room
from daybreak.host.process import Finished

NOT_FOUND = frozenset({126, 127})
_PLACE = re.compile(r"^(?P<path>[^\s:(][^:(\n]*?)(?:[:(](?P<line>\d+)(?:[:,]\d+)?\)?)[:)]? *(?P<message>.+)$")
_OFFLINE = re.compile(
    r"no matching package|failed to (?:download|get `|load source)|Cannot access \S+ .* in offline mode|"
    r"has not been downloaded|No cached version|module lookup disabled by GOPROXY=off|Cannot find module '[^./]",
)
"""What tools say that miss a package which nobody has fetched."""


def look(check: Planned, room: Room, workspace: str, *, before: Guards | None = None) -> Looked:
    """Run it on a copy. Raises what starting a program in a sandbox raises."""
    place = room.place("run")
    finished = room.shell(check.command, check.language, place)
    printed = transcripts.text(finished.stdout + b"\n" + finished.stderr)
    if check.kind == "tests":
        tests = readings.read(check.reading, printed)
        looked = [_tests(check, finished, tests, printed, workspace, before, out_of_time(finished, room.limit_s))]
        if check.language in ("go",):
            looked.append(coverage_evidence(check.language, tests.coverage, workspace, check.command))
        return Looked(tuple(looked), Guards(passed=tuple(sorted(tests.passed)), count=tests.counts[0]))
    return Looked((_findings(check, finished, printed, place / "copy", workspace),))


def _unusable(finished: Finished, printed: str) -> str:
    """Why nothing can be said about the project; empty where something can."""
    if finished.cancelled:
        return "it was cancelled"
    if finished.exit_code in NOT_FOUND:
        return f"a program is not there: {_last(printed)}"
    if not finished.ok and (found := _OFFLINE.search(printed)):
        return f"it needs packages that are not on this machine: {found[0]}"
    return ""


def _tests(
    check: Planned,
    finished: Finished,
    tests: Tests,
    printed: str,
    workspace: str,
    before: Guards | None,
    late: str,
) -> Evidence:
    passed, failed, skipped = tests.counts
    problems = _regressions(tests, before)
    regressions = len(problems)
    unusable = _unusable(finished, printed) if not tests.known else ""
    if failed:
        some = f": {', '.join(sorted(tests.failed)[:3])}" if tests.failed else ""
        problems.append(f"{failed} failed{some}")
    elif not finished.ok:
        problems.append(f"it did not end well: {finished.ending}: {late or _last(printed)}")
    elif not passed and (tests.known or check.reading != "any"):
        problems.append("no test was executed and passed")
    words = f"{passed} passed" if tests.known else "it ended with 0; how many tests it ran is not known"
    marks = [Mark(message=transcripts.cut(one, MESSAGE_CHARS_MAX)) for one in problems]
    marks += [
        Mark(message=transcripts.cut(why or "it failed", MESSAGE_CHARS_MAX), place=name)
        for name, why in sorted(tests.failed.items())
    ]
    if problems and not tests.failed:
        marks.append(Mark(message=transcripts.cut(printed.strip(), MESSAGE_CHARS_MAX)))
    counts: dict[str, float] = {"passed": passed, "failed": failed, "skipped": skipped, "regressions": regressions}
    if tests.known or problems:
        counts["tests"] = passed + failed
    return Evidence(
        check=check.name,
        workspace=workspace,
        outcome="unusable" if unusable else "failed" if problems else "passed",
        summary=" ".join((unusable or "; ".join(problems[:3]) or words).split())[:1000],
        command=check.command,
        counts=counts,
        marks=tuple(marks[:MARKS_MAX]),
        output=transcripts.of(finished),
        duration_ms=finished.duration_ms,
    )


def _regressions(tests: Tests, before: Guards | None) -> list[str]:
    if before is None:
        return []
    broken = sorted(set(before.passed) & set(tests.failed))
    lost = sorted(set(before.passed) - tests.passed - set(tests.failed))
    problems = []
    if broken:
        problems.append(f"{len(broken)} tests that passed before fail: {', '.join(broken[:3])}")
    if lost:
        problems.append(f"{len(lost)} tests that passed before were skipped or not run: {', '.join(lost[:3])}")
    if not problems and not before.passed and tests.counts[0] < before.count:
        problems.append(f"{before.count} tests passed before, and now {tests.counts[0]}")
    return problems


def _findings(check: Planned, finished: Finished, printed: str, copy: Path, workspace: str) -> Evidence:
    unusable = _unusable(finished, printed)
    marks = _marks(check, finished, copy) if not unusable else []
    failed = bool(marks) or not finished.ok
    if failed and not marks and not unusable:
        marks = [Mark(message=transcripts.cut(printed.strip() or finished.ending, MESSAGE_CHARS_MAX))]
    return Evidence(
        check=check.name,
        workspace=workspace,
        outcome="unusable" if unusable else "failed" if failed else "passed",
        summary=unusable or pythontools.counted(len(marks)),
        command=check.command,
        counts={} if unusable else {"findings": len(marks)},
        marks=tuple(marks[:MARKS_MAX]),
        output=transcripts.of(finished),
        duration_ms=finished.duration_ms,
    )


def _marks(check: Planned, finished: Finished, copy: Path) -> list[Mark]:
    """Places that are named in what it printed."""
    printed = transcripts.text(finished.stdout + b"\n" + finished.stderr)
    if check.reading == "eslint":
        return _eslint(finished.stdout, copy)
    if check.reading == "output":
        lines = transcripts.text(finished.stdout).splitlines()
        return [
            Mark(message="not as the formatter would write it", place=_inside(line, copy))
            for line in lines
            if line.strip()
        ]
    if finished.ok:
        return []
    found = (_PLACE.match(line.strip()) for line in printed.splitlines())
    return [
        Mark(message=one["message"].strip()[:MESSAGE_CHARS_MAX], place=f"{_inside(one['path'], copy)}:{one['line']}")
        for one in found
        if one
    ]


def _eslint(printed: bytes, copy: Path) -> list[Mark]:
    try:
        told: Sequence[Any] = json.loads(printed)
        return [
            Mark(
                message=f"{one.get('ruleId')}: {one['message']}",
                place=f"{_inside(file['filePath'], copy)}:{one.get('line', 0)}",
            )
            for file in told
            for one in file["messages"]
            if one.get("severity") == 2
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _inside(path: str, copy: Path) -> str:
    return path.strip().removeprefix(f"{copy}/").removeprefix("./")[:500]


def _last(printed: str) -> str:
    lines = [line for line in printed.strip().splitlines() if line.strip()]
    return transcripts.cut(lines[-1], 300) if lines else "nothing was printed"
