"""What is a machine's fault is never a verdict about a result: on nodes it refuses, here it is what it is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit import build_desk, repository_desk
from tests.unit import validate_desk as scene
from tests.unit.repository_desk import RIGHT

from daybreak import events
from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.engine.dispatch import (
    Answer,
    Doing,
    Job,
    JobBroken,
    JobLost,
    JobNotSent,
    Key,
    Local,
    Node,
    NodeRefused,
    NotOnNode,
    Packed,
)
from daybreak.engine.flow import Paused
from daybreak.errors import CheckError, DaybreakError
from daybreak.factory import looking, lookjobs, looks
from daybreak.factory.consensus import Ask, Probe
from daybreak.factory.repository import looks as repositorylooks
from daybreak.factory.repository import venvs
from daybreak.factory.spec.model import Specification
from daybreak.factory.validate import looks as validatelooks
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Plan, Planned
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.host import tree
from daybreak.host.process import ProgramNotStarted
from daybreak.report import run as report


def doing(folder: Path, body: dict[str, Any], *, here: bool) -> Doing:
    for name in ("files", "work"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    return Doing(
        body={"needed": [], "limit_s": 30.0, "require": "degraded", **body},
        scratch=folder / "scratch",
        kept={},
        lock=threading.Lock(),
        cancelled=threading.Event(),
        tell=print,
        here=here,
        given={"files": folder / "files"},
        lent={"work": folder / "work"},
    )


def of_repository(folder: Path, *, here: bool) -> Any:
    body = {"check": {"name": "check:1 true", "command": "true"}, "venvs": []}
    before = {"check": "check:1 true", "passed": True, "summary": ""}
    more = {"before": before, "workspace": "a" * 64, "sources": [], "free": []}
    return repositorylooks.look(doing(folder, {**body, **more}, here=here))


def of_base(folder: Path, *, here: bool) -> Any:
    body = {"check": {"name": "check:1 true", "command": "true"}, "venvs": []}
    return repositorylooks.base(doing(folder, body, here=here))


def of_project(folder: Path, *, here: bool) -> Any:
    check = Planned(
        name="lint:own", kind="lint", language="generic", how="command", command="true", weight=1, threshold=0
    )
    subject = validatelooks._subjects().dump_python(Subject("a" * 64, (), 10), mode="json")
    body = {"check": check.model_dump(mode="json"), "subject": subject, "around": Surroundings(folder="/").model_dump()}
    return validatelooks.look(doing(folder, body, here=here))


def of_fixers(folder: Path, *, here: bool, command: str = "true") -> Any:
    plan = Plan(languages=(), checks=(), fixers=())
    body = {"names": [f"command: {command}"], "plan": plan.model_dump(mode="json"), "python": []}
    body["around"] = Surroundings(folder="/").model_dump()
    return validatelooks.fix(doing(folder, body, here=here))


BROKEN: list[Exception] = [
    PermissionError(13, "Permission denied", "/usr/bin/env"),
    MemoryError(),
    ProgramNotStarted("no process can be started", hint="look at ulimit"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("look", [of_base, of_repository, of_project, of_fixers])
def test_what_breaks_on_a_node_is_asked_of_others(
    look: Callable[..., Any], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a machine without rights, memory or processes would fail the run, or give a result as one that cannot be
    looked at."""  # shows: N14

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("daybreak.host.process.run", broken)
    with pytest.raises(NotOnNode, match="it could not look"):
        look(tmp_path / "there", here=False)
    with pytest.raises(type(error)):
        look(tmp_path / "here", here=True)


def test_what_a_look_says_of_the_result_comes_from_a_node_as_it_is(tmp_path: Path) -> None:
    """An error of a check is no fault of the machine."""
    with pytest.raises(CheckError, match="wrong"), lookjobs.looking(doing(tmp_path, {}, here=False)):
        raise CheckError("the result is wrong", hint="mend it")


def test_a_fixer_that_is_not_on_a_node_is_asked_for_elsewhere(tmp_path: Path) -> None:
    """There its absence would only be told, and nothing mended, although this machine has it."""  # shows: N14, P7
    with pytest.raises(NotOnNode, match="no-such-fixer"):
        of_fixers(tmp_path / "there", here=False, command="no-such-fixer")
    [said] = of_fixers(tmp_path / "here", here=True, command="no-such-fixer")["said"]
    assert "no-such-fixer" in said


def test_a_node_must_have_the_python_that_an_environment_leads_to(tmp_path: Path) -> None:
    """A shared folder holds the environment, and links into what each machine has of its own. Where that leads
    nowhere, checks would be run by Daybreak's own Python: other packages, another verdict."""  # shows: N14
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/usr/bin/env")
    assert venv / "bin" / "python" in venvs.needed([venv])
    node = tmp_path / "node"
    (node / "bin").mkdir(parents=True)
    (node / "bin" / "python").symlink_to("/usr/bin/python-of-another-machine")
    one = doing(tmp_path, {"needed": [str(node), str(node / "bin" / "python")]}, here=False)
    with pytest.raises(NotOnNode, match="bin/python is not on this node"), lookjobs.looking(one):
        pass


class Nodes:
    """A cluster in one line each: how every try ends, in order; what does it is `Local`, which then is a node."""

    remote = True
    at_a_time = 4

    def __init__(self, *ends: Callable[[Job, Answer], Answer] | Exception | None) -> None:
        self.ends = list(ends)
        self.asked = 0

    def run(self, job: Job, *, on_node: Callable[[Node], None] | None = None, **how: Any) -> Answer:
        self.asked += 1
        end = self.ends.pop(0) if self.ends else None
        node = Node(f"n{self.asked}", "host", "full")
        if isinstance(end, DaybreakError):
            if isinstance(end, NodeRefused):
                end.node = node.name if end.lacks else ""
            raise end
        if on_node is not None:
            on_node(node)
        job.scratch.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(dir=job.scratch)).resolve()
        answer = replace(Local().run(replace(job, scratch=own), **how), node=node)
        return end(job, answer) if callable(end) else answer

    def late(self, run: str) -> list[tuple[Key, Node]]:
        return []

    def over(self, bench: str) -> None: ...

    def close(self) -> None: ...


def about_another(job: Job, answer: Answer) -> Answer:
    if not job.doer.endswith(":look"):
        return answer
    evidence = {**answer.body["evidence"], "workspace": "b" * 64, "outcome": "failed"}
    return replace(answer, body={**answer.body, "evidence": evidence})


def of_another_check(job: Job, answer: Answer) -> Answer:
    evidence = {**answer.body["evidence"], "check": "protected", "outcome": "passed"}
    return replace(answer, body={**answer.body, "evidence": evidence})


def nothing(job: Job, answer: Answer) -> Answer:
    return replace(answer, body=None)


def test_what_makes_no_sense_costs_a_node_its_try_and_nothing_else(tmp_path: Path) -> None:
    """About another result, of another check, or nothing at all: others are asked."""  # shows: N14
    nodes = Nodes(nothing, None, about_another, of_another_check, None)
    with repository_desk.opened(tmp_path, dispatch=nodes) as desk:
        ended = desk.run(desk.asked("grep -q sub calc.py"), RIGHT)
        assert ended.state == "done", ended.why
        lost = desk.events(ended.run, events.JobLost)
        assert [(one.node, one.again, one.refused) for one in lost] == [
            ("n1", True, False),
            ("n3", True, False),
            ("n4", True, False),
        ]
        assert "asked about check:1 grep -q sub calc.py" in lost[-1].why
        assert [one.evidence["outcome"] for one in desk.events(ended.run, events.CheckLooked)][-1] == "passed"


def test_what_a_node_has_mended_and_says_nonsense_of_is_not_mended_further(tmp_path: Path) -> None:
    """The folder that was lent to it holds its changes by then: nothing is built on them, and a person is asked."""
    # shows: N14, P7

    def nonsense(job: Job, answer: Answer) -> Answer:
        return replace(answer, body=None) if job.doer.endswith(":fix") else answer

    ugly = {**scene.FILES, "calc.py": scene.RIGHT, "tests/test_calc.py": scene.UGLY}
    nodes = Nodes(*[nonsense] * 100)
    with scene.opened(tmp_path, ugly, dispatch=nodes) as desk:
        parked = desk.run(fix=True, in_place=True)
        assert (parked.state, parked.question) == (
            "parked",
            "what a node says of a look is no Said: 1 things are wrong: look again?",
        )
        assert (desk.project / "tests/test_calc.py").read_text() == scene.UGLY
        nodes.ends.clear()
        ended = desk.supervise(parked.run)
        assert ended.state == "done", (ended.why, ended.question)
        assert (desk.project / "tests/test_calc.py").read_text() == scene.TESTS


def test_a_look_that_breaks_everywhere_asks_a_person(tmp_path: Path) -> None:
    """It is no failure of the run, nor a verdict."""  # shows: N14
    nodes = Nodes(JobBroken("a doer broke", hint="look there"))
    with repository_desk.opened(tmp_path, dispatch=nodes) as desk:
        parked = desk.run(desk.asked("grep -q sub calc.py"), RIGHT)
        assert (parked.state, parked.question) == ("parked", "a doer broke: look again?")
        assert not desk.events(parked.run, events.CheckLooked, events.CheckProved)
        ended = desk.supervise(parked.run)
        assert ended.state == "done", (ended.why, ended.question)


def test_what_cannot_travel_is_looked_at_here_and_told(tmp_path: Path) -> None:
    """A repository may hold what no tree can, or more than may travel: that is no fault of a result."""
    # shows: N14
    large = [kind("it has 200,001 files", hint="leave some out") for kind in (tree.PackDamaged, JobNotSent)]
    with repository_desk.opened(tmp_path, dispatch=Nodes(*large)) as desk:
        ended = desk.run(desk.asked("grep -q sub calc.py"), RIGHT)
        assert ended.state == "done", (ended.why, ended.question)
        placed = desk.events(ended.run, events.JobPlaced)
        assert [one.node for one in placed] == ["", ""]
        lost = desk.events(ended.run, events.JobLost)
        assert {(one.node, one.refused, one.why) for one in lost} == {("", True, "it has 200,001 files")}
        shown = report.collect(desk.ledger.read(events.run_stream(ended.run)))
        assert any("200,001 files" in line.summary for line in shown.asked)
        assert not any(line.outcome == "lost" for line in shown.asked)


def lacks() -> NodeRefused:
    refused = NodeRefused("node a refused a job: /opt/tool is not on this node", hint="install it there")
    refused.lacks = True
    return refused


def test_where_this_machine_may_not_look_either_both_reasons_are_told(tmp_path: Path) -> None:
    """Nodes with the label lack a program, and here is no such label."""  # shows: N14
    with repository_desk.opened(tmp_path, dispatch=Nodes(lacks(), lacks(), lacks())) as desk:
        parked = desk.run(desk.asked("grep -q sub calc.py", needs=["docker"]), RIGHT)
        assert parked.state == "parked"
        assert "/opt/tool is not on this node; and here: this machine does not have" in parked.question


def test_no_more_is_looked_at_here_than_this_machine_has_processors(tmp_path: Path) -> None:
    """A cluster is asked for far more at a time, and all of it may come back here at once."""  # shows: N14
    local = Local(2, in_turn=True)
    cancelled, under_way, most = threading.Event(), [0], [0]
    counting, go_on = threading.Lock(), threading.Event()

    def do(number: int) -> None:
        local.run(job_of(tmp_path, number), cancelled=cancelled, on_line=seen)

    def seen(part: bytes) -> None:
        with counting:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        go_on.wait(10)
        with counting:
            under_way[0] -= 1

    threads = [threading.Thread(target=do, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    go_on.wait(0.5)
    assert most[0] == 2
    go_on.set()
    for one in threads:
        one.join(10)
    assert (most[0], under_way[0]) == (2, 0)


def job_of(folder: Path, number: int) -> Job:
    key = Key("run-1", "step", 1, number)
    return Job(key=key, doer="daybreak.testing.doers:lines", body={"parts": ["x"]}, scratch=folder, time_s=60)


def test_who_waits_for_a_place_here_is_cancelled_at_once(tmp_path: Path) -> None:
    """Else a cancel would wait for the looks of others."""  # shows: N14
    local = Local(1, in_turn=True)
    within, go_on, cancelled = threading.Event(), threading.Event(), threading.Event()

    def hold(part: bytes) -> None:
        within.set()
        go_on.wait(10)

    first = threading.Thread(target=lambda: local.run(job_of(tmp_path, 1), cancelled=threading.Event(), on_line=hold))
    first.start()
    assert within.wait(10)
    cancelled.set()
    with pytest.raises(Paused):
        local.run(job_of(tmp_path, 2), cancelled=cancelled, on_line=print)
    go_on.set()
    first.join(10)
    assert not first.is_alive()


class Uninstallable:
    """A result whose installation this machine could not look at."""

    scratch = Path("/nonexistent")

    def __init__(self, **_: object) -> None: ...

    def check(self, name: str) -> Evidence:
        return Evidence(check=name, workspace="a" * 64, outcome="unusable", summary="could not look: disk full")

    def product(self) -> None:
        return None

    def mutation(self, most: int, strength_min: float) -> Evidence:
        return self.check("mutation")

    def example(self, example: Example) -> Evidence:
        raise looking.NotInstalled("it was installed before", hint="build again")


@pytest.mark.parametrize("what", ["check", "example", "observe", "mutation"])
def test_no_look_of_a_build_takes_a_machine_s_fault_for_the_result_s(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that could not be installed on a full disk has not said nothing."""  # shows: N14, P1
    monkeypatch.setattr(looking, "Result", Uninstallable)
    spec = Specification(name="notes", complexity="simple", title="Notes", objectives=(), requirements=())
    subject: dict[str, Any] = {"spec": spec.model_dump(mode="json"), "workspace": "a" * 64, "serve": "", "cache": "/"}
    subject |= {"require": "full", "trusted": False, "tools": None}
    probe = Probe.of("console", "adds", (Ask(line="note list"),)).model_dump(mode="json")
    body: dict[str, Any] = {"what": what, "name": "x", "subject": subject, "survey": None, "probe": probe, "asked": 1}
    example = Example(id="1", kind="console", title="x", requirements=(), body="$ notes", line=1)
    body |= {"most": 10, "strength_min": 0.5, "example": example.model_dump(mode="json")}
    one = replace(doing(tmp_path, body, here=False), trees={"result": Packed("a" * 64, b"")})
    with pytest.raises(NotOnNode, match="it could not look"):
        looks.done(one)
    here = replace(one, here=True, kept={})
    if what == "example":
        with pytest.raises(looking.NotInstalled):
            looks.done(here)
    elif what != "observe":
        assert looks.done(here)["outcome"] == "unusable", "here it is what it is"


def test_looks_of_a_build_that_nobody_can_have_ask_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many go on side by side: the run waits for a person all the same, and nothing is said of the result."""
    # shows: N14, P1
    nodes = Nodes(*(JobLost("it fell silent", hint="") for _ in range(100)))
    desk = build_desk.Desk(tmp_path, monkeypatch)
    desk.office._dispatch = nodes
    run = desk.submit("json:one")
    parked = desk.supervise(run)
    assert (parked.state, parked.question) == ("parked", "it fell silent: look again?")
    assert not [one for one in desk.events(run, events.CheckLooked, events.GateDecided) if one.attempt]
    nodes.ends.clear()
    ended = desk.supervise(run)
    assert ended.state == "done", (ended.why, ended.question)
    assert len(desk.asked) == 1, "the attempt was not made again"
