"""Ends a process that holds a lock and does nothing any more, with all that it started; proven dead before it returns.

A number of a process is no proof of anything, because numbers are used again. So the process is taken hold of first
(a pidfd, which stays with that very process), and then it must be seen to have the locked file open; only what is
taken hold of is ever sent a signal. Its children are taken hold of before it dies, because afterwards nobody could
tell whose they were; programs below a guard are ended by that, and what is left after a while is killed.

Linux only. Where it cannot be proven (another machine, another user, another container), nothing is done.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import HostError
from daybreak.host import locks
from daybreak.host.locks import Owner

GUARDS_S = 4.0
"""How long guards get to end their programs, before those are killed."""
_LOOK_S = 0.02


class OwnerStays(HostError):
    """The owner of a lock cannot be ended from here."""

    code = "H251"


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that held a lock and is dead now."""

    owner: Owner
    children: int
    """Processes below it that are dead now, too."""


def state_of(pid: int) -> str:
    """The kernel's letter for a process: R, S, D, T (stopped), t (traced), Z; empty where it cannot be seen."""
    stat = _stat(pid)
    return "" if stat is None else stat[0]


def end(path: Path, *, wait_s: float = 10.0) -> Ended | None:
    """End the owner of the lock at `path` and all below it; None where it is free. Blocks up to about `wait_s` twice.

    Raises OwnerStays where it is not proven to be the owner, may not be ended, or does not die; then nobody else was
    harmed. When it returns, the owner is dead and the lock is free.
    """
    owner = locks.owner(path)
    if owner is None:
        return None
    if owner.host != socket.gethostname():
        raise _stays(path, owner, f"it is on host {owner.host}", "look there")
    if owner.pid == os.getpid():
        raise _stays(path, owner, "that is this process", "stop it as you started it")
    if not hasattr(os, "pidfd_open"):
        raise _stays(path, owner, "this system cannot take hold of processes", "end it by hand")
    with ExitStack() as stack:
        process = stack.enter_context(_hold(owner, path))
        below = [stack.enter_context(child) for child in _below(owner, path)]
        _send(process, owner, path)
        if not _gone([process], wait_s):
            raise _stays(path, owner, "it does not die", "in state D it waits for a disk or a network file system")
        if not _gone(below, GUARDS_S):
            for child in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(child, signal.SIGKILL)
        if not _gone(below, wait_s) or not _freed(path, owner, wait_s):
            raise _stays(path, owner, "it is dead, but a child of it is not", "look for it with `ps`")
        return Ended(owner, len(below))


@contextmanager
def _hold(owner: Owner, path: Path) -> Iterator[int]:
    """Take hold of the owner, proven to be it."""
    try:
        process = os.pidfd_open(owner.pid)
    except (OSError, ValueError, OverflowError) as problem:
        raise _stays(path, owner, "there is no such process to be seen here", "it may be in a container") from problem
    try:
        if not _has_open(owner.pid, path):
            raise _stays(
                path,
                owner,
                "that process is not seen to have the lock open",
                "it may be another user's: `ps` shows",
            )
        yield process
    finally:
        os.close(process)


def _has_open(pid: int, path: Path) -> bool:
    try:
        there = path.stat()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                here = os.stat(f"/proc/{pid}/fd/{name}")
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return True
    except OSError:
        return False
    return False


def _below(owner: Owner, path: Path) -> list[contextlib.AbstractContextManager[int]]:
    """All processes below the owner. Raises OwnerStays where we are one of them."""
    parents = {pid: stat[1] for pid in _pids() if (stat := _stat(pid)) is not None}
    found, fresh = set[int](), {owner.pid}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    if os.getpid() in found:
        raise _stays(path, owner, "this process was started by it", "do it from another terminal")
    return [_hold_child(pid, parents[pid]) for pid in sorted(found)]


@contextmanager
def _hold_child(pid: int, parent: int) -> Iterator[int]:
    """Take hold of a process, if it is still the one that was seen; an end that is reached already where not."""
    try:
        child = os.pidfd_open(pid)
    except OSError:
        yield -1
        return
    try:
        stat = _stat(pid)
        yield child if stat is not None and stat[1] == parent else -1
    finally:
        os.close(child)


def _send(process: int, owner: Owner, path: Path) -> None:
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError as problem:
        raise _stays(path, owner, "it is another user's", "ask that user, or the administrator") from problem


def _gone(processes: list[int], wait_s: float) -> bool:
    """Are all of them dead, within that time?"""
    until = time.monotonic() + wait_s
    for process in processes:
        if process < 0:
            continue
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return False
    return True


def _freed(path: Path, owner: Owner, wait_s: float) -> bool:
    """Has the kernel taken the lock from him? Somebody else may have it by now."""
    until = time.monotonic() + wait_s
    while (now := locks.owner(path)) is not None and (now.pid, now.started) == (owner.pid, owner.started):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _stat(pid: int) -> tuple[str, int] | None:
    """State and parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, parent = text.rpartition(b")")[2].split()[:2]
    return state.decode(), int(parent)


def _stays(path: Path, owner: Owner, why: str, hint: str) -> OwnerStays:
    return OwnerStays(f"{owner}, which holds {path.name}, cannot be ended: {why}", hint=hint)
