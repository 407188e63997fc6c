"""Jobs: one contract for whatever has them done; and what the coordinator does when it is not kept."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import queue
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, cast

import anyio
import pytest
from tests.dispatch_contract import SLEEPS, Contract, job, run
from tests.ray_cluster import gone_in

from daybreak.engine import VIEWS, Context, Engine
from daybreak.engine.dispatch import (
    Answer,
    AnswerFalse,
    ClusterOpen,
    ClusterUnreachable,
    Dispatch,
    Job,
    JobBroken,
    JobFailed,
    JobLost,
    JobNotSent,
    Jobs,
    JobTooLarge,
    Key,
    Local,
    Needs,
    NeedsUnmet,
    Node,
    NodeRefused,
    NotOnNode,
    Packed,
    RayMissing,
    frames,
    travelling,
)
from daybreak.engine.dispatch.hand import Hand as HandItself
from daybreak.engine.dispatch.hearing import Hearing
from daybreak.engine.dispatch.ray import Cluster, RayDispatch
from daybreak.engine.flow import Paused
from daybreak.events import Event, JobLate, JobPlaced, run_stream
from daybreak.events import JobLost as JobWasLost
from daybreak.host import tree
from daybreak.host.sandbox import SandboxMissing
from daybreak.host.tree.packed import HEAD as PACKED_HEAD
from daybreak.policy import journal
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.world import MemoryLocks

CARRIER = Path(__file__).with_name("plain_carrier.py")
Make = Callable[..., RayDispatch]


class TestLocal(Contract):
    """In this very process."""

    @pytest.fixture
    def dispatch(self) -> Iterator[Dispatch]:
        local = Local(2)
        yield local
        local.close()


@pytest.fixture(scope="module")
def plain_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dispatch]:
    nodes = _dispatch(tmp_path_factory.mktemp("log"), "right")
    yield nodes
    nodes.close()


class TestNodes(Contract):
    """By the processes that nodes run, and the messages between them, without Ray."""

    @pytest.fixture
    def dispatch(self, plain_nodes: Dispatch) -> Dispatch:
        return plain_nodes


def _dispatch(folder: Path, mode: str, **more: Any) -> RayDispatch:
    cluster = Cluster(folder=folder, **{"silence_s": 5.0, **more})
    return RayDispatch(cluster, os.environ, carrier=(sys.executable, CARRIER, mode))


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Make]:
    made: list[RayDispatch] = []

    def make(mode: str, **more: Any) -> RayDispatch:
        made.append(_dispatch(tmp_path / "log", mode, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


# -- what does not keep the contract


def test_jobs_of_one_bench_share_a_machines_scratch_and_nothing_else(nodes: Make, tmp_path: Path) -> None:
    dispatch = nodes("right")
    asked = [run(dispatch, job(tmp_path, "share", bench=name)).body for name in ("a", "a", "b")]
    assert asked == [{"count": 1, "files": 1}, {"count": 2, "files": 2}, {"count": 1, "files": 1}]


def test_a_node_refuses_bytes_that_are_not_what_their_hash_says(nodes: Make, tmp_path: Path) -> None:
    """Nothing of them is unpacked."""  # shows: N14
    (tmp_path / "told").write_text("worker")
    with pytest.raises(AnswerFalse, match="has another hash"):
        run(nodes("flips"), job(tmp_path / "s", "echo", given={"worker": tmp_path / "told"}))


def test_a_node_that_sends_another_tree_than_it_says_changes_nothing(nodes: Make, tmp_path: Path) -> None:
    """The lent folder stays as it was, and the try counts as lost."""  # shows: N14
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "old").write_text("1")
    before = tree.scan(folder).hash
    with pytest.raises(AnswerFalse, match="is not what it says") as caught:
        run(nodes("lies"), job(tmp_path / "s", "change", {"write": {"new": "2"}}, lent={"workspace": folder}))
    assert caught.value.node == "node-lies"
    assert tree.scan(folder).hash == before


def test_what_is_no_tree_does_not_come_back(nodes: Make, tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    with pytest.raises(tree.NotATree, match="special file"):
        run(nodes("right"), job(tmp_path / "s", "change", {"write": {}, "pipe": ["l"]}, lent={"workspace": folder}))
    assert not list(folder.iterdir())


def test_results_that_are_looked_at_hold_no_links_on_a_node_either(nodes: Make, tmp_path: Path) -> None:
    """Folders that workers get may; what is checked and delivered may not."""  # shows: N14
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "link").symlink_to("/etc/passwd")
    taken = tree.take(tmp_path / "made", links=True)
    with pytest.raises(tree.PackDamaged, match="link is a symbolic link"):
        run(nodes("right"), job(tmp_path / "s", "echo", trees={"r": Packed(taken.tree.hash, taken.packed)}))


def test_more_files_than_a_result_may_have_travel(nodes: Make, tmp_path: Path) -> None:
    """A repository is larger than what is built of a specification."""  # shows: N14
    folder = tmp_path / "workspace"
    folder.mkdir()
    for number in range(tree.LIMITS.entries + 1):
        os.close(os.open(folder / f"{number}", os.O_CREAT | os.O_WRONLY))
    body = {"write": {"new": "1"}, "skip": True}
    run(nodes("right"), job(tmp_path / "s", "change", body, lent={"workspace": folder}))
    assert len(os.listdir(folder)) == tree.LIMITS.entries + 2


@pytest.mark.parametrize(
    ("limit", "value", "told"),
    [
        ("FOLDER", replace(travelling.FOLDER, entries=2), "more than 2 files"),
        ("FOLDER", replace(travelling.FOLDER, bytes=50_000), "at most 50,000 may be"),
        ("PACKED_BYTES_MAX", 50_000, "at most 50,000 may travel"),
    ],
)
def test_a_folder_that_is_too_large_to_travel_is_refused_with_what_to_do(
    nodes: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: Any, told: str
) -> None:
    """Before anything of it is sent, and in a way that is no node's and no worker's."""  # shows: N14
    folder = tmp_path / "workspace"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(os.urandom(30_000))
    monkeypatch.setattr(travelling, limit, value)
    with pytest.raises(JobNotSent, match=f"^workspace cannot travel to a node: .*{told}") as caught:
        run(nodes("right"), job(tmp_path / "s", "echo", lent={"workspace": folder}))
    assert 'engine = "local"' in caught.value.hint


@pytest.mark.parametrize("body", [{"of": "\udcff"}, {"of": "x" * (65 << 20)}], ids=["no text", "too much"])
def test_what_no_message_can_hold_is_not_sent_and_the_cluster_is_not_blamed(
    nodes: Make, tmp_path: Path, body: dict[str, Any]
) -> None:
    """Names of files may be no text. A cluster that is gone would be waited for, again and again."""  # shows: N14
    dispatch = nodes("right")
    with pytest.raises(JobNotSent, match="what is asked cannot travel"):
        run(dispatch, job(tmp_path / "s", "echo", body))
    assert run(dispatch, job(tmp_path / "t", "echo", {"a": 1})).body["body"] == {"a": 1}


@pytest.mark.parametrize("huge", [False, True])
def test_an_answer_that_no_message_can_hold_is_told_and_not_silence(nodes: Make, tmp_path: Path, huge: bool) -> None:
    """Else its node would be given up, and the next one after it."""  # shows: N14
    dispatch = nodes("right")
    with pytest.raises(JobBroken, match="untold on"):
        run(dispatch, job(tmp_path / "s", "untold", {"huge": huge}))
    assert run(dispatch, job(tmp_path / "t", "echo", {"a": 1})).body["body"] == {"a": 1}


HISTORIES = [".GIT", ".Git ", ".git.", "git~1", "GIT~1", ".g\u200cit", ".git\ufeff", ".git::$INDEX_ALLOCATION"]


@pytest.mark.parametrize("name", HISTORIES)
def test_another_spelling_of_git_in_a_workers_folder_is_no_lie_of_its_node(
    nodes: Make, tmp_path: Path, name: str
) -> None:
    """An honest node says what is wrong with it, and is not given up for what a worker made."""  # shows: N14
    folder = tmp_path / "workspace"
    folder.mkdir()
    body = {"write": {f"a/{name}/config": "1"}}
    with pytest.raises(tree.NotATree, match=r"another spelling of \.git"):
        run(nodes("right"), job(tmp_path / "s", "change", body, lent={"workspace": folder}))
    assert not list(folder.iterdir())
    for fine in ("github", ".gitignore", ".gitattributes", "git", "x.git", ".git-blame-ignore-revs"):
        assert not travelling.is_history(fine)


def test_what_cannot_be_put_back_for_want_of_room_is_no_lie_of_a_node(
    hearing: Hearing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    taken = tree.take(tmp_path / "made")
    hearing._take(*left(taken.packed, taken.tree.hash))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tree, "replace", full)
    with pytest.raises(tree.NotUnpacked, match="No space left"):
        hearing._take({"op": "answer", "body": 1}, b"")
    assert [one.name for one in (tmp_path / "s").iterdir()] == []


def test_what_a_worker_left_and_is_too_large_is_no_lie_of_its_node(hearing: Hearing) -> None:
    said = {"op": "failed", "code": JobTooLarge.code, "message": "too much", "hint": "less"}
    with pytest.raises(JobTooLarge, match="too much"):
        hearing._take(said, b"")


@pytest.mark.parametrize("mode", ["older", "right"])
def test_another_version_is_refused_by_both_sides(nodes: Make, tmp_path: Path, mode: str) -> None:
    """The coordinator looks at what a node says of itself, a node at what it is asked by."""  # shows: N14
    dispatch = nodes(mode) if mode == "older" else nodes(mode, version="99.0")
    with pytest.raises(NodeRefused, match="Daybreak") as caught:
        run(dispatch, job(tmp_path, "echo"))
    assert caught.value.node == f"node-{mode}"


def test_a_node_refuses_by_its_own_look_as_well(tmp_path: Path) -> None:
    """Whatever the coordinator would have made of its word."""
    from daybreak.engine.dispatch.node import Hand

    hand = Hand()
    try:
        order = {"op": "do", "job": "r/s/1/1", "version": "99.0", "blobs": 0}
        frames.write(hand.into, order)
        answer = frames.read(hand.out)
    finally:
        hand.end()
    assert answer is not None
    assert answer[0]["op"] == "refused"


def test_silence_loses_a_job_and_ends_what_it_runs(nodes: Make, tmp_path: Path) -> None:
    """A node that is there and says nothing."""  # shows: N14
    pids: list[int] = []
    one = job(tmp_path, "run", {"code": SLEEPS})
    with pytest.raises(JobLost, match="has said nothing") as caught:
        run(nodes("silent", silence_s=1.0), one, lambda part: pids.append(int(part)))
    assert caught.value.node == "node-silent"
    gone_in(pids[0], 20)


def test_a_job_that_is_never_over_is_lost(nodes: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it says that it is there."""
    monkeypatch.setattr("daybreak.engine.dispatch.hearing.OVERTIME_S", 0.5)
    with pytest.raises(JobLost, match="was not over"):
        run(nodes("right"), job(tmp_path, "busy", {"s": 60}, time_s=0.5))


def test_an_answer_that_comes_after_its_try_was_given_up_is_refused(nodes: Make, tmp_path: Path) -> None:
    """It changes no folder, and it is told once."""  # shows: N14
    folder = tmp_path / "workspace"
    folder.mkdir()
    dispatch = nodes("late", silence_s=0.7)
    one = job(tmp_path / "s", "change", {"write": {"late": "1"}}, lent={"workspace": folder})
    with pytest.raises(JobLost):
        run(dispatch, one)
    late: list[tuple[Key, Node]] = []
    for _ in range(200):
        late += dispatch.late("run-1")
        if late:
            break
        threading.Event().wait(0.05)
    assert [key for key, _ in late] == [one.key]
    assert dispatch.late("run-1") == []
    assert not list(folder.iterdir())


def test_an_answer_of_another_job_is_not_taken(nodes: Make, tmp_path: Path) -> None:
    assert run(nodes("mixes"), job(tmp_path, "echo", {"a": 1})).body["body"] == {"a": 1}


def test_a_driver_that_dies_takes_nobody_with_it(nodes: Make, tmp_path: Path) -> None:
    """The run hears that the cluster cannot be reached; the next job starts another driver."""  # shows: N14
    dispatch = nodes("dies")
    for _ in range(2):
        with pytest.raises(ClusterUnreachable):
            run(dispatch, job(tmp_path, "echo"))


@pytest.mark.parametrize(("mode", "problem"), [("missing", RayMissing), ("raving", ClusterUnreachable)])
def test_what_is_missing_is_named(nodes: Make, tmp_path: Path, mode: str, problem: type[Exception]) -> None:
    with pytest.raises(problem) as caught:
        run(nodes(mode), job(tmp_path, "echo"))
    if problem is RayMissing:
        assert "pip install 'daybreak[ray]'" in caught.value.hint  # type: ignore[attr-defined]


def test_a_cluster_on_a_network_without_a_token_is_not_used(nodes: Make, tmp_path: Path) -> None:
    """Unless somebody says that it may be."""  # shows: N14
    for address in ("10.0.0.1:6379", "cluster.example.org:6379", "[2001:db8::1]:6379"):
        with pytest.raises(ClusterOpen, match="no token"):
            run(nodes("right", address=address), job(tmp_path, "echo"))
    for more in ({"token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"}}, {"allow_unauthenticated": True}):
        assert run(nodes("right", address="10.0.0.1:6379", **more), job(tmp_path, "echo")).node.name
    for address in ("127.0.0.1:1", "localhost:1", "127.0.0.2:1", "[::1]:1", ""):
        assert Cluster(address=address).loopback


def test_a_token_is_in_no_representation() -> None:
    assert "secret" not in repr(Cluster(token={"RAY_AUTH_TOKEN": "secret"}))


def test_when_the_coordinator_dies_its_nodes_processes_do_too(tmp_path: Path) -> None:
    """The pipe of the process that did a job ends, and with it everything that it had started."""  # shows: N14
    from daybreak.engine.dispatch.node import Hand

    hand = Hand()
    order = {
        "op": "do",
        "job": "r/s/1/1",
        "doer": "daybreak.testing.doers:run",
        "body": {"code": SLEEPS},
        "version": hand.hello["version"],
        "bench": "",
        "lent": {},
        "given": {},
        "trees": {},
        "blobs": 0,
    }
    frames.write(hand.into, order)
    while (message := frames.read(hand.out)) is not None and message[0]["op"] != "line":
        pass
    assert message is not None
    hand.into.close()  # as the kernel does when Ray's worker is killed
    gone_in(int(message[1]), 20)
    hand.process.wait(20)
    hand.out.close()


@pytest.mark.parametrize("said", [b"", b"\0" * 7, frames.HEAD.pack(2, 0) + b"[]", frames.HEAD.pack(1 << 31, 0)])
def test_what_is_no_message_is_refused_before_it_is_held(said: bytes) -> None:
    with pytest.raises(JobBroken):
        frames.decoded(said)
    if len(said) >= frames.HEAD.size:
        with pytest.raises(JobBroken):
            frames.read(io.BytesIO(said))


# -- what a node may say, that is no node of ours


@pytest.fixture
def hearing(tmp_path: Path) -> Hearing:
    """Of a job that was lent a folder, by a node that has said who it is."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    one = job(tmp_path / "s", "echo", lent={"workspace": folder})
    heard = Hearing(one, Cluster(), queue.Queue(), threading.Event(), lambda part: None, lambda node: None)
    heard._take(HELLO, b"")
    return heard


HELLO = {"op": "hello", "node": "abc", "host": "there", "sandbox": "full", "version": Cluster().version}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"op": None},
        {"op": ["answer"]},
        {"op": "answer"},
        {"op": "left"},
        {"op": "left", "name": "../../etc", "hash": "0" * 64},
        {"op": "left", "name": ["workspace"], "hash": 1},
        {"op": "failed", "code": 1},
        {"op": "failed", "code": "L101", "message": "m", "hint": "h"},
        {"op": "failed", "code": "L999", "message": "m"},
        {"op": "failed", "code": ClusterUnreachable.code, "message": "wait for ever", "hint": ""},
        {"op": "failed", "code": NeedsUnmet.code, "message": "park", "hint": ""},
        {"op": "failed", "code": NodeRefused.code, "message": "refuse", "hint": ""},
        {"op": "refused"},
        {"op": "broke", "message": 1},
        HELLO,
    ],
    ids=repr,
)
def test_nonsense_of_a_node_costs_one_try(hearing: Hearing, said: dict[str, Any]) -> None:
    """It is no exception that nobody foresaw, and names the node, so that the next try is elsewhere."""  # shows: N14
    with pytest.raises((AnswerFalse, JobFailed)) as caught:
        hearing._take(said, b"")
    if isinstance(caught.value, AnswerFalse):
        assert caught.value.node == "abc"


@pytest.mark.parametrize("node", ["a,b", "", "x" * 65, "in(a)", "\n", 7, None])
def test_a_node_has_a_plain_name_or_none(tmp_path: Path, node: Any) -> None:
    """It becomes part of what Ray is asked for."""
    heard = Hearing(job(tmp_path, "echo"), Cluster(), queue.Queue(), threading.Event(), print, print)
    with pytest.raises(AnswerFalse):
        heard._take({**HELLO, "node": node}, b"")


def test_a_coordinator_that_stood_still_takes_nobody_for_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not hear meanwhile it could not hear; from then on silence counts as ever."""  # shows: N14
    now_s = [100.0]
    monkeypatch.setattr("daybreak.engine.dispatch.hearing.time.monotonic", lambda: now_s[0])
    heard = Hearing(job(tmp_path, "echo"), Cluster(silence_s=10.0), queue.Queue(), threading.Event(), print, print)
    heard.heard_s = now_s[0]
    heard._take(HELLO, b"")
    now_s[0] += 3_600
    heard._look()
    for _ in range(45):
        now_s[0] += 0.2
        heard._look()
    now_s[0] += 1.0
    with pytest.raises(JobLost, match="has said nothing for 10 s"):
        heard._look()


def test_what_a_node_says_of_itself_is_short_and_can_be_stored(tmp_path: Path) -> None:
    placed: list[Node] = []
    heard = Hearing(job(tmp_path, "echo"), Cluster(), queue.Queue(), threading.Event(), print, placed.append)
    heard._take({**HELLO, "host": "h\0" * 1_000_000, "sandbox": "\ud800" * 1_000_000}, b"")
    [node] = placed
    assert len(node.host) + len(node.sandbox) < 2_000
    assert "\0" not in node.host
    assert node.sandbox.encode()


def test_an_answer_before_a_name_is_none(tmp_path: Path) -> None:
    """Its version was never looked at."""  # shows: N14
    heard = Hearing(job(tmp_path, "echo"), Cluster(), queue.Queue(), threading.Event(), print, print)
    with pytest.raises(AnswerFalse):
        heard._take({"op": "answer", "body": 1}, b"")


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".git/config",
        ".GIT",
        ".g\u200cit/config",
        "git~1/config",
        "sub/.GIT/hooks/post-checkout",
        "a/__pycache__/a.pyc",
        "a.pyc",
    ],
)
def test_a_node_brings_no_programs_that_git_or_python_run(hearing: Hearing, path: str, link: bool) -> None:
    """Whatever its hash is: `tree.take` leaves them out, so nobody honest sends them."""  # shows: N14
    content = b"gitdir: /tmp/evil"
    told = tree.Tree((tree.Entry(path, False, hashlib.sha256(content).hexdigest(), len(content), link),))
    raw = PACKED_HEAD.pack(len(path.encode()), len(content), 2 if link else 0) + path.encode() + content
    said = {"op": "left", "name": "workspace", "hash": told.hash, "last": True}
    hearing._take(said, tree.MAGIC + zlib.compress(raw))
    folder = hearing.job.lent["workspace"]
    (folder / "old").write_text("1")
    with pytest.raises(AnswerFalse, match="which no tree holds"):
        hearing._take({"op": "answer", "body": 1}, b"")
    assert [one.name for one in folder.iterdir()] == ["old"]


def left(packed: bytes, told: str, *, last: bool = True) -> tuple[dict[str, Any], bytes]:
    return {"op": "left", "name": "workspace", "hash": told, "last": last}, packed


@pytest.mark.parametrize("pieces", ["none", "half", "no end", "twice", "mixed"])
def test_what_does_not_come_back_whole_and_once_changes_nothing(hearing: Hearing, tmp_path: Path, pieces: str) -> None:
    """Pieces of one tree, the last of them said to be the last."""  # shows: N14
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "new").write_text("1")
    taken = tree.take(tmp_path / "made")
    packed, told = taken.packed, taken.tree.hash
    half = len(packed) // 2
    said = {
        "none": [],
        "half": [left(packed[:half], told)],
        "no end": [left(packed, told, last=False), left(b"", told, last=False)],
        "twice": [left(packed, told), left(packed, told)],
        "mixed": [left(packed[:half], told, last=False), left(packed[half:], "0" * 64)],
    }[pieces]
    folder = hearing.job.lent["workspace"]
    (folder / "old").write_text("1")

    def hear() -> None:
        for one in (*said, ({"op": "answer", "body": 1}, b"")):
            hearing._take(*one)

    with pytest.raises(AnswerFalse):
        hear()
    assert [one.name for one in folder.iterdir()] == ["old"]


def test_what_comes_back_in_pieces_is_put_together(hearing: Hearing, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "new").write_text("1")
    taken = tree.take(tmp_path / "made")
    for at in range(len(taken.packed)):
        hearing._take(*left(taken.packed[at : at + 1], taken.tree.hash, last=False))
    hearing._take(*left(b"", taken.tree.hash))
    answer = hearing._take({"op": "answer", "body": 1}, b"")
    assert answer is not None
    assert [one.name for one in hearing.job.lent["workspace"].iterdir()] == ["new"]


def test_nothing_that_comes_back_is_written_or_removed_through_a_link(hearing: Hearing, tmp_path: Path) -> None:
    """Links there to somebody else's folder in the place of folders here, and the other way round."""  # shows: N14
    victim, folder = tmp_path / "victim", hearing.job.lent["workspace"]
    made = tmp_path / "made"
    for path in (victim / "x", made / "here" / "x", folder / "there" / ".coverage", folder / "there" / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    (made / "there").symlink_to(victim)
    (folder / "here").symlink_to(victim)
    taken = tree.take(made, links=True)
    hearing._take(*left(taken.packed, taken.tree.hash))
    hearing._take({"op": "answer", "body": 1}, b"")
    assert (folder / "there").readlink() == victim
    assert not (folder / "here").is_symlink()
    assert [one.name for one in victim.iterdir()] == ["x"]


def test_a_node_that_never_stops_talking_has_no_more_time_than_others(
    hearing: Hearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daybreak.engine.dispatch.hearing.OVERTIME_S", -61.0)
    for _ in range(100_000):
        hearing.coming.put(({"op": "line"}, b""))
    with pytest.raises(JobLost, match="was not over"):
        hearing.answer()


@pytest.mark.parametrize("mode", ["forges", "raves"])
def test_what_one_node_says_ends_no_other_job(nodes: Make, tmp_path: Path, mode: str) -> None:
    """It cannot say that the cluster is gone, or that no machine can do it, nor stop whoever listens."""  # shows: N14
    dispatch = nodes(mode)
    for _ in range(2):
        with pytest.raises(AnswerFalse):
            run(dispatch, job(tmp_path, "echo"))
    talk = dispatch._talk
    assert talk is not None
    assert not talk.ended


def test_more_than_a_job_may_say_is_not_held(nodes: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daybreak.engine.dispatch.talk.HEARD_BYTES_MAX", 1_000_000)
    with pytest.raises(AnswerFalse, match="without end"):
        run(nodes("right"), job(tmp_path, "lines", {"parts": ["x" * 100_000] * 20}))


def test_bytes_are_not_held_while_a_job_is_done(nodes: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty jobs with trees of fifty megabytes do not cost three gigabytes of a coordinator."""  # shows: N14
    (tmp_path / "told").write_bytes(b"x" * 1_000_000)
    dispatch, held = nodes("right"), list[tuple[str, int]]()
    run(dispatch, job(tmp_path / "first", "echo"))
    talk = dispatch._talk
    assert talk is not None
    give, hear = talk._say, talk._hear

    def said(what: dict[str, Any], data: bytes = b"") -> None:
        held.append((what["op"], len(data)))
        give(what, data)

    def heard(asked: Any, what: dict[str, Any], data: bytes) -> None:
        hear(asked, what, data)
        held.append((what["op"], len(asked.blobs)))

    monkeypatch.setattr(talk, "_say", said)
    monkeypatch.setattr(talk, "_hear", heard)
    run(dispatch, job(tmp_path / "s", "lines", {"parts": ["a"]}, given={"worker": tmp_path / "told"}))
    assert held[:3] == [("run", 0), ("blob", 1_000_000), ("hello", 0)]


def test_what_is_given_up_while_its_bytes_are_wanted_leaves_nothing_wrong_behind(nodes: Make, tmp_path: Path) -> None:
    """The next job with the same bytes gets them, and not those that were not there any more."""  # shows: N14
    (tmp_path / "told").write_text("worker")
    dispatch, cancelled = nodes("asks-late"), threading.Event()
    cancelled.set()
    with pytest.raises(Paused):
        dispatch.run(
            job(tmp_path / "a", "echo", given={"worker": tmp_path / "told"}),
            cancelled=cancelled,
            on_line=lambda part: None,
        )
    again = job(tmp_path / "b", "echo", given={"worker": tmp_path / "told"})
    assert run(dispatch, again).body["given"] == {"worker": "worker"}


def test_a_machine_that_cannot_start_what_does_jobs_refuses_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a folder that somebody else made first: it is passed over, and costs no try."""  # shows: N14
    from daybreak.engine.dispatch import node

    monkeypatch.setattr(node, "_hand", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"daybreak-node-{os.geteuid()}").write_text("in the way")
    [message] = list(node.carry("abc", {"job": "r/s/1/1"}, [], []))
    heard = Hearing(job(tmp_path / "s", "echo"), Cluster(), queue.Queue(), threading.Event(), print, print)
    with pytest.raises(NodeRefused, match="cannot be started") as caught:
        heard._take(frames.decoded(message)[0], b"")
    assert caught.value.node == "abc"


def test_a_full_disk_of_a_node_is_its_own_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are asked; it is no fault of the job."""  # shows: N14
    hand = HandItself(tmp_path, io.BytesIO(), io.BytesIO())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hand, "_done", full)
    assert hand._end({}, {})["op"] == "refused"


@pytest.mark.parametrize(
    ("number", "op"), [(errno.EIO, "refused"), (errno.EMFILE, "refused"), (errno.EACCES, "failed")]
)
def test_a_node_that_cannot_read_its_disk_says_nothing_of_the_worker_whose_files_lie_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, op: str
) -> None:
    """What a worker made unreadable is the worker's."""  # shows: N14
    hand = HandItself(tmp_path, io.BytesIO(), io.BytesIO())
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "a").write_text("1")

    def unreadable(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("daybreak.host.tree.reading.open_file", unreadable)
    monkeypatch.setattr(hand, "_done", lambda *_: travelling.taken(tmp_path / "workspace"))
    assert hand._end({}, {})["op"] == op


def test_the_folder_of_nodes_is_nobody_elses_to_read_and_empty_afterwards(tmp_path: Path) -> None:
    """Also where it was made by something else, with rights for all."""  # shows: N14
    base = tmp_path / "daybreak-node"
    base.mkdir(mode=0o777)
    base.chmod(0o777)
    argv = [sys.executable, "-P", "-m", "daybreak.engine.dispatch.hand", str(base)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:
        assert idle.stdout is not None
        assert idle.stdin is not None
        assert frames.read(cast(BinaryIO, idle.stdout)) is not None
        assert base.stat().st_mode & 0o777 == 0o700
        assert [one.stat().st_mode & 0o777 for one in base.iterdir() if one.is_dir()] == [0o700]
        idle.stdin.close()
        idle.wait(20)
    assert not list(base.iterdir())


def test_ray_is_never_left_to_look_for_a_token_in_the_home(nodes: Make, tmp_path: Path) -> None:
    """It would be shown to whoever listens at that address."""  # shows: N14
    for address, token, shown in (
        ("127.0.0.1:1", {}, ("disabled", None)),
        ("127.0.0.1:1", {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"}, ("token", "t")),
    ):
        dispatch = nodes("right", address=address, token=token)
        run(dispatch, job(tmp_path, "echo"))
        assert dispatch._talk is not None
        pid = dispatch._talk._process.pid
        told = Path(f"/proc/{pid}/environ").read_text().split("\0")
        environment = dict(one.partition("=")[::2] for one in told)
        assert (environment["RAY_AUTH_MODE"], environment.get("RAY_AUTH_TOKEN")) == shown
        assert not any("SECRET" in name for name in environment)
        assert "RAY_AUTH" not in Path(f"/proc/{pid}/cmdline").read_text()


# -- a run's jobs: who does them again, and what the ledger hears


class Script:
    """A cluster whose jobs come to these things, one after the other."""

    remote, at_a_time = True, 4

    def __init__(self, *comes_to: Any) -> None:
        self.comes_to = list(comes_to)
        self.jobs: list[Job] = []
        self.lates: list[tuple[Key, Node]] = []

    def run(self, job: Job, *, cancelled: Any, on_line: Any, on_node: Any = None) -> Answer:
        self.jobs.append(job)
        what = self.comes_to.pop(0)
        node = Node(getattr(what, "node", "") or f"n{len(self.jobs)}", "host", "full")
        if not isinstance(what, NeedsUnmet | ClusterUnreachable) and on_node:
            on_node(node)
        if isinstance(what, BaseException):
            raise what
        return Answer(what, node)

    def late(self, run: str) -> list[tuple[Key, Node]]:
        lates, self.lates = self.lates, []
        return lates

    def over(self, bench: str) -> None: ...

    def close(self) -> None: ...


def of(problem: Any, node: str) -> Any:
    made = problem("what happened", hint="what to do")
    made.node = node
    return made


class Bench:
    """A run with one step, which is one job."""

    def __init__(self, tmp_path: Path, script: Script) -> None:
        self.script, self.tmp_path = script, tmp_path
        self.clock = FakeClock()
        self.ledger = MemoryLedger(clock=self.clock, views=[*VIEWS, *journal.VIEWS], entropy=Random(0).randbytes)
        self.engine = self.an_engine()
        self.run = self.engine.submit("k", "a task", {})

    def an_engine(self) -> Engine:
        kinds = {"k": self._task}
        return Engine(self.ledger, kinds, MemoryLocks(), self.clock, os.urandom, (), sleep=self.clock.sleep)

    async def _task(self, ctx: Context, args: dict[str, Any]) -> Any:
        return await ctx.step("look", partial(self._do, ctx))

    def _do(self, ctx: Context) -> Any:
        def make(key: Key, avoid: tuple[str, ...]) -> Job:
            return Job(key=key, doer="x", body={}, scratch=self.tmp_path, time_s=1, avoid=avoid)

        return Jobs(ctx, self.script, threading.Event(), self.clock).do("tests", make).body

    def go(self) -> Any:
        return anyio.run(self.engine.supervise, self.run)

    def events(self, kind: type[Event]) -> list[Any]:
        return [one.event for one in self.ledger.read(run_stream(self.run)) if isinstance(one.event, kind)]


def test_a_lost_job_is_done_again_elsewhere_and_told(tmp_path: Path) -> None:
    """The coordinator alone tries again: with a key of its own, and not on the node that lost it."""  # shows: N14
    bench = Bench(tmp_path, Script(of(JobLost, "a"), of(AnswerFalse, "b"), "seen"))
    assert bench.go().value == "seen"
    assert [(one.key.nth, one.avoid) for one in bench.script.jobs] == [(1, ()), (2, ("a",)), (3, ("a", "b"))]
    assert len({one.key for one in bench.script.jobs}) == 3
    assert [(one.nth, one.node, one.again) for one in bench.events(JobWasLost)] == [(1, "a", True), (2, "b", True)]
    assert [one.node for one in bench.events(JobPlaced)] == ["a", "b", "n3"]
    assert all(one.sandbox == "full" for one in bench.events(JobPlaced))


def test_a_job_that_is_lost_again_and_again_fails_its_step(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(*(of(JobLost, name) for name in "abc")))
    result = bench.go()
    assert (result.state, result.code) == ("failed", "E244")
    assert [one.again for one in bench.events(JobWasLost)] == [True, True, False]


def test_a_node_that_refuses_is_passed_over_and_costs_no_try(tmp_path: Path) -> None:
    """A sandbox that is too weak, another version: others may do it."""  # shows: N14
    refused = [of(NodeRefused, name) for name in "abcd"]
    bench = Bench(tmp_path, Script(*refused, "seen"))
    assert bench.go().value == "seen"
    assert bench.script.jobs[-1].avoid == ("a", "b", "c", "d")


def test_where_all_refuse_it_fails_closed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(of(NodeRefused, "a"), of(NodeRefused, "")))
    result = bench.go()
    assert (result.state, result.code) == ("failed", "E245")
    assert "what happened" in result.why


def test_where_only_those_are_left_that_lost_it_they_do_it(tmp_path: Path) -> None:
    """A cluster of one node goes on when that node comes back."""  # shows: N14
    bench = Bench(tmp_path, Script(of(JobLost, "a"), of(NodeRefused, ""), "seen"))
    assert bench.go().value == "seen"
    assert [one.avoid for one in bench.script.jobs] == [(), ("a",), ()]


def test_a_job_that_no_machine_can_do_asks_a_person(tmp_path: Path) -> None:
    """Which then can start such a node."""  # shows: N14
    bench = Bench(tmp_path, Script(NeedsUnmet("no node has it", hint="start one"), "seen"))
    assert bench.go().state == "parked"
    assert bench.go().value == "seen"


def test_a_job_that_cannot_be_sent_asks_a_person(tmp_path: Path) -> None:
    """No try was made of it: nothing was lost, and nobody is at fault."""  # shows: N14
    bench = Bench(tmp_path, Script(JobNotSent("too much", hint="leave out"), "seen"))
    assert bench.go().state == "parked"
    assert bench.events(JobWasLost) == []
    assert bench.go().value == "seen"


def test_where_the_cluster_cannot_be_reached_the_run_waits_and_nothing_is_done_here(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(ClusterUnreachable("gone", hint="start it"), "seen"))
    result = bench.go()
    assert result.state == "waiting"
    assert "nothing is done here instead" in result.why
    assert [one.why for one in bench.events(JobWasLost)] == ["gone"]
    bench.clock.advance(61)
    assert bench.go().value == "seen"


def test_what_a_dead_coordinator_had_under_way_is_lost_and_done_again(tmp_path: Path) -> None:
    """Unless its result is in the ledger: then nothing is."""  # shows: N14
    killed = Bench(tmp_path, Script(KeyboardInterrupt()))
    with pytest.raises(BaseException):  # noqa: B017 - as a kill would be
        killed.go()
    killed.script.comes_to = ["seen"]
    killed.engine = killed.an_engine()
    assert killed.go().value == "seen"
    lost = killed.events(JobWasLost)
    assert [(one.nth, "coordinator ended" in one.why) for one in lost] == [(1, True)]
    epochs = [one.key.epoch for one in killed.script.jobs]
    assert epochs[0] < epochs[1]
    assert [one.key.nth for one in killed.script.jobs] == [1, 2]
    killed.engine = killed.an_engine()
    assert killed.go().value == "seen"
    assert len(killed.script.jobs) == 2


def test_a_job_that_was_over_is_not_told_as_lost_when_its_step_is_done_again(tmp_path: Path) -> None:
    """Only what an owner before this one had under way is."""
    bench = Bench(tmp_path, Script("first", "second"))

    async def twice(ctx: Context, args: dict[str, Any]) -> Any:
        def both() -> Any:
            return [bench._do(ctx), bench._do(ctx)]

        return await ctx.step("look", both)

    bench.engine = Engine(
        bench.ledger, {"k": twice}, MemoryLocks(), bench.clock, os.urandom, (), sleep=bench.clock.sleep
    )
    assert bench.go().value == ["first", "second"]
    assert not bench.events(JobWasLost)
    assert [one.key.nth for one in bench.script.jobs] == [1, 2]


def test_a_node_that_refuses_although_it_was_not_asked_ends_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Script(of(NodeRefused, "a"), of(NodeRefused, "a"), "never"))
    result = bench.go()
    assert (result.state, result.code) == ("failed", "E245")


def test_a_late_answer_is_recorded_with_its_key_and_epoch(tmp_path: Path) -> None:
    script = Script("seen")
    bench = Bench(tmp_path, script)
    script.lates = [(Key(bench.run, "s", 3, 2), Node("n9", "host"))]
    bench.go()
    [late] = bench.events(JobLate)
    assert (late.epoch, late.nth, late.node) == (3, 2, "n9")


def test_a_weaker_sandbox_on_a_node_is_a_refusal(hearing: Hearing) -> None:
    """What a node cannot enforce is not started there."""  # shows: N14
    with pytest.raises(NodeRefused, match="weaker"):
        hearing._take({"op": "failed", "code": SandboxMissing.code, "message": "weaker", "hint": ""}, b"")


# -- what the settings and a specification say of it


def test_a_file_that_came_with_a_repository_names_no_cluster_by_itself() -> None:
    """Whoever has work done elsewhere sends it there, and believes what comes back."""  # shows: N14
    from daybreak.factory.trust import risks
    from daybreak.settings import Settings

    told = risks(Settings.model_validate({"dispatch": {"engine": "ray", "address": "10.0.0.1:6379"}}))
    assert [one for one in told if "10.0.0.1:6379" in one]
    assert not risks(Settings.model_validate({"dispatch": {"engine": "ray"}}))


def test_what_a_specification_needs_goes_before_what_the_settings_say() -> None:
    from daybreak.factory import dispatching
    from daybreak.factory.spec.model import Needed
    from daybreak.settings import Settings

    settings = Settings.model_validate({"dispatch": {"cpus": 2, "memory_gib": 0.5, "needs": ["linux"]}})
    assert dispatching.needs(settings) == Needs(2, 2**29, ("linux",))
    asked = Needed(cpus=4, memory_bytes=2**30, labels=("docker", "linux"))
    assert dispatching.needs(settings, asked) == Needs(4, 2**30, ("linux", "docker"))


NEEDS = """\
---
name: calc
needs: {cpus: 0.5, memory: 512MiB, labels: [docker, gpu=a100]}
---
# Calc

## Objectives
- add

## Requirements

- **FR-001**: System MUST add two numbers
"""


def test_a_specification_says_what_it_needs_and_keeps_it_when_it_is_written_again() -> None:
    from daybreak.factory import spec_writing
    from daybreak.factory.spec import read_text

    read = read_text(NEEDS, name="calc.md", format="md")
    assert (read.needs.cpus, read.needs.memory_bytes) == (0.5, 2**29)
    assert read.needs.labels == ("docker", "gpu=a100")
    assert "needs: {cpus: 0.5, memory: 512MiB, labels: [docker, gpu=a100]}" in spec_writing.front_matter(read)


@pytest.mark.parametrize(
    "wrong",
    ["cpus: many", "cpus: 0", "memory: 1KB", "memory: lots", "labels: [Docker Hub]", "disk: 1GB", "labels: x=y=z"],
)
def test_needs_that_nobody_can_read_are_told_with_their_line(wrong: str) -> None:
    from daybreak.errors import SpecError
    from daybreak.factory.spec import read_text

    text = NEEDS.replace("cpus: 0.5, memory: 512MiB, labels: [docker, gpu=a100]", wrong)
    with pytest.raises(SpecError, match=r"calc\.md:3"):
        read_text(text, name="calc.md", format="md")


def test_a_specification_is_the_same_on_a_node() -> None:
    """What checks read of it travels as JSON."""
    from daybreak.factory.spec import read_text
    from daybreak.factory.spec.model import Specification

    for path in sorted(Path(__file__).parents[2].glob("examples/*/spec.md")):
        read = read_text(path.read_text(), name=path.name, format="md")
        assert Specification.model_validate(read.model_dump(mode="json")) == read


def test_a_sandbox_travels_by_what_has_a_name(tmp_path: Path) -> None:
    """The same grants, with the node's own paths; and nothing there that it does not have."""  # shows: N14
    from daybreak.factory import lending
    from daybreak.host.sandbox import Sandbox

    here, there = ({name: tmp_path / place / name for name in ("workspace", "scratch", "ours")} for place in "ab")
    for path in (*here.values(), *there.values(), there["scratch"] / "home"):
        path.mkdir(parents=True, exist_ok=True)
    box = Sandbox(
        writable=(here["workspace"], here["scratch"] / "home"),
        readable=(here["ours"], Path("/usr")),
        hidden=(here["workspace"] / ".docker",),
        memory_bytes=2**29,
        require="degraded",
    )
    told = lending.told(box, here)
    assert lending.made(told, here, here=True) == box
    made = lending.made(told, there, here=False)
    assert made.writable == (there["workspace"], there["scratch"] / "home")
    assert made.readable == (there["ours"], Path("/usr"))
    assert (made.hidden, made.memory_bytes, made.require) == ((), 2**29, "degraded")
    told["readable"].append(["", "/opt/only/here"])
    with pytest.raises(NotOnNode, match="/opt/only/here"):
        lending.made(told, there, here=False)


def test_a_bench_that_was_pushed_out_leaves_nothing_on_the_node(nodes: Make, tmp_path: Path) -> None:
    """A node that works for weeks does not fill its disk."""  # shows: N14
    dispatch = nodes("right")
    first = run(dispatch, job(tmp_path, "where", bench="first")).body
    assert run(dispatch, job(tmp_path, "where", bench="first")).body == first
    for name in ("a", "b", "c"):
        run(dispatch, job(tmp_path, "where", bench=name))
    assert not Path(first).exists()
    assert run(dispatch, job(tmp_path, "share", bench="first")).body["count"] == 1


def test_a_job_that_follows_at_once_on_another_has_its_own_beats_and_answer(nodes: Make, tmp_path: Path) -> None:
    """Whoever did the first may still be putting things away."""  # shows: N14
    dispatch = nodes("right", silence_s=3.0)
    for number in range(100):
        assert run(dispatch, job(tmp_path, "echo", {"number": number})).body["body"] == {"number": number}
    assert run(dispatch, job(tmp_path, "busy", {"s": 4.0})).body == "over"
