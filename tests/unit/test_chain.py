"""The chain reaction: parts that are built side by side and merged, and bounds that nobody's plan can pass."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.build_desk import SPECIFICATION, Desk, says
from tests.unit.test_phases import _Looked, puts

from daybreak.agents.protocol import Brief, Claim, Finding
from daybreak.events import AttemptBegan, AttemptClaimed, PartEnded, TaskDivided
from daybreak.factory import looking
from daybreak.factory.attempted import Result
from daybreak.factory.phases import parts
from daybreak.factory.phases.chain import FAILED_MAX, Breaker
from daybreak.factory.phases.parts import Divided

WORKER = "json:worker"
CRASHED = Claim(outcome="crashed", summary="segfault", trouble="crashed")
LIMITED = SPECIFICATION.replace("complexity: simple", "complexity: simple\nlimits: {workers: 4, depth: 2, children: 4}")


def part(name: str, *writes: str, after: tuple[str, ...] = (), divide: bool = False) -> dict[str, Any]:
    does = f"write the part that is called {name}"
    return {"name": name, "does": does, "writes": list(writes or [f"{name}*"]), "after": list(after), "divide": divide}


class Crew:
    """Plans by path of the part (`` is the whole), work by the name of the part; others put a file of their name."""

    def __init__(
        self, desk: Desk, plans: dict[str, Any], works: dict[str, Callable[[Path], Any]] | None = None
    ) -> None:
        self.plans, self.works = plans, works or {}
        self.briefs: list[Brief] = []
        self.at_a_time = self.most_at_a_time = 0
        self.lock = threading.Lock()
        desk.work = self.work  # type: ignore[method-assign]

    def work(self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, **terms: Any) -> Result:
        with self.lock:
            self.briefs.append(brief)
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            claim = self._does(brief, folder)
        finally:
            with self.lock:
                self.at_a_time -= 1
        return Result(claim or Claim(outcome="finished", summary="done"))

    def _does(self, brief: Brief, folder: Path) -> Claim | None:
        named = brief.title.partition(": ")[2]
        if brief.role == "planner":
            plan = self.plans.get(named, {"parts": []})
            (folder / parts.FILE).write_text(plan if isinstance(plan, str) else json.dumps(plan))
            return None
        claim = self.works.get(named, puts(named or "whole"))(folder)
        return claim if isinstance(claim, Claim) else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(looking, "Result", _Looked)
    return desk


def plan(*told: dict[str, Any]) -> dict[str, Any]:
    return {"parts": list(told)}


def ended(desk: Desk, run: str) -> dict[str, tuple[str, str]]:
    return {event.path: (event.verdict, event.why) for event in desk.events(run, PartEnded)}


def test_parts_are_built_apart_and_merged(desk: Desk) -> None:
    """Each by a worker that sees its own part only; the gates look at all of it together."""  # shows: F5, F6
    whole = plan(part("code", "lint", "example"), part("tests", "tests/*"), part("ship", "Containerfile"))
    works = {"code": puts("lint", "example"), "tests": puts("tests/tests"), "ship": puts("Containerfile")}
    crew = Crew(desk, {"": whole}, works)
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    assert desk.supervise(run).state == "done"
    assert {path.name for path in desk.output.iterdir()} >= {"lint", "example", "tests", "Containerfile"}
    assert not (desk.output / parts.FILE).exists()
    assert ended(desk, run) == dict.fromkeys(("code", "tests", "ship"), ("done", ""))
    assert ["the part `tests`" in brief.summary for brief in crew.briefs].count(True) == 1


def test_what_needs_others_is_built_on_what_they_left(desk: Desk) -> None:
    """And no earlier."""  # shows: F5, F6
    seen: list[set[str]] = []

    def looks(folder: Path) -> None:
        seen.append({path.name for path in folder.iterdir()})
        puts("lint")(folder)

    whole = plan(part("late", "lint", after=("one", "two")), part("one"), part("two"))
    Crew(desk, {"": whole}, {"late": looks})
    desk.supervise(desk.submit(WORKER, text=LIMITED, paradigm="chain"))
    assert seen == [{"one", "two"}]


def test_one_failed_part_takes_nothing_with_it_but_those_that_need_it(desk: Desk) -> None:
    """The others are merged, and what is missing is the gates' to find."""  # shows: F5
    whole = plan(part("bad"), part("needs-bad", after=("bad",)), part("good"))
    Crew(desk, {"": whole}, {"bad": says(CRASHED)})
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    verdicts = ended(desk, run)
    assert verdicts["good"] == ("done", "")
    assert verdicts["bad"][0] == "failed"
    assert verdicts["needs-bad"] == ("not begun", "it needs bad")


def test_where_all_parts_fail_the_task_fails(desk: Desk) -> None:
    """With why of each."""  # shows: F5, F16
    Crew(desk, {"": plan(part("one"), part("two"))}, {"one": says(CRASHED), "two": says(CRASHED)})
    result = desk.supervise(desk.submit(WORKER, text=LIMITED, paradigm="chain"))
    assert result.state == "failed"
    assert not desk.output.exists()


def test_a_part_is_divided_again_as_deep_as_is_allowed_and_no_deeper(desk: Desk) -> None:
    """A planner that never stops dividing ends up working."""  # shows: F5
    again = plan(part("again", "again*", divide=True))
    crew = Crew(desk, {"": again, "again": again})
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    assert [(event.path, event.depth) for event in desk.events(run, TaskDivided)] == [("", 0), ("again", 1)]
    assert "again/again" in ended(desk, run)
    assert sum(brief.role == "planner" for brief in crew.briefs) == 2


def test_more_parts_than_are_allowed_are_refused_and_the_planner_is_told(desk: Desk) -> None:
    """Twice, and then one worker does all of it: planning does not go on for ever."""  # shows: F5, X5
    crew = Crew(desk, {"": plan(*(part(f"p{number}") for number in range(5)))})
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    planners = [brief for brief in crew.briefs if brief.role == "planner"]
    assert len(planners) == 2
    assert any("at most 4 are allowed" in one.message for one in planners[1].findings)
    (event,) = desk.events(run, TaskDivided)
    assert event.parts == []
    assert "at most 4" in event.why


def test_no_more_work_at_a_time_than_is_allowed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, not parts, are what is counted; parts that wait for their own parts hold nobody up."""  # shows: F5
    from daybreak.factory import machine

    monkeypatch.setattr(machine, "cores", lambda: 1)
    inner = plan(part("x", "a/x*", "b/x*"), part("y", "a/y*", "b/y*"))
    whole = plan(part("a", "a/*", divide=True), part("b", "b/*", divide=True))
    works = {"x": says(CRASHED), "y": says(CRASHED)}
    crew = Crew(desk, {"": whole, "a": inner, "b": inner}, works)
    desk.supervise(desk.submit(WORKER, text=LIMITED, paradigm="chain"))
    assert crew.most_at_a_time == 1


def test_contradictions_become_a_task(desk: Desk) -> None:
    """Somebody is given both versions; afterwards the place holds what both did."""  # shows: F5, N19
    whole = plan(part("one", "shared.txt"), part("two", "shared.txt"))
    works: dict[str, Any] = {
        "one": puts(**{"shared.txt": "one\n"}),
        "two": puts(**{"shared.txt": "two\n"}),
        "two: settle": puts(**{"shared.txt": "one\ntwo\n"}),
    }
    crew = Crew(desk, {"": whole}, works)
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    (settling,) = [brief for brief in crew.briefs if brief.title.endswith("settle")]
    assert "two" in settling.findings[0].message
    assert ended(desk, run)["two"] == ("done", "")


def test_a_part_that_writes_elsewhere_is_not_taken(desk: Desk) -> None:
    """Its paths are its own, and nobody else's."""  # shows: F5, N9
    Crew(desk, {"": plan(part("one"), part("two"))}, {"one": puts("two-of-one"), "two": puts("two")})
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    assert ended(desk, run)["one"][0] == "failed"
    assert any("may not change two-of-one" in event.summary for event in desk.events(run, AttemptClaimed))


def test_parallel_takes_only_parts_that_need_nothing_of_each_other(desk: Desk) -> None:
    """Others are told to be chained."""  # shows: F6
    Crew(desk, {"": plan(part("one"), part("two", after=("one",)))})
    run = desk.submit(WORKER, text=LIMITED, paradigm="parallel")
    desk.supervise(run)
    (event,) = desk.events(run, TaskDivided)
    assert "needs others" in event.why


def test_attempts_are_numbered_once(desk: Desk) -> None:
    """However many branches ask at a time."""  # shows: N12
    whole = plan(*(part(name) for name in ("one", "two", "three", "four")))
    Crew(desk, {"": whole})
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    desk.supervise(run)
    numbers = [event.attempt for event in desk.events(run, AttemptBegan)]
    assert len(numbers) == len(set(numbers)) > 5


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("appends", range(8, 60, 9))
def test_it_goes_on_after_a_crash_between_any_two_events(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, appends: int
) -> None:
    """No attempt whose end is in the ledger is made again, and the result is the same."""  # shows: P6, N1
    inner = plan(part("x", "lint"), part("y", "example"))
    whole = plan(part("code", "lint", "example", divide=True), part("rest", "tests/*", "Containerfile"))
    works = {"x": puts("lint"), "y": puts("example"), "rest": puts("tests/tests", "Containerfile")}
    crew = Crew(desk, {"": whole, "code": inner}, works)
    run = desk.submit(WORKER, text=LIMITED, paradigm="chain")
    left, append = [appends], desk.ledger.append_async

    async def until_killed(drafts: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return await append(drafts)

    monkeypatch.setattr(desk.ledger, "append_async", until_killed)
    with contextlib.suppress(BaseExceptionGroup, Killed):
        desk.supervise(run)
    told = len(desk.events(run, AttemptClaimed))
    monkeypatch.setattr(desk.ledger, "append_async", append)
    before = len(crew.briefs)
    assert desk.supervise(run).state == "done"
    assert len(crew.briefs) - before == len(desk.events(run, AttemptClaimed)) - told
    numbers = [event.attempt for event in desk.events(run, AttemptClaimed)]
    assert len(numbers) == len(set(numbers)) == 5


def test_a_task_that_is_too_small_is_not_divided(desk: Desk) -> None:
    """No parts is a good answer."""  # shows: F5
    Crew(desk, {"": plan()}, {"": puts("lint", "example", "tests/tests", "Containerfile")})
    assert desk.supervise(desk.submit(WORKER, text=LIMITED, paradigm="chain")).state == "done"


@given(st.lists(st.booleans(), max_size=30))
def test_spawning_stops_when_too_many_siblings_fail(failures: list[bool]) -> None:
    """Three, and most of those that ended."""  # shows: F5, N8
    breaker = Breaker()
    for failed in failures:
        breaker.count(failed=failed)
    count = sum(failures)
    assert bool(breaker.why) == (count >= FAILED_MAX and count * 2 > len(failures))


names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.lists(st.tuples(names, st.lists(names, max_size=3)), max_size=7), st.integers(1, 6))
def test_no_plan_makes_a_circle_or_passes_a_bound(told: list[tuple[str, list[str]]], most: int) -> None:
    """Whatever a planner writes, waves hold each part once, after all that it needs; or it is refused in words."""
    # shows: F5
    text = json.dumps(plan(*(part(name, after=tuple(after)) for name, after in told)))
    made = parts.read(text.encode(), most=most)
    if not isinstance(made, Divided):
        assert made
        return
    assert made.count == len(told) <= most
    done: set[str] = set()
    for wave in made.waves:
        for one in wave:
            assert set(one.after) <= done
        done |= {one.name for one in wave}


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"parts": [{}]}',
        b'{"parts": 3}',
        b"[" * 100_000,
        b"x" * (parts.BYTES_MAX + 1),
    ],
)
def test_what_is_no_plan_is_said(data: bytes | None) -> None:
    """In words that a planner can mend it by."""  # shows: P8
    made = parts.read(data, most=3)
    assert isinstance(made, list)
    assert all(isinstance(one, Finding) and one.message for one in made)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", " ", "a\0b"])
def test_parts_stay_in_the_project(path: str) -> None:
    """Paths that lead out are refused in the plan already."""  # shows: N9, P8
    made = parts.read(json.dumps(plan(part("one", path))).encode(), most=3)
    assert isinstance(made, list)
