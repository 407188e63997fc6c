"""A program before it starts and after it has ended: whether it can be started, its environment, how it ended."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.errors import HostError
from daybreak.host import place

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_FOREVER_S = 3.2e10
"""What is not below it (infinite, no number at all) is no limit."""


class ProgramMissing(HostError):
    """There is no such program."""

    code = "H131"


class ProgramNotStarted(HostError):
    """A program is there but cannot be started."""

    code = "H132"


class ServerNotReady(HostError):
    """A server ended or did not answer in time. `output` is what it printed, `ended` whether it ended."""

    code = "H133"

    def __init__(self, message: str, *, hint: str, output: bytes, ended: bool) -> None:
        super().__init__(message, hint=hint)
        self.output, self.ended = output, ended


class ProgramStuck(HostError):
    """A program could not be ended: the system does not let go of it."""

    code = "H134"


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. Exactly one of `exit_code` and `signal` is a number.

    `timed_out`, `output_cut`, `cancelled`, `processes_cut`, `memory_cut` and `disk_cut` say that it was ended, and why.
    """

    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool
    output_cut: bool
    duration_ms: int
    cancelled: bool = False
    processes_cut: bool = False
    """It had more processes than it may have."""
    guard_lost: bool = False
    """Its guard was killed, which only the program or an operator does."""
    memory_cut: bool = False
    """In a sandbox: it used more memory than it may; the kernel has ended at least one process of it, or we all."""
    disk_cut: bool = False
    """In a sandbox: it put more into its folders than it may, or hardly any room was left on their file system."""

    @property
    def ok(self) -> bool:
        """Ended by itself, with status 0."""
        return self.exit_code == 0 and not self.ended_by_us

    @property
    def ended_by_us(self) -> bool:
        cut = self.output_cut or self.processes_cut or self.memory_cut or self.disk_cut
        return cut or self.timed_out or self.cancelled or self.guard_lost

    @property
    def ending(self) -> str:
        """In words: `exit status 1`, `time was over`."""
        for happened, words in (
            (self.cancelled, "it was cancelled"),
            (self.timed_out, "time was over"),
            (self.output_cut, "it printed too much"),
            (self.processes_cut, "it started too many processes"),
            (self.memory_cut, "it used too much memory"),
            (self.disk_cut, "it wrote too much"),
            (self.guard_lost, "its guard was killed"),
        ):
            if happened:
                return words
        if self.signal is not None:
            return f"ended by signal {_signal_name(self.signal)}"
        return f"exit status {self.exit_code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def clean_environment(
    scratch: str | os.PathLike[str], *, path: Sequence[str | os.PathLike[str]] = (), **extra: str
) -> dict[str, str]:
    """The whole environment of a program: nothing of ours, so no secret leaks.

    HOME and TMPDIR lie in `scratch` and are made. PATH is `path` and then the system's own programs.
    `extra` is put on top. Raises ProgramNotStarted.
    """
    folder = place.checked(scratch, ProgramNotStarted, hint="name a folder that the program may write to")
    folders: object = path
    if not isinstance(folders, Sequence) or isinstance(folders, str | bytes):
        raise ProgramNotStarted(f"{place.shown(path)} is no search path", hint="give a list of folders")
    search = [str(place.checked(one, ProgramNotStarted, hint="give a list of folders")) for one in path]
    values: dict[str, object] = {**extra}
    for name, value in values.items():
        if not isinstance(value, str) or "\0" in name + value or "=" in name:
            raise ProgramNotStarted(
                f"{place.shown(name)} cannot be {place.shown(value)} in an environment", hint="give texts without NUL"
            )
    home, temporary = folder / "home", folder / "tmp"
    try:
        home.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(exist_ok=True)
    except OSError as error:
        raise ProgramNotStarted(
            f"{place.cut(str(folder))} cannot hold a program's own folders: {error.strerror}",
            hint="name a folder that the program may write to",
        ) from error
    return {
        "PATH": ":".join([*search, DEFAULT_PATH]),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        **extra,
    }


def without_ups(path: str) -> str:
    """An absolute path without `..`, where that is the same file: inside of a sandbox the folders that lead up may be
    missing. This Python calls itself so where it was started as `../.venv/bin/python`."""
    if not path.startswith("/") or ".." not in Path(path).parts:
        return path
    plain = os.path.normpath(path)
    try:
        return plain if os.path.samefile(plain, path) else path
    except OSError:
        return path


def check(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str], timeout_s: float | None, grace_s: float
) -> None:
    """Raises ProgramNotStarted for what no system could start, and for times that are no limit (not a number)."""
    try:
        null = any(b"\0" in os.fsencode(part) for part in (*argv, cwd, *env, *env.values()))
        endless = any(not 0 <= limit < _FOREVER_S for limit in (timeout_s or 0, grace_s))
    except (TypeError, AttributeError, UnicodeEncodeError) as error:
        raise ProgramNotStarted(
            f"{place.shown(argv)} cannot be started: {error}",
            hint="program, folder and environment are texts and paths that the system can name",
        ) from error
    if null or endless or not argv or isinstance(argv, str):
        why = "there is a null character in it" if null else "it names no program" if not endless else "no time limit"
        raise ProgramNotStarted(
            f"{place.shown(argv)} for {place.shown(timeout_s)} s cannot be started: {why}",
            hint="name a program in a list, without NUL, and give times from 0 s to a thousand years",
        )


def find(name: str, cwd: Path, env: Mapping[str, str]) -> str:
    """The program's file. Raises ProgramMissing, ProgramNotStarted."""
    if "/" in name:
        file = Path(cwd, name)
        try:
            there = file.exists()
        except OSError as error:
            raise ProgramMissing(
                f"{place.cut(name)} names no program: {error.strerror}", hint="correct the path"
            ) from error
        if not there:
            raise ProgramMissing(f"there is no program {place.cut(name)}", hint="install it, or correct the path")
        if not file.is_file() or not os.access(file, os.X_OK):
            raise ProgramNotStarted(
                f"{place.cut(name)} is not a program that can be run", hint=f"chmod +x {place.cut(name)}"
            )
        return str(file)
    found = shutil.which(name, path=env.get("PATH", DEFAULT_PATH))
    if found is None:
        raise ProgramMissing(
            f"there is no program {place.shown(name)} in {env.get('PATH', DEFAULT_PATH)}",
            hint=f"install {place.cut(name)}",
        )
    return found


def not_started(name: str, report: dict[str, Any], printed: bytes) -> HostError:
    number = report["errno"]
    if report["problem"] == "sandbox":
        from daybreak.host.sandbox import SandboxBroken

        last = printed.decode(errors="replace").strip().splitlines()[-1:]
        return SandboxBroken(
            f"no sandbox can be made for {name}: {': '.join([report['text'], *last])}",
            hint="`daybreak doctor` tries it and says what this machine can do",
        )
    why = os.strerror(number) if number else report.get("text", "unknown")
    if report["problem"] == "chdir":
        return ProgramNotStarted(
            f"{name} cannot be started in its folder: {why}", hint="make the folder, or name another"
        )
    hints = {
        errno.ENOENT: "its interpreter (first line, `#!`) does not exist on this machine",
        errno.ENOEXEC: "give it a first line such as `#!/bin/sh`, or run it through its interpreter",
        errno.EACCES: "make it executable: chmod +x",
        errno.E2BIG: "pass what is long as a file or on standard input",
    }
    return ProgramNotStarted(
        f"{name} cannot be started: {why}",
        hint=hints.get(number, "try to start it by hand, in the same folder"),
    )
