"""The error corpus, in a fast form: what goes wrong without the patterns, and what becomes of it with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
from benchmarks.error_corpus.families import FAMILIES, waiting
from benchmarks.error_corpus.printing import print_causes
from benchmarks.error_corpus.replay import (
    OUTSIDE_THE_STUDY,
    STUDY_PERCENT,
    Replayed,
    Situation,
    prevented,
    replay,
    situations,
)

from daybreak.policy.planning import PlanningLoop
from daybreak.policy.retry import GaveUp

ALL = situations()
COVERED = [one for one in ALL if one.covered]
FIRST_OF_FAMILY = list({one.family: one for one in reversed(COVERED)}.values())


@cache
def replayed(situation: Situation, way: str) -> Replayed:
    """Each once, however many tests look at it."""
    return replay(situation, "naive" if way == "naive" else "patterned")


def test_the_corpus_has_the_proportions_of_the_study() -> None:
    """One situation for each percentage point, and every one has a name of its own."""
    # shows: X8
    causes = Counter(one.cause for one in ALL)
    assert {cause: causes[cause] for cause in STUDY_PERCENT} == STUDY_PERCENT
    assert set(causes) == {*STUDY_PERCENT, OUTSIDE_THE_STUDY}
    assert len({one.name for one in ALL}) == len(ALL) == 110
    assert {one.family for one in ALL} == set(FAMILIES)


def test_every_situation_really_fails_without_the_patterns() -> None:
    """A trap that the naive way survives would prove nothing."""
    # shows: X8
    ends = {one.name: replayed(one, "naive").end for one in ALL}
    assert {name for name, end in ends.items() if end not in ("failed", "damaged", "silent")} == set()
    counted = Counter(ends.values())
    assert counted["silent"] >= 40
    assert counted["damaged"] >= 40


def test_the_patterns_prevent_what_they_cover() -> None:
    """At least 85 % of the study's situations, those that are not covered yet counted against it; no silent failure."""
    # shows: X8
    of_study = [replayed(one, "patterned") for one in ALL if one.cause in STUDY_PERCENT]
    failing = {one.situation.name: one.said for one in of_study if not prevented(one) and one.end != "not covered"}
    assert failing == {}
    assert sum(map(prevented, of_study)) / len(of_study) >= 0.85
    assert not any(one.end in ("silent", "damaged") for one in of_study)


def test_what_is_not_covered_yet_is_counted_as_such() -> None:
    """At the moment nothing is."""
    assert Counter(one.cause for one in ALL if replayed(one, "patterned").end == "not covered") == {}


def test_only_what_is_not_covered_yet_is_printed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """No line of zeros; a gap is named by its cause."""
    # shows: X8
    naive = [replayed(one, "naive") for one in ALL]
    patterned = [replayed(one, "patterned") for one in ALL]
    print_causes(naive, patterned)
    assert "NOT COVERED" not in capsys.readouterr().out
    gap = [replace(one, end="not covered") if one.situation.family == "planner" else one for one in patterned]
    print_causes(naive, gap)
    assert "NOT COVERED YET: 4 planning loop" in capsys.readouterr().out


def test_planning_loops_and_outages_are_ended_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the script that plays the world: the planning budget and the retry policy say so; without retries nothing
    gets through."""
    # shows: X8
    plans, calls = ([one for one in ALL if one.family == family] for family in ("planner", "service"))
    assert {replayed(one, "patterned").said.partition(":")[0] for one in plans} == {PlanningLoop.__name__}
    said = {one.trap: replayed(one, "patterned").said.partition(":")[0] for one in calls}
    assert said == {"short": "", "limit": "", "half": "", "refused": GaveUp.__name__, "down": GaveUp.__name__}
    monkeypatch.setattr(waiting, "Retry", lambda **_: SimpleNamespace(run=lambda once: once()))
    assert [one.trap for one in calls if replay(one, "patterned").end == "done"] == []


def test_few_operations_fail_and_nothing_is_repeated_blindly() -> None:
    """A tenth of the naive failures at most, and no retry cycle."""
    # shows: X8
    counts = {}
    for way in ("naive", "patterned"):
        sessions = [replayed(one, way).session for one in COVERED]
        counts[way] = (sum(one.failed for one in sessions), max(one.cycles for one in sessions))
    assert counts["patterned"][0] * 10 <= counts["naive"][0]
    assert counts["patterned"][1] < 3 <= counts["naive"][1]


@pytest.mark.parametrize("situation", FIRST_OF_FAMILY, ids=lambda one: one.family)
def test_both_ways_succeed_where_nothing_is_wrong(situation: Situation) -> None:
    """Who always refuses prevents everything: in a healthy world the task is done."""
    # shows: X8
    assert replay(situation, "naive", healthy=True).end == "done"
    one = replay(situation, "patterned", healthy=True)
    assert one.end == "done", one.said
