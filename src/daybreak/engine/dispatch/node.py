"""What Ray's worker on a node runs for each job: it hands the order to a `hand` and passes on what that says.

The hand is started once for a worker and kept. Nothing of ours but this runs in Ray's process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from daybreak import errors
from daybreak.engine.dispatch import frames
from daybreak.engine.dispatch.problems import JobBroken

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
"""Of the worker's environment; the rest is Ray's, its token among it."""
_LAST = ("answer", "failed", "broke", "refused")

START_S = 60.0

_hand: Hand | None = None


class NotStarted(Exception):
    """There is no process that could do a job here."""


class Hand:
    """The process, and what it said of itself."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment["PYTHONPATH"] = str(Path(errors.__file__).resolve().parents[1])
        folder = Path(tempfile.gettempdir(), f"daybreak-node-{os.geteuid()}")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "daybreak.engine.dispatch.hand", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        late = threading.Timer(START_S, self.process.kill)
        late.start()
        try:
            hello = frames.read(self.out)
        finally:
            late.cancel()
        if hello is None or hello[0].get("op") != "hello":
            self.end()
            why = hello[0].get("why") if hello else "the log of Ray's worker says why"
            raise NotStarted(f"the process that does jobs cannot be started: {why}")
        self.hello = hello[0]
        frames.write(self.into, {"op": "taken", "count": 1})

    @property
    def into(self) -> BinaryIO:
        return cast(BinaryIO, self.process.stdin)

    @property
    def out(self) -> BinaryIO:
        return cast(BinaryIO, self.process.stdout)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.into.close()
        self.out.close()


def carry(node: str, order: dict[str, Any], hashes: Sequence[str], blobs: Sequence[bytes]) -> Iterator[bytes]:
    """Messages about one job, as bytes, the last of them its end."""
    global _hand
    if _hand is None or _hand.process.poll() is not None:
        try:
            _hand = Hand()
        except (NotStarted, OSError, JobBroken) as error:  # a full disk, a folder of somebody else's
            why = {"why": f"{error}"[:1000], "host": socket.gethostname(), "sandbox": ""}
            yield frames.encoded({"op": "refused", "job": order["job"], "node": node, **why})
            return
    hand, over = _hand, False
    try:
        yield frames.encoded({**hand.hello, "job": order["job"], "node": node})
        frames.write(hand.into, {**order, "op": "do", "blobs": len(hashes)})
        for name, data in zip(hashes, blobs, strict=True):
            frames.write(hand.into, {"hash": name}, data)
        while not over:
            message = frames.read(hand.out)
            if message is None:
                yield frames.encoded({"op": "vanished", "job": order["job"]})
                return
            said, data = message
            if said.get("job") == order["job"]:
                over = said["op"] in _LAST
                yield frames.encoded(said, data)
            frames.write(hand.into, {"op": "taken", "count": 1})
    finally:
        if not over:
            hand.end()
            _hand = None
