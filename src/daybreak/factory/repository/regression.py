"""What checks saw on the base of a repository, and what the same checks mean on a result.

What passes on the base is a guard: it must still pass, and shows nothing. What does not pass there is to be mended:
that it passes on the result is what shows that the task is done.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from daybreak.checks import transcripts, watched
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory.repository import running, weighing
from daybreak.factory.repository.checks import Check, NotRunnable
from daybreak.factory.repository.running import Bench, Seen
from daybreak.factory.repository.weighing import Weighed

MARKS_MAX = 100
MESSAGE_CHARS_MAX = 4_000
WEIGHED_MAX = 100
"""Tests of a check that are run again on altered copies; of more a random choice."""


class Base(BaseModel):
    """One check on the base."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str
    passed: bool
    """Then it is a guard as a whole."""
    summary: str
    tests_passed: tuple[str, ...] = ()
    """Of pytest under watch: guards, each by its name."""
    tests_failed: tuple[str, ...] = ()
    tricks: tuple[str, ...] = ()

    @classmethod
    def of(cls, check: Check, seen: Seen) -> Base:
        """Raises NotRunnable where nothing can be said, whatever the repository holds."""
        if seen.unusable:
            raise NotRunnable(
                f"{check.command[:80]!r} cannot be run: {transcripts.cut(seen.output.strip(), 300)}",
                hint="checks have the programs of the system, of the repository's .venv, of the virtual environment "
                "in which the task was added, and Daybreak's own Python with pytest; they have no network",
            )
        tally = seen.tally
        return cls(
            check=check.name,
            passed=seen.passed,
            summary=_words(seen),
            tests_passed=tuple(sorted(tally.passed)) if tally is not None else (),
            tests_failed=tuple(sorted(tally.failed)) if tally is not None else (),
            tricks=seen.tricks,
        )


def _words(seen: Seen) -> str:
    if seen.problems:
        return transcripts.cut("; ".join(seen.problems[:3]), 500)
    return f"{len(seen.tally.passed)} passed" if seen.tally is not None else seen.finished.ending


@dataclass
class Looking:
    """Looking at one result with one check."""

    check: Check
    base: Base
    workspace: str
    """Names the result, for the evidence."""
    sources: tuple[str, ...]
    """Python files of the result that are not protected: what can be altered."""
    free: frozenset[str] = frozenset()
    """Files with tests that the worker may change: guards in there may go."""
    seen: Seen | None = field(default=None, init=False)
    """How the check ended, once it was run."""
    _problems: list[str] = field(default_factory=list)

    def look(self, bench: Bench) -> Evidence:
        """Evidence. Raises HostError and OSError where it could not look: see `unusable`."""
        folder = bench.scratch
        try:
            seen = self.seen = running.run(self.check, bench, folder / "run")
            self._problems = [*seen.problems, *self._regressions(seen)]
            weighed = None
            if not self._problems and not bench.cancelled.is_set() and self._must_be_weighed():
                weighed = self._weigh(seen, bench, folder)
        except NotRunnable as error:
            return self._evidence("failed", error.message)
        if weighed is not None:
            self._problems += weighed.problems()
        return self._told(seen, weighed)

    def unusable(self, why: Exception) -> Evidence:
        """Of a look that could not be had, which never counts as passed."""
        return self._evidence("unusable", f"could not look: {why}")

    def _regressions(self, seen: Seen) -> list[str]:
        """What is wrong with a run in the light of the base."""
        if seen.tally is None or seen.tally.end is None:
            return []
        problems = [trick for trick in seen.tricks if trick not in self.base.tricks]
        guards = {test for test in self.base.tests_passed if test.split("::")[0] not in self.free}
        if lost := sorted(guards - seen.tally.passed - set(seen.tally.failed)):
            problems.append(f"{len(lost)} tests that passed before were skipped or not run: {watched.some(lost)}")
        return problems

    def mended(self, seen: Seen) -> list[str]:
        """Tests that pass and did not on the base."""
        return sorted(seen.tally.passed - set(self.base.tests_passed)) if seen.tally is not None else []

    def _must_be_weighed(self) -> bool:
        """A command that is no run of tests is a guard where it passed before, and then proves nothing anyway."""
        return bool(self.sources) and self.check.runs_python and (self.check.pytest is not None or not self.base.passed)

    def _weigh(self, seen: Seen, bench: Bench, folder: Path) -> Weighed | None:
        tests: Sequence[str] = ()
        if seen.tally is not None:
            tests = self.mended(seen) or sorted(seen.tally.passed)
            if len(tests) > WEIGHED_MAX:
                tests = random.Random(secrets.token_bytes(16)).sample(tests, WEIGHED_MAX)
        first_s = seen.finished.duration_ms / 1000
        return weighing.weigh(self.check, bench, folder, self.sources, tests, first_s)

    def _told(self, seen: Seen, weighed: Weighed | None) -> Evidence:
        finished, tally = seen.finished, seen.tally
        marks = [Mark(message=transcripts.cut(problem, MESSAGE_CHARS_MAX)) for problem in self._problems]
        counts: dict[str, float] = {}
        summary = "; ".join(transcripts.cut(problem, 500) for problem in self._problems[:3]) or _words(seen)
        if tally is not None:
            mended = self.mended(seen)
            marks += [
                Mark(message=transcripts.cut(why, MESSAGE_CHARS_MAX), place=watched.short(test))
                for test, why in sorted(tally.failed.items())[:MARKS_MAX]
            ]
            counts = {
                "tests": len(tally.passed) + len(tally.failed),
                "passed": len(tally.passed),
                "failed": len(tally.failed),
                "skipped": len(tally.skipped),
                "mended": len(mended),
            }
            if not self._problems and mended:
                summary += f", {len(mended)} of them did not pass before"
        elif self._problems:
            marks.append(Mark(message=transcripts.cut(seen.output.strip(), MESSAGE_CHARS_MAX)))
        return self._evidence(
            "unusable" if finished.cancelled else "failed" if self._problems else "passed",
            summary,
            counts=counts,
            marks=tuple(marks[:MARKS_MAX]),
            output=transcripts.cut(seen.output),
            duration_ms=finished.duration_ms + (weighed.duration_ms if weighed is not None else 0),
        )

    def _evidence(self, outcome: str, summary: str, **more: object) -> Evidence:
        return Evidence.model_validate(
            {
                "check": self.check.name,
                "workspace": self.workspace,
                "outcome": outcome,
                "summary": " ".join(summary.split())[:1000],
                "command": self.check.command[:1000],
                **more,
            }
        )
