"""From one sentence: a draft that is read, shown and asked about before anything is built from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import SPECIFICATION, Desk, says
from tests.unit.test_phases import _Looked, puts

from daybreak.agents.protocol import Claim
from daybreak.events import AttemptBegan, AttemptJudged, SpecificationDrafted
from daybreak.factory import looking, task
from daybreak.factory.phases import drafting
from daybreak.factory.spec import template

WANTED = "keep short notes, each with a number"
ALL = ("lint", "example", "tests/tests", "Containerfile")
WORKER, OTHER = "json:worker", "json:other"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(looking, "Result", _Looked)
    return desk


def drafts(text: str) -> Any:
    return puts(**{"spec.md": text})


def submit(desk: Desk, *workers: str, assume: bool = True, requirement: str = WANTED) -> str:
    asked = task.drafted(
        requirement,
        output=desk.output,
        workers=workers or (WORKER,),
        settings=desk.settings,
        sandbox="none",
        assume=assume,
        cwd=desk.folder,
    )
    return task.submit_draft(asked, desk.engine, desk.ledger)  # type: ignore[arg-type]


def test_a_sentence_becomes_a_verified_project(desk: Desk) -> None:
    """Drafted by one attempt, built by the next."""  # shows: P1, F1
    desk.works = [drafts(SPECIFICATION), puts(*ALL)]
    run = submit(desk)
    assert desk.supervise(run).state == "done"
    assert [brief.role for brief in desk.briefs] == ["drafter", "implementer"]
    assert desk.briefs[0].summary == WANTED
    assert (desk.output / "lint").exists()
    numbers = [event.attempt for event in desk.events(run, AttemptBegan)]
    assert numbers == [1, 2]


def test_a_draft_is_shown_and_waits_for_a_yes(desk: Desk) -> None:
    """Nothing is built before; the whole of it stands in the ledger."""  # shows: N2
    desk.works = [drafts(SPECIFICATION), puts(*ALL)]
    run = submit(desk, assume=False)
    parked = desk.supervise(run)
    assert parked.state == "parked"
    assert "1 requirements and 1 acceptance examples" in str(parked.question)
    (event,) = desk.events(run, SpecificationDrafted)
    assert event.text == SPECIFICATION
    assert len(desk.briefs) == 1
    desk.engine.answer(run, str(parked.question), "yes")
    assert desk.supervise(run).state == "done"
    assert len(desk.briefs) == 2


def test_whoever_says_no_gets_nothing_built(desk: Desk) -> None:
    """And is told how to go on."""  # shows: N2, F16
    desk.works = [drafts(SPECIFICATION)]
    run = submit(desk, assume=False)
    desk.engine.answer(run, str(desk.supervise(run).question), "no")
    result = desk.supervise(run)
    assert (result.state, result.error and result.error.code) == ("failed", "S102")


def test_what_is_wrong_with_a_draft_is_told_to_whoever_drafts_again(desk: Desk) -> None:
    """All of it at once, with lines."""  # shows: F3, P4
    broken = SPECIFICATION.replace("### FR-001 adding", "### adding").replace("| text | text |", "| text | prose |")
    desk.works = [drafts(broken), drafts(SPECIFICATION), puts(*ALL)]
    run = submit(desk)
    assert desk.supervise(run).state == "done"
    told = [one.message for one in desk.briefs[1].findings]
    assert any("prose" in message for message in told)
    assert [event.solved for event in desk.events(run, AttemptJudged)][:2] == [False, True]


def test_a_must_without_an_example_is_no_finished_draft() -> None:
    """It could not be verified."""  # shows: F1
    text = SPECIFICATION.replace("- **FR-001**", "- **FR-002**: System MUST be quick\n- **FR-001**")
    spec, problems = drafting.read(text)
    assert spec is not None
    assert problems == ["FR-002: no acceptance example names it in its heading"]


@pytest.mark.parametrize("left", ["", "\0", "no specification", "---\nname: [\n", "# x\n" * 10])
def test_what_is_no_draft_is_never_built(desk: Desk, left: str) -> None:
    """However often it comes."""  # shows: P8
    desk.works = [drafts(left)]
    assert desk.supervise(submit(desk)).state == "failed"
    assert not desk.output.exists()


def test_the_next_worker_drafts_where_one_cannot(desk: Desk) -> None:
    """By the same cascade as everything."""  # shows: F8
    desk.works = [says(Claim(outcome="refused", summary="no")), drafts(SPECIFICATION), puts(*ALL)]
    assert desk.supervise(submit(desk, WORKER, OTHER)).state == "done"


@pytest.mark.parametrize("requirement", ["", "notes", " " * 50, "x" * 20_001, "keep notes\0please"])
def test_a_requirement_says_something(desk: Desk, requirement: str) -> None:
    """Before anything is recorded."""  # shows: P8
    with pytest.raises(task.RequirementUnclear):
        submit(desk, requirement=requirement)


def test_the_embedded_builder_drafts_nothing(desk: Desk) -> None:
    """Which is said at once."""  # shows: F8
    with pytest.raises(task.NobodyDrafts, match="embedded builder"):
        submit(desk, "builder")


def test_the_example_that_drafters_are_given_is_a_valid_specification() -> None:
    """They would learn mistakes from another."""  # shows: F2
    assert drafting.read(template("notes"))[1] == []
