"""The recall pack: what a worker that has forgotten is told, and what it is never told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from daybreak import events
from daybreak.factory import recall

RUN = "run-1"


@dataclass
class Told:
    index: int
    event: events.Event


def records(*told: events.Event) -> list[Told]:
    return [Told(index, event) for index, event in enumerate(told)]


def task() -> events.Event:
    return events.TaskAdded(task="t", run=RUN, kind="build", title="A shop", args={})


def owner() -> events.Event:
    return events.LeaseGranted(run=RUN, owner="o", host="h", pid=1)


def claim(attempt: int, worker: str = "codex", **more: Any) -> events.Event:
    fields = {"outcome": "finished", "summary": "all tests pass", "workspace": f"{attempt}" * 64, **more}
    return events.AttemptClaimed(run=RUN, attempt=attempt, worker=worker, **fields)


def look(
    attempt: int, check: str, outcome: str, *, held_out: bool = False, message: str = "", requirement: str = ""
) -> events.Event:
    evidence = {
        "check": check,
        "workspace": f"{attempt}" * 64,
        "outcome": outcome,
        "summary": f"{check} {outcome}",
        "marks": [{"message": message, "place": "a.py:3"}] if message else [],
        "requirements": [requirement] if requirement else [],
    }
    return events.CheckLooked(run=RUN, attempt=attempt, held_out=held_out, evidence=evidence)


def gate(attempt: int, score: float, *reasons: str) -> events.Event:
    return events.GateDecided(
        run=RUN, attempt=attempt, workspace=f"{attempt}" * 64, verdict="failed", score=score, reasons=list(reasons)
    )


def test_before_anything_was_tried_there_is_nothing_to_recall() -> None:
    """The brief itself says what is asked."""
    assert recall.pack(records(task(), owner())) == ""


def test_it_tells_state_decisions_findings_and_what_is_verified() -> None:
    """All that a worker needs to go on, and which workspace each word is about."""  # shows: F16
    told = recall.pack(
        records(
            task(),
            owner(),
            claim(1),
            look(1, "syntax", "passed"),
            look(1, "tests", "failed", message="assert 1 == 2", requirement="R1"),
            gate(1, 40),
            events.Answered(run=RUN, question="may it use the network?", answer="no"),
            claim(2, "pi"),
            look(2, "syntax", "passed"),
            look(2, "lint", "failed", message="unused import"),
            gate(2, 30),
        ),
        lessons=["write the test first"],
    )
    assert "task: A shop" in told
    assert "best so far: attempt 1 by codex, score 40 of 100, workspace 111111111111" in told
    assert "'may it use the network?' and said 'no'" in told
    assert "attempt 2 by pi: failed, score 30" in told
    assert "on workspace 222222222222 (attempt 2) passed: syntax" in told
    assert "lint: a.py:3: unused import" in told
    assert "assert 1 == 2" not in told, "findings of an older attempt are about another workspace"
    assert "- write the test first" in told


def test_a_claim_that_checks_contradict_is_told_as_that() -> None:
    """A worker that reads its own words must not believe them."""  # shows: F1
    told = recall.pack(records(task(), claim(1), look(1, "tests", "failed"), look(1, "lint", "passed")))
    assert "codex said 'all tests pass'; but tests failed" in told
    honest = recall.pack(records(task(), claim(1), look(1, "tests", "passed")))
    assert "contradicted" not in honest


def test_held_out_examples_stay_held_out() -> None:
    """Neither their names nor what they saw nor the gate's words about them."""
    told = recall.pack(
        records(
            task(),
            claim(1),
            look(1, "example:secret-id", "failed", held_out=True, message="expected 42", requirement="R7"),
            look(1, "example:hidden", "passed", held_out=True, requirement="R8"),
            gate(1, 20, "'Orders of forty-two' failed"),
        )
    )
    for secret in ("secret-id", "hidden", "42", "forty-two", "a.py:3"):
        assert secret not in told
    assert "R7 is not met" in told
    assert "1 that you do not see" in told


def test_an_attempt_that_a_crash_ended_is_told_as_lost() -> None:
    """So that nobody looks for its files."""
    turns = [events.AttemptTurn(run=RUN, attempt=1, nth=n, data={}) for n in range(3)]
    began = events.AttemptBegan(run=RUN, attempt=1, worker="codex", why="first")
    told = recall.pack(records(task(), owner(), began, *turns, owner()))
    assert "attempt 1 by codex began and did not end; its workspace is gone; 3 turns of it are kept" in told
    assert "taken up 2 times" in told
    assert "nothing: no check has looked yet" in told


def test_trouble_is_told_where_no_gate_decided() -> None:
    """It is a decision too: somebody else was asked."""
    told = recall.pack(records(task(), claim(1, outcome="crashed", trouble="quota"), claim(2, "pi")))
    assert "attempt 1 by codex ended with trouble: quota" in told


def test_what_was_rolled_back_is_forgotten_and_answers_stay() -> None:
    """As the engine forgets it."""
    told = recall.pack(
        records(
            task(),
            claim(1),
            look(1, "tests", "passed"),
            events.Answered(run=RUN, question="q?", answer="yes"),
            claim(2, summary="gone"),
            look(2, "tests", "failed", message="gone"),
            events.RunRolledBack(run=RUN, before="attempt", index=4),
        )
    )
    assert "gone" not in told
    assert "said 'yes'" in told


def test_evidence_of_another_version_is_counted_not_shown() -> None:
    """What is held out of it cannot be told apart."""
    odd = events.CheckLooked(run=RUN, attempt=1, held_out=True, evidence={"check": "example:x", "strange": 1})
    told = recall.pack(records(task(), claim(1), odd))
    assert "1 pieces of evidence are of another version" in told
    assert "example:x" not in told


_texts = st.text(max_size=400)
_steps = st.one_of(
    st.builds(claim, st.integers(1, 4), st.sampled_from(["a", "b"]), summary=_texts),
    st.builds(
        look,
        st.integers(1, 4),
        st.sampled_from(["tests", "lint", "types"]),
        st.sampled_from(["passed", "failed", "unusable"]),
        held_out=st.just(False),
        message=_texts,
    ),
    st.builds(gate, st.integers(1, 4), st.floats(0, 100)),
    st.builds(lambda q, a: events.Answered(run=RUN, question=q, answer=a), _texts, _texts),
    st.builds(lambda n: events.RunRolledBack(run=RUN, before="attempt", index=n), st.integers(0, 20)),
)


@hypothesis_settings(max_examples=100, deadline=None)
@given(steps=st.lists(_steps, max_size=25), most=st.integers(600, 4000), lessons=st.lists(_texts, max_size=5))
def test_it_never_grows_over_its_limit_and_keeps_the_state(
    steps: list[events.Event], most: int, lessons: list[str]
) -> None:
    """A brief has other things to say as well."""
    told = recall.pack(records(task(), *steps), chars_max=most, lessons=lessons)
    assert len(told) <= most
    assert told == "" or told.startswith("State:")
    assert told == recall.pack(records(task(), *steps), chars_max=most, lessons=lessons)
