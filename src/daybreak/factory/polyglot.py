"""Looking at a result with a check of its own language: what `daybreak validate` runs, and whether the tests prove
anything.

What such tests print is their own program's word. So where a program that does nothing can be made, they are run on
that too: what passes there as well counts for nothing, whatever was printed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daybreak.checks.baseless import SHARE_MIN
from daybreak.checks.evidence import Evidence, Mark
from daybreak.factory import idle
from daybreak.factory.toolbox import Survey, Toolbox, Unseen
from daybreak.factory.validate import languages, looking, table
from daybreak.factory.validate.guards import Guards, Looked
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Planned
from daybreak.factory.validate.running import Room
from daybreak.host.sandbox import Strength

IDLE_MARKS_MAX = 50


@dataclass(frozen=True)
class Bench:
    """A copy of a result, and where programs may run about it. All folders are real."""

    tree: Path
    paths: tuple[str, ...]
    """Of its files."""
    workspace: str
    scratch: Path
    tools: Toolbox
    require: Strength
    cancelled: threading.Event

    def room(self, files: Path, name: str) -> Room:
        around = self.tools.around
        return Room(files, self.scratch / name, around, self.tools.settings.check_s, self.require, self.cancelled)


def look(planned: Planned, bench: Bench, survey: Survey) -> list[Evidence]:
    """Evidence of that check, and of what comes with its run."""
    subject = Subject(
        workspace=bench.workspace,
        code=tuple(path for name in survey.languages for path in languages.sources(bench.paths, name)),
        complexity_max=bench.tools.settings.complexity_max,
        before=Guards(),
        weigh=True,
    )
    looked = looking.look(planned, bench.room(bench.tree, "as-is"), subject)
    if planned.kind == "tests" and planned.language == "javascript" and looked.evidence[0].outcome == "passed":
        looked = _on_nothing(planned, bench, subject, looked)
    by_name = {one.name: one for one in survey.checks}
    return [
        seen.model_copy(update={"outcome": table.outcome(by_name[seen.check], seen)})
        for seen in looked.evidence
        if seen.check in by_name
    ]


def not_seen(one: Unseen, workspace: str) -> list[Evidence]:
    """What a gate asked for and nobody could look at."""
    return [Evidence(check=one.check, workspace=workspace, outcome="unusable", summary=one.why)]


def _on_nothing(planned: Planned, bench: Bench, subject: Subject, looked: Looked) -> Looked:
    """The same tests on a program that does nothing."""
    tests = looked.evidence[0]
    empty = bench.scratch / "idle-tree"
    try:
        shutil.copytree(bench.tree, empty, symlinks=True)
        emptied = idle.make(empty, bench.paths)
    except OSError as error:
        return _with(looked, _unusable(tests, f"no program that does nothing can be made: {error.strerror}"))
    if not emptied:
        return _with(looked, _failed(tests, "there is no program beside the tests", 0, ()))
    again = looking.look(planned, bench.room(empty, "idle"), replace(subject, before=None))
    if bench.cancelled.is_set():
        return _with(looked, _unusable(tests, "it was cancelled"))
    passed, still = set(looked.guards.passed), set(again.guards.passed)
    whole = len(passed) or looked.guards.count
    proving_nothing = sorted(passed & still)
    count = len(proving_nothing) if passed else min(whole, again.guards.count)
    counting = whole - count
    if counting < max(1.0, SHARE_MIN * whole):
        why = f"{count} of {whole} tests also pass on a program that does nothing, so they prove nothing"
        return _with(looked, _failed(tests, why, counting, proving_nothing))
    return _with(
        looked,
        tests.model_copy(
            update={
                "summary": f"{tests.summary} ({counting} of them fail when the program does nothing)"[:1000],
                "counts": {**tests.counts, "counting": counting},
                "command": f"{tests.command}; again on a program that does nothing",
                "duration_ms": tests.duration_ms + again.evidence[0].duration_ms,
            }
        ),
    )


def _with(looked: Looked, tests: Evidence) -> Looked:
    return Looked((tests, *looked.evidence[1:]), looked.guards)


def _unusable(tests: Evidence, why: str) -> Evidence:
    return tests.model_copy(update={"outcome": "unusable", "summary": why})


def _failed(tests: Evidence, why: str, counting: int, idle_tests: Sequence[str]) -> Evidence:
    marks = [
        Mark(message=why),
        *(Mark(message="it passes on a program that does nothing", place=name) for name in idle_tests),
    ]
    return tests.model_copy(
        update={
            "outcome": "failed",
            "summary": why,
            "counts": {**tests.counts, "counting": counting},
            "marks": tuple(marks[: IDLE_MARKS_MAX + 1]),
        }
    )
