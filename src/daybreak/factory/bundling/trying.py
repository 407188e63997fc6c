"""A bundle tried out where nothing of Daybreak is: it starts, examines the machine, builds and verifies a project."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.errors import DaybreakError, cut
from daybreak.host import process
from daybreak.host.sandbox import Sandbox, detect
from daybreak.host.sandbox.plan import CHILD

NAME = "tried"
"""Of the specification, which is the one that `daybreak spec new` writes."""
STEP_S = 600
DISK_BYTES, DISK_FILES = 8 << 30, 400_000
SHELL = "/bin/sh"


class BundleFailed(DaybreakError):
    """A bundle did not do what it must when it was tried out, so it was not put in its place."""

    code = "U398"


@dataclass(frozen=True, slots=True)
class Tried:
    sandbox: str
    """In what it ran, in words."""
    hidden: bool
    """The environment that it was made from was out of its reach."""
    first_start_ms: int
    """With unpacking."""
    start_ms: int
    """Afterwards."""
    doctor: str
    """What the examination said, in words."""
    build: str
    """What came of the build, in words."""
    build_ms: int


def try_out(file: Path, scratch: Path, *, say: Callable[[str], None]) -> Tried:
    """Run `file` with this Python in an empty environment: a home of its own, only `python3` and `sh` to be found, no
    network, in the sandbox that this machine has. Raises BundleFailed."""
    room = Room(file, scratch)
    say("starting it for the first time")
    first = room.run("start", "--version")
    start = min(room.run("start", "--version").duration_ms for _ in range(3))
    say("examining: doctor")
    doctor = _examined(room.run("doctor", "doctor", "--json", may_fail=True))
    say("building and verifying a small project")
    room.run("spec new", "spec", "new", NAME)
    began = time.monotonic()
    built = _built(room.run("build", "build", f"{NAME}.md", "--json", may_fail=True), room.work / NAME)
    return Tried(
        sandbox=room.words,
        hidden=room.hidden,
        first_start_ms=first.duration_ms,
        start_ms=start,
        doctor=doctor,
        build=built,
        build_ms=int((time.monotonic() - began) * 1000),
    )


class Room:
    """The empty environment."""

    def __init__(self, file: Path, scratch: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix="empty-", dir=scratch))
        self.file, self.work, programs = file, folder / "work", folder / "bin"
        for one in (self.work, programs, folder / "home", folder / "tmp"):
            one.mkdir()
        python = os.path.realpath(sys.executable)
        (programs / "python3").symlink_to(python)
        if os.path.exists(SHELL):
            (programs / "sh").symlink_to(SHELL)
        self._environment = {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "PATH": str(programs),
            "LANG": "C.UTF-8",
        }
        self._python = str(programs / "python3")
        machine = detect()
        self.words = machine.mode().words
        self.hidden = bool(machine.bwrap) and sys.prefix != sys.base_prefix
        self._sandbox = _sandbox(folder, file, hide=self.hidden)

    def run(self, what: str, *words: str, may_fail: bool = False) -> process.Finished:
        finished = process.run(
            [self._python, self.file, *words],
            cwd=self.work,
            env=self._environment,
            timeout_s=STEP_S,
            output_bytes_max=10_000_000,
            processes_max=None,
            sandbox=self._sandbox,
        )
        if finished.ended_by_us or (not finished.ok and not may_fail):
            raise _failed(what, _last(finished))
        return finished


def _sandbox(folder: Path, file: Path, *, hide: bool) -> Sandbox:
    """Our own environment, which a sandbox otherwise shows, is hidden if `hide`; but for the few files that the sandbox
    itself begins with."""
    ours = {Path(sys.prefix).resolve(), CHILD.parents[2]} if hide else set()
    return Sandbox(
        writable=(folder,),
        readable=(file, CHILD, *ours) if ours else (file,),
        hidden=tuple(ours),
        disk_bytes=DISK_BYTES,
        disk_files=DISK_FILES,
        scratch_bytes=1 << 30,
        require="none",
    )


def _examined(finished: process.Finished) -> str:
    findings = _json("doctor", finished)
    if not isinstance(findings, list):
        raise _failed("doctor", _last(finished))
    wrong = [f"{one['name']}: {one['text']}" for one in findings if one["level"] == "bad"]
    if wrong or not finished.ok:
        raise _failed("doctor", "; ".join(wrong) or _last(finished))
    return f"{len(findings)} findings, nothing wrong"


def _built(finished: process.Finished, output: Path) -> str:
    told = _json("build", finished)
    state = told.get("state") if isinstance(told, dict) else None
    if not finished.ok or state != "done" or not (output / "daybreak.manifest.json").is_file():
        why = told.get("why") or told.get("error") if isinstance(told, dict) else None
        raise _failed("build", str(why or _last(finished)))
    return "verified and delivered"


def _json(what: str, finished: process.Finished) -> Any:
    try:
        return json.loads(finished.stdout)
    except ValueError as error:
        raise _failed(what, _last(finished)) from error


def _failed(what: str, why: str) -> BundleFailed:
    return BundleFailed(
        f"the bundle was tried out, and `{what}` failed: {cut(why)}",
        hint="nothing was put in its place; `daybreak bundle --untried -o OTHER` makes one to look into",
    )


def _last(finished: process.Finished) -> str:
    said = (finished.stderr + b"\n" + finished.stdout).decode(errors="replace").strip().splitlines()
    return f"{' / '.join(said[-3:])} ({finished.ending})" if said else finished.ending
