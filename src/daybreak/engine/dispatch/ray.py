"""Jobs done on the nodes of a Ray cluster: the coordinator's side.

Ray itself is in another process (`carrier`). Nothing is tried twice in here: a try ends with an answer, with what the
doer raised, or is lost, and `Jobs` decides what then. What comes for a try that is over is refused and remembered.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daybreak.engine.dispatch import frames, travelling
from daybreak.engine.dispatch.hearing import Hearing
from daybreak.engine.dispatch.job import Answer, Job, Key, Node, OnLine
from daybreak.engine.dispatch.problems import ClusterOpen, JobBroken, JobNotSent, JobTooLarge
from daybreak.engine.dispatch.talk import SILENCE_S, Cluster, Talk
from daybreak.host import tree

__all__ = ["SILENCE_S", "Cluster", "RayDispatch"]

GIVEN_BYTES_MAX = 64 * 1024 * 1024
_log = logging.getLogger(__name__)


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
        with self._talking().asked(job, *_ordered(job, self.cluster.version)) as coming:
            return Hearing(job, self.cluster, coming, cancelled, on_line, on_node or (lambda node: None)).answer()

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
    """The order for a node, and the bytes that it names. Raises JobNotSent."""
    blobs: dict[str, bytes] = {}

    def kept(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        blobs[name] = data
        return name

    def folder(name: str, path: Path, *, whole: bool = False) -> dict[str, str]:
        with _sent(name):
            taken = travelling.taken(path, whole=whole)
        return {"hash": taken.tree.hash, "blob": kept(taken.packed), "name": path.name}

    def file(name: str, path: Path) -> dict[str, str]:
        with _sent(name):
            if path.stat().st_size > GIVEN_BYTES_MAX:
                raise JobTooLarge(f"{path} is too large", hint=f"at most {GIVEN_BYTES_MAX:,} bytes may travel")
            return {"hash": "", "blob": kept(path.read_bytes()), "name": path.name}

    order = {
        "job": str(job.key),
        "doer": job.doer,
        "body": job.body,
        "version": version,
        "bench": job.bench,
        "lent": {name: folder(name, path) for name, path in job.lent.items()},
        "given": {
            name: folder(name, path, whole=name in job.whole) if path.is_dir() else file(name, path)
            for name, path in job.given.items()
        },
        "trees": {name: {"hash": one.hash, "blob": kept(one.data)} for name, one in job.trees.items()},
    }
    with _sent("what is asked"):
        frames.encoded(order)
    return order, blobs


@contextmanager
def _sent(what: str) -> Iterator[None]:
    """Raises JobNotSent for what cannot be."""
    try:
        yield
    except (tree.NotATree, JobTooLarge, JobBroken) as problem:
        raise JobNotSent(f"{what} cannot travel to a node: {problem.message}", hint=problem.hint) from problem
    except UnicodeEncodeError as problem:  # names of files may hold bytes that are no text
        text = tree.shown(problem.object[max(0, problem.start - 20) : problem.end + 20])
        raise JobNotSent(f"{what} cannot travel to a node: {text} is no text", hint="rename the file") from problem
