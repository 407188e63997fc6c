"""What `daybreak doctor` says of the cluster to which attempts go."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from daybreak.config import Places
from daybreak.engine.dispatch import Answer, ClusterUnreachable, Doing, Job, JobLost, Node, NodeRefused
from daybreak.engine.dispatch.job import OnLine
from daybreak.engine.flow import Paused
from daybreak.factory import dispatching
from daybreak.factory.health import cluster, for_night
from daybreak.factory.health.finding import Finding
from daybreak.settings import Dispatching, Settings

NONE_LEFT = "there are: box: 2 processors, 4.0 GiB, docker=true"


class Nodes:
    """In place of a cluster: each node's answer, or what it raises."""

    remote, at_a_time = True, 1

    def __init__(self, *nodes: Any, hangs: bool = False) -> None:
        self.nodes, self.hangs = list(nodes), hangs
        self.jobs: list[Job] = []
        self.closed = threading.Event()

    def run(
        self, job: Job, *, cancelled: threading.Event, on_line: OnLine, on_node: Callable[[Node], None] | None = None
    ) -> Answer:
        self.jobs.append(job)
        if len(self.jobs) > len(self.nodes):
            if self.hangs:
                assert cancelled.wait(30), "nobody gave it up"
                raise Paused("interrupted")
            raise NodeRefused("no other node of the cluster could do it", hint=NONE_LEFT)
        said = self.nodes[len(self.jobs) - 1]
        if isinstance(said, Exception):
            raise said
        return Answer(said, Node(f"id-{len(self.jobs)}", "box\x1b[31m"))

    def late(self, run: str) -> list[Any]:
        return []

    def over(self, bench: str) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


def told(**more: Any) -> Settings:
    return Settings(dispatch=Dispatching(**{"engine": "ray", "address": "10.1.2.3:6379", **more}))


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    def look(settings: Settings, nodes: Nodes | None = None, environment: dict[str, str] | None = None) -> Any:
        if nodes is not None:
            monkeypatch.setattr(dispatching, "make", lambda *given: nodes)
        if importlib.util.find_spec("ray") is None:
            pytest.skip("Ray is not installed (the extra `ray`)")
        return list(cluster.look(lambda: settings, Places.below(tmp_path, "a test"), environment or {}))

    return look


def levels(findings: Sequence[Finding]) -> list[str]:
    return [one.level for one in findings]


def refused(node: str) -> NodeRefused:
    problem = NodeRefused(f"node {node} refused a job: it has Daybreak 0.1, and this is 9", hint="install the same")
    problem.node = node
    return problem


def test_nothing_is_said_and_nothing_asked_where_attempts_are_done_here(tmp_path: Path) -> None:
    """The default."""
    assert list(cluster.look(Settings, Places.below(tmp_path, "a test"), {})) == []


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a traceback at the first attempt of the night."""
    # shows: N14
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    [one] = cluster.look(told, Places.below(tmp_path, "a test"), {})
    assert (one.level, one.hint) == ("bad", "pip install 'daybreak[ray]'")


def test_every_node_is_asked_once_and_what_it_says_is_shown(found: Callable[..., list[Finding]]) -> None:
    """Versions, sandbox, labels; a weak sandbox is worth knowing, one that refuses must be acted on. What a node says
    of itself cannot paint the screen."""
    # shows: N14
    full = {"python": "3.11.9", "strength": "full", "missing": ""}
    weak = {"python": "3.11.9", "strength": "degraded", "missing": "bwrap\x1b[2J"}
    nodes = Nodes(full, weak, refused("id-3"))
    findings = found(told(token="env:T"), nodes, {"T": "x"})
    assert levels(findings) == ["good", "note", "bad", "good", "good"]
    assert [job.avoid for job in nodes.jobs] == [(), ("id-1",), ("id-1", "id-2"), ("id-1", "id-2", "id-3")]
    assert "Python 3.11.9, sandbox full" in findings[0].text
    assert "Daybreak 0.1" in findings[2].text
    assert "docker=true" in findings[3].text
    assert all((one.text + one.hint).isprintable() for one in findings)
    assert nodes.closed.is_set()


@pytest.mark.parametrize("said", [None, [], "x" * 100_000, {"strength": {"a": 1}}, {"python": "\x00" * 9999}])
def test_a_node_that_says_nonsense_breaks_nothing(found: Callable[..., list[Finding]], said: Any) -> None:
    """It is a node whose sandbox nobody knows."""
    first, *_ = found(told(token="env:T"), Nodes(said), {"T": "x"})
    assert first.level == "note"
    assert len(first.text) < 1_000


def test_a_node_that_is_lost_is_told_and_the_others_are_asked(found: Callable[..., list[Finding]]) -> None:
    """One broken machine hides no other."""
    lost = JobLost("a job was lost on node a: it has said nothing for 10 s", hint="")
    lost.node = "a"
    findings = found(told(token="env:T"), Nodes(lost, {"python": "3", "strength": "full"}), {"T": "x"})
    assert levels(findings) == ["bad", "good", "good", "good"]


def test_it_ends_in_time_whatever_the_cluster_does(
    found: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known by then is said, and the question is taken back."""
    # shows: N14
    monkeypatch.setattr(cluster, "LIMIT_S", 0.3)
    nodes = Nodes({"python": "3.11.9", "strength": "full"}, hangs=True)
    findings = found(told(token="env:T"), nodes, {"T": "x"})
    assert levels(findings) == ["good", "note", "good"]
    assert "0.3 s" in findings[1].text
    assert nodes.closed.wait(10)
    assert levels(found(told(), Nodes(hangs=True)))[0] == "bad"


def test_a_cluster_that_is_away_is_one_bad_finding(found: Callable[..., list[Finding]]) -> None:
    """With its code and what to do; nothing is said of tokens then."""
    [one] = found(told(), Nodes(ClusterUnreachable("the cluster cannot be reached", hint="see that it is there")))
    assert (one.level, one.hint) == ("bad", "see that it is there")
    assert one.text.startswith("E241")


def test_a_home_that_cannot_be_written_is_told_and_not_thrown(found: Callable[..., list[Finding]]) -> None:
    """It happens in another thread, where nobody would hear of it."""
    [one] = found(told(), Nodes(PermissionError(13, "Permission denied", "/home/x/cache/ray")))
    assert (one.level, "Permission denied" in one.text) == ("bad", True)


@pytest.mark.parametrize(
    ("more", "environment", "level"),
    [
        ({"allow_unauthenticated": True}, {}, "bad"),
        ({"address": "127.0.0.1:6379"}, {}, "note"),
        ({"token": "env:T"}, {"T": "x"}, "good"),
        ({}, {"RAY_AUTH_MODE": "token"}, "good"),
    ],
)
def test_a_cluster_that_anybody_may_use_is_said_loudly_and_noted_by_the_night(
    found: Callable[..., list[Finding]], more: dict[str, Any], environment: dict[str, str], level: str
) -> None:
    """The night's note is in its ledger: somebody must act. No token stands in it."""
    # shows: N9
    findings = found(told(**more), Nodes(), environment)
    assert findings[-1].level == level
    noted = [one for one in for_night(findings) if "without a token" in one.text]
    assert [one.level for one in noted] == {"bad": [2], "note": [1], "good": []}[level]


def test_nobody_listens_there(found: Callable[..., list[Finding]]) -> None:
    """The real thing, with Ray's own client: an address where nobody is."""
    # shows: N14
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    [one] = found(told(address=f"127.0.0.1:{port}"))
    assert one.level == "bad"
    assert one.text.startswith("E241")


def test_a_node_says_how_it_is(tmp_path: Path) -> None:
    """The doer itself, here."""
    doing = Doing(
        body={},
        scratch=tmp_path,
        kept={},
        lock=threading.Lock(),
        cancelled=threading.Event(),
        tell=lambda part: None,
        here=True,
    )
    said = cluster.condition(doing)
    assert said["strength"] in ("full", "degraded", "none")
    assert said["python"].startswith("3.")
