"""A coordinator and its carrier, the process that speaks to Ray: who was asked what, and what came of it."""

from __future__ import annotations

import io
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
from typing import Any, BinaryIO, cast

from daybreak import errors
from daybreak.engine.dispatch import frames
from daybreak.engine.dispatch.job import Job, Key, Node
from daybreak.engine.dispatch.problems import (
    ClusterUnreachable,
    JobBroken,
    RayMissing,
)
from daybreak.version import __version__

SILENCE_S = 10.0
"""A node that says nothing for so long, not even that it is there, has lost its job; and a process that speaks to Ray
is ended."""
BEATS = 5
"""So many beats of that process come in that time."""
LOOKS = 20
"""So often is it looked, in that time, whether anything came. A gap between two looks counts as two at most: this
process stood still itself, or its whole machine did."""
START_S = 90.0
"""So long may it take to reach a cluster, or to start one."""
REACH = "see that the cluster is there (`ray status`), and that [dispatch] address is right"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
_LOG_BYTES_MAX = 1_000_000
_PART_BYTES = 1 << 16
_log = logging.getLogger(__name__)
_NODES_SAY = frozenset({"hello", "beat", "line", "left", "answer", "failed", "broke", "refused", "vanished"})
"""Never "end": how a try ends is the carrier's word, not a node's."""
HEARD_BYTES_MAX = 512 * 1024 * 1024
"""Of all that is heard of one try: whatever is more is told by a node that does not keep to its limits."""
WORDS_MAX = 300
"""Letters of a name that a node gives."""
Heard = frames.Message
NOWHERE = Node("")


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


@dataclass
class _Asked:
    key: Key
    coming: queue.Queue[Heard] | None
    """None: given up."""
    blobs: Mapping[str, bytes]
    """Until a node has begun: many jobs of large trees are not to be held for as long as they are done."""
    heard_bytes: int = 0
    node: Node = NOWHERE


class _Ear:
    """What the carrier says, and that it says something: also in the middle of a message that is long."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.heard = 0
        """So often."""

    def read(self, size: int) -> bytes:
        part = self._file.read1(min(size, _PART_BYTES))
        self.heard += 1
        return part


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
        self._silence_s = cluster.silence_s
        self._process = _started(cluster, environment, program, self._own)
        self._ear = _Ear(cast(io.BufferedReader, self._process.stdout))
        self._why = "the process that speaks to Ray has ended"
        self._over = threading.Event()
        self.ended = False
        self._ready: queue.Queue[Heard] = queue.Queue()
        self._wanted: queue.Queue[tuple[_Asked, list[str]] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True, name="dispatch")
        self._reader.start()
        self._giver = threading.Thread(target=self._give, daemon=True, name="dispatch-bytes")
        self._giver.start()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="dispatch-watch")
        self._wait(cluster)
        self._watcher.start()

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
        raise ClusterUnreachable(f"{where} cannot be reached: {said['message']}", hint=REACH)

    @contextmanager
    def asked(self, job: Job, order: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Iterator[queue.Queue[Heard]]:
        """What is heard of it comes in the queue; what comes after the block is refused."""
        number, coming, hashes = next(self._numbers), queue.Queue[Heard](), list(blobs)
        with self._lock:
            if self.ended:  # whoever is told of the end was told before
                raise ClusterUnreachable("the process that speaks to Ray has ended", hint=REACH)
            self._asked[number] = asked = _Asked(job.key, coming, blobs)
        del blobs
        over = False
        try:
            self._say(
                {
                    "op": "run",
                    "id": number,
                    "order": order,
                    "hashes": hashes,
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
            raise ClusterUnreachable("the process that speaks to Ray has ended", hint=REACH) from error

    def _read(self) -> None:
        try:
            while (message := frames.read(cast(BinaryIO, self._ear))) is not None:
                self._take(*message)
        except JobBroken:
            _log.exception("the process that speaks to Ray makes no sense")
            self._process.kill()
        finally:
            self._over.set()
            self._wanted.put(None)
            gone: Heard = ({"op": "end", "why": "gone", "message": self._why}, b"")
            self._ready.put(({"op": "unusable", "why": "unreachable", "message": "its driver ended"}, b""))
            with self._lock:
                self.ended = True
                under_way = [one.coming for one in self._asked.values() if one.coming is not None]
            for coming in under_way:
                coming.put(gone)

    def _watch(self) -> None:
        """Ends a carrier that says nothing, because it is stopped or stands still for another reason: its jobs are
        lost, as those of one that died are. Its nodes end what they do by themselves."""
        look_s = self._silence_s / LOOKS
        heard, silent_s, last_s = self._ear.heard, 0.0, time.monotonic()
        while not self._over.wait(look_s):
            now_s = time.monotonic()
            silent_s = silent_s + min(now_s - last_s, 2 * look_s) if self._ear.heard == heard else 0.0
            heard, last_s = self._ear.heard, now_s
            if silent_s > self._silence_s:
                self._why = f"the process that speaks to Ray said nothing for {self._silence_s:g} s, and was ended"
                _log.warning("%s (%d)", self._why, self._process.pid)
                self._process.kill()
                return

    def _take(self, said: dict[str, Any], data: bytes) -> None:
        if said["op"] in ("ready", "unusable"):
            self._ready.put((said, data))
            return
        if said["op"] == "beat":
            return
        with self._lock:
            asked = self._asked.get(said["id"])
            if said["op"] == "end":
                self._asked.pop(said["id"], None)
        if asked is None:
            return
        if said["op"] == "want":
            self._wanted.put((asked, said["hashes"]))
        elif said["op"] == "from":
            self._hear(asked, said["said"], data)
        elif (coming := asked.coming) is not None:
            coming.put((said, b""))

    def _hear(self, asked: _Asked, said: dict[str, Any], data: bytes) -> None:
        """What a node says, of which nothing is sure, not even that it has an `op`."""
        if said.get("job") != str(asked.key):
            return  # of something else: an order that nobody gave
        op = said.get("op")
        if op == "hello":
            asked.blobs = {}
            asked.node = Node(str(said.get("node", ""))[:WORDS_MAX], str(said.get("host", ""))[:WORDS_MAX])
        asked.heard_bytes += len(data)
        if (coming := asked.coming) is not None:
            known = isinstance(op, str) and op in _NODES_SAY and asked.heard_bytes <= HEARD_BYTES_MAX
            coming.put((said, data) if known else ({"op": "nonsense"}, b""))
        elif op == "answer":
            self._refuse(asked.key, asked.node)

    def _give(self) -> None:
        """Sends bytes that are wanted, in a thread of its own: while they go, beats are heard."""
        while (wanted := self._wanted.get()) is not None:
            asked, hashes = wanted
            there = asked.blobs
            for name in hashes:
                if name in there:  # else it was given up, and nobody wants it any more
                    with suppress(ClusterUnreachable):
                        self._say({"op": "blob", "hash": name}, there[name])
            del asked, there, wanted

    def close(self) -> None:
        with suppress(OSError):  # waits for whoever is saying something, and may wait for the watcher
            cast(BinaryIO, self._process.stdin).close()
        self._over.set()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in (self._reader, self._giver, self._watcher):
            if thread.is_alive():
                thread.join(10)
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
        "beat_s": cluster.silence_s / BEATS,
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
            env={**kept, **more, **((cluster.token or _NO_TOKEN) if cluster.address else _own_token())},
            start_new_session=True,  # Ctrl-C is ours to pass on
        )


_NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
"""Else Ray would look for a token in the user's home, and show it to whoever listens at that address."""


def _own_token() -> dict[str, str]:
    """For a Ray that is ours alone. Without it Ray would keep one in the user's home, for others to find."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
