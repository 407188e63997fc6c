"""Numbers: what evidence is worth, when a gate passes, and what runners of tests print."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.checks.evidence import Evidence
from daybreak.factory.validate import readings
from daybreak.factory.validate.planned import THRESHOLDS, WEIGHTS, Plan, Planned
from daybreak.factory.validate.table import decide, points, progressed, round_threshold
from daybreak.settings import CheckKind


def planned(kind: CheckKind, **more: Any) -> Planned:
    return Planned(
        **{
            "name": f"{kind}:python",
            "kind": kind,
            "language": "python",
            "how": "command",
            "command": kind,
            "weight": WEIGHTS[kind],
            "threshold": THRESHOLDS[kind],
            **more,
        }
    )


def seen(kind: str, outcome: str = "passed", **counts: float) -> Evidence:
    return Evidence.model_validate(
        {"check": f"{kind}:python", "workspace": "0" * 64, "outcome": outcome, "summary": outcome, "counts": counts}
    )


PLAN = Plan(languages=("python",), checks=(planned("tests"), planned("lint"), planned("security")))
GOOD = [seen("tests", tests=10, passed=10), seen("lint", findings=0, lines=500), seen("security", findings=0)]


def test_the_score_comes_from_evidence_and_its_weights() -> None:
    """Everything is 100; what failed counts by its share, what nobody looked at counts nothing."""
    # shows: P5
    assert decide(PLAN, GOOD, 85).score == 100
    table = decide(PLAN, [GOOD[0], seen("lint", "failed", findings=10, lines=500), GOOD[2]], 85)
    assert table.rows[1].score == 80
    assert (table.verdict, table.reasons) == ("failed", ("lint:python: 80 of 85: failed",))
    none = decide(PLAN, GOOD[:1], 85)
    assert none.verdict == "failed"
    assert none.score == pytest.approx(35 / 57 * 100, abs=0.1)
    assert sum(row.points for row in none.shares()) == pytest.approx(none.score, abs=0.1)


def test_vetoes_are_outweighed_by_nothing() -> None:
    """Zero tests, a failing test, a file that does not parse."""
    # shows: P5, P7
    for wrong, words in (
        (seen("tests", "failed", tests=0, passed=0), "zero tests were executed"),
        (seen("tests", "failed", tests=1000, passed=999, failed=1), "tests:python: failed"),
        (seen("tests", "failed", tests=10, passed=10), "tests:python: failed"),
    ):
        table = decide(PLAN, [wrong, *GOOD[1:]], 0)
        assert (table.verdict, table.vetoes) == ("failed", 1)
        assert words in table.reasons[0]


def test_who_cannot_look_is_shown_and_may_be_done_without() -> None:
    """A missing tool fails the gate, unless somebody said that it is not needed; then it counts nothing at all."""
    # shows: P7
    missing = [*GOOD[:2], seen("security", "unusable")]
    strict = decide(PLAN, missing, 85)
    assert strict.verdict == "failed"
    assert any("could not look" in reason for reason in strict.reasons)
    optional = PLAN.model_copy(update={"checks": (*PLAN.checks[:2], planned("security", required=False))})
    mild = decide(optional, missing, 85)
    assert (mild.verdict, mild.score, mild.rows[2].weight) == ("passed", 100, 0)


def test_rounds_rise_to_the_threshold_and_must_gain() -> None:
    """60, 75, then the threshold; five points, or a verdict."""
    # shows: P7
    assert [round_threshold(number, 85) for number in (1, 2, 3, 9)] == [60, 75, 85, 85]
    assert round_threshold(1, 40) == 40

    def table(tests: int) -> Any:
        return decide(PLAN, [seen("tests", "failed", tests=100, passed=tests, failed=100 - tests), *GOOD[1:]], 85)

    assert not progressed(table(50), table(50), 1)
    assert not progressed(table(50), table(40), 3)
    assert not progressed(table(50), table(52), 3), "two points, below what the third round has to reach"
    assert progressed(table(50), table(60), 3)
    assert progressed(table(50), table(52), 1), "it reaches what the first round has to reach"


@settings(deadline=None)
@given(
    st.sampled_from(sorted(WEIGHTS)),
    st.sampled_from(["passed", "failed", "unusable"]),
    st.dictionaries(
        st.sampled_from(["tests", "passed", "failed", "findings", "lines", "functions", "share", "coverage", "files"]),
        st.integers(0, 10**9),
    ),
)
def test_no_evidence_is_worth_less_than_nothing(kind: CheckKind, outcome: str, counts: dict[str, float]) -> None:
    """Points are from 0 to 100 whatever is counted, and 0 where nobody could look."""
    # shows: P5
    found = points(planned(kind), seen(kind, outcome, **counts))
    assert 0 <= found <= 100
    assert outcome != "unusable" or found == 0


GO = """\
{"Action":"run","Package":"x","Test":"TestA"}
{"Action":"output","Package":"x","Test":"TestB","Output":"want 1, got 2\\n"}
{"Action":"pass","Package":"x","Test":"TestA"}
{"Action":"fail","Package":"x","Test":"TestB"}
{"Action":"output","Package":"x","Output":"coverage: 50.0% of statements\\n"}
{"Action":"fail","Package":"x"}
"""


@pytest.mark.parametrize(
    ("reading", "printed", "counts"),
    [
        ("node", "TAP version 13\nok 1 - adds\nnot ok 2 - subtracts\nok 3 - later # SKIP\n", (1, 1, 1)),
        ("node", "✔ adds (1.2ms)\n✖ subtracts (0.3ms)\nℹ tests 2\nℹ pass 1\nℹ fail 1\n", (1, 1, 0)),
        ("node", "Tests:       1 failed, 2 skipped, 5 passed, 8 total\n", (5, 1, 2)),
        ("node", "  7 passing (20ms)\n  1 failing\n", (7, 1, 0)),
        ("go", GO, (1, 1, 0)),
        ("go", '{"Action":"fail","Package":"broken"}\n[]\n{"Action":1}\n', (0, 1, 0)),
        (
            "cargo",
            "test a::b ... ok\ntest c ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored;",
            (1, 1, 0),
        ),
        ("maven", "Tests run: 9, Failures: 1, Errors: 1, Skipped: 2\n", (5, 2, 2)),
        ("gradle", "ATest > adds PASSED\nATest > subs FAILED\n", (1, 1, 0)),
        ("any", "===== 3 passed, 1 failed in 0.12s =====\n", (3, 1, 0)),
        ("any", "Ran 4 tests in 0.1s\n\nFAILED (failures=1)\n", (3, 1, 0)),
        ("any", "all is well\n", (0, 0, 0)),
    ],
)
def test_runners_of_tests_are_read(reading: Any, printed: str, counts: tuple[int, int, int]) -> None:
    """Passed, failed and skipped, as each of them says it."""
    # shows: P7
    found = readings.read(reading, printed)
    assert found.counts == counts
    assert found.known == (counts != (0, 0, 0))


@settings(deadline=None)
@given(st.sampled_from(["node", "go", "cargo", "maven", "gradle", "any", "findings"]), st.text(max_size=300))
def test_nothing_that_is_printed_is_too_strange(reading: Any, printed: str) -> None:
    """Reading never fails, and counts nothing below zero."""
    # shows: P8
    assert min(readings.read(reading, printed).counts) >= 0
