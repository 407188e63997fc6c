"""Programs of tests as processes of their own that begin at once.

Most of what a short command costs is importing. A *starter* has imported everything, opens nothing, and forks a process
for each command; whatever the command does happens there, with its own arguments, environment, folder, streams and exit
status. Where coverage is measured, and for a program that must begin as it does for people, use `subprocess`: the
former is done here by itself.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from daybreak.cli.ledger import COMMANDS as LEDGER
from daybreak.cli.main import COMMANDS

PROGRAM = r"""
import gc, importlib, json, os, select, signal, socket, sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
listening = socket.socket(socket.AF_UNIX)
listening.bind(f"{sys.argv[1]}.new")
listening.listen(64)
os.rename(f"{sys.argv[1]}.new", sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.collect()
gc.freeze()
while True:
    if sys.stdin in select.select([sys.stdin, listening], [], [])[0]:
        os._exit(0)  # whoever began us has ended
    told, _ = listening.accept()
    with told, told.makefile("rw") as lines:
        order = json.loads(lines.readline())
        if "ended" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                break
        lines.write(f"{answer}\n")
listening.close()
gc.unfreeze()
signal.signal(signal.SIGINT, signal.default_int_handler)
for number, path in enumerate((os.devnull, order["out"], order["err"])):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND if number else os.O_RDONLY, 0o600)
    os.dup2(handle, number)
    os.close(handle)
sys.stdin = open(0, encoding="utf-8", closefd=False)
os.environ.clear()
os.environ.update(order["environment"])
os.chdir(order["folder"])
import runpy

first, *words = order["words"]
if first == "-m":
    sys.path.insert(0, os.getcwd())
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
else:
    sys.path.insert(0, os.path.dirname(first))
    sys.argv = [first, *words]
    runpy.run_path(first, run_name="__main__")
"""
SHIM = r"""
import json, os, select, socket, sys

def ask(**order):
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(sys.argv[1])
        with to.makefile("rw") as lines:
            lines.write(json.dumps(order) + "\n")
            lines.flush()
            return int(lines.readline())

out, err = (f"/proc/{os.getpid()}/fd/{number}" for number in (1, 2))
words = ["-m", *sys.argv[2:]]
pid = ask(words=words, folder=os.getcwd(), environment=dict(os.environ), out=out, err=err)
select.select([os.pidfd_open(pid)], [], [])
sys.exit(ask(ended=pid))
"""
"""The command line of a page; it only waits, so what a page kills must be a real one."""
MODULES = (
    *("typer._adapters", "rich.table", "rich.markup", "anyio._backends._asyncio", "daybreak.cli.main"),
    *(f"daybreak.cli.{told.module}" for told in (*COMMANDS.values(), *LEDGER.values())),
    *("daybreak.home.opening", "daybreak.cli.supervise", "daybreak.engine.supervisor", "daybreak.factory.office"),
    *("daybreak.factory.task", "daybreak.factory.taskfile", "daybreak.factory.roster", "daybreak.factory.trust"),
    *(f"daybreak.factory.kinds.{name}" for name in ("build", "command", "python", "repository")),
    *("daybreak.report.run", "daybreak.report.render", "daybreak.report.night", "daybreak.ledger.verification"),
)
"""What commands import, most of it late."""


class Started:
    """A process of a starter; what is used of a `subprocess.Popen` that is given no input."""

    def __init__(self, starter: Starter, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.args = ["python", *words]
        self.returncode: int | None = None
        self._starter = starter
        self._out, self._err = starter.streams()
        told = {"words": [*words], "folder": str(folder), "environment": {**environment}}
        self.pid: int = starter.ask({**told, "out": str(self._out), "err": str(self._err)})
        self._handle = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Raises subprocess.TimeoutExpired."""
        self.wait(timeout)
        return self._out.read_text("utf-8"), self._err.read_text("utf-8")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._handle], [], [], timeout)[0]:
            self.returncode = self._starter.ask({"ended": self.pid})
            os.close(self._handle)
        return self.returncode


Process = Started | subprocess.Popen[str]


class Starter:
    """Forks programs; one for each process that runs tests is enough."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="started-"))
        self._started = 0
        self.address = self._folder / "orders"
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.address), *MODULES], stdin=subprocess.PIPE
        )
        while not self.address.exists():
            assert self._process.poll() is None, "the starter cannot begin"
            time.sleep(0.002)  # there is nothing to wait for

    def streams(self) -> tuple[Path, Path]:
        """Files for what a process says."""
        self._started += 1
        return self._folder / f"{self._started}.out", self._folder / f"{self._started}.err"

    def ask(self, order: dict[str, Any]) -> int:
        with socket.socket(socket.AF_UNIX) as to:
            to.connect(str(self.address))
            with to.makefile("rw") as lines:
                lines.write(json.dumps(order) + "\n")
                lines.flush()
                return int(lines.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        shutil.rmtree(self._folder)


@cache
def _starter() -> Starter:
    made = Starter()
    atexit.register(made.close)
    return made


def begin(words: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Process:
    """`python WORDS` (a FILE.py, or `-m MODULE`, and its arguments) with no input, its streams kept."""
    if _measured():
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    return Started(_starter(), words, folder, environment)


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> tuple[int, str, str]:
    """Exit status and streams of `python WORDS`. Raises subprocess.TimeoutExpired, having ended it."""
    process = begin(words, folder=folder, environment=environment)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode is not None
    return process.returncode, out, err


def programs(folder: Path) -> str:
    """`folder`, made, with a `daybreak` and a `python` for the PATH of a shell that does what a page says."""
    folder.mkdir()
    words = {"python": [sys.executable], "daybreak": [sys.executable, "-m", "daybreak"]}
    if not _measured():
        (folder / "shim").write_text(SHIM)
        words["daybreak"] = [sys.executable, "-I", "-S", f"{folder / 'shim'}", f"{_starter().address}", "daybreak"]
    for name, command in words.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


def _measured() -> bool:
    """Of a fork of what is measured already, coverage would know nothing."""
    return "COVERAGE_PROCESS_CONFIG" in os.environ
