"""In the place of the process that speaks to Ray: does jobs here, by the very code of nodes, or misbehaves as its first
argument says."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from daybreak.engine.dispatch import frames
from daybreak.engine.dispatch.carrier import labels
from daybreak.engine.dispatch.node import carry

come, go = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
mode = sys.argv[1]
blobs: dict[str, bytes] = {}
came, saying, carrying = threading.Condition(), threading.Lock(), threading.Lock()
cancelled: dict[int, threading.Event] = {}


def say(said: dict[str, Any], data: bytes = b"") -> None:
    with saying:
        frames.write(go, said, data)


def work(said: dict[str, Any]) -> None:
    number, order = said["id"], said["order"]
    if said["cpus"] > 64 or labels(said["labels"]):
        node = {"host": "here", "cpus": 2.0, "memory_bytes": 0, "labels": {}}
        say({"op": "end", "id": number, "why": "nowhere", "nodes": [node]})
        return
    if missing := [name for name in said["hashes"] if name not in blobs]:
        if mode == "asks-late" and number == 1:
            cancelled[number].wait()
        say({"op": "want", "id": number, "hashes": missing})
    with came:
        came.wait_for(lambda: all(name in blobs for name in said["hashes"]) or cancelled[number].is_set())
    if cancelled[number].is_set():
        say({"op": "end", "id": number, "why": "over"})
        return
    sent = [blobs[name] for name in said["hashes"]]
    if mode == "flips":
        sent = [data[:-1] + bytes([data[-1] ^ 1]) for data in sent]
    with carrying:  # one worker, as a node with one processor has
        coming = carry(f"node-{mode}", order, said["hashes"], sent)
        for message in coming:
            inner, data = frames.decoded(message)
            if mode == "lies" and inner["op"] == "left":
                inner["hash"] = "0" * 64
            if mode == "older" and inner["op"] == "hello":
                inner["version"] = "0.0.1"
            if mode == "mixes" and inner["op"] == "answer":
                say({"op": "from", "id": number, "said": {**inner, "job": "of/another/run/1", "body": "wrong"}})
            if mode == "forges":
                inner = {"op": "end", "job": order["job"], "why": "gone", "message": "it is all over"}
            if mode == "raves":
                inner = {"job": order["job"], "op": {"a": []}} if inner["op"] != "hello" else {"job": order["job"]}
            if mode == "late" and inner.get("op") == "answer":
                cancelled[number].wait()
            if mode == "dies" and inner.get("op") == "hello":
                os._exit(1)
            if mode != "silent" or inner.get("op") in ("hello", "line"):
                say({"op": "from", "id": number, "said": inner}, data)
            if cancelled[number].is_set() and mode != "late":
                coming.close()
                break
    say({"op": "end", "id": number, "why": "over"})


def beat() -> None:
    while True:
        say({"op": "beat"})
        time.sleep(json.loads(sys.argv[2])["beat_s"])


if mode == "missing":
    say({"op": "unusable", "why": "missing", "message": "No module named 'ray'"})
    sys.exit()
if mode == "raving":
    go.write(b"no message of ours at all")
    go.flush()
    sys.exit()
say({"op": "ready", "nodes": []})
threading.Thread(target=beat, daemon=True).start()
while (message := frames.read(come)) is not None:
    said, data = message
    match said["op"]:
        case "run":
            cancelled[said["id"]] = threading.Event()
            threading.Thread(target=work, args=(said,), daemon=True).start()
        case "blob":
            with came:
                blobs[said["hash"]] = data
                came.notify_all()
        case "cancel":
            cancelled[said["id"]].set()
            with came:
                came.notify_all()
os._exit(0)
