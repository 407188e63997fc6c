"""The process on a node that does jobs, one after the other: `python -P -m daybreak.engine.dispatch.hand FOLDER`.

It is a child of Ray's worker and speaks with it over pipes (`frames`). It is a process of its own so that Ray's
worker may be killed at any moment without harm: the pipe ends, this process ends at once, and with it the lifelines of
all guards, each of which ends its program and everything that this has started. It also ends by itself where nobody
takes what it says any more: then the node is cut off from the coordinator, which has the job done elsewhere.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import platform
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from daybreak.engine.dispatch import doers, frames, travelling
from daybreak.engine.dispatch.job import Doing, Packed
from daybreak.engine.dispatch.problems import AnswerFalse, JobBroken
from daybreak.errors import DaybreakError
from daybreak.host import removal, sandbox, tree
from daybreak.host.files.problems import DiskFull
from daybreak.version import __version__

BEAT_S = 2.0
UNHEARD_S = 30.0
"""So long may what was said wait to be taken; then nobody is there."""
BENCHES_MAX = 3
LINE_BYTES_MAX = 256 * 1024
_OF_THE_NODE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What is the machine's fault and not the job's: another node may do it."""


class Hand:
    """Reads orders from `come`, says what happens to `go`."""

    def __init__(self, folder: Path, come: BinaryIO, go: BinaryIO) -> None:
        self._folder, self._come, self._go = folder, come, go
        self._saying = threading.Lock()
        self._unheard: list[float] = []
        """When each thing was said that was not taken yet."""
        self._busy = ""
        self._made = 0
        self._benches = doers.Benches(BENCHES_MAX, self._gone)

    def work(self) -> None:
        """Until there are no more orders."""
        mode = sandbox.detect().mode()
        hello = {
            "op": "hello",
            "version": __version__,
            "python": platform.python_version(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "sandbox": mode.words,
            "strength": mode.strength,
        }
        self._say(hello)
        threading.Thread(target=self._beat, daemon=True).start()
        while (message := frames.read(self._come)) is not None:
            said, _ = message
            if said["op"] == "taken":
                del self._unheard[: int(said["count"])]
            elif said["op"] == "do":
                blobs = dict(self._blob() for _ in range(said["blobs"]))
                threading.Thread(target=self._do, args=(said, blobs), daemon=True).start()

    def _blob(self) -> tuple[str, bytes]:
        message = frames.read(self._come)
        if message is None:
            os._exit(0)
        return str(message[0]["hash"]), message[1]

    def _say(self, said: Mapping[str, Any], data: bytes = b"") -> None:
        message = frames.encoded(said, data)  # before it counts as said
        with self._saying:
            self._unheard.append(time.monotonic())
            self._go.write(message)
            self._go.flush()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            oldest = self._unheard[:1]  # what is taken meanwhile goes out of the list
            if oldest and time.monotonic() - oldest[0] > UNHEARD_S:
                os._exit(0)
            if self._busy and self._saying.acquire(blocking=False):  # whoever says something beats too
                self._saying.release()
                self._say({"op": "beat", "job": self._busy})

    # -- one job

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def _do(self, order: dict[str, Any], blobs: dict[str, bytes]) -> None:
        self._busy = str(order["job"])
        said = {"job": self._busy, **self._end(order, blobs)}
        try:
            frames.encoded(said)
        except (JobBroken, UnicodeEncodeError) as error:  # else it would be taken for silent
            said = {"job": self._busy, **_broken(error)}
        self._busy = ""  # before it is said: then the next order may come
        self._say(said)

    def _end(self, order: dict[str, Any], blobs: dict[str, bytes]) -> dict[str, Any]:
        """What it came to, whatever that is."""
        try:
            return self._done(order, blobs)
        except (OSError, DiskFull, tree.NotUnpacked) as error:
            return _broken(error) if isinstance(error, OSError) and not _is_the_nodes(error) else _unfit(error)
        except DaybreakError as error:
            if isinstance(error, tree.NotATree) and _is_the_nodes(error.__cause__):
                return _unfit(error)
            return {"op": "failed", "code": error.code, "message": error.message, "hint": error.hint}
        except BaseException as error:  # noqa: BLE001 - told to the coordinator, with where it happened
            return _broken(error)

    def _done(self, order: dict[str, Any], blobs: dict[str, bytes]) -> dict[str, Any]:
        if order["version"] != __version__:
            why = f"it has Daybreak {__version__}, and the coordinator {order['version']}"
            return {"op": "refused", "why": why}
        for name, data in blobs.items():
            if hashlib.sha256(data).hexdigest() != name:
                raise AnswerFalse(f"what came as {name[:12]} has another hash", hint="look at the network in between")
        bench = str(order["bench"])
        kept, lock = self._benches.of(bench)
        self._made += 1
        scratch = self._folder / f"job-{self._made}"
        with lock:
            shared = kept.setdefault("", self._folder / f"bench-{self._made}") if bench else scratch
        scratch.mkdir()
        shared.mkdir(exist_ok=True)
        try:
            doing = self._doing(order, blobs, scratch, shared, kept, lock)
            body = doers.find(order["doer"])(doing)
            for name, folder in doing.lent.items():
                self._give_back(name, travelling.taken(folder))
            return {"op": "answer", "body": body}
        finally:
            removal.remove(scratch)

    def _give_back(self, name: str, taken: tree.Taken) -> None:
        told = {"op": "left", "job": self._busy, "name": name, "hash": taken.tree.hash}
        for last, piece in travelling.pieces(taken.packed):
            self._say({**told, "last": last}, piece)

    def _doing(
        self,
        order: dict[str, Any],
        blobs: dict[str, bytes],
        scratch: Path,
        shared: Path,
        kept: dict[str, Any],
        lock: threading.Lock,
    ) -> Doing:
        lent, given = {}, {}
        for name, told in order["lent"].items():
            lent[name] = scratch / "lent" / name
            travelling.unpack(blobs[told["blob"]], lent[name], told["hash"])
        for name, told in order["given"].items():
            given[name] = scratch / "given" / name / _plain(told["name"])
            if told["hash"]:
                travelling.unpack(blobs[told["blob"]], given[name], told["hash"])
            else:
                given[name].parent.mkdir(parents=True)
                given[name].write_bytes(blobs[told["blob"]])
        trees = {name: Packed(told["hash"], blobs[told["blob"]]) for name, told in order["trees"].items()}
        for one in trees.values():
            tree.check(one.data, one.hash)
        return Doing(
            body=order["body"],
            scratch=shared,
            kept=kept,
            lock=lock,
            cancelled=threading.Event(),
            tell=self._line,
            here=False,
            cache=self._folder.parent / "cache",
            trees=trees,
            lent=lent,
            given=given,
        )

    def _line(self, part: bytes) -> None:
        for at in range(0, len(part), LINE_BYTES_MAX):
            self._say({"op": "line", "job": self._busy}, part[at : at + LINE_BYTES_MAX])

    def _gone(self, kept: dict[str, Any]) -> None:
        """A bench that was pushed out: no job of it is under way, because there is one job at a time."""
        removal.remove(kept[""])


def _is_the_nodes(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_THE_NODE


def _unfit(error: Exception) -> dict[str, Any]:
    return {"op": "refused", "why": _text(f"it has no room or no files left: {error}"[:1000])}


def _broken(error: BaseException) -> dict[str, Any]:
    last = "".join(traceback.format_exception(error)[-3:])[-4_000:]
    return {"op": "broke", "message": _text(f"{type(error).__name__}: {error}"[:4_000]), "trace": _text(last)}


def _text(said: str) -> str:
    """Names of files may hold bytes that are no text."""
    return said.encode(errors="backslashreplace").decode()


def _plain(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise JobBroken(f"a given file is called {name!r:.80}", hint="all must have the same Daybreak")
    return name


# -- the folder of this process


def own_folder(base: Path) -> Path:
    """A fresh folder below `base`, held by a lock for as long as this process lives; what processes that were killed
    have left there is removed."""
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = base.lstat()
    if facts.st_uid != os.geteuid() or not os.path.isdir(base) or os.path.islink(base):
        raise JobBroken(f"{base} is not ours", hint="remove it on the node")
    if facts.st_mode & 0o077:  # made by something else: what is in it is nobody else's to read
        base.chmod(0o700)
    for old in base.glob("*.lock"):
        with suppress(OSError):
            descriptor = os.open(old, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                removal.remove(old.with_suffix(""))
                old.unlink()
            finally:
                os.close(descriptor)
    folder = base / f"{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    folder.mkdir(mode=0o700)
    return folder


def main() -> None:
    come, go = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what a doer prints is no message
    try:
        folder = own_folder(Path(sys.argv[1])).resolve()
    except (OSError, JobBroken) as error:
        frames.write(go, {"op": "unfit", "why": f"{type(error).__name__}: {error}"[:500]})
        raise
    hand = Hand(folder, come, go)
    hand.work()
    if not hand.busy:  # else what it runs ends first, and whoever comes next puts away
        removal.remove(folder)
        folder.with_name(folder.name + ".lock").unlink(missing_ok=True)
    os._exit(0)  # nobody is waited for: whoever gave orders is gone


if __name__ == "__main__":
    main()
