"""Check `tests`: the project's own tests, run by us, counted by us."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.product import Product
from daybreak.errors import HostError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK = "tests"
MARKS_MAX = 100
SKIPPED_SHARE_MAX = 0.5
SEEN_BYTES_MAX = 100_000_000
NAME_CHARS_MAX, MESSAGE_CHARS_MAX = 300, 4_000
FORGED_LINES_MAX = 100
"""After so many lines that are not the watcher's nobody listens any more."""
COVERAGE_BYTES_MAX = 100_000_000
_WATCHING = str(Path(__file__).with_name("watching.py"))
_CHANNEL = 9
_TESTS_FAILED = 1
"""pytest's exit status when a test failed, as the one of ours must."""

# Our own list: `pragma: no cover` is not on it, since it would let a project choose what is measured.
_NOT_MEASURED = ("if TYPE_CHECKING:", "@overload", r"^\s*\.\.\.$", r"if __name__ == .__main__.:")


@dataclass(slots=True)
class Tally:
    """What the watcher told, by test."""

    items: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """With what it said. Errors of setup and teardown too."""
    tricks: list[str] = field(default_factory=list)
    own_test: str = ""
    end: int | None = None
    """Exit status that pytest gave, from the last line; None: there was none."""


def look(
    tree: Path,
    workspace: str,
    *,
    scratch: Path,
    coverage_min: float = 85,
    product: Product | None = None,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 300,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Run pytest over `tests` in a copy of `tree`, with our configuration and none of the project's.

    Passed: tests were executed, none failed, none was hidden, deselected or tampered with, and the lines of
    `src` are covered to at least `coverage_min` percent. `product` puts its commands on the tests' path.
    """
    if not (tree / "tests").is_dir():
        return Evidence(check=CHECK, workspace=workspace, outcome="failed", summary="there are no tests")
    try:
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=scratch.resolve()))
        copy = folder / "copy"
        shutil.copytree(tree, copy, symlinks=True)
        (folder / "data").mkdir()
        finished, tally = _run(copy, folder, product, timeout_s, cancelled, require)
        problems = _problems(tally, finished)
        coverage = None if problems else _coverage(tree, folder, require)  # of a failed run it would say nothing
    except (HostError, OSError) as error:
        return Evidence(check=CHECK, workspace=workspace, outcome="unusable", summary=f"could not look: {error}")
    if coverage is not None and coverage < coverage_min:
        problems.append(f"coverage is {coverage:g} %, {coverage_min:g} % are needed")
    if coverage is None and not problems:
        problems.append("coverage could not be measured")
    problems = [transcripts.cut(problem, MESSAGE_CHARS_MAX) for problem in problems]
    counts = {
        "tests": len(tally.passed) + len([test for test in tally.failed if test in tally.items]),
        "passed": len(tally.passed),
        "failed": len(tally.failed),
        "skipped": len(tally.skipped),
        **({"coverage": coverage} if coverage is not None else {}),
    }
    marks = [Mark(message=problem) for problem in problems]
    marks += [
        Mark(message=transcripts.cut(why, MESSAGE_CHARS_MAX), place=_short(test))
        for test, why in sorted(tally.failed.items())[:MARKS_MAX]
    ]
    covered = f", coverage {coverage:g} %" if coverage is not None else ""
    return Evidence(
        check=CHECK,
        workspace=workspace,
        outcome="unusable" if finished.cancelled else "failed" if marks else "passed",
        summary="; ".join(problems[:3]) if problems else f"{len(tally.passed)} passed{covered}",
        command="pytest tests, with coverage of src",
        counts=counts,
        marks=tuple(marks[:MARKS_MAX]),
        output=f"({_short(tally.own_test)} is a test of this check that must fail)\n{transcripts.of(finished)}",
        duration_ms=finished.duration_ms,
    )


def _run(
    copy: Path,
    folder: Path,
    product: Product | None,
    timeout_s: float,
    cancelled: threading.Event | None,
    require: Strength,
) -> tuple[process.Finished, Tally]:
    nonce = secrets.token_hex(16)
    path = [product.bin] if product is not None else []
    told = bytearray()
    channel_out, channel_in = os.pipe()  # can be written to by the tests, but not read, where the nonce stands
    try:
        try:
            guarded = process.Guarded(
                [sys.executable, "-I", _WATCHING, copy, folder / "data" / "coverage"],
                cwd=copy,
                env=process.clean_environment(
                    folder, path=path, PYTHONPATH=str(copy / "src"), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
                ),
                timeout_s=timeout_s,
                stdin=nonce.encode() + b"\n",
                fds={_CHANNEL: channel_in},
                merge=True,
                cancelled=cancelled,
                sandbox=sandboxed.around(
                    *(copy, folder / "data", *sandboxed.homes(folder)),
                    readable=[product.prefix] if product is not None else [],
                    require=require,
                ),
            )
        finally:
            os.close(channel_in)

        def hear(part: bytes) -> None:
            told.extend(part)
            if len(told) > SEEN_BYTES_MAX:
                guarded.end()

        try:
            guarded.listen(channel_out, hear)
            while not guarded.over:
                guarded.pump()
            return guarded.finish(), tally(bytes(told), nonce)
        finally:
            guarded.close()
    finally:
        os.close(channel_out)


def tally(told: bytes, nonce: str) -> Tally:
    """Count what the watcher told; lines without its nonce, or that it would never write, count as tricks."""
    seen, forged = Tally(), 0
    for line in io.BytesIO(told):
        try:
            said: dict[str, Any] = json.loads(line.decode("utf-8", "replace"))
            genuine = said["nonce"] == nonce
            if genuine:
                _count(said, seen)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            genuine = False
        if not genuine:
            seen.tricks.append("something else wrote into the channel of results")
            forged += 1
        if forged >= FORGED_LINES_MAX:
            break
    return seen


def _count(said: dict[str, Any], seen: Tally) -> None:
    kind, test = said["kind"], _plain(said.get("id", ""))
    if kind == "item":
        seen.items.add(test)
    elif kind == "written":
        seen.written.add(test)
    elif kind == "own test":
        seen.own_test = test
    elif kind == "deselected":
        seen.tricks.append(f"{_short(test)} was deselected")
    elif kind == "uncollected":
        seen.failed[test] = _plain(said["why"])
    elif kind == "changed":
        seen.tricks.append(f"the tests change how tests are run: {_short(_plain(said['what']))}")
    elif kind == "end":
        seen.end = int(said["code"])
    elif kind == "result":
        _count_result(said, test, seen)


def _count_result(said: dict[str, Any], test: str, seen: Tally) -> None:
    if said["outcome"] == "failed":
        seen.failed[test] = _plain(said["why"])
        seen.passed.discard(test)
    elif said["outcome"] == "skipped":
        seen.skipped.add(test)
    elif said["when"] == "call" and test not in seen.failed:
        seen.passed.add(test)


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
        problems.append(f"{len(hidden)} tests are written but never collected: {_some(hidden)}")
    if lost := sorted(seen.items - seen.passed - seen.skipped - set(seen.failed)):
        problems.append(f"{len(lost)} tests have no result: {_some(lost)}")
    if seen.failed:
        problems.append(f"{len(seen.failed)} failed: {_some(sorted(seen.failed))}")
    if len(seen.skipped) > SKIPPED_SHARE_MAX * max(1, len(seen.items)):
        problems.append(f"{len(seen.skipped)} of {len(seen.items)} tests were skipped")
    if not seen.passed:
        problems.append("no test was executed and passed")
    return problems


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(map(_short, shown[:3])) + (", …" if len(shown) > 3 else "")


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS_MAX else f"{name[:NAME_CHARS_MAX]}…"


def _plain(said: object) -> str:
    """As text that can be stored: JSON may hold halves of characters."""
    return str(said).encode("utf-8", "backslashreplace").decode()


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
