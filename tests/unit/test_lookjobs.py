"""Checks of repositories and of projects, and fixers, done on nodes: by the processes that nodes run, without Ray."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.dispatch_contract import job
from tests.unit import merge_desk, repository_desk
from tests.unit import validate_desk as scene
from tests.unit.repository_desk import RIGHT, WRONG

from daybreak import events
from daybreak.checks.evidence import Evidence
from daybreak.engine.dispatch import (
    Answer,
    Dispatch,
    Job,
    JobBroken,
    JobLost,
    Key,
    Local,
    Node,
    NodeRefused,
)
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.factory import lookjobs
from daybreak.host.sandbox import SandboxMissing
from daybreak.report import run as report

CARRIER = Path(__file__).with_name("plain_carrier.py")


@pytest.fixture(scope="module")
def real_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayDispatch]:
    """Processes that do jobs as those on nodes do."""
    folder = tmp_path_factory.mktemp("log")
    made = RayDispatch(Cluster(folder=folder, silence_s=30.0), os.environ, carrier=(sys.executable, CARRIER, "right"))
    yield made
    made.close()


class Watched:
    """Hands jobs on and keeps them; a run's end does not end what does them. `before` may fail a try."""

    at_a_time = 4

    def __init__(self, inner: Dispatch, before: Callable[[Job], None] = lambda job: None) -> None:
        self.inner, self.before = inner, before
        self.remote = inner.remote
        self.jobs: list[Job] = []

    def run(self, job: Job, **how: Any) -> Answer:
        self.jobs.append(job)
        self.before(job)
        return self.inner.run(job, **how)

    def late(self, run: str) -> list[tuple[Key, Node]]:
        return []

    def over(self, bench: str) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def nodes(real_nodes: RayDispatch) -> Watched:
    return Watched(real_nodes)


def placed(told: list[Any]) -> list[str]:
    """The names of the jobs that were placed, in order."""
    return [one.job.partition(":")[2] for one in told]


def test_checks_of_a_repository_are_done_on_nodes(nodes: Watched, tmp_path: Path) -> None:
    """On the base and on every result, each placed in the ledger; what they saw decides as it does here."""
    # shows: N14, F5
    with repository_desk.opened(tmp_path, dispatch=nodes) as desk:
        (desk.repo / "link.py").symlink_to("calc.py")
        repository_desk.git(desk.repo, "add", "--all")
        repository_desk.git(desk.repo, "commit", "-q", "-m", "a link")
        ended = desk.run(desk.asked("test -h link.py && test -s notes.txt", repository_desk.CHECK), WRONG, notes)
        assert ended.state == "done", ended.why
        assert ended.value["attempts"] == 2
        jobs = placed(desk.events(ended.run, events.JobPlaced))
        assert [one.partition(" ")[0] for one in jobs] == ["base", "base", *["look"] * 4]
        assert all(one.node for one in desk.events(ended.run, events.JobPlaced))
        seen = [one.evidence for one in desk.events(ended.run, events.CheckLooked)]
        tests = [one["outcome"] for one in seen if one["check"].startswith("tests:")]
        assert tests == ["failed", "passed"]
        [base] = [one for one in desk.events(ended.run, events.CheckProved) if one.check.startswith("tests:")]
        assert not base.passed
        assert len(desk.branches()) == 2


def notes(folder: Path, brief: object) -> None:
    RIGHT(folder, brief)  # type: ignore[arg-type]
    (folder / "notes.txt").write_text("said\n")


def test_checks_of_a_merge_are_done_on_nodes(nodes: Watched, tmp_path: Path) -> None:
    """What passes alone and fails together is seen there too, and the next branch is held to what the one before it
    reached."""  # shows: N14, F5
    files = {"count.txt": "1\n", "limit.txt": "5\n"}
    within = 'test "$(cat count.txt)" -le "$(cat limit.txt)"'
    with merge_desk.opened(tmp_path, files, nodes) as desk:
        desk.branch("count", {"count.txt": "4\n"})
        desk.branch("limit", {"limit.txt": "3\n"})
        ended, told = desk.merge("count", "limit", checks=[within])
        assert ended.state == "done", ended.why
        assert [one["branch"] for one in told["merged"]] == ["count"]
        assert [one["branch"] for one in told["left_out"]] == ["limit"]
        jobs = placed(desk.events(ended.run, events.JobPlaced))
        assert [one.partition(" ")[0] for one in jobs] == ["base", "look", "look"]


def test_a_branch_is_looked_at_where_its_own_task_was(nodes: Watched, tmp_path: Path) -> None:
    """What its task needed of a machine, its checks need on the merged result as well."""  # shows: N14, F5
    with repository_desk.opened(tmp_path) as plain:
        desk = merge_desk.MergeDesk(plain)
        task = plain.asked(repository_desk.CHECK, needs=["gpu", "cpus=1.5"])
        desk.office._dispatch = watched = Watched(Local(labels=["gpu"]))
        assert desk.run(task).state == "done"
        watched.jobs.clear()
        ended, told = desk.merge()
        assert [one["branch"] for one in told["merged"]], (ended.why, told)
        assert {(one.needs.labels, one.needs.cpus) for one in watched.jobs} == {(("gpu",), 1.5)}


def test_checks_and_fixers_of_a_validation_are_done_on_nodes(nodes: Watched, tmp_path: Path) -> None:
    """Fixers change a folder that is lent to a node; what comes back is a state like any other."""  # shows: N14, P7
    ugly = {**scene.FILES, "calc.py": scene.RIGHT, "tests/test_calc.py": scene.UGLY}
    with scene.opened(tmp_path, ugly, dispatch=nodes) as desk:
        done = desk.run(fix=True, in_place=True)
        assert done.state == "done", done.why
        assert (desk.project / "tests/test_calc.py").read_text() == scene.TESTS
        first, last = desk.gates(done.run)
        assert (first["verdict"], last["verdict"]) == ("failed", "passed")
        jobs = placed(desk.events(done.run, events.JobPlaced))
        assert "fixers" in jobs
        assert {"check tests:python", "check lint:python", "check format:python"} <= set(jobs)
        assert all(one.node for one in desk.events(done.run, events.JobPlaced))


def lacking(job: Job) -> None:
    """No node has what it looks with."""
    asked = "b" if "a" in job.avoid else "a"
    problem = NodeRefused("node refused a job: /home/ada/.venv is not on this node", hint="install it there")
    if asked not in job.avoid:
        problem.node, problem.lacks = asked, True
    raise problem


def test_what_no_node_has_the_programs_for_is_looked_at_here_and_that_is_told(
    real_nodes: RayDispatch, tmp_path: Path
) -> None:
    """A virtual environment lies on the coordinator's machine alone: each node says so, and the report shows where the
    check was done instead."""  # shows: N14
    with repository_desk.opened(tmp_path, dispatch=Watched(real_nodes, lacking)) as desk:
        ended = desk.run()
        assert ended.state == "done", ended.why
        [first, *_] = desk.events(ended.run, events.JobPlaced)
        assert (first.node, first.nth) == ("", 4)
        lost = desk.events(ended.run, events.JobLost)[:2]
        assert [(one.node, one.again) for one in lost] == [("a", True), ("b", True)]
        assert ".venv is not on this node" in lost[0].why
        shown = report.collect(desk.ledger.read(events.run_stream(ended.run)))
        assert any("on the coordinator's machine" in line.summary for line in shown.asked)


def test_a_node_says_what_it_lacks_before_it_looks(real_nodes: RayDispatch, tmp_path: Path) -> None:
    """Else a check would fail there, or pass with other programs than it passed with here."""  # shows: N14
    (tmp_path / "files").mkdir()
    one = job(tmp_path / "scratch", "echo", {"needed": ["/home/nobody/.venv"]}, given={"files": tmp_path / "files"})
    asked = Job(
        key=one.key,
        doer="daybreak.factory.repository.looks:base",
        body=one.body,
        scratch=one.scratch,
        given=one.given,
        time_s=30,
    )
    with pytest.raises(NodeRefused, match=r"/home/nobody/\.venv is not on this node") as caught:
        real_nodes.run(asked, cancelled=threading.Event(), on_line=print)
    assert caught.value.lacks


def losing(job: Job) -> None:
    problem = JobLost("a job was lost on node n: it has said nothing for 10 s", hint="it is done again elsewhere")
    problem.node = f"n{job.key.nth}"
    raise problem


def test_a_check_that_is_lost_again_and_again_is_no_verdict(real_nodes: RayDispatch, tmp_path: Path) -> None:
    """The run waits for a person, and goes on where it was: a broken cluster is no fault of the result."""
    # shows: N14
    watched = Watched(real_nodes, losing)
    with repository_desk.opened(tmp_path, dispatch=watched) as desk:
        parked = desk.run()
        assert parked.state == "parked"
        assert "look again?" in parked.question
        assert not desk.events(parked.run, events.CheckLooked, events.CheckProved)
        watched.before = lambda job: None
        assert desk.supervise(parked.run).state == "done"


def weak(*_: object) -> None:
    raise SandboxMissing("this machine enforces less than is required", hint="install bubblewrap")


def test_a_sandbox_that_is_too_weak_is_an_error_there_and_unusable_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a node it must be raised, so that another node is asked; where nobody can look it never counts as passed."""
    # shows: N14
    raised = []

    def seen(job: Job) -> None:
        if job.doer.endswith(":look"):
            monkeypatch.setattr("daybreak.factory.repository.running.run", weak)

    class Here(Watched):
        def run(self, job: Job, **how: Any) -> Answer:
            try:
                return super().run(job, **how)
            except SandboxMissing as error:
                raised.append(error)
                raise

    with repository_desk.opened(tmp_path, dispatch=Here(Local(), seen)) as desk:
        ended = desk.run()
        assert ended.state == "failed"
        assert raised
        seen_last = desk.events(ended.run, events.CheckLooked)[-1].evidence
        assert (seen_last["outcome"], "could not look" in seen_last["summary"]) == ("unusable", True)


def test_what_one_node_cannot_look_at_is_asked_of_others_and_then_here(real_nodes: RayDispatch, tmp_path: Path) -> None:
    """A program that the repository's check needs and no node has: no verdict comes of it. Here it is there."""
    # shows: N14
    lacked: list[str] = []

    class Machines(Watched):
        """Three nodes, on which the tool is not; where it is, is this machine."""

        def run(self, job: Job, **how: Any) -> Answer:
            tool.unlink(missing_ok=True)
            try:
                return super().run(job, **how)
            except NodeRefused as refused:
                lacked.append(refused.message)
                refused.node = f"n{job.key.nth}"
                raise
            finally:
                tool.write_text("#!/bin/sh\ntest -s notes.txt\n")
                tool.chmod(0o755)

    with repository_desk.opened(tmp_path, dispatch=Machines(real_nodes)) as desk:
        tool = desk.repo / ".venv" / "bin" / "only-here"
        repository_desk.put(desk.repo, {".venv/pyvenv.cfg": "", ".venv/bin/activate": ""})
        ended = desk.run(desk.asked("only-here"), notes)
        assert ended.state == "done", ended.why
        assert len(lacked) == 3, "for the base; the result is not sent to be refused once more"
        assert all("it could not look" in one for one in lacked)
        assert [one.node for one in desk.events(ended.run, events.JobPlaced)].count("") == 2


def test_what_a_node_says_of_another_result_is_refused(tmp_path: Path) -> None:
    """Evidence names the workspace that it is about, so it cannot be carried to another."""  # shows: N14
    told = Evidence(check="lint", workspace="b" * 64, outcome="passed", summary="clean").model_dump(mode="json")
    assert lookjobs.evidence(told, "b" * 64).outcome == "passed"
    with pytest.raises(JobBroken, match="is about bbbbbbbbbbbb, not aaaaaaaaaaaa"):
        lookjobs.evidence(told, "a" * 64)
    with pytest.raises(JobBroken, match="is no Evidence"):
        lookjobs.evidence({**told, "outcome": "splendid"}, "b" * 64)


def test_a_repository_with_caches_in_its_commits_and_names_that_are_no_text_is_checked_as_here(
    nodes: Watched, tmp_path: Path
) -> None:
    """A check sees every file of the commit on a node; and where one has a name that cannot travel, it is looked at
    here, and told, not taken for a result's fault or a cluster's."""  # shows: N14, F5
    command = "test -s pkg/__pycache__/kept && test -s .coverage && test -s notes.txt"
    with repository_desk.opened(tmp_path, dispatch=nodes) as desk:
        for name in ("pkg/__pycache__/kept", ".coverage"):
            (desk.repo / name).parent.mkdir(parents=True, exist_ok=True)
            (desk.repo / name).write_text("1")
        repository_desk.git(desk.repo, "add", "--all", "--force")
        repository_desk.git(desk.repo, "commit", "-q", "-m", "caches")
        ended = desk.run(desk.asked(command), notes)
        assert ended.state == "done", ended.why
        assert all(one.node for one in desk.events(ended.run, events.JobPlaced))

        (desk.repo / os.fsdecode(b"n\xff")).write_text("1")
        repository_desk.git(desk.repo, "add", "--all")
        repository_desk.git(desk.repo, "commit", "-q", "-m", "a name")
        ended = desk.run(desk.asked(f"{command} && true"), remove)
        assert ended.state == "done", ended.why
        assert [one.node for one in desk.events(ended.run, events.JobPlaced)] == ["", ""]
        base, look = (one.why for one in desk.events(ended.run, events.JobLost))
        assert "is not UTF-8" in base
        assert look.endswith("is no text")


def remove(folder: Path, brief: object) -> None:
    """The name is then in what is asked, and in no file."""
    notes(folder, brief)
    (folder / os.fsdecode(b"n\xff")).unlink()


def test_a_protected_path_that_is_no_text_fails_its_attempt_and_not_the_run(nodes: Watched, tmp_path: Path) -> None:
    """What a worker left can be told, whatever it is called; it cannot be named to be put back, so nothing more is
    looked at."""  # shows: F5

    def sneaks(folder: Path, brief: object) -> None:
        notes(folder, brief)
        (folder / os.fsdecode(b"d\xff")).mkdir()
        (folder / os.fsdecode(b"d\xff") / "conftest.py").write_text("")

    with repository_desk.opened(tmp_path, dispatch=nodes) as desk:
        ended = desk.run(desk.asked("test -s notes.txt"), sneaks, notes)
        assert ended.state == "done", ended.why
        seen = [one.evidence for one in desk.events(ended.run, events.CheckLooked)]
        assert [(one["check"].partition(":")[0], one["outcome"]) for one in seen] == [
            ("change", "passed"), ("protected", "failed"),
            ("change", "passed"), ("protected", "passed"), ("check", "passed"),
        ]  # fmt: skip
        assert seen[1]["summary"] == "d\\udcff/conftest.py was added, and is protected"
