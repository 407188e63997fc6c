"""What a guard that was killed has left in its control groups: ended from here."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

_PAUSE_S = 0.005


def end(folders: Sequence[Path], wait_s: float) -> bool:
    """Kill whatever is in these groups until nothing is, and remove them; False: after `wait_s` something is left.

    A group that does not exist is empty. Nothing new comes into being there meanwhile, as far as the group can
    refuse it."""
    for folder in folders:
        for name, text in (("pids.max", "0"), ("cgroup.kill", "1")):
            if (folder / name).exists():
                with contextlib.suppress(OSError):
                    (folder / name).write_text(text)
    ends = time.monotonic() + wait_s
    while True:
        for folder in folders:
            _kill(_members(folder), folder.name)
        if all(_removed(folder) for folder in folders):
            return True
        if time.monotonic() > ends:
            return False
        time.sleep(_PAUSE_S)


def _members(folder: Path) -> list[int]:
    try:
        return [int(word) for word in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _kill(pids: Iterable[int], group: str) -> None:
    """By handles, each looked at once more, since a number may belong to somebody else by now."""
    for pid in pids:
        if pid <= 0:
            continue  # of another process namespace
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if f"/{group}" in Path(f"/proc/{pid}/cgroup").read_text(errors="replace"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
