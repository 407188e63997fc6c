"""Attempts at a build: whose words end it, what they may leave, what time counts, and what is learned from them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.build_desk import BAD, GOOD, SEEN, Desk, says, writes

from daybreak.agents import prompt
from daybreak.agents.protocol import Claim
from daybreak.clock import stamp
from daybreak.events import (
    AttemptBegan,
    AttemptClaimed,
    AttemptJudged,
    LessonJudged,
    LessonLearned,
    StepDone,
    TaskAdded,
)
from daybreak.factory import task
from daybreak.factory.deliver import MANIFEST
from daybreak.factory.kinds.build import BuildArgs
from daybreak.memory import lessons
from daybreak.settings import Settings, Worker

ONE, TWO = "json:one", "json:two"
CRASHED = Claim(outcome="crashed", summary="segfault", trouble="crashed")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_it_fails_in_the_words_of_whoever_was_asked_last(desk: Desk) -> None:
    """A crash after a verdict is what it ends with, and who else was asked stands in the hint."""  # shows: F8, F16
    desk.works = [says(CRASHED), says(Claim(outcome="refused", summary="not for me", not_built=("any of it",)))]
    result = desk.supervise(desk.submit(ONE, TWO))
    assert result.state == "failed"
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("W121", f"worker {TWO} refused: not for me")
    assert "any of it" in result.error.hint
    assert "it crashed: segfault" in result.error.hint


def test_what_is_not_verified_says_what_the_gate_said(desk: Desk) -> None:
    """And nothing is delivered."""  # shows: F1
    desk.works = [BAD]
    result = desk.supervise(desk.submit(ONE))
    assert result.error is not None
    assert result.error.code == "C132"
    assert not desk.output.exists()


@pytest.mark.parametrize("left", [writes(**{MANIFEST: "{}"}), lambda folder: (folder / "link").symlink_to("/etc")])
def test_what_cannot_be_taken_is_that_workers_failure_alone(desk: Desk, left: object) -> None:
    """The next one in the order is asked."""  # shows: F8
    desk.works = [left, GOOD]  # type: ignore[list-item]
    run = desk.submit(ONE, TWO)
    assert desk.supervise(run).state == "done"
    claims = desk.events(run, AttemptClaimed)
    assert [(one.worker, one.trouble) for one in claims] == [(ONE, "crashed"), (TWO, "")]
    assert "what it left cannot be taken" in claims[0].summary


def test_waiting_for_a_quota_uses_up_no_time_of_the_build(desk: Desk) -> None:
    """Ten minutes are for the work; the provider's two hours are not its fault."""  # shows: F8, N1
    until = stamp(desk.clock.now() + timedelta(hours=2))
    desk.works = [says(Claim(outcome="crashed", summary="no more today", trouble="quota", until=until)), BAD, GOOD]
    run = desk.submit(ONE)
    assert desk.supervise(run).state == "waiting"
    desk.clock.advance(7201)
    assert desk.supervise(run).state == "done"
    assert desk.times_s == pytest.approx([600, 600, 600], abs=5)


def test_an_attempt_has_no_more_time_than_the_build_has_left(desk: Desk) -> None:
    """Together they stay within it."""  # shows: N1

    def slow(folder: Path) -> None:
        desk.clock.advance(400)
        BAD(folder)

    desk.works = [slow, GOOD]
    assert desk.supervise(desk.submit(ONE)).state == "done"
    assert desk.times_s == pytest.approx([600, 200], abs=5)


def test_a_worker_that_gave_up_half_way_is_not_asked_to_go_on(desk: Desk) -> None:
    """What it left was looked at, in case it was right."""  # shows: F8

    def half(folder: Path) -> Claim:
        BAD(folder)
        return Claim(outcome="partial", summary="too long for me", trouble="context")

    desk.works = [half, GOOD]
    run = desk.submit(ONE, TWO)
    assert desk.supervise(run).state == "done"
    assert desk.asked == [ONE, TWO]
    assert "what it was given was too long" in desk.events(run, AttemptBegan)[1].passed_over[ONE]


# -- what is learned


def test_what_was_repaired_is_a_lesson_in_the_next_brief_and_is_judged_once_for_each_attempt(desk: Desk) -> None:
    """Its confidence follows what became of whoever was shown it."""  # shows: F11
    desk.works = [BAD, GOOD]
    first = desk.submit(ONE)
    assert desk.supervise(first).state == "done"
    assert [one.lessons for one in desk.briefs] == [(), ()]
    [learned] = desk.events(first, LessonLearned)
    assert SEEN in learned.text
    assert "counted the cents again" in learned.text

    desk.works = [says(CRASHED), BAD, GOOD]
    desk.asked.clear()
    second = desk.submit(ONE, TWO)
    other = desk.asked_for(ONE, TWO, text=Path(desk.folder / "notes.md").read_text().replace("Short", "Prices and"))
    second = task.submit(other, desk.engine, desk.ledger)  # type: ignore[arg-type]
    assert desk.supervise(second).state == "done"
    assert all(learned.text in brief.lessons for brief in desk.briefs[2:])
    judged = [(one.lessons, one.attempt, one.solved) for one in desk.events(second, LessonJudged)]
    assert judged == [([learned.lesson], 1, False), ([learned.lesson], 2, False), ([learned.lesson], 3, True)]
    found = lessons.find(desk.ledger, learned.lesson)
    assert (found.seen, found.helped, found.failed) == (2, 1, 2)


def test_a_providers_trouble_says_nothing_about_lessons(desk: Desk) -> None:
    """Nor about skill."""  # shows: F11
    lessons.add(desk.ledger, "Prices of notes are kept in cents.", task="build")
    until = stamp(desk.clock.now() + timedelta(hours=2))
    desk.works = [says(Claim(outcome="crashed", summary="no", trouble="quota", until=until)), GOOD]
    run = desk.submit(ONE, TWO)
    assert desk.supervise(run).state == "done"
    assert [one.solved for one in desk.events(run, LessonJudged)] == [True]
    assert [(one.worker, one.trouble) for one in desk.events(run, AttemptJudged)] == [(ONE, "quota"), (TWO, "")]


def test_a_first_brief_recalls_nothing_and_the_next_one_what_was_seen(desk: Desk) -> None:
    """The attempt that it is for has not been lost."""  # shows: F11
    desk.works = [BAD, GOOD]
    desk.supervise(desk.submit(ONE))
    assert desk.briefs[0].recall == ""
    assert "attempt 1 by json:one: failed" in desk.briefs[1].recall
    assert "did not end" not in desk.briefs[1].recall


# -- builds from before there was a choice


def test_a_build_that_was_asked_for_with_one_worker_goes_on_as_it_began(desk: Desk) -> None:
    """Its history has no choices in it, and gets none."""  # shows: N1, N13
    run = desk.submit(ONE)
    [args] = [one.event.args for one in desk.ledger.read_all() if isinstance(one.event, TaskAdded)]
    old = {name: value for name, value in args.items() if name not in ("workers", "alone", "skeleton")}
    read = BuildArgs.model_validate({**old, "worker": ONE})
    assert (read.workers, read.alone) == ((ONE,), True)
    run = desk.engine.submit("build", "Notes", {**old, "worker": ONE})
    desk.works = [BAD, GOOD]
    assert desk.supervise(run).state == "done"
    assert "choose" not in [one.name for one in desk.events(run, StepDone)]
    failed = desk.engine.submit("build", "Notes", {**old, "worker": ONE})
    desk.works, before = [BAD], len(desk.asked)
    assert desk.supervise(failed).error.code == "C132"  # type: ignore[union-attr]
    assert len(desk.asked) == before + 2, "the same again ends it, as it did then"


# -- the budget of the specification


def test_what_the_specification_allows_is_the_budget_of_a_run_that_can_spend(desk: Desk) -> None:
    """Money and tokens; a build that spends nothing has no account."""  # shows: F8, N1
    run = desk.submit(ONE)
    [free] = [one.event for one in desk.ledger.read_all() if isinstance(one.event, TaskAdded)]
    assert free.budget == {}
    desk.settings = Settings(order=("paid", "builder"), workers={"paid": Worker(kind="generic", command=("true",))})
    asked = desk.asked_for()
    run = task.submit(asked, desk.engine, desk.ledger)  # type: ignore[arg-type]
    [paid] = [one.event for one in desk.ledger.read_all() if isinstance(one.event, TaskAdded) and one.event.run == run]
    assert paid.budget == {"money_microusd": 2_000_000, "tokens": 500_000}


def test_a_brief_says_why_and_what_every_result_is_held_to(desk: Desk) -> None:
    """Nobody has to learn from a failed attempt what could have been said before it."""  # shows: F8
    desk.supervise(desk.submit(ONE))
    [brief] = desk.briefs
    assert brief.why == "keep notes"
    told = prompt.render(brief)
    for word in ("src/notes/", "[project.scripts]", "85 %", "mypy --strict", "ruff format --check", MANIFEST):
        assert word in told
    assert not brief.checks, "these are commands, which a worker of ours runs"
