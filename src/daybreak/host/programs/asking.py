"""Running a program for what it prints: bounded in time and output, without our environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import HostError

_KEPT_NAMES = (
    *("HOME", "USER", "LOGNAME", "TMPDIR", "VIRTUAL_ENV"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "COMSPEC", "TEMP", "TMP"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `ending` is empty where it ended by itself with `exit_code`; otherwise why it did not."""

    exit_code: int | None
    ending: str
    stdout: bytes
    stderr: bytes

    @property
    def words(self) -> str:
        """How it ended: `exit status 0`, `time was over`."""
        return self.ending or f"exit status {self.exit_code}"


def small_environment(path: str | None = None) -> dict[str, str]:
    """Where things lie on this machine, and nothing else of our environment, so that no key of ours reaches a program.
    PATH is `path`, or ours."""
    kept = {name: os.environ[name] for name in _KEPT_NAMES if name in os.environ}
    path = os.environ.get("PATH", os.defpath) if path is None else path
    return {**kept, "PATH": path.replace("\0", ""), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def ask(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    output_bytes_max: int,
    system: str = sys.platform,
) -> Answer:
    """Run a program to its end, or end it and what it started after `timeout_s` seconds. Never raises for what
    the program does, nor for one that cannot be started: that is an ending like others."""
    if system == "win32":
        return _ask_windows(argv, cwd, env, timeout_s, output_bytes_max)
    from daybreak.host import process

    try:
        ran = process.run(argv, cwd=cwd, env=env, timeout_s=timeout_s, output_bytes_max=output_bytes_max, grace_s=0.2)
    except HostError as error:
        return Answer(None, error.message, b"", b"")
    except (OSError, ValueError) as error:  # an argument that no program can be given
        return Answer(None, f"it cannot be started: {error}", b"", b"")
    by_itself = not ran.ended_by_us and ran.signal is None
    return Answer(ran.exit_code, "" if by_itself else ran.ending, ran.stdout, ran.stderr)


def _ask_windows(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float, output_bytes_max: int
) -> Answer:
    """The guard process of POSIX does not exist there: a time limit, and `taskkill` for the tree."""
    import subprocess

    try:
        started = subprocess.Popen(
            list(argv), cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (OSError, ValueError) as error:
        return Answer(None, f"it cannot be started: {error}", b"", b"")
    with started:
        try:
            stdout, stderr = started.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            if os.name == "nt":
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(started.pid)], check=False, capture_output=True)
            started.kill()
            return Answer(None, "time was over", b"", b"")
    ending = "it printed too much" if len(stdout) + len(stderr) > output_bytes_max else ""
    return Answer(started.returncode, ending, stdout[:output_bytes_max], stderr[:output_bytes_max])
