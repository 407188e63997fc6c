"""Several candidates for one phase: a tournament's best, and what a consensus says where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import SPECIFICATION, Desk, says
from tests.unit.test_phases import _Looked, puts

from daybreak.agents.protocol import Claim
from daybreak.events import AttemptBegan, CandidatesCompared, GateDecided
from daybreak.factory import consensus, looking
from daybreak.factory.consensus import Observation, Probe

WORKERS = ("json:one", "json:two", "json:three", "json:four")
ALL = ("lint", "example", "tests/tests", "Containerfile")
CRASHED = Claim(outcome="crashed", summary="segfault", trouble="crashed")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """What a candidate does is what its file `says` holds, if anything."""
    desk = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(looking, "Result", _Looked)
    monkeypatch.setattr(_Looked, "product", lambda self: self._copy("product"), raising=False)
    monkeypatch.setattr(consensus, "observe", _observe)
    return desk


def _observe(product: Any, probe: Probe, scratch: Path, *, candidate: str, workspace: str, asked: int, **_: Any) -> Any:
    text = (product / "says").read_text() if (product / "says").exists() else ""
    return Observation(
        candidate=candidate, workspace=workspace, probe=probe.id, answers=(text,) * len(probe.asks), asked=asked
    )


def by_worker(desk: Desk, **works: Any) -> None:
    """Each worker its own work, whatever the order in which threads come along."""
    asked: list[str] = []

    def work(number: int, name: str, brief: Any, folder: Path, scratch: Path, **terms: Any) -> Any:
        asked.append(name)
        desk.asked.append(name)
        desk.works = [works[name.removeprefix("json:")]]
        claim = works[name.removeprefix("json:")](folder)
        from daybreak.factory.attempting import Result

        return Result(claim or Claim(outcome="finished", summary="done"))

    desk.work = work  # type: ignore[method-assign]


def compared(desk: Desk, run: str) -> CandidatesCompared:
    (event,) = desk.events(run, CandidatesCompared)
    assert isinstance(event, CandidatesCompared)
    return event


def test_the_best_verified_candidate_wins_a_tournament(desk: Desk) -> None:
    """Not the first, and not the one that says most of itself."""  # shows: F6
    by_worker(desk, one=puts("one"), two=puts(*ALL, "winner"), three=puts("lint"))
    run = desk.submit(*WORKERS[:3], paradigm="tournament", candidates=3)
    assert desk.supervise(run).state == "done"
    assert (desk.output / "winner").exists()
    assert sorted(desk.asked) == sorted(WORKERS[:3])
    verdicts = [event.verdict for event in desk.events(run, GateDecided) if event.phase == "implementation"]
    assert sorted(verdicts) == ["failed", "failed", "passed"]


def test_candidates_come_from_different_workers_where_there_are_so_many(desk: Desk) -> None:
    """And from the same ones again where there are not."""  # shows: F7
    by_worker(desk, one=puts(*ALL), two=puts(*ALL))
    run = desk.submit(*WORKERS[:2], paradigm="tournament", candidates=4)
    assert desk.supervise(run).state == "done"
    assert sorted(event.worker for event in desk.events(run, AttemptBegan)) == sorted(WORKERS[:2] * 2)


def test_a_tournament_that_nobody_wins_goes_on_with_the_best(desk: Desk) -> None:
    """By rework, like any other."""  # shows: F6, P3
    by_worker(desk, one=puts("one"), two=puts("lint", "two"))

    run = desk.submit(*WORKERS[:2], paradigm="tournament", candidates=2)
    assert desk.supervise(run).state == "failed"
    assert len(desk.asked) > 2


def test_one_that_crashes_or_says_nothing_loses_alone(desk: Desk) -> None:
    """The others go on."""  # shows: F5, F6
    by_worker(desk, one=says(CRASHED), two=puts(*ALL))
    run = desk.submit(*WORKERS[:2], paradigm="tournament", candidates=2)
    assert desk.supervise(run).state == "done"


def test_nobody_left_anything(desk: Desk) -> None:
    """Then nothing is delivered, and the report says why of each."""  # shows: F6, F16
    by_worker(desk, one=says(CRASHED), two=says(CRASHED))
    result = desk.supervise(desk.submit(*WORKERS[:2], paradigm="tournament", candidates=2))
    assert result.state == "failed"
    assert not desk.output.exists()


def test_what_most_do_wins_a_consensus(desk: Desk) -> None:
    """Of four, one may be wrong and still pass every example."""  # shows: F7
    wrong = puts(*ALL, "wrong", says="four")
    by_worker(desk, one=wrong, **{name: puts(*ALL, says="five") for name in ("two", "three", "four")})
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=4)
    assert desk.supervise(run).state == "done"
    assert not (desk.output / "wrong").exists()
    event = compared(desk, run)
    assert (event.verdict, event.candidates, event.tolerated) == ("agreed", 4, 1)
    assert event.splits


def test_where_they_differ_a_person_chooses(desk: Desk) -> None:
    """With the input on which they differ, and both answers; nothing is delivered before."""  # shows: F7
    by_worker(desk, one=puts(*ALL, says="four"), two=puts(*ALL, says="five"), three=puts(*ALL, says="five"))
    run = desk.submit(*WORKERS[:3], paradigm="consensus", candidates=3)
    parked = desk.supervise(run)
    assert parked.state == "parked"
    assert "They differ on" in str(parked.question)
    assert not desk.output.exists()
    answer(desk, run, parked.question, "perhaps")
    again = desk.supervise(run)
    assert again.state == "parked"
    answer(desk, run, again.question, "2")
    assert desk.supervise(run).state == "done"
    assert compared(desk, run).tolerated == 0


def test_whoever_chooses_none_gets_none(desk: Desk) -> None:
    """And the build fails with that."""  # shows: F7
    by_worker(desk, one=puts(*ALL, says="four"), two=puts(*ALL, says="five"), three=puts(*ALL, says="six"))
    run = desk.submit(*WORKERS[:3], paradigm="consensus", candidates=3)
    answer(desk, run, desk.supervise(run).question, "none")
    assert desk.supervise(run).state == "failed"
    assert not desk.output.exists()


def answer(desk: Desk, run: str, question: str | None, text: str) -> None:
    assert question
    desk.engine.answer(run, question, text)


def test_a_silent_candidate_counts_against_nobody_else(desk: Desk) -> None:
    """Of four, one may leave nothing at all."""  # shows: F7
    by_worker(desk, one=says(CRASHED), **{name: puts(*ALL, says="five") for name in ("two", "three", "four")})
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=4)
    assert desk.supervise(run).state == "done"
    assert compared(desk, run).verdict == "agreed"


def test_a_specification_is_what_probes_are_made_of() -> None:
    """There are some for the one that these tests use."""
    from daybreak.factory.spec import read_text

    assert consensus.probes(read_text(SPECIFICATION, name="notes.md", format="md"), 1)
