"""Doers of jobs for tests of whatever has jobs done (`engine.dispatch`), here or on a node."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from daybreak.engine.dispatch import Doing
from daybreak.errors import CheckError
from daybreak.host import process
from daybreak.host.sandbox import Sandbox


def echo(doing: Doing) -> Any:
    """Its body, and what it was given."""
    return {
        "body": dict(doing.body),
        "trees": {name: [one.hash, len(one.data)] for name, one in doing.trees.items()},
        "given": {name: path.read_text() for name, path in doing.given.items() if path.is_file()},
        "process": os.getpid(),
    }


def change(doing: Doing) -> Any:
    """Changes its lent `workspace`: what it had is in `before`, but where `skip` says so."""
    folder = doing.lent["workspace"]
    before = {}
    if not doing.body.get("skip"):
        before = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    for path in doing.body.get("remove", ()):
        (folder / path).unlink()
    for path, text in doing.body["write"].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path, target in doing.body.get("link", {}).items():
        (folder / path).symlink_to(target)
    for path in doing.body.get("pipe", ()):
        os.mkfifo(folder / path)
    return {"before": before}


def linked(doing: Doing) -> Any:
    """The links in what it was given, and where they lead."""
    found = [path for folder in doing.given.values() for path in folder.rglob("*") if path.is_symlink()]
    return {f"{path.parent.name}/{path.name}": os.readlink(path) for path in found}


def found(doing: Doing) -> Any:
    """Paths of all files in the folders that it was given."""
    return sorted(
        str(path.relative_to(folder)) for folder in doing.given.values() for path in folder.rglob("*") if path.is_file()
    )


def untold(doing: Doing) -> Any:
    """What no message can hold: `huge`, or what is no text."""
    return "x" * (65 * 1024 * 1024) if doing.body.get("huge") else "\udcff"


def lines(doing: Doing) -> Any:
    """Tells `parts`, each after the one before it was said."""
    for part in doing.body["parts"]:
        doing.tell(str(part).encode())
    return len(doing.body["parts"])


def fail(doing: Doing) -> Any:
    raise CheckError("it could not look", hint="look again")


def broken(doing: Doing) -> Any:
    raise ZeroDivisionError("nobody foresaw it")


def share(doing: Doing) -> Any:
    """How often this machine was asked for that bench."""
    with doing.lock:
        doing.kept["count"] = doing.kept.get("count", 0) + 1
    (doing.scratch / f"{doing.kept['count']}").touch()
    return {"count": doing.kept["count"], "files": len(list(doing.scratch.iterdir()))}


def run(doing: Doing) -> Any:
    """Runs `code` with Python under a guard, and where `sandbox` says so in one; tells what it prints."""
    told = doing.body
    box = None
    if told.get("sandbox"):
        box = Sandbox(memory_bytes=int(told["sandbox"]["memory_bytes"]), require=told["sandbox"]["require"])
    finished = process.run(
        [sys.executable, "-c", told["code"]],
        cwd=Path("/"),
        env=process.clean_environment(doing.scratch),
        timeout_s=float(told.get("time_s", 60)),
        cancelled=doing.cancelled,
        on_stdout=doing.tell,
        sandbox=box,
    )
    return {"ending": finished.ending, "memory_cut": finished.memory_cut, "cancelled": finished.cancelled}


def busy(doing: Doing) -> Any:
    """Takes so many seconds without a program."""
    doing.tell(str(os.getpid()).encode())
    until = time.monotonic() + float(doing.body["s"])
    while time.monotonic() < until and not doing.cancelled.is_set():
        time.sleep(0.05)
    return "over"


def where(doing: Doing) -> Any:
    """The scratch folder of its bench."""
    return str(doing.scratch)
