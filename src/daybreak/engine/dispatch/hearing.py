"""One try of a job on a cluster: what is heard of it, until it is over."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daybreak.engine.dispatch import travelling
from daybreak.engine.dispatch.job import Answer, Job, Node, OnLine, rebuilt
from daybreak.engine.dispatch.problems import (
    AnswerFalse,
    ClusterUnreachable,
    JobBroken,
    JobFailed,
    JobLost,
    JobTooLarge,
    NeedsUnmet,
    NodeRefused,
    NotOnNode,
)
from daybreak.engine.dispatch.talk import NOWHERE, REACH, WORDS_MAX, Cluster, Heard
from daybreak.engine.flow import Paused
from daybreak.errors import DaybreakError, EngineError, LedgerError
from daybreak.host import tree
from daybreak.host.sandbox import SandboxMissing

OVERTIME_S = 60.0
LOOK_S = 0.2
DEAF_S = 1.0
"""More than that between two looks is this process's own time."""
_REPORT = "look at the node; a node that was not tampered with does not do this, so report it"
_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A node's name: it becomes part of what Ray is asked for."""
_log = logging.getLogger(__name__)
_OURS_TO_SAY = (EngineError, LedgerError)
"""What only a coordinator can know: its ledger, its cluster, its run."""
About = TypeVar("About", JobLost, NodeRefused, AnswerFalse)


@dataclass
class _Left:
    """What a node says it left in one lent folder."""

    hash: str
    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False


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
    looked_s: float = 0.0
    left: dict[str, _Left] = field(default_factory=dict)

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
            self._look()  # also where it never stops talking
            if (answer := self._take(said, data)) is not None:
                return answer

    def _look(self) -> None:
        """Silence is counted from the moment at which a node has begun; before that it waits for a place."""
        if not self.node.name:
            return
        now_s = time.monotonic()
        if (deaf_s := now_s - self.looked_s - DEAF_S) > 0:  # this process stood still, and may not have heard
            self.heard_s, self.began_s = self.heard_s + deaf_s, self.began_s + deaf_s
        self.looked_s = now_s
        if now_s - self.heard_s > self.cluster.silence_s:
            raise self._lost(f"it has said nothing for {self.cluster.silence_s:g} s")
        if now_s - self.began_s > self.job.time_s + OVERTIME_S:
            raise self._lost(f"it was not over after {self.job.time_s:.0f} s and a minute")

    def _take(self, said: Mapping[str, Any], data: bytes) -> Answer | None:
        """Of what a node says nothing is sure but that it is an object with an `op` of those that nodes say."""
        op = said.get("op")
        if op == "end":
            self._end(said)
        elif (op == "hello") == bool(self.node.name) and op != "refused":
            raise self._false("it says who it is twice, or never")
        match op:
            case "hello":
                self._hello(said)
            case "line":
                self.on_line(data)
            case "left":
                self._left(said, data)
            case "answer":
                if "body" not in said:
                    raise self._false("an answer without one")
                self._put_back()
                return Answer(said["body"], self.node)
            case "failed":
                raise self._failed(said)
            case "refused":
                if not self.node.name:  # what should do it could not even be started there
                    self.node = self._named(said)
                raise self._refused(self._text(said, "why"))
            case "broke":
                _log.error("job %s on %s: %s", self.job.key, self.node.host, self._text(said, "trace", 4_000))
                raise JobBroken(f"{self.job.doer} on {self.node.host}: {self._text(said, 'message')}", hint=_REPORT)
            case "vanished":
                raise self._lost("the process that did it is gone")
            case "beat":
                pass
            case _:
                raise self._false("it says what makes no sense, or without end")
        return None

    def _text(self, said: Mapping[str, Any], name: str, most: int = 1_000) -> str:
        text = said.get(name)
        if not isinstance(text, str):
            raise self._false(f"it leaves out {name}")
        return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]

    def _named(self, said: Mapping[str, Any]) -> Node:
        name = self._text(said, "node")
        if not _NODE.fullmatch(name):
            raise self._false("it says a name that no node has")
        return Node(
            name, self._text(said, "host", WORDS_MAX), self._text(said, "sandbox").partition("; not covered")[0]
        )

    def _hello(self, said: Mapping[str, Any]) -> None:
        self.began_s = self.looked_s = time.monotonic()
        self.node = self._named(said)
        if (version := self._text(said, "version", WORDS_MAX)) != self.cluster.version:
            raise self._refused(f"it has Daybreak {version}, and this is {self.cluster.version}")
        self.on_node(self.node)

    def _left(self, said: Mapping[str, Any], data: bytes) -> None:
        """A piece of it; how many bytes all may have is looked at where they are heard (`talk`)."""
        name, told = self._text(said, "name"), self._text(said, "hash")
        left = self.left.setdefault(name, _Left(told))
        if name not in self.job.lent or left.whole or left.hash != told:
            raise self._false("it leaves what was not lent to it, or twice")
        left.pieces += [data] if data else []
        left.whole = said.get("last") is True

    def _failed(self, said: Mapping[str, Any]) -> DaybreakError:
        code, message = self._text(said, "code", 20), self._text(said, "message", 10_000)
        if code == SandboxMissing.code:  # weaker than required: others may do better
            return self._refused(message)
        if code == NotOnNode.code:
            refused = self._refused(message)
            refused.lacks = True
            return refused
        problem = rebuilt(code, message, self._text(said, "hint", 10_000))
        if isinstance(problem, AnswerFalse):
            return _about(problem, self.node)
        if isinstance(problem, _OURS_TO_SAY) and not isinstance(problem, (JobBroken, JobFailed, JobTooLarge)):
            return self._false(f"it says {code}, which no node can know")
        return problem

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
            case "away":
                raise ClusterUnreachable(
                    f"no node that has {self.job.needs} is there now; there are: {nodes}", hint="start one again"
                )
            case _:
                raise self._lost(str(said.get("message") or "it ended without an answer"))

    def _put_back(self) -> None:
        """Into every lent folder what the node says was left there, once it is what its hash says."""
        for name, folder in self.job.lent.items():
            left = self.left.pop(name, None)
            try:
                if left is None or not left.whole:
                    raise tree.PackDamaged("it never came, or not whole", hint="")
                packed = b"".join(left.pieces)
                left.pieces.clear()  # else all of it would be held twice
                travelling.put_back(packed, folder, left.hash, self.job.scratch)
            except tree.PackDamaged as damaged:
                raise _about(
                    AnswerFalse(
                        f"what {self.node.host} sent back is not what it says: {damaged.message}", hint=_REPORT
                    ),
                    self.node,
                ) from damaged

    def _false(self, why: str) -> AnswerFalse:
        place = f"node {self.node.host} ({self.node.name[:8]})" if self.node.name else "a node"
        return _about(AnswerFalse(f"{place} does not do as nodes do: {why}", hint=_REPORT), self.node)

    def _lost(self, why: str) -> JobLost:
        place = f"node {self.node.host} ({self.node.name[:8]})" if self.node.name else "the cluster"
        return _about(JobLost(f"a job was lost on {place}: {why}", hint="it is done again elsewhere"), self.node)

    def _refused(self, why: str) -> NodeRefused:
        place = f"node {self.node.host} ({self.node.name[:8]})"
        hint = "see what `daybreak doctor` says there; it needs the same Daybreak, a sandbox, and room on its disk"
        return _about(NodeRefused(f"{place} refused a job: {why}", hint=hint), self.node)


def _about(problem: About, node: Node) -> About:
    problem.node = node.name
    return problem


def _described(node: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name}={text}" for name, text in sorted(node["labels"].items())) or "no labels"
    return f"{node['host']}: {node['cpus']:g} processors, {node['memory_bytes'] / 2**30:.1f} GiB, {told}"
