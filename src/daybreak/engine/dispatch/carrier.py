"""The process that speaks to Ray for a coordinator. The only module that imports `ray`.

It is a process of its own because a driver of Ray ends its whole process where the cluster is lost, and because what
comes from a cluster is unpickled by Ray: neither may happen to a coordinator. It is started by `talk.Talk`, takes
orders on standard input and says on standard output what becomes of them (`frames`); when its input ends, it ends, and
Ray then ends what it has under way on the nodes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from daybreak.engine.dispatch import frames
from daybreak.engine.dispatch.node import carry

BLOBS_BYTES_MAX = 512 * 1024 * 1024
"""Of what is kept in the cluster for jobs to come."""
LOOK_S = 3.0
"""How often a job that has no place yet looks whether there can be one."""
UNCONSUMED_MAX = 16
"""Messages of a node that may wait to be taken; then it waits."""
LATE_S = 900.0
"""How long a job that was given up is still listened to, so that what comes late can be refused."""
REACH_S = 5.0
SEEN_MAX = 10_000


def remote(order: bytes, hashes: Sequence[str], *blobs: bytes) -> Iterator[bytes]:
    """Runs in Ray's worker on a node."""
    import ray

    yield from carry(ray.get_runtime_context().get_node_id(), msgspec.json.decode(order), hashes, blobs)


class Carrier:
    def __init__(self, come: BinaryIO, go: BinaryIO) -> None:
        self._come, self._go = come, go
        self._saying = threading.Lock()
        self._blobs: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._came = threading.Condition()
        self._waiting: dict[int, dict[str, Any]] = {}
        """What each job has of what it waits for; None: it did not come yet."""
        self._seen: dict[str, dict[str, Any]] = {}
        """Nodes that were there."""
        self._under_way: dict[int, Any] = {}
        self._given_up: set[int] = set()
        self._remote: Any = None

    def work(self, options: Mapping[str, Any]) -> None:
        try:
            self._connect(options)
        except ImportError as error:
            self._say({"op": "unusable", "why": "missing", "message": str(error)})
            return
        except Exception as error:  # noqa: BLE001 - whatever Ray raises is told to the coordinator
            self._say({"op": "unusable", "why": "unreachable", "message": f"{type(error).__name__}: {error}"[:2000]})
            return
        self._say({"op": "ready", "nodes": self._nodes()})
        threading.Thread(target=self._beat, args=(options["beat_s"],), daemon=True).start()
        while (message := frames.read(self._come)) is not None:
            said, data = message
            match said["op"]:
                case "run":
                    threading.Thread(target=self._run, args=(said,), daemon=True).start()
                case "blob":
                    self._keep(said["hash"], data)
                case "cancel":
                    self._cancel(int(said["id"]))

    def _say(self, said: Mapping[str, Any], data: bytes = b"") -> None:
        with self._saying:
            frames.write(self._go, said, data)

    def _beat(self, beat_s: float) -> None:
        """So that a coordinator does not wait for a carrier that is stopped."""
        with suppress(OSError, ValueError):  # nobody hears it any more, and this process ends
            while True:
                self._say({"op": "beat"})
                time.sleep(beat_s)

    def _connect(self, options: Mapping[str, Any]) -> None:
        import ray

        address = options["address"]
        usual: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "include_dashboard": None}
        if address:
            _reach(address)
            usual |= {"address": address}
            if options["loopback"]:
                usual["_node_ip_address"] = "127.0.0.1"
        else:
            usual |= {
                "address": "local",
                "num_cpus": options["cpus"],
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": options["folder"],
                "object_store_memory": 256 * 1024 * 1024,
                "labels": dict.fromkeys(options["labels"], "true"),
            }
        ray.init(**usual)
        self._remote = ray.remote(remote)

    # -- nodes

    def _nodes(self) -> list[dict[str, Any]]:
        import ray

        nodes = [
            {
                "id": one["NodeID"],
                "host": one.get("NodeManagerHostname", ""),
                "cpus": one["Resources"].get("CPU", 0.0),
                "memory_bytes": int(one["Resources"].get("memory", 0)),
                "labels": {name: text for name, text in one["Labels"].items() if not name.startswith("ray.io/")},
            }
            for one in ray.nodes()  # type: ignore[no-untyped-call]
            if one["Alive"]
        ]
        self._seen.update((one["id"], one) for one in nodes)
        while len(self._seen) > SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))
        return nodes

    def _impossible(self, said: Mapping[str, Any]) -> dict[str, Any] | None:
        """Why no node there is can do it; None where one can. `away`: one that could was there, or none of any use is;
        so it may come back, and nobody has to be asked."""
        nodes = self._nodes()
        able = [one for one in nodes if _can(one, said)]
        if any(one["id"] not in said["avoid"] for one in able):
            return None
        back = any(_can(one, said) for one in self._seen.values()) or not any(one["cpus"] for one in nodes)
        why = "avoided" if able else "away" if back else "nowhere"
        return {"op": "end", "id": said["id"], "why": why, "nodes": nodes}

    def _nowhere(self, said: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return self._impossible(said)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises: a cluster that does not tell its nodes is gone
            return {"op": "end", "id": said["id"], "why": "gone", "message": f"it does not answer: {_words(error)}"}

    # -- bytes

    def _keep(self, name: str, data: bytes) -> None:
        import ray

        ref = ray.put(data)
        with self._came:
            self._blobs[name] = (ref, len(data))
            for found in self._waiting.values():  # at once: it may be dropped again before they wake
                if name in found:
                    found[name] = ref
            while sum(size for _, size in self._blobs.values()) > BLOBS_BYTES_MAX and len(self._blobs) > 1:
                self._blobs.popitem(last=False)
            self._came.notify_all()

    def _refs(self, number: int, hashes: Sequence[str]) -> list[Any]:
        """Not all of them where the job was given up."""
        found: dict[str, Any] = dict.fromkeys(hashes)
        with self._came:
            for name in hashes:
                if name in self._blobs:
                    found[name] = self._blobs[name][0]
                    self._blobs.move_to_end(name)
            self._waiting[number] = found
        try:
            if missing := [name for name, ref in found.items() if ref is None]:
                self._say({"op": "want", "id": number, "hashes": missing})
                with self._came:
                    self._came.wait_for(lambda: number in self._given_up or None not in found.values())
        finally:
            with self._came:
                del self._waiting[number]
        return [found[name] for name in hashes]

    # -- jobs

    def _run(self, said: Mapping[str, Any]) -> None:
        number = int(said["id"])
        try:
            end = self._nowhere(said) or self._carried(said)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises means that this try is lost
            end = {"op": "end", "id": number, "why": "lost", "message": _words(error)}
        self._under_way.pop(number, None)
        self._given_up.discard(number)
        self._say(end)

    def _carried(self, said: Mapping[str, Any]) -> dict[str, Any]:
        import ray

        number = int(said["id"])
        selector = labels(said["labels"])
        if said["avoid"]:
            selector["ray.io/node-id"] = f"!in({','.join(said['avoid'])})"
        options: dict[str, Any] = {
            "num_returns": "streaming",
            "max_retries": 0,
            "num_cpus": said["cpus"],
            "_generator_backpressure_num_objects": UNCONSUMED_MAX,
        }
        options |= {"memory": said["memory_bytes"]} if said["memory_bytes"] else {}
        options |= {"label_selector": selector} if selector else {}
        refs = self._refs(number, said["hashes"])
        if number in self._given_up:
            return {"op": "end", "id": number, "why": "over"}
        coming = self._remote.options(**options).remote(msgspec.json.encode(said["order"]), said["hashes"], *refs)
        self._under_way[number] = coming
        if number in self._given_up:  # meanwhile
            self._cancel(number)
        began, looked_s, until_s = False, time.monotonic(), float("inf")
        while time.monotonic() < until_s:
            if number in self._given_up and until_s == float("inf"):
                until_s = time.monotonic() + LATE_S
            try:
                ref = coming._next_sync(timeout_s=1.0)
            except StopIteration:
                break
            if ref.is_nil():
                if not began and time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    if (end := self._impossible(said)) is not None:
                        self._cancel(number)
                        return end
                continue
            began = True
            self._pass_on(number, ray.get(ref, timeout=60))
        return {"op": "end", "id": number, "why": "over"}

    def _pass_on(self, number: int, message: object) -> None:
        told, data = frames.decoded(message if isinstance(message, bytes) else b"")
        self._say({"op": "from", "id": number, "said": told}, data)

    def _cancel(self, number: int) -> None:
        import ray

        with self._came:
            self._given_up.add(number)
            self._came.notify_all()
        coming = self._under_way.get(number)
        if coming is not None:
            ray.cancel(coming, force=True)


def _can(node: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    return bool(
        node["cpus"] >= said["cpus"]
        and node["memory_bytes"] >= said["memory_bytes"]
        and all(node["labels"].get(name) == text for name, text in labels(said["labels"]).items())
    )


def labels(told: Sequence[str]) -> dict[str, str]:
    """`docker` and `gpu=a100` as Ray's nodes have them: `docker=true`, `gpu=a100`."""
    return {name: text or "true" for name, _, text in (one.partition("=") for one in told)}


def _reach(address: str) -> None:
    """Raises OSError where nobody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:500]


def main() -> None:
    come, go = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what Ray prints is no message
    try:
        Carrier(come, go).work(json.loads(sys.argv[1]))
    finally:
        if "ray" in sys.modules:
            import ray

            ray.shutdown()
        if own := json.loads(sys.argv[1])["folder"]:  # whoever made it may have been killed
            shutil.rmtree(own, ignore_errors=True)
