"""What a task on a repository learns, and what it is shown of it: the same as a build."""

from __future__ import annotations

from pathlib import Path

from tests.unit.repository_desk import CHECK, RIGHT, WORKERS, WRONG, opened

from daybreak.agents.protocol import Claim
from daybreak.events import AttemptBegan, AttemptJudged, LessonJudged, LessonLearned
from daybreak.memory import lessons


def test_lessons_are_shown_judged_once_for_each_attempt_and_learned(tmp_path: Path) -> None:
    """A person's note goes into every brief; the repaired check becomes a note of its own."""  # shows: F11
    with opened(tmp_path) as desk:
        kept = lessons.add(desk.ledger, "The order of arguments matters in calc.", task="repository")
        result = desk.run(desk.asked(CHECK), WRONG, RIGHT)
        assert result.state == "done"
        assert all(kept.text in brief.lessons for brief in desk.scripted.briefs)
        judged = desk.events(result.run, LessonJudged)
        assert [(one.lessons, one.attempt, one.solved) for one in judged] == [
            ([kept.lesson], 1, False),
            ([kept.lesson], 2, True),
        ]
        learned = desk.events(result.run, LessonLearned)
        assert {one.task for one in learned} == {"repository"}
        assert any("test_sub" in one.text for one in learned)


def test_who_gave_up_after_half_of_the_work_is_not_asked_to_go_on(tmp_path: Path) -> None:
    """What was left is looked at, in case it is right; its trouble stands with the verdict."""
    # shows: F8

    def half(folder: Path, brief: object) -> Claim:
        (folder / "calc.py").write_text("half = 1\n")
        return Claim(outcome="partial", summary="too long for me", trouble="context")

    with opened(tmp_path) as desk:
        result = desk.run(desk.asked(CHECK, workers=WORKERS[:2]), half, RIGHT)
        assert result.state == "done"
        began = desk.events(result.run, AttemptBegan)
        assert [one.worker for one in began] == list(WORKERS[:2])
        assert "too long for it" in began[1].passed_over[WORKERS[0]]
        assert [one.trouble for one in desk.events(result.run, AttemptJudged)] == ["context", ""]
