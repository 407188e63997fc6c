"""Processes that have everything imported already, and become a program's command or its server by forking.

A *nursery* is forked before anything large is imported. It makes one *host* at a time, which imports one program; each
command, and each server, is a child of that host, with its own folder, environment, output and limits, and gone
afterwards. So a command costs milliseconds, and sees nothing of another one but the files in its folder.

Only for programs that are tame: they run under our user beside us. All of it stands in one sandbox (see `judging`).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

COMMAND_S, SERVER_S = 20, 300
CPU_S = 10
MEMORY_BYTES = 2 * 1024**3
OUTPUT_BYTES_MAX = 1_000_000
PLAIN = ("argparse", "csv", "decimal", "json", "sqlite3", "datetime", "functools", "tempfile", "hashlib", "secrets")
"""What commands import; what is not there is not needed."""
SERVERS = (*PLAIN, "fastapi", "uvicorn", "uvicorn.loops.auto", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on")


@dataclass
class Nursery:
    """Our end of it. One request at a time."""

    asks: IO[str]
    hears: IO[str]

    @classmethod
    def start(cls, imports: Sequence[str]) -> Nursery:
        down, up = os.pipe(), os.pipe()
        if os.fork() == 0:
            code = 70
            try:
                os.close(down[1])
                os.close(up[0])
                for name in imports:
                    with contextlib.suppress(ImportError):
                        importlib.import_module(name)
                _nurse(os.fdopen(down[0]), os.fdopen(up[1], "w"))
                code = 0
            finally:
                os._exit(code)
        os.close(down[0])
        os.close(up[1])
        return cls(os.fdopen(down[1], "w"), os.fdopen(up[0]))

    def ask(self, **order: Any) -> Any:
        json.dump(order, self.asks)
        self.asks.write("\n")
        self.asks.flush()
        return json.loads(self.hears.readline())

    def close(self) -> None:
        self.asks.close()


def _nurse(hears: IO[str], tells: IO[str]) -> None:
    gc.collect()
    gc.freeze()
    while line := hears.readline():
        order = json.loads(line)
        host = os.fork()
        if host == 0:
            code = 70
            try:
                _host(order, hears, tells)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(host, 0)
        _tell(tells, os.waitstatus_to_exitcode(status))


def _tell(tells: IO[str], told: object) -> None:
    tells.write(json.dumps(told) + "\n")
    tells.flush()


def _host(program: dict[str, Any], hears: IO[str], tells: IO[str]) -> None:
    """Import the program and become its commands, until told to end."""
    sys.path.insert(0, program["lib"])
    sys.dont_write_bytecode = True
    measured = _measuring(program) if program["measured"] else None  # what runs on import is measured too
    signal.alarm(COMMAND_S)
    for name in program["modules"]:
        with contextlib.suppress(Exception):  # it is imported again by each child, which then tells
            importlib.import_module(name)
    signal.alarm(0)
    gc.freeze()
    _tell(tells, "ready")
    while line := hears.readline():
        order = json.loads(line)
        if order["do"] == "end":
            return
        if order["do"] == "alive":
            _tell(tells, _is_alive(order["pid"]))
            continue
        if order["do"] == "stop":
            _tell(tells, _stopped(order["pid"], order["gently"]))
            continue
        pid = os.fork()
        if pid == 0:
            _be(program, order, (hears, tells), measured)
        if order["do"] == "start":
            _tell(tells, pid)
            continue
        _, status = os.waitpid(pid, 0)
        _tell(tells, os.waitstatus_to_exitcode(status))


def _is_alive(pid: int) -> bool:
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is None


def _stopped(pid: int, gently: bool) -> int:
    os.kill(pid, signal.SIGTERM if gently else signal.SIGKILL)
    if gently:
        deadline = time.monotonic() + 5
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be(program: dict[str, Any], order: dict[str, Any], pipes: Sequence[IO[str]], measured: Any) -> None:
    """In the child: be that command. Never returns."""
    code = 70
    try:
        for pipe in pipes:
            os.close(pipe.fileno())
        os.setsid()
        signal.alarm(order["limit_s"])
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        quiet = os.open(os.devnull, os.O_RDONLY)
        out, err = (os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for name in ("out", "err"))
        for theirs, ours in enumerate((quiet, out, err)):
            os.dup2(ours, theirs)
        os.environ.clear()
        os.environ.update(order["env"])
        time.tzset()
        os.chdir(order["cwd"])
        sys.argv = order["argv"]
        code = _main(program) if measured is None else _measured(program, order["measure"], measured)
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _main(program: dict[str, Any]) -> int:
    try:
        importlib.import_module(program["modules"][0]).console()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would end
        traceback.print_exc()
        return 1
    return 0


def _measuring(program: dict[str, Any]) -> Any:
    import coverage

    source = [program["source"]]
    measured = coverage.Coverage(data_file=None, config_file=False, branch=False, source=source, messages=False)
    measured.start()
    return measured


def _measured(program: dict[str, Any], place: str, measured: Any) -> int:
    """Its lines that ran, here or on import, go to `place`, as JSON: {path: [line, ...]}."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    try:
        return _main(program)
    finally:
        measured.stop()
        data = measured.get_data()
        told = {os.path.relpath(path, program["lib"]): sorted(data.lines(path) or ()) for path in data.measured_files()}
        Path(place).write_text(json.dumps(told))


# -- one program, from our side


@dataclass
class Hosted:
    """A program that is imported, once for commands and once for servers."""

    nursery: Nursery
    program: Path
    """Of its command, as a program of its own would be called."""
    lib: Path
    package: str
    modules: tuple[str, ...]
    measured: bool = False
    dead: bool = False
    """It cannot even be imported: it ends the interpreter, or hangs."""

    def __enter__(self) -> Hosted:
        source = self.lib / self.package
        told = self.nursery.ask(
            lib=str(self.lib),
            source=str(source),
            modules=[f"{self.package}.{name}" for name in self.modules if (source / f"{name}.py").exists()],
            measured=self.measured,
        )
        self.dead = told != "ready"
        return self

    def __exit__(self, *_: object) -> None:
        if not self.dead:
            self.nursery.ask(do="end")

    def run(self, words: Sequence[str], cwd: Path, env: dict[str, str], lines: Path | None) -> tuple[int, str, str]:
        """Exit status, what it printed, what it complained about."""
        if self.dead:
            return 1, "", "it cannot be imported"
        out, err = cwd.with_name("out"), cwd.with_name("err")
        status = self._ask("run", words, cwd, env, (out, err), COMMAND_S, lines)
        return status if status >= 0 else 128 - status, _text(out), _text(err)

    def start(self, words: Sequence[str], cwd: Path, env: dict[str, str], lines: Path | None) -> int:
        """The process of a server."""
        return self._ask("start", words, cwd, env, (cwd.with_name("out"), cwd.with_name("err")), SERVER_S, lines)

    def is_alive(self, pid: int) -> bool:
        return bool(self.nursery.ask(do="alive", pid=pid))

    def stop(self, pid: int) -> None:
        self.nursery.ask(do="stop", pid=pid, gently=self.measured)

    def _ask(
        self,
        do: str,
        words: Sequence[str],
        cwd: Path,
        env: dict[str, str],
        output: tuple[Path, Path],
        limit_s: int,
        lines: Path | None,
    ) -> int:
        told: int = self.nursery.ask(
            do=do,
            argv=[str(self.program), *words],
            cwd=str(cwd),
            env=env,
            out=str(output[0]),
            err=str(output[1]),
            limit_s=limit_s,
            measure=str(lines) if lines else "",
        )
        return told


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(OUTPUT_BYTES_MAX).decode("utf-8", "backslashreplace")


def fresh(folder: Path) -> Path:
    """An empty folder of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
