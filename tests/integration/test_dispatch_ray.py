"""Jobs on a real Ray cluster of several nodes on this machine: the contract, and every way in which a node goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.dispatch_contract import CHILDREN, SLEEPS, Contract, job, run
from tests.integration.daybreak_cli import ONE_EXAMPLE, Cli
from tests.ray_cluster import RayCluster, gone_in, there

from daybreak import events, home
from daybreak.engine.dispatch import ClusterUnreachable, Dispatch, JobLost, Needs, Node, NodeRefused
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.events import run_stream

pytest.importorskip("ray")
OPEN = {"RAY_AUTH_MODE": "disabled"}
PROGRAM = Path(__file__).with_name("dispatch_program.py")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    made = RayCluster()
    try:
        made.add(docker="true", place="first")
        made.add(place="second")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def ray(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayDispatch]:
    one = RayDispatch(
        Cluster(address=cluster.address, token=OPEN, folder=tmp_path_factory.mktemp("log"), silence_s=5), os.environ
    )
    yield one
    one.close()


class TestRay(Contract):
    """On nodes of a cluster."""

    @pytest.fixture
    def dispatch(self, ray: RayDispatch) -> Dispatch:
        return ray


class Heard:
    """What a job says while it works, and where it is done."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.node: list[Node] = []
        self.began = threading.Event()
        self.problem: BaseException | None = None
        self.answer: Any = None
        self.ended_s = 0.0

    def line(self, part: bytes) -> None:
        self.pids += map(int, part.split())
        self.began.set()

    def go(self, dispatch: RayDispatch, one: Any) -> threading.Thread:
        def work() -> None:
            try:
                self.answer = dispatch.run(
                    one, cancelled=threading.Event(), on_line=self.line, on_node=self.node.append
                )
            except BaseException as problem:  # noqa: BLE001 - looked at by the test
                self.problem = problem
            self.ended_s = time.monotonic()

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def lost_by(dispatch: RayDispatch, one: Any, what: Any) -> tuple[Heard, float]:
    """What was heard of a job to whose node `what` was done while it worked; and how long that took to be noticed."""
    heard = Heard()
    thread = heard.go(dispatch, one)
    assert heard.began.wait(60), heard.problem
    began_s = time.monotonic()
    what()
    thread.join(60)
    assert isinstance(heard.problem, JobLost), heard.problem
    return heard, heard.ended_s - began_s


def elsewhere(dispatch: RayDispatch, tmp_path: Path, lost: Heard) -> float:
    """How long until another node has begun with it."""
    began_s = time.monotonic()
    told: list[Node] = []
    one = job(tmp_path, "echo", avoid=(lost.node[0].name,))
    dispatch.run(one, cancelled=threading.Event(), on_line=lambda part: None, on_node=told.append)
    assert told[0].name != lost.node[0].name
    return time.monotonic() - began_s


def test_a_node_that_is_killed_loses_its_job_which_is_done_elsewhere(
    cluster: RayCluster, ray: RayDispatch, tmp_path: Path
) -> None:
    """Raylet and workers at once, as when a machine loses its power. Nothing of it goes on."""  # shows: N14
    doomed = cluster.add(doomed="true")
    one = job(tmp_path, "run", {"code": CHILDREN}, needs=Needs(labels=("doomed",)))
    heard, noticed_s = lost_by(ray, one, lambda: cluster.kill(doomed))
    assert noticed_s + elsewhere(ray, tmp_path, heard) < 15
    for pid in heard.pids:
        gone_in(pid, 10)
    with pytest.raises(ClusterUnreachable, match="is there now"):  # it may come back: nobody is asked in the night
        run(ray, one)


@pytest.mark.chaos
def test_a_node_that_stalls_loses_its_job_and_what_comes_back_is_ended(
    cluster: RayCluster, ray: RayDispatch, tmp_path: Path
) -> None:
    """Every process of it stopped, as a paused machine; then it goes on. It costs one try, and the node is of use
    again."""  # shows: N14
    stalled = cluster.add(stalls="true")
    one = job(tmp_path, "run", {"code": SLEEPS}, needs=Needs(labels=("stalls",)))
    stopped: list[int] = []

    def stop() -> None:
        stopped.extend(cluster.processes(stalled))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    try:
        heard, noticed_s = lost_by(ray, one, stop)
        assert noticed_s < 10
        assert elsewhere(ray, tmp_path, heard) < 10
        assert there(heard.pids[0])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    gone_in(heard.pids[0], 30)
    cluster.kill(stalled)


@pytest.mark.chaos
def test_only_the_worker_of_a_node_stalls(cluster: RayCluster, ray: RayDispatch, tmp_path: Path) -> None:
    """The process that does the job is stopped, and Ray's own are not: the job is killed there."""  # shows: N14
    one = job(tmp_path, "run", {"code": SLEEPS}, needs=Needs(labels=("place=second",)))
    hands: list[int] = []

    def stop() -> None:
        [guard] = [_parent(heard_pid) for heard_pid in seen.pids]
        hands.append(_parent(guard))
        os.kill(hands[0], signal.SIGSTOP)

    seen = Heard()
    thread = seen.go(ray, one)
    assert seen.began.wait(60)
    stop()
    thread.join(60)
    assert isinstance(seen.problem, JobLost)
    gone_in(hands[0], 10)
    gone_in(seen.pids[0], 10)
    assert run(ray, job(tmp_path, "echo", needs=Needs(labels=("place=second",)))).body["body"] == {}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_nothing_goes_on_when_its_coordinator_is_killed(cluster: RayCluster, tmp_path: Path) -> None:
    """What it had under way on nodes ends with it."""  # shows: N14
    argv = [sys.executable, str(PROGRAM), cluster.address, str(tmp_path), CHILDREN]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as coordinator:
        assert coordinator.stdout is not None
        pids = [int(word) for word in coordinator.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(there, pids))
        coordinator.kill()
    for pid in pids:
        gone_in(pid, 30)


def test_a_node_of_another_version_does_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    """It refuses, with a sentence that names both."""  # shows: N14
    other = RayDispatch(Cluster(address=cluster.address, token=OPEN, folder=tmp_path, version="99.1"), os.environ)
    try:
        with pytest.raises(NodeRefused, match=r"99\.1"):
            run(other, job(tmp_path, "echo"))
    finally:
        other.close()


def test_labels_say_where(ray: RayDispatch, tmp_path: Path) -> None:
    told: list[Node] = []
    for label in ("place=first", "place=second", "docker"):
        one = job(tmp_path, "echo", needs=Needs(labels=(label,)))
        ray.run(one, cancelled=threading.Event(), on_line=lambda part: None, on_node=told.append)
    assert told[0].name == told[2].name != told[1].name


def test_the_same_bytes_are_sent_once(ray: RayDispatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the cluster; Ray keeps them where they were needed."""  # shows: N14
    (tmp_path / "told").write_bytes(os.urandom(300_000).hex().encode())
    assert ray._talk is not None
    sent: list[str] = []
    say = ray._talk._say

    def hear(said: dict[str, Any], data: bytes = b"") -> None:
        sent.append(str(said["op"]))
        say(said, data)

    monkeypatch.setattr(ray._talk, "_say", hear)
    for _ in range(3):
        run(ray, job(tmp_path / "s", "echo", given={"worker": tmp_path / "told"}))
    assert sent.count("blob") == 1


def test_nobody_listens_at_that_address(tmp_path: Path) -> None:
    """Said within seconds, not after Ray's own minutes."""
    nobody = RayDispatch(Cluster(address="127.0.0.1:9", folder=tmp_path), os.environ)
    began_s = time.monotonic()
    with pytest.raises(ClusterUnreachable, match=r"127\.0\.0\.1:9"):
        run(nobody, job(tmp_path, "echo"))
    assert time.monotonic() - began_s < 30
    nobody.close()


@pytest.fixture
def builder(cluster: RayCluster, tmp_path: Path, types_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A working directory whose jobs go to the cluster."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cli = Cli(folder).knowing(types_cache)
    (folder / "daybreak.toml").write_text(f'[dispatch]\nengine = "ray"\naddress = "{cluster.address}"\n')
    assert cli("trust").status == 0
    return cli


def recorded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[events.Event]]:
    """Its one run, and what the ledger holds of it."""
    monkeypatch.setenv("DAYBREAK_HOME", str(cli.home))
    monkeypatch.chdir(cli.folder)
    with home.opened() as opened:
        [run_id] = [row.run for row in home.rows(opened)]
        return run_id, [record.event for record in opened.ledger.read(run_stream(run_id))]


def test_a_build_on_a_cluster_is_as_any_other(builder: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempt and checks on nodes, each placed in the ledger with its sandbox; the coordinator judges and delivers, and
    leaves nothing on the nodes."""  # shows: N14, F1
    cli, folder = builder, builder.folder
    built = cli(
        "build", cli.spec(ONE_EXAMPLE.replace("{holdout}", "0")), "-o", folder / "out", "--plain", "--accept-unshown"
    )
    assert built.status == 0, built.out + built.err
    assert (folder / "out" / "pyproject.toml").is_file()
    run_id, told = recorded(cli, monkeypatch)
    placed = [one for one in told if isinstance(one, events.JobPlaced)]
    assert {one.job.partition(":")[2].split()[0] for one in placed} >= {"attempt", "check", "example"}
    assert all(one.sandbox for one in placed)
    assert not [one for one in told if isinstance(one, events.JobLost)]
    shown = cli("show", run_id)
    assert "on node" in shown.out


MENDS = """
from daybreak.agents.protocol import Claim
class Mends:
    def work(self, brief, workspace, terms):
        (workspace / "calc.py").write_text("def sub(one, other):\\n    return one - other\\n")
        yield Claim(outcome="finished", summary="done")
"""


def test_a_repositorys_task_on_a_cluster_is_as_any_other(builder: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checks on the base, its attempt and its checks on what that left are all done on nodes, links and all; the
    coordinator makes the branch."""  # shows: N14, F5
    repo, tests = builder.folder / "calc", "import calc\n\n\ndef test_sub():\n    assert calc.sub(5, 3) == 2\n"
    (repo / "tests").mkdir(parents=True)
    for name, text in {"calc.py": "", "tests/test_calc.py": tests, "pytest.ini": "[pytest]\npythonpath = .\n"}.items():
        (repo / name).write_text(text)
    (repo / "also.py").symlink_to("calc.py")
    (builder.folder / "mends.py").write_text(MENDS)
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(repo)]
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "-m", "begin"]):
        subprocess.run([*git, *words], check=True)
    checks = ("--check", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q", "--check", "test -h also.py")
    added = builder("add", "--repo", "calc", "write sub", *checks, "--worker", "mends.py:Mends")
    assert added.status == 0, added.err
    worked = builder("night", "--once")
    assert worked.status == 0, worked.out + worked.err
    run_id, told = recorded(builder, monkeypatch)
    placed = [one for one in told if isinstance(one, events.JobPlaced)]
    names = [one.job.partition(":")[2].partition(" ")[0] for one in placed]
    assert names == ["base", "base", "attempt", "look", "look"]
    assert all(one.node and one.sandbox for one in placed)
    shown = subprocess.run([*git, "show", f"daybreak/{run_id}:calc.py"], check=True, capture_output=True, text=True)
    assert "def sub" in shown.stdout


def test_an_attempt_on_a_node_of_ray_has_links_a_history_and_its_own_folder_only(
    ray: RayDispatch, tmp_path: Path
) -> None:
    """As without Ray: what travels is the same, and what stays."""  # shows: N14
    from tests.unit.test_attempting import opened, own
    from tests.unit.test_node_history import LOOKS, prepared

    with opened(tmp_path / "desk") as desk:
        own(desk, LOOKS)
        desk.office._dispatch = ray
        folder = prepared(desk)
        try:
            assert desk.go().claim.outcome == "finished", desk.results
        finally:
            desk.office._dispatch = None  # it is everybody's
        assert [one.host for one in desk.events(events.JobPlaced)]
    assert (folder / "seen").read_text() == " M a.txt\nbase\na.txt\n"
    assert (folder / "new-link").readlink() == Path("a.txt")
    assert (folder / "link").readlink() == Path("pkg/m.py")
    assert (folder / ".coverage").read_text() == "c"


def placed_until_now(cli: Cli) -> list[dict[str, Any]]:
    """Its jobs that were placed until now."""
    shown = cli("ledger", "show", "--json")
    return [one["payload"] for one in shown.json() if one["type"] == "job.placed"] if shown.status == 0 else []


SLOW = """
import time
from daybreak.agents.builder import Builder
class Slow(Builder):
    def work(self, brief, workspace, terms):
        time.sleep(6)
        yield from super().work(brief, workspace, terms)
"""


@pytest.mark.chaos
def test_a_build_whose_node_is_killed_in_the_middle_of_its_attempt_is_done_elsewhere(
    builder: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself: one try is lost and told, the attempt is still the first one, and what is delivered is verified."""
    # shows: N14, F1
    pair = RayCluster()
    try:
        nodes = {node.node_id: node for node in (pair.add(), pair.add())}
        (builder.folder / "daybreak.toml").write_text(f'[dispatch]\nengine = "ray"\naddress = "{pair.address}"\n')
        assert builder("trust").status == 0
        (builder.folder / "slow.py").write_text(SLOW)
        spec = builder.spec(ONE_EXAMPLE.replace("{holdout}", "0"))
        words = ("build", spec, "-o", "out", "--plain", "--accept-unshown", "--worker", "slow.py:Slow")
        command = builder.command(*words)
        with subprocess.Popen(command, cwd=builder.folder, env=builder.environment()) as build:
            end_s = time.monotonic() + 120
            while not (on := [one["node"] for one in placed_until_now(builder) if "attempt" in one["job"]]):
                assert time.monotonic() < end_s
            doomed = on[0]
            pair.kill(nodes[doomed])
            assert build.wait(240) == 0
        run_id, told = recorded(builder, monkeypatch)
        lost = [one for one in told if isinstance(one, events.JobLost)]
        assert [(one.node, one.again) for one in lost if "attempt" in one.job] == [(doomed, True)]
        tries = [one for one in told if isinstance(one, events.JobPlaced) and one.job == lost[0].job]
        assert [(one.nth, one.node == doomed) for one in tries] == [(1, True), (2, False)]
        assert [one.attempt for one in told if isinstance(one, events.AttemptClaimed)] == [1]
        assert builder("provenance", "verify", "out").status == 0
        assert "lost" in builder("show", run_id).out
    finally:
        pair.close()


@pytest.mark.chaos
def test_a_coordinator_that_is_killed_does_again_what_was_in_flight_and_nothing_else(
    builder: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build whose process is killed while its tests run on a node: they are lost, and done again by the next owner;
    what was kept is not."""  # shows: N14, N3
    cli, folder = builder, builder.folder
    spec = cli.spec(ONE_EXAMPLE.replace("{holdout}", "0"))
    command = cli.command("build", spec, "-o", folder / "out", "--plain", "--accept-unshown")
    with subprocess.Popen(command, cwd=folder, env=cli.environment(), stdout=subprocess.DEVNULL) as build:
        for _ in range(300):
            if ":check tests" in cli("ledger", "show").out:
                break
            time.sleep(0.1)
        build.kill()
    resumed = cli("resume")
    assert resumed.status == 0, resumed.out + resumed.err
    _, told = recorded(cli, monkeypatch)
    lost = [one for one in told if isinstance(one, events.JobLost)]
    assert lost
    assert all("coordinator ended" in one.why for one in lost)
    assert [one.name for one in told if isinstance(one, events.StepDone)].count("attempt") == 1
    placed = [one.job for one in told if isinstance(one, events.JobPlaced)]
    assert all(placed.count(one.job) == 2 for one in lost)
    assert (folder / "out" / "pyproject.toml").is_file()


@pytest.mark.chaos
def test_where_all_nodes_go_or_the_head_does_runs_wait_until_there_is_a_cluster_again(tmp_path: Path) -> None:
    """No step fails and nobody is asked, in whichever order they go and come."""  # shows: N14
    lonely = RayCluster()
    ray = RayDispatch(Cluster(address=lonely.address, token=OPEN, folder=tmp_path, silence_s=5), os.environ)
    try:
        only = lonely.add()
        heard, _ = lost_by(ray, job(tmp_path, "run", {"code": SLEEPS}), lambda: lonely.kill(only))
        for pid in heard.pids:
            gone_in(pid, 10)
        with pytest.raises(ClusterUnreachable, match="is there now"):
            run(ray, job(tmp_path, "echo"))
        lonely.add()
        assert run(ray, job(tmp_path, "echo")).body["body"] == {}
        for process in [one.process.pid for kind in lonely.head.all_processes.values() for one in kind]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until_s = time.monotonic() + 70  # Ray's driver ends after a minute at the latest
        while time.monotonic() < until_s:
            with pytest.raises(ClusterUnreachable) as caught:
                run(ray, job(tmp_path, "echo"))
            if "cannot be reached" in caught.value.message:
                break
            threading.Event().wait(0.5)  # as a run waits a minute
        else:
            pytest.fail("it never heard that the head is gone")
    finally:
        ray.close()
        lonely.close()


# -- a node that is cut off


def _can_cut() -> str:
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    tried = subprocess.run(["ip", "netns", "add", "daybreak-try"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", "daybreak-try"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"no network namespace can be made: {tried.stderr.decode().strip()}"


@pytest.mark.chaos
def test_a_node_that_is_cut_off_costs_one_try_and_ends_by_itself(tmp_path: Path) -> None:
    """Two network namespaces with a cable between them, which is pulled: the job is lost and done on the other node;
    what the node cut off still does ends although nobody can tell it so."""  # shows: N14
    if why := _can_cut():
        pytest.skip(why)
    from tests.ray_apart import Apart

    with Apart(tmp_path) as apart:
        carrier = (
            *apart.inside("a"),
            sys.executable,
            "-P",
            "-c",
            "from daybreak.engine.dispatch.carrier import main; main()",
        )
        cluster = Cluster(address=apart.address, folder=tmp_path, silence_s=5, token=apart.token)
        ray = RayDispatch(cluster, os.environ, carrier=carrier)
        try:
            one = job(
                tmp_path / "s", "run", {"code": SLEEPS, "time_s": 600}, needs=Needs(labels=("apart",)), time_s=600
            )
            heard, noticed_s = lost_by(ray, one, apart.cut)
            assert noticed_s < 12
            assert elsewhere(ray, tmp_path / "s", heard) < 15
            gone_in(heard.pids[0], 150)
        finally:
            ray.close()
