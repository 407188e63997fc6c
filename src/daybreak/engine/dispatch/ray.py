"""Jobs done on the nodes of a Ray cluster: the coordinator's side.

Ray itself is in another process (`carrier`). Nothing is tried twice in here: a try ends with an answer, with what the
doer raised, or is lost, and `Jobs` decides what then. What comes for a try that is over is refused and remembered.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import logging
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from daybreak import errors
from daybreak.engine.dispatch import frames
from daybreak.engine.dispatch.job import Answer, Job, Key, Node, OnLine, Packed, rebuilt
from daybreak.engine.dispatch.problems import (
    AnswerFalse,
    ClusterOpen,
    ClusterUnreachable,
    JobBroken,
    JobLost,
    JobTooLarge,
    NeedsUnmet,
    NodeRefused,
    RayMissing,
)
from daybreak.engine.flow import Paused
from daybreak.host import removal, tree
from daybreak.version import __version__

SILENCE_S = 10.0
"""A node that says nothing for so long, not even that it is there, has lost its job."""
START_S = 90.0
"""So long may it take to reach a cluster, or to start one."""
OVERTIME_S = 60.0
LOOK_S = 0.2
GIVEN_BYTES_MAX = 64 * 1024 * 1024
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
_LOG_BYTES_MAX = 1_000_000

_log = logging.getLogger(__name__)
Heard = frames.Message
NOWHERE = Node("")
About = TypeVar("About", JobLost, NodeRefused, AnswerFalse)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which cluster, and what it is told."""

    address: str = ""
    """`HOST:PORT`; empty: one on this machine, started with the first job and ended with this process."""
    token: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of Ray's own by which the driver shows its token: RAY_AUTH_MODE and RAY_AUTH_TOKEN."""
    allow_unauthenticated: bool = False
    silence_s: float = SILENCE_S
    at_a_time: int = 16
    cpus: int = 0
    """Of one that is started here; 0: as many as this machine has."""
    labels: tuple[str, ...] = ()
    """Likewise."""
    version: str = __version__
    """That nodes must have."""
    folder: Path = Path("/tmp")
    """Where what Ray's driver prints is kept."""

    @property
    def loopback(self) -> bool:
        if not self.address:
            return True
        host = self.address.rpartition(":")[0].strip("[]")
        with suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost"


class RayDispatch:
    """For one process. The carrier is started with the first job, and again after it ended."""

    remote = True

    def __init__(
        self, cluster: Cluster, environment: Mapping[str, str], *, carrier: Sequence[str | Path] | None = None
    ) -> None:
        """`carrier`: another program in its place, for tests."""
        self.cluster = cluster
        self.at_a_time = cluster.at_a_time
        self._environment = environment
        self._program = carrier
        self._lock = threading.Lock()
        self._talk: Talk | None = None
        self._late: list[tuple[Key, Node]] = []

    def run(
        self,
        job: Job,
        *,
        cancelled: threading.Event,
        on_line: OnLine,
        on_node: Callable[[Node], None] | None = None,
    ) -> Answer:
        order, blobs = _ordered(job, self.cluster.version)
        with self._talking().asked(job, order, blobs) as coming:
            return _Hearing(job, self.cluster, coming, cancelled, on_line, on_node or (lambda node: None)).answer()

    def late(self, run: str) -> list[tuple[Key, Node]]:
        with self._lock:
            found = [one for one in self._late if one[0].run == run]
            self._late = [one for one in self._late if one[0].run != run]
        return found

    def over(self, bench: str) -> None:
        """Nodes drop benches by themselves when there are others."""

    def close(self) -> None:
        with self._lock:
            talk, self._talk = self._talk, None
        if talk is not None:
            talk.close()

    def _talking(self) -> Talk:
        """Raises RayMissing, ClusterOpen, ClusterUnreachable."""
        cluster = self.cluster
        shown = cluster.token.get("RAY_AUTH_MODE") == "token"
        if not (cluster.loopback or shown or cluster.allow_unauthenticated):
            raise ClusterOpen(
                f"the cluster at {cluster.address} is on a network, and no token is configured for it",
                hint='start it with RAY_AUTH_MODE=token and say `token = "file:..."` in [dispatch]; or, where nobody '
                "else can reach it, `allow_unauthenticated = true`",
            )
        if not (cluster.loopback or shown):
            _log.warning("the cluster at %s asks for no token: whoever reaches it can run programs", cluster.address)
        with self._lock:
            if self._talk is None or self._talk.ended:
                if self._talk is not None:
                    self._talk.close()
                self._talk = None
                self._talk = Talk(cluster, self._environment, self._program, self._refuse)
            return self._talk

    def _refuse(self, key: Key, node: Node) -> None:
        _log.warning("job %s: an answer of %s came late and was refused", key, node.host)
        with self._lock:
            self._late.append((key, node))
            del self._late[:-1000]


# -- what travels


def _ordered(job: Job, version: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The order for a node, and the bytes that it names. Raises NotATree, JobTooLarge."""
    blobs: dict[str, bytes] = {}

    def kept(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        blobs[name] = data
        return name

    lent = {}
    for name, folder in job.lent.items():
        taken = tree.take(folder)
        lent[name] = {"hash": taken.tree.hash, "blob": kept(taken.packed)}
    given = {}
    for name, path in job.given.items():
        if path.is_dir():
            taken = tree.take(path)
            given[name] = {"hash": taken.tree.hash, "blob": kept(taken.packed), "name": path.name}
        else:
            if path.stat().st_size > GIVEN_BYTES_MAX:
                raise JobTooLarge(f"{path} is too large to travel", hint=f"at most {GIVEN_BYTES_MAX:,} bytes may")
            given[name] = {"hash": "", "blob": kept(path.read_bytes()), "name": path.name}
    order = {
        "job": str(job.key),
        "doer": job.doer,
        "body": job.body,
        "version": version,
        "bench": job.bench,
        "lent": lent,
        "given": given,
        "trees": {name: {"hash": one.hash, "blob": kept(one.data)} for name, one in job.trees.items()},
    }
    return order, blobs


@dataclass
class _Hearing:
    """One try: what is heard of it, until it is over."""

    job: Job
    cluster: Cluster
    coming: queue.Queue[Heard]
    cancelled: threading.Event
    on_line: OnLine
    on_node: Callable[[Node], None]
    node: Node = NOWHERE
    began_s: float = 0.0
    heard_s: float = 0.0
    left: dict[str, Packed] = field(default_factory=dict)

    def answer(self) -> Answer:
        while True:
            if self.cancelled.is_set():
                raise Paused("interrupted while a job was done on a node")
            try:
                said, data = self.coming.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            self.heard_s = time.monotonic()
            if (answer := self._take(said, data)) is not None:
                return answer

    def _look(self) -> None:
        """Silence is counted from the moment at which a node has begun; before that it waits for a place."""
        if not self.node.name:
            return
        now_s = time.monotonic()
        if now_s - self.heard_s > self.cluster.silence_s:
            raise self._lost(f"it has said nothing for {self.cluster.silence_s:g} s")
        if now_s - self.began_s > self.job.time_s + OVERTIME_S:
            raise self._lost(f"it was not over after {self.job.time_s:.0f} s and a minute")

    def _take(self, said: Mapping[str, Any], data: bytes) -> Answer | None:
        match said.get("op"):
            case "hello":
                self._hello(said)
            case "line":
                self.on_line(data)
            case "left":
                self.left[str(said["name"])] = Packed(str(said["hash"]), data)
            case "answer":
                self._put_back()
                return Answer(said["body"], self.node)
            case "failed" if said["code"] == "H140":  # its sandbox is weaker than required: others may do better
                raise self._refused(str(said["message"]))
            case "failed":
                raise rebuilt(str(said["code"]), str(said["message"]), str(said["hint"]))
            case "refused":
                raise self._refused(str(said["why"]))
            case "broke":
                _log.error("job %s on %s: %s", self.job.key, self.node.host, said["trace"])
                raise JobBroken(f"{self.job.doer} on {self.node.host}: {said['message']}"[:500], hint=_REPORT)
            case "vanished":
                raise self._lost("the process that did it is gone")
            case "end":
                self._end(said)
        return None

    def _hello(self, said: Mapping[str, Any]) -> None:
        self.began_s = time.monotonic()
        self.node = Node(str(said["node"]), str(said["host"]), str(said["sandbox"]).partition("; not covered")[0])
        if said["version"] != self.cluster.version:
            raise self._refused(f"it has Daybreak {said['version']}, and this is {self.cluster.version}")
        self.on_node(self.node)

    def _end(self, said: Mapping[str, Any]) -> None:
        nodes = "; ".join(_described(one) for one in said.get("nodes", ())) or "none"
        match said["why"]:
            case "nowhere":
                raise NeedsUnmet(
                    f"no node of the cluster has {self.job.needs}; there are: {nodes}",
                    hint="start a node that has it (`ray start --address=... --labels docker=true`), or ask for less",
                )
            case "avoided":
                raise _about(
                    NodeRefused("no other node of the cluster could do it", hint=f"there are: {nodes}"), Node("")
                )
            case "gone":
                raise ClusterUnreachable(str(said["message"]), hint=_REACH)
            case _:
                raise self._lost(str(said.get("message") or "it ended without an answer"))

    def _put_back(self) -> None:
        """Into every lent folder what the node says was left there, once it is what its hash says."""
        for name, folder in self.job.lent.items():
            left = self.left.get(name)
            fresh = self.job.scratch / f"left-{name}"
            removal.remove(fresh)
            try:
                if left is None:
                    raise tree.PackDamaged("nothing came", hint="")
                tree.unpack(left.data, fresh, left.hash)
            except tree.PackDamaged as damaged:
                raise _about(
                    AnswerFalse(
                        f"what {self.node.host} sent back is not what it says: {damaged.message}", hint=_REPORT
                    ),
                    self.node,
                ) from damaged
            for old in folder.iterdir():
                if old.name != ".git":
                    removal.remove(old)
            for new in fresh.iterdir():
                os.rename(new, folder / new.name)
            fresh.rmdir()

    def _lost(self, why: str) -> JobLost:
        place = f"node {self.node.host} ({self.node.name[:8]})" if self.node.name else "the cluster"
        return _about(JobLost(f"a job was lost on {place}: {why}", hint="it is done again elsewhere"), self.node)

    def _refused(self, why: str) -> NodeRefused:
        place = f"node {self.node.host} ({self.node.name[:8]})"
        return _about(NodeRefused(f"{place} refused a job: {why}", hint="install the same Daybreak on it"), self.node)


_REPORT = "look at the node; a node that was not tampered with does not do this, so report it"
_REACH = "see that the cluster is there (`ray status`), and that [dispatch] address is right"


def _about(problem: About, node: Node) -> About:
    problem.node = node.name
    return problem


def _described(node: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name}={text}" for name, text in sorted(node["labels"].items())) or "no labels"
    return f"{node['host']}: {node['cpus']:g} processors, {node['memory_bytes'] / 2**30:.1f} GiB, {told}"


# -- the other process


@dataclass
class _Asked:
    key: Key
    coming: queue.Queue[Heard] | None
    """None: given up."""
    blobs: Mapping[str, bytes]
    node: Node = NOWHERE


class Talk:
    """With one carrier. Raises RayMissing, ClusterUnreachable where it cannot be started."""

    def __init__(
        self,
        cluster: Cluster,
        environment: Mapping[str, str],
        program: Sequence[str | Path] | None,
        refuse: Callable[[Key, Node], None],
    ) -> None:
        self._refuse = refuse
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._lock = threading.Lock()
        self._saying = threading.Lock()
        self._own = "" if cluster.address else tempfile.mkdtemp(prefix="daybreak-ray-")
        self._process = _started(cluster, environment, program, self._own)
        self.ended = False
        self._ready: queue.Queue[Heard] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True, name="dispatch")
        self._reader.start()
        self._wait(cluster)

    def _wait(self, cluster: Cluster) -> None:
        where = f"the cluster at {cluster.address}" if cluster.address else "a Ray on this machine"
        try:
            said, _ = self._ready.get(timeout=START_S)
        except queue.Empty:
            said = {"op": "unusable", "why": "unreachable", "message": f"nothing came of it in {START_S:g} s"}
        if said["op"] == "ready":
            return
        self.close()
        if said["why"] == "missing":
            raise RayMissing(f"Ray is not installed: {said['message']}", hint="pip install 'daybreak[ray]'")
        raise ClusterUnreachable(f"{where} cannot be reached: {said['message']}", hint=_REACH)

    @contextmanager
    def asked(self, job: Job, order: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Iterator[queue.Queue[Heard]]:
        """What is heard of it comes in the queue; what comes after the block is refused."""
        number, coming = next(self._numbers), queue.Queue[Heard]()
        with self._lock:
            self._asked[number] = asked = _Asked(job.key, coming, blobs)
        over = False
        try:
            self._say(
                {
                    "op": "run",
                    "id": number,
                    "order": order,
                    "hashes": list(blobs),
                    "cpus": job.needs.cpus,
                    "memory_bytes": job.needs.memory_bytes,
                    "labels": list(job.needs.labels),
                    "avoid": list(job.avoid),
                }
            )
            yield coming
            over = True
        finally:
            asked.coming, asked.blobs = None, {}
            if not over:
                with suppress(ClusterUnreachable):
                    self._say({"op": "cancel", "id": number})

    def _say(self, said: Mapping[str, Any], data: bytes = b"") -> None:
        try:
            with self._saying:
                frames.write(cast(BinaryIO, self._process.stdin), said, data)
        except (OSError, ValueError) as error:
            raise ClusterUnreachable("the process that speaks to Ray has ended", hint=_REACH) from error

    def _read(self) -> None:
        try:
            while (message := frames.read(cast(BinaryIO, self._process.stdout))) is not None:
                self._take(*message)
        except JobBroken:
            _log.exception("the process that speaks to Ray makes no sense")
        finally:
            self.ended = True
            gone: Heard = ({"op": "end", "why": "gone", "message": "the process that speaks to Ray has ended"}, b"")
            self._ready.put(({"op": "unusable", "why": "unreachable", "message": "its driver ended"}, b""))
            with self._lock:
                under_way = [one.coming for one in self._asked.values() if one.coming is not None]
            for coming in under_way:
                coming.put(gone)

    def _take(self, said: dict[str, Any], data: bytes) -> None:
        if said["op"] in ("ready", "unusable"):
            self._ready.put((said, data))
            return
        with self._lock:
            asked = self._asked.get(said["id"])
            if said["op"] == "end":
                self._asked.pop(said["id"], None)
        if asked is None:
            return
        if said["op"] == "want":
            for name in said["hashes"]:
                self._say({"op": "blob", "hash": name}, asked.blobs.get(name, b""))
            return
        inner = (said["said"], data) if said["op"] == "from" else (said, b"")
        if inner[0]["op"] == "hello":
            asked.node = Node(str(inner[0]["node"]), str(inner[0]["host"]))
        if said["op"] == "from" and inner[0].get("job") != str(asked.key):
            return  # of something else: an order that nobody gave
        if asked.coming is not None:
            asked.coming.put(inner)
        elif inner[0]["op"] == "answer":
            self._refuse(asked.key, asked.node)

    def close(self) -> None:
        with suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        cast(BinaryIO, self._process.stdout).close()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)


def _started(
    cluster: Cluster, environment: Mapping[str, str], program: Sequence[str | Path] | None, own: str
) -> subprocess.Popen[bytes]:
    told = {
        "address": cluster.address,
        "loopback": cluster.loopback,
        "folder": own,
        "cpus": cluster.cpus or os.cpu_count() or 1,
        "labels": list(cluster.labels),
    }
    code = "from daybreak.engine.dispatch.carrier import main; main()"
    argv = [*(program or (sys.executable, "-P", "-c", code)), json.dumps(told)]
    kept = {name: environment[name] for name in _KEPT if name in environment}
    more = {
        "PYTHONPATH": str(Path(errors.__file__).resolve().parents[1]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **(
            {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if cluster.loopback else {}
        ),  # else Ray takes 127.0.0.1 for another
    }
    cluster.folder.mkdir(parents=True, exist_ok=True)
    log = cluster.folder / "ray-driver.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
        log.unlink()
    with open(log, "ab") as said:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**kept, **more, **(cluster.token if cluster.address else _own_token())},
            start_new_session=True,  # Ctrl-C is ours to pass on
        )


def _own_token() -> dict[str, str]:
    """For a Ray that is ours alone. Without it Ray would keep one in the user's home, for others to find."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
