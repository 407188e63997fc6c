"""What a consensus asks programs and people: no probe twice, and about no more than is needed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import Desk
from tests.unit.test_contest import ALL, WORKERS, answer, by_worker, compared
from tests.unit.test_phases import _Looked, puts

from daybreak.events import StepDone
from daybreak.factory import consensus, looking
from daybreak.factory.consensus import Ask, Observation, Probe, Split, answered, shortening
from daybreak.factory.consensus.model import Answer
from daybreak.factory.phases import observed
from daybreak.settings import Settings

ASKS = tuple(Ask(line=f"ask {number}", requirements=(f"FR-{number}",)) for number in range(12))

NO_MORE = Settings.model_validate({"paradigm": {"candidates_max": 0}})
"""No fourth where three split: a person is asked at once."""


class Machine:
    """Programs that answer what their file `says` as soon as ask 3 has been put to them, and count what they are
    asked; it stops as often as `breaks` says, in the middle."""

    def __init__(self) -> None:
        self.put: Counter[tuple[str, str, int]] = Counter()
        self.installed: Counter[str] = Counter()
        self.breaks: list[int] = []

    def observe(
        self, product: Any, probe: Probe, scratch: Path, *, workspace: str, asked: int, **_: Any
    ) -> Observation:
        if self.breaks and sum(self.put.values()) >= self.breaks[0]:
            self.breaks.pop(0)
            raise KeyboardInterrupt
        self.put[workspace, probe.id, asked] += 1
        said, told = (product / "says").read_text(), "same"
        answers = []
        for ask in probe.asks:
            told = said if ask.line == "ask 3" else told
            answers.append(told if ask.line == "ask 11" else "ok")
        return Observation(candidate="", workspace=workspace, probe=probe.id, answers=tuple(answers), asked=asked)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()

    def product(self: Any) -> Path:
        machine.installed[self.workspace] += 1
        folder: Path = self._copy("product")
        return folder

    monkeypatch.setattr(looking, "Result", _Looked)
    monkeypatch.setattr(_Looked, "product", product, raising=False)
    monkeypatch.setattr(consensus, "observe", machine.observe)
    monkeypatch.setattr(consensus, "probes", lambda *_: (Probe.of("console", "long", ASKS),) * 1)
    return machine


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Desk:
    return Desk(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _looked(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    monkeypatch.setattr(looking, "Result", _Looked)


def test_a_person_is_asked_about_the_shortest_input_that_was_found(desk: Desk, machine: Machine) -> None:
    """What the difference does not need is left out of the question, and the answers are those to what is left."""
    # shows: F7
    desk.settings = NO_MORE
    by_worker(desk, one=puts(*ALL, says="four"), two=puts(*ALL, says="five"), three=puts(*ALL, "x", says="five"))
    run = desk.submit(*WORKERS[:3], paradigm="consensus", candidates=3)
    parked = desk.supervise(run)
    assert "They differ on `ask 3; ask 11`" in str(parked.question)
    assert "2, 3 answers 'five'; 1 answers 'four'" in str(parked.question)
    split = compared(desk, run).splits[0]
    assert [ask["line"] for ask in split["input"]] == ["ask 3", "ask 11"]
    assert split["requirements"] == ["FR-11"]


def test_how_often_it_is_tried_is_bounded(desk: Desk, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs are asked for each try, and all of them once about what is left."""  # shows: F7, F5
    monkeypatch.setattr(observed, "SHORTER_MAX", 3)
    desk.settings = NO_MORE
    by_worker(desk, one=puts(*ALL, says="four"), two=puts(*ALL, says="five"), three=puts(*ALL, "x", says="five"))
    run = desk.submit(*WORKERS[:3], paradigm="consensus", candidates=3)
    assert desk.supervise(run).state == "parked"
    assert sum(machine.put.values()) <= 3 * 2 + 3 * 2 + 3  # the probe twice, the tries, the answers


def test_where_they_agree_nothing_is_shortened(desk: Desk, machine: Machine) -> None:
    """Nobody is asked about it."""  # shows: F7
    works = {name: puts(*ALL, name, says="five") for name in ("two", "three", "four")}
    by_worker(desk, one=puts(*ALL, says="four"), **works)
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=4)
    assert desk.supervise(run).state == "done"
    assert sum(machine.put.values()) == 4 * 2


def test_candidates_that_left_the_same_are_observed_once(desk: Desk, machine: Machine) -> None:
    """And each of them counts."""  # shows: F7
    by_worker(desk, **{name: puts(*ALL, says="five") for name in ("one", "two", "three", "four")})
    run = desk.submit(*WORKERS, paradigm="consensus", candidates=4)
    assert desk.supervise(run).state == "done"
    assert set(machine.put.values()) == {1}
    assert len({workspace for workspace, _, _ in machine.put}) == 1
    assert machine.installed.total() == 1
    assert compared(desk, run).reasons[0].startswith("4 of 4 do the same")


def test_a_run_that_is_taken_up_again_repeats_no_probe(desk: Desk, machine: Machine) -> None:
    """Each observation is kept by workspace and probe as soon as it is made: of those that were under way when the
    process ended, at most, one for each candidate is made again."""  # shows: F4, F7
    by_worker(desk, one=puts(*ALL, says="four"), two=puts(*ALL, says="five"), three=puts(*ALL, "x", says="five"))
    run = desk.submit(*WORKERS[:3], paradigm="consensus", candidates=3)
    machine.breaks = [4, 9]
    for _ in range(2):
        with pytest.raises(BaseException):  # noqa: B017 - what ends a process
            desk.supervise(run)
    parked = desk.supervise(run)
    assert parked.state == "parked"
    kept = [event for event in desk.events(run, StepDone) if event.name == "observe"]
    assert len(kept) == len(machine.put)
    assert machine.put.total() <= len(machine.put) + 2 * 2
    before = machine.put.total()
    answer(desk, run, parked.question, "2")
    assert desk.supervise(run).state == "done"
    assert machine.put.total() == before
    assert max(machine.installed.values()) <= 4, "at most once each time that the run is taken up"


def test_an_input_is_shortened_for_those_who_have_to_wait_for_answers() -> None:
    """As `smallest` does it: the same tries in the same order."""  # shows: F7
    split = Split(probe="p", face="console", about="x", input=ASKS, answers=(), requirements=())
    tried: list[Probe] = []

    def differs(probe: Probe) -> bool:
        return {"ask 3", "ask 11"} <= {ask.line for ask in probe.asks}

    least = consensus.smallest(split, lambda probe: tried.append(probe) or differs(probe))  # type: ignore[func-returns-value]
    trying = shortening(split)
    assert next(trying) == tried[0]
    for probe, following in pairwise(tried):
        assert trying.send(differs(probe)) == following
    with pytest.raises(StopIteration) as ended:
        trying.send(differs(tried[-1]))
    assert ended.value.value == least
    assert [ask.line for ask in least.input] == ["ask 3", "ask 11"]


def test_answers_are_those_to_the_input_as_it_is_now() -> None:
    """Where they do not differ any more, it stays as it was found."""  # shows: F7
    found = (Answer(candidates=("1",), text="a"), Answer(candidates=("2",), text="b"))
    split = Split(probe="p", face="console", about="x", input=ASKS[:2], answers=found, requirements=())

    def seen(name: str, *answers: str) -> Observation:
        return Observation(candidate=name, workspace="w", probe="p", answers=answers)

    now = answered(split, {"1": seen("1", "ok", "c"), "2": seen("2", "ok", "d"), "3": seen("3", "ok", "d")})
    assert [(one.candidates, one.text) for one in now.answers] == [(("2", "3"), "d"), (("1",), "c")]
    earlier = answered(split, {"1": seen("1", "x", "c"), "2": seen("2", "y", "d")})
    assert len(earlier.input) == 1
    assert answered(split, {"1": seen("1", "ok", "c"), "2": seen("2", "ok", "c")}) == split
