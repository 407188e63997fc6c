"""Several candidates for one phase: a tournament's best, and what a consensus says where they differ."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import SPECIFICATION, Desk, says
from tests.unit.test_phases import _Looked, puts

from daybreak.agents.protocol import Claim
from daybreak.events import (
    AttemptBegan,
    CandidatesCompared,
    ConsensusWidened,
    Event,
    GateDecided,
    StepDone,
    run_stream,
)
from daybreak.factory import consensus, looking
from daybreak.factory.consensus import Observation, Probe
from daybreak.report.run import collect
from daybreak.settings import Role as RoleSettings
from daybreak.settings import Settings, Worker

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
        from daybreak.factory.attempted import Result

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


def test_where_three_split_a_fourth_is_asked_and_a_kill_between_any_two_steps_changes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of four decide; who was asked and why is told; and a process that dies after each step that it keeps, from
    the split on, goes on where it was: nobody works, and nothing is observed, a second time."""  # shows: F4, F7
    wrong = puts(*ALL, "wrong", says="four")
    by_worker(desk, one=wrong, **{name: puts(*ALL, says="five", who=name) for name in ("two", "three", "four")})
    looks: Counter[tuple[str, str, int]] = Counter()

    def observe(product: Any, probe: Probe, scratch: Path, **asked: Any) -> Observation:
        looks[asked["workspace"], probe.id, asked["asked"]] += 1
        return _observe(product, probe, scratch, **asked)

    monkeypatch.setattr(consensus, "observe", observe)
    died = dies_after_each_step(desk, monkeypatch)
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=3)
    lives = 0
    result = None
    while result is None:
        lives += 1
        with suppress(BaseException):  # what ends a process
            result = desk.supervise(run)
    assert result.state == "done"
    assert lives == len(died) + 1
    assert {"widen", "choose", "attempt", "gate", "observe", "agree"} <= set(died)
    assert not (desk.output / "wrong").exists()
    assert sorted(desk.asked) == sorted(WORKERS)
    assert len({workspace for workspace, _, _ in looks}) == 4
    assert set(looks.values()) == {1}
    event = compared(desk, run)
    assert (event.verdict, event.candidates, event.tolerated, event.added) == ("agreed", 4, 1, [4])
    [widened] = desk.events(run, ConsensusWidened)
    assert (widened.split, widened.attempt, widened.worker, widened.needed) == ("2:1", 4, "json:four", 3)
    gates = [line for line in collect(desk.ledger.read(run_stream(run))).gates if "candidates" in line.what]
    assert (gates[0].what, gates[0].outcome) == ("3 candidates split 2:1", "one more is asked")
    assert gates[0].summary == "a fourth is asked, json:four first (not asked before); 3 of 4 have to agree, f = 1"
    assert gates[1].marks[0] == "3 of 4 do the same and pass acceptance (1 faulty of 4 would change nothing)"


def dies_after_each_step(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From the first `widen` on the process dies after each step that is kept; the names of those steps."""
    died: list[str] = []
    append = desk.ledger.append

    def dying(drafts: Any) -> Any:
        records = append(drafts)
        for record in records:
            event: Event = record.event
            if isinstance(event, StepDone) and (died or event.name == "widen"):
                died.append(event.name)
                raise KeyboardInterrupt("killed")
        return records

    monkeypatch.setattr(desk.ledger, "append", dying)
    return died


@pytest.mark.parametrize(("attempts", "most"), [(1, 4), (3, 0)])
def test_no_more_are_asked_than_may_be(desk: Desk, attempts: int, most: int) -> None:
    """Each one more is an attempt of the specification's; and who wants none in addition says so."""  # shows: F5, F7
    desk.settings = Settings.model_validate({"paradigm": {"candidates_max": most}})
    by_worker(desk, one=puts(*ALL, says="four"), **{name: puts(*ALL, says="five") for name in ("two", "three", "four")})
    text = SPECIFICATION.replace("attempts: 3", f"attempts: {attempts}")
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=3, text=text)
    parked = desk.supervise(run)
    assert parked.state == "parked"
    assert len(desk.asked) == 3
    assert [event.attempt for event in desk.events(run, ConsensusWidened)] == ([0] if most else [])
    assert compared(desk, run).candidates == 3


def test_where_they_differ_a_person_chooses(desk: Desk) -> None:
    """With the input on which they differ, and both answers; nothing is delivered before. Where everybody was asked, a
    fourth candidate comes from whoever differed, and decides nothing by saying the same again."""  # shows: F7
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
    assert [event.worker for event in desk.events(run, ConsensusWidened)] == ["json:one"]
    assert (compared(desk, run).candidates, compared(desk, run).tolerated) == (4, 1)


def test_nobody_stands_in_for_whoever_differed_with_a_second_copy_of_what_leads(desk: Desk) -> None:
    """Who differed cannot be asked any more: then there is no fourth, and a person decides, instead of an author of the
    leading cluster who says the same again. Where a role has its own workers, they take turns too."""  # shows: F7
    names = ["one", "two", "three"]
    desk.settings = desk.office.settings = Settings(
        roles={"implementer": RoleSettings(workers=tuple(names))},
        workers={name: Worker(kind="python", program=f"json:{name}") for name in (*names, "four")},
    )
    left = [puts(*ALL, says="four"), says(Claim(outcome="refused", summary="not today", trouble="refused"))]
    by_worker(desk, one=lambda folder: left.pop(0)(folder), two=puts(*ALL, says="five"), three=puts(*ALL, says="five"))
    run = desk.submit(*names, "four", paradigm="consensus", candidates=3)
    assert desk.supervise(run).state == "parked"
    assert sorted(desk.asked) == sorted([*names, "one"])
    assert (compared(desk, run).candidates, compared(desk, run).verdict) == (4, "ambiguous")


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
