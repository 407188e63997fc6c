"""One try of a job on a cluster: what is heard of it, until it is over."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daybreak.engine.dispatch.job import Answer, Job, Node, OnLine, Packed, rebuilt
from daybreak.engine.dispatch.problems import (
    AnswerFalse,
    ClusterUnreachable,
    JobBroken,
    JobLost,
    NeedsUnmet,
    NodeRefused,
)
from daybreak.engine.dispatch.talk import NOWHERE, REACH, Cluster, Heard
from daybreak.engine.flow import Paused
from daybreak.host import removal, tree

OVERTIME_S = 60.0
LOOK_S = 0.2
_REPORT = "look at the node; a node that was not tampered with does not do this, so report it"
_log = logging.getLogger(__name__)
About = TypeVar("About", JobLost, NodeRefused, AnswerFalse)


@dataclass
class Hearing:
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
                raise ClusterUnreachable(str(said["message"]), hint=REACH)
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


def _about(problem: About, node: Node) -> About:
    problem.node = node.name
    return problem


def _described(node: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name}={text}" for name, text in sorted(node["labels"].items())) or "no labels"
    return f"{node['host']}: {node['cpus']:g} processors, {node['memory_bytes'] / 2**30:.1f} GiB, {told}"
