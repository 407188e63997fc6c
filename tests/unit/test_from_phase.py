"""A build that begins at a later phase, on what an earlier build of the same specification has left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.build_desk import SPECIFICATION, Desk
from tests.unit.test_phases import ROLES, WORKERS, _Looked, gates, puts, roles

from daybreak.errors import DaybreakError
from daybreak.events import (
    ArtefactMade,
    AttemptClaimed,
    CandidatesCompared,
    Delivered,
    Event,
    GateDecided,
    PlanMade,
    StepDone,
    WorkTakenOver,
    run_stream,
)
from daybreak.factory import looking, task
from daybreak.factory.kinds import build
from daybreak.factory.phases import phase
from daybreak.factory.phases.phase import NothingToShare, PhaseUnknown
from daybreak.factory.phases.takeover import NothingToTakeOver
from daybreak.report.progress import Progress
from daybreak.settings import Settings
from daybreak.testing.clock import FakeClock

CODER = "json:coder"
CODE = ("lint", "example")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(looking, "Result", _Looked)
    desk.settings = Settings(roles=ROLES, workers=WORKERS)
    desk.office.settings = desk.settings
    return desk


def built(desk: Desk, *works: Any, **rules: Any) -> str:
    """A build whose workers do that, one after the other; its run."""
    desk.works = [*works, puts()]
    desk.asked.clear()
    run = desk.submit(CODER, **rules)
    desk.supervise(run)
    return run


def taken(desk: Desk, run: str) -> WorkTakenOver:
    (event,) = desk.events(run, WorkTakenOver)
    assert isinstance(event, WorkTakenOver)
    return event


def test_an_implementation_that_passed_is_not_paid_for_again(desk: Desk) -> None:
    """The tests failed there; here only the tester is asked, on the workspace that passed."""  # shows: P1, P6
    first = built(desk, puts(*CODE, "Containerfile"))
    assert gates(desk, first)[-1] == ("testing", "failed")
    second = built(desk, puts("tests/tests"), begin="testing")
    assert roles(desk, second) == {"tester": 1}
    assert gates(desk, second) == [("testing", "failed"), ("testing", "passed"), ("deployment", "passed")]
    assert {path.name for path in desk.output.iterdir()} >= {"lint", "example", "Containerfile", "tests"}
    told = taken(desk, second)
    assert (told.source, told.begin, told.worker) == (first, "testing", CODER)
    assert told.phases == ["requirements", "design", "implementation"]
    assert set(told.artefacts) == {"requirements", "design"}


def test_gates_that_are_taken_over_are_named_by_their_place(desk: Desk) -> None:
    """Whoever reads the second run finds the decisions of the first one."""  # shows: P5, N2
    first = built(desk, puts(*CODE))
    told = taken(desk, built(desk, puts("tests/tests", "Containerfile"), begin="testing"))
    decided = {record.index: record.event for record in desk.ledger.read(run_stream(first))}
    for name, place in told.gates.items():
        event = decided[place]
        assert isinstance(event, GateDecided)
        assert (event.phase, event.verdict) == (name, "passed")


def test_what_is_taken_over_is_looked_at_again(desk: Desk) -> None:
    """A gate from the past opens no door: the first gate asks for all that those before it asked for."""  # shows: P3
    first = built(desk, puts(*CODE, "Containerfile"))
    workspace = taken(desk, second := built(desk, puts("tests/tests"), begin="testing")).workspace
    assert workspace in {event.workspace for event in desk.events(first, GateDecided)}
    told = desk.events(second, GateDecided)[0]
    assert told.workspace == workspace
    assert {row["kind"] for row in told.table} >= {"example", "lint", "tests"}


def test_what_does_not_hold_any_more_is_mended_by_whose_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tool has become stricter since, the implementer is asked after all."""  # shows: P3, P4
    built(desk, puts(*CODE, "Containerfile"))

    class Stricter(_Looked):
        def check(self, name: str) -> Any:
            seen = super().check(name)
            there = (self._copy(f"{name}-again") / "security").exists()
            return seen if name != "security" or there else seen.model_copy(update={"outcome": "failed"})

    monkeypatch.setattr(looking, "Result", Stricter)
    second = built(desk, puts("security"), puts("tests/tests"), begin="testing")
    assert roles(desk, second) == {"implementer": 1, "tester": 1}
    assert (desk.output / "lint").exists()  # the implementer went on from what was taken over


def test_a_build_can_begin_with_any_phase(desk: Desk) -> None:
    """With the first one nothing is taken over; with design and implementation only artefacts are."""  # shows: P1
    built(desk, puts(*CODE, "tests/tests", "Containerfile"))
    works = puts(*CODE, "tests/tests", "Containerfile")
    begun = {}
    for name in ("requirements", "design", "implementation", "deployment"):
        desk.output = desk.folder / name
        begun[name] = built(desk, works, begin=name)
    assert not desk.events(begun["requirements"], WorkTakenOver)
    assert gates(desk, begun["design"])[0] == ("design", "passed")
    assert taken(desk, begun["implementation"]).workspace == ""
    assert roles(desk, begun["implementation"]) == {"implementer": 1}
    assert roles(desk, begun["deployment"]) == {}
    for run in begun.values():
        assert desk.events(run, Delivered)


def test_what_was_taken_over_can_be_taken_over_again(desk: Desk) -> None:
    """From a build that itself began later, all the way back; only the newest of what passed."""  # shows: P1, P6
    first = built(desk, puts(*CODE))
    second = built(desk, puts("tests/tests"), begin="testing")
    assert gates(desk, second)[-1] == ("deployment", "failed")
    third = built(desk, puts("Containerfile"), begin="deployment")
    assert taken(desk, third).source == second
    assert taken(desk, third).gates["implementation"] == taken(desk, second).gates["implementation"]
    assert roles(desk, third) == {"operations": 1}
    fourth = built(desk, puts("tests/tests"), begin="testing")
    assert taken(desk, fourth).workspace == taken(desk, second).workspace
    assert taken(desk, fourth).source == second
    fifth = built(desk, begin="deployment")
    assert taken(desk, fifth).source == fourth
    del first


def test_a_run_that_began_after_the_implementation_does_not_stand_for_it(desk: Desk) -> None:
    """Its workspace is the tester's; the implementation's is that of the run before."""  # shows: P1
    first = built(desk, puts(*CODE))
    built(desk, puts("tests/tests"), begin="testing")
    built(desk, begin="deployment")
    told = taken(desk, built(desk, begin="testing"))
    assert told.workspace == next(
        event.workspace for event in desk.events(first, GateDecided) if event.phase == "implementation"
    )


# -- refused, with what is missing


def refused(desk: Desk, **rules: Any) -> DaybreakError:
    before = len(desk.ledger)
    with pytest.raises(DaybreakError) as error:
        desk.submit(CODER, **rules)
    events = [record.event for record in desk.ledger.read_all(after=before - 1)]
    assert events == []
    return error.value


def test_without_an_earlier_build_nothing_can_be_taken_over(desk: Desk) -> None:
    """And nothing is recorded."""  # shows: P1, F16
    error = refused(desk, begin="testing")
    assert isinstance(error, NothingToTakeOver)
    assert "no earlier build of notes" in error.message
    assert "leave --from-phase out" in error.hint


def test_another_text_of_the_specification_is_another_one(desk: Desk) -> None:
    """However little it differs; the run that built the other one is named."""  # shows: P1
    first = built(desk, puts(*CODE))
    error = refused(desk, begin="testing", text=SPECIFICATION + "\n")
    assert f"run {first} built another text of it" in error.message


def test_a_gate_that_did_not_pass_is_named_and_where_to_begin(desk: Desk) -> None:
    """Of the build that came furthest."""  # shows: P1, F16
    near = built(desk, puts(*CODE))
    far = built(desk, puts("lint"))
    error = refused(desk, begin="deployment")
    assert f"run {near} left: phase testing: its gate said failed" in error.message
    assert "--from-phase testing" in error.hint
    assert far not in error.message
    assert taken(desk, built(desk, begin="testing")).source == near


def test_a_first_phase_that_is_missing_means_a_whole_build(desk: Desk) -> None:
    """Where the earlier build left requirements and design out, they are not on record."""  # shows: P1
    built(desk, puts(*CODE), only=["implementation", "testing"])
    error = refused(desk, begin="testing")
    assert "phase requirements: it is not on record; phase design: it is not on record" in error.message
    assert "leave --from-phase out" in error.hint
    second = built(desk, puts("tests/tests"), begin="testing", only=["implementation", "testing"])
    assert taken(desk, second).phases == ["implementation"]
    assert built(desk, begin="testing", only=["testing"])


@pytest.mark.parametrize("name", ["requirements", "design", "workspace"])
def test_what_was_left_must_have_the_hash_on_record(desk: Desk, name: str) -> None:
    """Gone is gone, and it is said which phase makes it."""  # shows: P1, N3
    first = built(desk, puts(*CODE))
    told = taken(desk, built(desk, puts("tests/tests"), begin="testing"))
    blob = told.artefacts.get(name) or told.tree
    del desk.ledger._blobs[blob]
    error = refused(desk, begin="testing")
    assert first in error.message or "run" in error.message
    assert blob in error.message
    begins = {"requirements": "leave --from-phase out", "design": "design", "workspace": "implementation"}
    assert begins[name] in error.hint


def test_what_vanishes_before_the_build_begins_is_noticed(desk: Desk) -> None:
    """The entry gate is the run's own, whatever was seen when it was asked for."""  # shows: P1, N3
    built(desk, puts(*CODE))
    run = desk.submit(CODER, begin="testing")
    args = desk.asked_for(CODER, begin="testing").args(desk.ledger)  # type: ignore[arg-type]
    assert args.taken is not None
    del desk.ledger._blobs[args.taken.tree]
    result = desk.supervise(run)
    assert result.error is not None
    assert (result.error.code, args.taken.tree in result.error.message) == ("C153", True)


def test_unknown_phases_are_refused_with_those_there_are(desk: Desk) -> None:
    """And a phase that is left out is not begun with."""  # shows: P8
    with pytest.raises(PhaseUnknown, match="tasting") as unknown:
        phase.configured(Settings(), begin="tasting")
    assert "requirements, design, implementation, testing, deployment; did you mean testing?" in unknown.value.hint
    with pytest.raises(PhaseUnknown, match="not among"):
        phase.configured(Settings(), ["testing"], begin="deployment")


def test_a_paradigm_that_could_not_do_anything_is_refused() -> None:
    """Candidates begin from nothing."""  # shows: F6, P8
    with pytest.raises(NothingToShare):
        phase.configured(Settings(), begin="testing", paradigm="tournament")
    assert phase.configured(Settings(), begin="implementation", paradigm="tournament").paradigm == "tournament"


# -- what came out of several candidates


def test_of_a_tournament_the_winner_is_taken_over(desk: Desk) -> None:
    """Not the last one that passed."""  # shows: F6, P1
    desk.works = [puts(*CODE, "Containerfile", "one"), puts(*CODE, "two"), puts("three")]
    run = desk.submit(CODER, "json:two", "json:three", paradigm="tournament", candidates=3)
    desk.supervise(run)
    passed = [one for one in desk.events(run, GateDecided) if (one.phase, one.verdict) == ("implementation", "passed")]
    assert len(passed) == 2
    went_on = next(one.workspace for one in desk.events(run, GateDecided) if one.phase == "testing")
    second = built(desk, puts("tests/tests", "Containerfile"), begin="testing")
    assert taken(desk, second).workspace == went_on


# -- shown, kept, and the same after a crash


def test_it_is_shown_in_the_plan_and_as_it_happens(desk: Desk) -> None:
    """By run, phases and workspace."""  # shows: F14
    first = built(desk, puts(*CODE))
    second = built(desk, puts("tests/tests", "Containerfile"), begin="testing")
    (plan,) = desk.events(second, PlanMade)
    told = taken(desk, second)
    assert plan.plan["phases"] == ["testing", "deployment"]
    shown = plan.plan["taken"]
    assert (shown["run"], shown["worker"], shown["workspace"]) == (first, CODER, told.workspace)
    assert shown["phases"] == ["requirements", "design", "implementation"]
    assert set(shown["artefacts"]) == {"requirements", "design"}
    assert first in plan.plan["paradigm_why"]
    line = Progress(FakeClock()).take(told)
    assert line is not None
    assert line.startswith(f"taken over from run {first}: requirements, design, implementation, with what {CODER} made")


def test_what_is_taken_over_is_kept_as_long_as_the_build(desk: Desk) -> None:
    """Snapshots and the ledger's check know of it, also before the build begins."""  # shows: N3
    built(desk, puts(*CODE))
    run = desk.submit(CODER, begin="testing")
    added = next(record.event for record in desk.ledger.read("queue") if getattr(record.event, "run", "") == run)
    args = desk.asked_for(CODER, begin="testing").args(desk.ledger)  # type: ignore[arg-type]
    assert args.taken is not None
    assert set(build.blobs_of(added)) == {args.specification, *args.taken.blobs}


def test_a_newer_build_changes_nothing_about_what_was_asked_for(desk: Desk) -> None:
    """What is taken over is settled when the build is asked for."""  # shows: P6, N1
    first = built(desk, puts(*CODE, "first"))
    run = desk.submit(CODER, begin="testing")
    newer = built(desk, puts(*CODE, "newer"))
    desk.works, desk.asked = [puts("tests/tests"), puts("Containerfile")], []
    assert desk.supervise(run).state == "done"
    assert taken(desk, run).source == first != newer
    assert (desk.output / "first").exists()


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("appends", range(1, 34, 4))
def test_it_takes_over_the_same_after_a_crash_between_any_two_events(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, appends: int
) -> None:
    """Also where another build has ended meanwhile; nobody is asked twice."""  # shows: P6, N1
    first = built(desk, puts(*CODE, "first"))
    desk.works, desk.asked = [puts("tests/tests"), puts("Containerfile")], []
    run = desk.submit(CODER, begin="testing")
    left, append = [appends], desk.ledger.append_async

    async def until_killed(drafts: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return await append(drafts)

    monkeypatch.setattr(desk.ledger, "append_async", until_killed)
    with contextlib.suppress(BaseExceptionGroup, Killed):
        desk.supervise(run)
    monkeypatch.setattr(desk.ledger, "append_async", append)
    ended = len(desk.events(run, AttemptClaimed))
    built(desk, puts(*CODE, "second"))
    desk.works, desk.asked = [puts("tests/tests"), puts("Containerfile")][ended:] or [puts()], []
    assert desk.supervise(run).state == "done"
    assert taken(desk, run).source == first
    assert (desk.output / "first").exists()
    assert roles(desk, run) == {"tester": 1, "operations": 1}


def test_a_drafted_specification_is_known_by_its_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever saves the draft and builds it goes on with what the build of the draft left."""  # shows: P1
    from daybreak.agents.protocol import Brief, Claim
    from daybreak.factory.attempted import Result

    def drafts(number: int, name: str, brief: Brief, folder: Path, scratch: Path, **terms: Any) -> Result:
        (folder / "spec.md").write_text(SPECIFICATION) if brief.role == "drafter" else puts(*CODE)(folder)
        return Result(Claim(outcome="finished", summary="done"))

    monkeypatch.setattr(desk, "work", drafts)
    desk.settings = Settings(roles=ROLES, workers={**WORKERS, "coder": WORKERS["writes-tests"]}, order=("coder",))
    desk.office.settings = desk.settings
    wanted = task.drafted(
        "short texts that stay",
        output=desk.output,
        workers=(),
        settings=desk.settings,
        sandbox="none",
        assume=True,
        accept_unshown=True,
        cwd=desk.folder,
    )
    first = task.submit_draft(wanted, desk.engine, desk.ledger)  # type: ignore[arg-type]
    desk.supervise(first)
    assert ("implementation", "passed") in gates(desk, first)
    run = desk.submit(CODER, begin="testing")
    desk.supervise(run)
    assert taken(desk, run).source == first


@dataclass
class _Told:
    """What of a ledger is read here, as a test tells it: events by stream."""

    desk: Desk
    streams: dict[str, list[Event]]

    def read(self, stream: str, *, after: int = -1) -> list[SimpleNamespace]:
        told = enumerate(self.streams.get(stream, []))
        return [SimpleNamespace(index=place, seq=place, event=event) for place, event in told if place > after]

    def get_blob(self, name: str) -> bytes:
        return self.desk.ledger.get_blob(name)


@pytest.mark.parametrize(
    ("verdict", "winner", "then", "expected"),
    [("ambiguous", 0, "", 0), ("agreed", 2, "", 2), ("ambiguous", 0, "2", 2), ("none", 0, "1", 1)],
)
def test_candidates_that_nobody_chose_from_are_not_taken_over(
    desk: Desk, verdict: Any, winner: int, then: str, expected: int
) -> None:
    """They passed their gates, and a person was asked which is meant; what went on to the next gate was chosen."""
    # shows: F7, P1
    run = built(desk, puts(*CODE))
    asked = desk.asked_for(CODER, begin="testing")
    steps = desk.events(run, ArtefactMade, StepDone, GateDecided)
    trees = {1: "1" * 64, 2: desk.events(run, GateDecided)[-1].workspace}
    kept = [one for one in steps if not (isinstance(one, GateDecided) and one.attempt)]
    other = StepDone(run=run, branch="", name="attempt", nth=9, args="", result=None)
    made = next(one for one in kept if isinstance(one, StepDone) and one.name == "attempt")
    kept.append(replace(other, result={**made.result, "workspace": trees[1]}))
    compared = CandidatesCompared(
        run=run, verdict=verdict, winner=winner, candidates=3, tolerated=0, probes=9, reasons=["so they do"]
    )
    gates = [_gate(run, "implementation", trees[number], number) for number in (1, 2)]
    went_on = [_gate(run, "testing", trees[int(then)], int(then), verdict="failed")] if then else []
    queue = [record.event for record in desk.ledger.read("queue")]
    told = _Told(desk, {"queue": queue, run_stream(run): [*kept, *gates, compared, *went_on]})
    if expected:
        found = task.taking_over(asked, told).taken  # type: ignore[arg-type]
        assert found is not None
        assert found.workspace == trees[expected]
    else:
        with pytest.raises(NothingToTakeOver, match="which of them is meant"):
            task.taking_over(asked, told)  # type: ignore[arg-type]


def _gate(run: str, name: str, workspace: str, attempt: int, verdict: Any = "passed") -> GateDecided:
    return GateDecided(run=run, attempt=attempt, workspace=workspace, verdict=verdict, score=90.0, phase=name)


CREW = """\
from daybreak.agents.protocol import Claim
from daybreak.testing.agent import ScriptedAgent


class Coder(ScriptedAgent):
    files = {"tests/test_wrong.py": "def test_wrong() -> None:\\n    assert 1 == 2\\n"}

    def work(self, brief, workspace, terms):
        if brief.role == "implementer":
            yield from super().work(brief, workspace, terms)
        else:
            yield Claim(outcome="refused", summary="code only")


class Tester:
    def work(self, brief, workspace, terms):
        (workspace / "tests/test_wrong.py").unlink()
        yield Claim(outcome="finished", summary="the wrong test is gone")
"""


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_real_build_goes_on_from_a_real_one_after_kill_9(tmp_path: Path, types_cache: Path) -> None:
    """Through the front door, with real processes: the reason is in the output, the coder is asked once, and whoever
    takes the killed build up again finds the same workspace."""  # shows: P1, P6, F6, F14
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "types").symlink_to(types_cache)
    (folder / "notes.md").write_text(SPECIFICATION)
    (folder / "crew.py").write_text(CREW)
    environment = {**os.environ, "DAYBREAK_HOME": str(home), "COLUMNS": "200"}
    words = [sys.executable, "-m", "daybreak"]

    def daybreak(*told: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, *told], cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
        )

    first = daybreak("build", "notes.md", "-o", "one", "--worker", "crew.py:Coder")
    assert first.returncode == 1, first.stderr
    assert "crew.py:Coder is the only worker that can be asked here" in first.stderr
    second = [*words, "build", "notes.md", "-o", "two", "--worker", "crew.py:Tester", "--from-phase", "testing"]
    with subprocess.Popen(second, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "claims finished" in line:
                process.kill()
                break
        process.stderr.read()
    assert process.returncode == -signal.SIGKILL
    resumed = daybreak("resume", "--json")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    report = json.loads(resumed.stdout)
    one, two = (row["run"] for row in reversed(json.loads(daybreak("runs", "--json").stdout)))
    assert (report["run"], report["plan"]["taken"]["run"]) == (two, one)
    assert (report["state"], report["owners"]) == ("done", 2)
    told = json.loads(daybreak("ledger", "show", "--json").stdout)
    of = {run: [event for event in told if event["stream"] == f"run:{run}"] for run in (one, two)}
    (taken,) = [event["payload"] for event in of[two] if event["type"] == "work.taken_over"]
    passed = [event["payload"] for event in of[one] if event["type"] == "gate.decided"]
    assert taken["workspace"] == next(gate["workspace"] for gate in passed if gate["phase"] == "implementation")
    assert [event["payload"]["role"] for event in of[two] if event["type"] == "attempt.began"] == ["tester"]
    assert (folder / "two" / "README.md").exists()
