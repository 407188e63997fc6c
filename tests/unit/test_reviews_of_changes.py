"""Reviewers of what was done to something that existed: a task on a repository, and what `validate --fix` mended.

The rules are those of a build: asked where every check holds, an objection has a place and a reason, nobody approves.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.unit import repository_desk as repositories

from daybreak import events
from daybreak.agents.protocol import Brief, Claim
from daybreak.factory.attempted import Result
from daybreak.factory.phases import panel
from daybreak.report.run import collect
from daybreak.settings import Phase, Role, Settings, Worker

CODER, CRITIC = "json:coder", "json:critic"
WRONG = "it subtracts in the wrong order when both numbers are negative"
CHECK = "grep -q 'def sub' calc.py"
SHOWN = '"""calc.sub works."""\n'
Answer = Callable[[Brief, Path], Claim | None]


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


validations = _module("validate_desk")


def reviewed_by(veto: Any = "blocks") -> Settings:
    return Settings(roles={"reviewer": Role(workers=("critic",), veto=veto)}, workers=WORKERS)


WORKERS = {name: Worker(kind="python", program=f"json:{name}") for name in ("coder", "critic")}


class Crew:
    """Reviewers answer as `critics` do in turn, the last again and again; everybody else works as `works` say."""

    def __init__(self, critics: list[Answer], *works: Any) -> None:
        self.critics, self.works = critics, list(works)
        self.briefs: list[tuple[str, Brief]] = []

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **_: Any) -> Result:
        self.briefs.append((name, brief))
        queue: list[Any] = self.critics if brief.role == "reviewer" else self.works
        work = queue.pop(0) if len(queue) > 1 else queue[0]
        claim = work(brief, folder) if brief.role == "reviewer" else work(folder, brief)
        return Result(claim or Claim(outcome="finished", summary="I counted twice"))

    def of(self, role: str) -> list[Brief]:
        return [brief for _, brief in self.briefs if (brief.role == "reviewer") == (role == "reviewer")]


def says(*findings: dict[str, Any]) -> Answer:
    def answer(brief: Brief, folder: Path) -> None:
        (folder / "review.json").write_text(json.dumps({"findings": list(findings)}))

    return answer


def veto(file: str = "calc.py", line: int | None = 1, reason: str = WRONG) -> dict[str, Any]:
    return {"file": file, "line": line, "severity": "veto", "reason": reason}


def crewed(desk: Any, settings: Settings, crew: Crew) -> Crew:
    desk.scripted = crew
    for kind in desk.engine._kinds.values():
        kind.office.settings = settings
    return crew


def outcomes(desk: Any, run: str) -> list[str]:
    return [one.outcome for one in desk.events(run, events.ReviewMade)]


def verdicts(desk: Any, run: str) -> list[tuple[int, str]]:
    return [(one.attempt, one.verdict) for one in desk.events(run, events.GateDecided)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    with repositories.opened(tmp_path) as opened:
        yield opened


def asked(desk: Any, settings: Settings, **more: Any) -> Any:
    return desk.asked(CHECK, settings=settings, workers=("coder",), sandbox="none", **more)


# -- tasks on repositories


def test_an_objection_is_mended_before_there_is_a_branch(desk: Any) -> None:
    """The reviewer sees the words, the files and the change, never what the worker said; the next attempt is told what
    was objected to and where, and its number is not used up by the review."""
    # shows: F7, F12, P2
    settings = reviewed_by()
    shown: list[str] = []

    def looks(brief: Brief, folder: Path) -> None:
        shown.append(repositories.git(folder, "diff", "--name-only").strip())
        says(veto(), veto("nowhere.py"))(brief, folder)

    crew = crewed(desk, settings, Crew([looks, says()], repositories.WRONG, repositories.RIGHT))
    done = desk.run(asked(desk, settings, attempts=2))
    assert (done.state, done.value["verdict"], done.value["attempts"]) == ("done", "passed", 2), done.why
    assert outcomes(desk, done.run) == ["objects", "no objection"]
    first, second = desk.events(done.run, events.ReviewMade)
    assert (first.reviewed, first.attempt, second.reviewed, second.attempt) == (1, 2, 3, 4)
    assert (first.role, first.worker, first.phase) == ("reviewer", "critic", "")
    assert "nowhere.py" in first.left_out[0]
    assert verdicts(desk, done.run) == [(1, "failed"), (3, "passed")]
    assert any(row["kind"] == "review" for row in desk.events(done.run, events.GateDecided)[0].table)
    assert shown == ["calc.py"]
    asked_of, again = crew.of("reviewer")
    assert asked_of.summary == "add sub(one, other) to calc.py"
    assert "one * other" in asked_of.recall
    assert "I counted twice" not in asked_of.recall
    assert [WRONG in one.message for one in again.findings] == [True]
    (told,) = [one for one in crew.of("worker")[1].findings if one.check == "review:implementer"]
    assert WRONG in told.message
    assert done.run in desk.branches()[0]
    files = repositories.git(desk.repo, "ls-tree", "--name-only", desk.branches()[0])
    assert "review.json" not in files
    report = collect([*desk.ledger.read("queue"), *desk.ledger.read(events.run_stream(done.run))])
    assert any(line.what == "review of attempt 1" and line.outcome == "objects" for line in report.gates)


def test_an_objection_that_nobody_mends_means_no_branch(desk: Any) -> None:
    """The run fails with the reviewer's words; the same files are not reviewed twice."""  # shows: F7, F12
    settings = reviewed_by()
    crewed(desk, settings, Crew([says(veto())], repositories.WRONG))
    done = desk.run(asked(desk, settings, attempts=2))
    assert done.state == "failed"
    assert WRONG in done.why
    assert outcomes(desk, done.run) == ["objects"]
    assert desk.branches() == ["main"]


@pytest.mark.parametrize(("answer", "state"), [("yes", "done"), pytest.param("no", "failed", marks=pytest.mark.chaos)])
def test_a_person_decides_where_the_veto_only_asks(desk: Any, answer: str, state: str) -> None:
    """When nobody can be asked any more; what is taken is what passed every check."""  # shows: F7, F12
    settings = reviewed_by("asks")
    crewed(desk, settings, Crew([says(veto())], repositories.RIGHT))
    run = desk.run(asked(desk, settings, attempts=1)).run
    parked = desk.supervise(run)
    assert parked.state == "parked"
    question = next(one.question for one in desk.events(run, events.RunMoved) if one.question)
    assert "attempt 1 passes every check, but reviewer critic objects: calc.py:1" in question
    desk.engine.answer(run, question, answer)
    over = desk.supervise(run)
    assert over.state == state, over.why
    assert (len(desk.branches()) == 2) == (state == "done")
    if state == "done":
        last = desk.events(run, events.GateDecided)[-1]
        assert (last.verdict, last.reasons[0]) == ("passed", "a person took it over what reviewer critic objects")


def test_reviewers_that_say_nothing_change_nothing(desk: Any) -> None:
    """A broken answer is no review, and is recorded as that; what fails its checks is not shown to anybody."""
    # shows: F7, F12
    settings = reviewed_by()

    def broken(brief: Brief, folder: Path) -> None:
        (folder / "review.json").write_text('{"approve": true}')

    lying = repositories.writes({"calc.py": repositories.ADD + "# nothing\n"})
    crew = crewed(desk, settings, Crew([broken], lying, repositories.RIGHT))
    done = desk.run(asked(desk, settings))
    assert done.state == "done", done.why
    assert outcomes(desk, done.run) == ["no review", "no review"]
    assert {one.reviewed for one in desk.events(done.run, events.ReviewMade)} == {2}
    assert len(crew.of("reviewer")) == 1


def test_who_reviews_is_settled_when_it_is_asked_for() -> None:
    """Every role with a veto that is configured, in a phase or by itself, once; without one nobody."""  # shows: F7, P8
    assert panel.configured(Settings()) == ()
    listed = Settings(
        phases={"implementation": Phase(roles=("implementer", "reviewer"))},
        roles={"auditor": Role(veto="asks"), "writer": Role(writes=("docs/*",))},
    )
    assert [(one.name, one.veto) for one in panel.configured(listed)] == [("reviewer", "blocks"), ("auditor", "asks")]


# -- validate --fix


QUICK = validations.TESTS_ONLY.model_copy(update={"commands": {"tests": CHECK}})
BARE = {**validations.FILES, "calc.py": '"""Sums."""\n'}


def test_what_was_mended_is_reviewed_before_it_is_handed_over(tmp_path: Path) -> None:
    """An objection makes a further attempt; it goes on from what passed every check."""  # shows: F7, P7
    settings = reviewed_by()
    with validations.opened(tmp_path, BARE) as desk:
        works = [validations.writes({"calc.py": one}) for one in (validations.WRONG, validations.RIGHT)]
        crew = crewed(desk, settings, Crew([says(veto(line=11)), says()], *works))
        done = desk.supervise(
            desk.submit(fix=True, settings=settings, workers=("coder",), validate=QUICK, attempts=2, sandbox="none")
        )
        assert (done.state, done.value["attempts"]) == ("done", 2), done.why
        assert outcomes(desk, done.run) == ["objects", "no objection"]
        assert verdicts(desk, done.run) == [(0, "failed"), (1, "failed"), (3, "passed")]
        assert any(one.check == "review:implementer" and WRONG in one.message for one in crew.of("worker")[1].findings)
        assert "def sub" in crew.of("reviewer")[0].recall
        assert validations.git(desk.project, "show", f"daybreak/{done.run}:calc.py") == validations.RIGHT


@pytest.mark.parametrize(
    ("rule", "answer"), [("blocks", ""), ("asks", "yes"), pytest.param("asks", "no", marks=pytest.mark.chaos)]
)
def test_what_reviewers_object_to_in_the_end_is_not_handed_over(tmp_path: Path, rule: str, answer: str) -> None:
    """Unless a person takes it all the same; nothing of the user's is touched."""  # shows: F7, P7
    settings = reviewed_by(rule)
    with validations.opened(tmp_path, BARE) as desk:
        crewed(desk, settings, Crew([says(veto())], validations.writes({"calc.py": validations.WRONG})))
        run = desk.submit(
            fix=True, in_place=True, settings=settings, workers=("coder",), validate=QUICK, attempts=1, sandbox="none"
        )
        done = desk.supervise(run)
        if answer:
            assert done.state == "parked"
            (question,) = [one.question for one in desk.events(run, events.RunMoved) if one.question]
            desk.engine.answer(run, question, answer)
            done = desk.supervise(run)
        assert done.state == ("done" if answer == "yes" else "failed"), done.why
        kept = (desk.project / "calc.py").read_text()
        assert kept == (validations.WRONG if answer == "yes" else BARE["calc.py"])
        if answer != "yes":
            assert WRONG in done.why
