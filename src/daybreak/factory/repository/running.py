"""Running a check of a repository: in the sandbox, on a copy of its own, under watch where it is pytest."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from daybreak.checks import sandboxed, transcripts, watched
from daybreak.checks.watched import Tally
from daybreak.factory.repository.checks import Check, Pytest
from daybreak.factory.repository.venvs import python_of, readable
from daybreak.host import process
from daybreak.host.sandbox import Strength

OUTPUT_BYTES_MAX = 20_000_000
_PYTEST_SCRIPT = str(Path(__file__).with_name("suite.py"))
_CHANNEL = 9
_NOT_FOUND = frozenset({126, 127})
_COUNTED = (
    (re.compile(r"\b(pytest|py\.test)\b"), re.compile(r"\b([1-9]\d*) passed")),
    (re.compile(r"\bunittest\b"), re.compile(r"\bRan ([1-9]\d*) tests?\b")),
)
"""Runners of tests, and how they say that there were some."""


@dataclass(frozen=True)
class Bench:
    """Where checks are run. Its folders are real; `files` is what they look at, and stays as it is."""

    files: Path
    scratch: Path
    venvs: tuple[Path, ...]
    """Virtual environments whose programs go before ours."""
    limit_s: float
    require: Strength
    cancelled: threading.Event


@dataclass(frozen=True)
class Seen:
    """How a check ended."""

    finished: process.Finished
    tally: Tally | None = None
    """Of pytest under watch."""
    problems: tuple[str, ...] = ()
    """Why it did not pass, in words; empty where it passed."""
    tricks: tuple[str, ...] = field(default=(), repr=False)
    """How the tests change the way they are run; what was so on the base is the repository's own way."""

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def output(self) -> str:
        return transcripts.of(self.finished)

    @property
    def unusable(self) -> bool:
        """Nothing can be said about the repository: there is no such program, or no pytest."""
        if self.tally is None:
            return self.finished.exit_code in _NOT_FOUND
        return self.tally.end is None and not self.tally.items and b"No module named 'pytest'" in self.printed

    @property
    def printed(self) -> bytes:
        return self.finished.stdout + self.finished.stderr


def run(check: Check, bench: Bench, place: Path) -> Seen:
    """Run it on a fresh copy of the bench's files in `place`, which must not be there. Raises what starting a program
    and making a sandbox raise, and OSError."""
    place.mkdir(parents=True)
    shutil.copytree(bench.files, place / "copy", symlinks=True)
    return ran(check, bench, place)


def ran(check: Check, bench: Bench, place: Path) -> Seen:
    if check.pytest is None:
        return _command(check, bench, place)
    finished, tally = _watched(check.pytest, bench, place)
    seen = Seen(finished, tally, tricks=tuple(sorted(set(tally.tricks))))
    return replace(seen, problems=tuple(_problems(seen, tally)))


def _command(check: Check, bench: Bench, place: Path) -> Seen:
    finished = process.run(
        ["/bin/sh", "-e", "-c", check.command],
        cwd=place / "copy",
        env=_environment(bench, place),
        timeout_s=bench.limit_s,
        output_bytes_max=OUTPUT_BYTES_MAX,
        cancelled=bench.cancelled,
        sandbox=sandboxed.around(*writable(place), readable=readable(bench.venvs), require=bench.require),
    )
    seen = Seen(finished)
    if not finished.ok:
        return replace(seen, problems=(_last_words(finished),))
    printed = transcripts.text(seen.printed)
    for runner, ran in _COUNTED:
        if runner.search(check.command) and not ran.search(printed):
            return replace(seen, problems=("it ran no test that could be seen: nothing says how many passed",))
    return seen


def _watched(pytest: Pytest, bench: Bench, place: Path) -> tuple[process.Finished, Tally]:
    """As `watched.run`, with the repository's own configuration and under its own Python."""
    copy = place / "copy"
    nonce = secrets.token_hex(16)
    told = bytearray()
    channel_out, channel_in = os.pipe()
    words = ["1" if pytest.module else "0", *pytest.arguments, "--continue-on-collection-errors"]
    try:
        try:
            guarded = process.Guarded(
                [python_of(pytest.program, bench.venvs), _PYTEST_SCRIPT, watched.WATCHING, *words],
                cwd=copy,
                env={**_environment(bench, place), **pytest.environment},
                timeout_s=bench.limit_s,
                stdin=nonce.encode() + b"\n",
                fds={_CHANNEL: channel_in},
                merge=True,
                output_bytes_max=OUTPUT_BYTES_MAX,
                cancelled=bench.cancelled,
                sandbox=sandboxed.around(*writable(place), readable=readable(bench.venvs), require=bench.require),
            )
        finally:
            os.close(channel_in)

        def hear(part: bytes) -> None:
            told.extend(part)
            if len(told) > watched.SEEN_BYTES_MAX:
                guarded.end()

        try:
            guarded.listen(channel_out, hear)
            while not guarded.over:
                guarded.pump()
            finished = guarded.finish()
        finally:
            guarded.close()
    finally:
        os.close(channel_out)
    return finished, watched.tally(bytes(told), nonce)


def _problems(seen: Seen, tally: Tally) -> list[str]:
    """Why the tests as a whole did not pass. Takes the test of ours out of the counts."""
    finished = seen.finished
    if finished.ended_by_us:
        return [f"the tests did not come to their end: {finished.ending}"]
    if tally.end is None:
        return [f"the tests ended the test run itself ({finished.ending}), so nothing is known of them"]
    own_failed = tally.own_test in tally.failed and tally.own_test not in tally.passed
    tally.failed.pop(tally.own_test, None)
    tally.items.discard(tally.own_test)
    problems = []
    if not own_failed and tally.items:
        problems.append("a test that must fail was not seen to fail: results are changed, or tests are hidden")
    elif own_failed and (finished.exit_code != 1 or tally.end != 1):
        problems.append(f"the exit status {finished.exit_code} does not fit what was seen")
    if tally.failed:
        problems.append(f"{len(tally.failed)} failed: {watched.some(sorted(tally.failed))}")
    if lost := sorted(tally.items - tally.passed - tally.skipped - set(tally.failed)):
        problems.append(f"{len(lost)} tests have no result: {watched.some(lost)}")
    if not tally.passed:
        problems.append(
            "no test was executed and passed" if own_failed else f"no test was run: {_last_words(finished)}"
        )
    return problems


def _last_words(finished: process.Finished) -> str:
    printed = finished.stderr if finished.stderr.strip() else finished.stdout
    last = transcripts.text(printed).strip().splitlines()[-1:]
    return transcripts.cut(": ".join([finished.ending, *last]), 400)


def _environment(bench: Bench, place: Path) -> dict[str, str]:
    copy = place / "copy"
    programs = [*(venv / "bin" for venv in bench.venvs), Path(sys.executable).parent]
    paths = [copy / "src", copy] if (copy / "src").is_dir() else [copy]
    return process.clean_environment(place, path=programs, PYTHONPATH=os.pathsep.join(map(str, paths)))


def writable(place: Path) -> tuple[Path, ...]:
    return (place / "copy", *sandboxed.homes(place))
