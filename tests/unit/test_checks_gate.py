"""The gate decides from evidence, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.checks.evidence import Evidence
from daybreak.checks.gate import REQUIRED, WEIGHTS, MixedEvidence, WeightsWrong, decide

HASH, OTHER = "ab" * 32, "cd" * 32


def seen(check: str, outcome: str = "passed", **values: Any) -> Evidence:
    counts = {"tests": 3} if check == "tests" else {}
    fields = {"check": check, "workspace": HASH, "outcome": outcome, "summary": "s", "counts": counts, **values}
    return Evidence.model_validate(fields)


def all_passed() -> list[Evidence]:
    return [seen(check) for check in REQUIRED] + [seen("example:1"), seen("example:2")]


def with_one(changed: Evidence) -> list[Evidence]:
    return [changed if one.check == changed.check else one for one in all_passed()]


def test_everything_passed_is_passed_with_a_hundred() -> None:
    """All evidence there and good."""
    decision = decide(all_passed())
    assert (decision.verdict, decision.score, decision.reasons) == ("passed", 100, ())


@pytest.mark.parametrize("check", ["example:1", "tests", "install", "syntax"])
@pytest.mark.parametrize("outcome", ["failed", "unusable"])
def test_a_veto_outweighs_any_score(check: str, outcome: str) -> None:
    """A failed or unusable veto fails, even with a threshold of 0."""  # shows: P5
    decision = decide(with_one(seen(check, outcome)), threshold=0)
    assert decision.verdict == "failed"
    assert any(check in reason for reason in decision.reasons)


def test_zero_executed_tests_fail_whatever_the_evidence_calls_itself() -> None:
    """A test run without tests proves nothing."""  # shows: F1
    decision = decide(with_one(seen("tests", counts={"tests": 0})), threshold=0)
    assert decision.verdict == "failed"


@pytest.mark.parametrize("missing", [*REQUIRED, "example:2"])
def test_missing_evidence_fails(missing: str) -> None:
    """What nobody looked at is not passed."""  # shows: X6
    evidence = [one for one in all_passed() if one.check != missing]
    decision = decide(evidence, threshold=0, required=[*REQUIRED, "example:1", "example:2"])
    assert decision.verdict == "failed"
    assert f"{missing}: nobody looked" in decision.reasons


def test_no_evidence_at_all_fails() -> None:
    """Silence is not consent."""
    assert decide([], threshold=0).verdict == "failed"
    assert decide([], threshold=0).score == 0


def test_evidence_of_another_workspace_is_refused() -> None:
    """Evidence cannot be carried from one tree to another."""
    with pytest.raises(MixedEvidence, match="2 workspaces"):
        decide(with_one(seen("lint", workspace=OTHER)))


def test_two_pieces_of_evidence_for_one_check_are_refused() -> None:
    """Nobody can add a better result beside a bad one."""
    with pytest.raises(MixedEvidence, match="tests"):
        decide([*all_passed(), seen("tests")])


def test_what_is_no_veto_lowers_the_score_only() -> None:
    """Findings of lint cost their weight; the threshold decides."""  # shows: P3
    evidence = with_one(seen("lint", "failed"))
    decision = decide(evidence, threshold=90)
    assert (decision.verdict, decision.score) == ("passed", 92)
    assert decide(evidence, threshold=92.1).verdict == "failed"
    assert decide(evidence, threshold=92.1).reasons == ("score 92 is below 92.1", "lint failed: s")


def test_examples_share_their_weight() -> None:
    """One of two examples failed costs half of what examples are worth; it is a veto besides."""
    decision = decide(with_one(seen("example:2", "failed")), vetoes=(), threshold=75)
    assert (decision.verdict, decision.score) == ("passed", 75)


def test_negative_weights_are_refused() -> None:
    """A weight below nothing would turn a failure into gain."""
    with pytest.raises(WeightsWrong, match="lint"):
        decide(all_passed(), weights={**WEIGHTS, "lint": -1})


outcomes = st.lists(st.sampled_from(["passed", "failed", "unusable"]), min_size=8, max_size=8)


@given(outcomes, st.floats(0, 100))
def test_mending_one_thing_never_makes_it_worse(results: list[str], threshold: float) -> None:
    """Score and verdict only go up when a check goes from failed to passed."""
    evidence = [seen(one.check, result) for one, result in zip(all_passed(), results, strict=True)]
    before = decide(evidence, threshold=threshold)
    for at, one in enumerate(evidence):
        mended = [*evidence[:at], seen(one.check), *evidence[at + 1 :]]
        after = decide(mended, threshold=threshold)
        assert after.score >= before.score
        assert (before.verdict, after.verdict) != ("passed", "failed")
    assert (before.verdict == "passed") == (not before.reasons)
