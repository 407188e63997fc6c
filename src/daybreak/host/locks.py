"""Locks that die with their owner.

A lock is a file with an open-file-description lock on it; the kernel frees it when the owner's last
descriptor closes, however the owner dies. In the file stands who holds it, for people. The lock is the truth
and the text is not: a file without a lock is a dead owner's leftover. Whether somebody holds it can be asked
without taking it (which `flock` cannot), so asking never gets in an owner's way.

The descriptor is not inherited by programs that the owner starts. A child that is forked and never calls exec
keeps the lock; do not make such children while you hold one.

An owner may be alive and yet do nothing: stopped by a signal, or hung. One that calls `beat` every few seconds promises
to go on doing so: the file says that it beats, and its time of change is the beat. Whoever sees by his own clock that a
promised beat stays away may end such an owner (`owners.end`). An owner that never beats promises nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from daybreak.clock import Clock, stamp
from daybreak.errors import HostError

if TYPE_CHECKING:
    from daybreak.host.owners import Ended

_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, pid, padding."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock. `pid` is for people only: numbers are used again."""

    pid: int
    host: str
    started: str
    """When the lock was taken, RFC 3339 in UTC."""
    beats: bool = False
    """It promises a beat every few seconds."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.started}"


@dataclass(frozen=True, slots=True)
class Beat:
    """A look at a lock that is held."""

    owner: Owner
    changed_ns: int
    """Differs from the last look's where the owner has beaten meanwhile. When that was, for people: nanoseconds since
    1970 by the clock on the wall, which jumps."""


class LockHeld(HostError):
    """Somebody else holds the lock."""

    code = "H101"

    def __init__(self, path: Path, owner: Owner | None) -> None:
        """`owner` is None in the moment between an owner's taking the lock and writing its name."""
        super().__init__(
            f"{path} is held by {owner or 'a process that has not yet written its name'}",
            hint="wait until it is done, or end that process; a dead owner's lock is free by itself",
        )
        self.path = path
        self.owner = owner


class Held:
    """A lock in our hands, until `release` or the end of a `with` block. The file is removed with it."""

    def __init__(self, path: Path, descriptor: int, owner: Owner) -> None:
        self.path = path
        self._descriptor = descriptor
        self._owner = owner
        _HELD[_key(path)] = self

    def beat(self) -> None:
        """Show that the owner gets round to it; from the first time on it promises to do so every few seconds. Syncs
        nothing. Raises HostError; nothing where the lock was given back."""
        if self._descriptor < 0:
            return
        try:
            if not self._owner.beats:
                self._owner = replace(self._owner, beats=True)
                os.pwrite(self._descriptor, _text(self._owner), 0)
            os.utime(self._descriptor)
        except OSError as problem:
            raise HostError(
                f"cannot beat in the lock {self.path}: {problem.strerror}", hint=f"check {self.path.parent}"
            ) from problem

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        if self._descriptor < 0:
            return
        if _HELD.get(_key(self.path)) is self:
            del _HELD[_key(self.path)]
        self.path.unlink(missing_ok=True)  # before the lock goes, so that nobody's new file is removed
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_HELD: WeakValueDictionary[str, Held] = WeakValueDictionary()
"""What this process holds, so that whoever beats need not be whoever took the lock."""


def acquire(path: Path, clock: Clock) -> Held:
    """Take the lock at once, or raise LockHeld. Raises HostError where the file cannot be made or written.

    Folders above are made. Not re-entrant: a second `acquire` in the same process is refused like any other.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if not _lock(descriptor):
                    raise LockHeld(path, _read(descriptor))
                if _is_at(path, descriptor):
                    return Held(path, descriptor, _write(descriptor, clock))
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its owner removed it in the meantime
    except OSError as problem:
        raise HostError(
            f"cannot take the lock {path}: {problem.strerror}",
            hint=f"check that {path.parent} can be written",
        ) from problem


def owner(path: Path) -> Owner | None:
    """Who holds the lock now; None where it is free, whatever a dead owner left in the file."""
    seen = beat_of(path)
    return None if seen is None else seen.owner


def beat_of(path: Path) -> Beat | None:
    """Who holds the lock now, and his last beat; None where it is free. Raises HostError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise HostError(
            f"cannot look at the lock {path}: {problem.strerror}", hint="check its permissions"
        ) from problem
    try:
        if not _is_locked(descriptor):
            return None
        return Beat(_read(descriptor) or Owner(0, socket.gethostname(), ""), os.fstat(descriptor).st_mtime_ns)
    finally:
        os.close(descriptor)


class FileLocks:
    """Locks by name, as files in one folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def me(self) -> Owner:
        return _me(self._clock)

    def hold(self, name: str) -> Held:
        return acquire(self._path(name), self._clock)

    def owner(self, name: str) -> Owner | None:
        return owner(self._path(name))

    def beat(self, name: str) -> bool:
        """Beat for a lock that this process holds, whoever took it; False where it holds none of that name."""
        held = _HELD.get(_key(self._path(name)))
        if held is None:
            return False
        held.beat()
        return True

    def beat_of(self, name: str) -> Beat | None:
        return beat_of(self._path(name))

    def end_owner(self, name: str, *, wait_s: float = 10.0) -> Ended | None:
        """End whoever holds the lock, and all that it started; None where it is free. See `owners.end`."""
        from daybreak.host import owners

        return owners.end(self._path(name), wait_s=wait_s)

    async def end_owner_async(self, name: str) -> Ended | None:
        """As `end_owner`, without blocking the event loop."""
        import anyio.to_thread

        return await anyio.to_thread.run_sync(self.end_owner, name)

    def names(self) -> list[str]:
        """Of all lock files, held or left by somebody dead."""
        return sorted(path.stem for path in self._folder.glob("*.lock"))

    def _path(self, name: str) -> Path:
        assert name == Path(name).name, f"{name!r} cannot name a file"
        return self._folder / f"{name}.lock"


def _me(clock: Clock) -> Owner:
    return Owner(os.getpid(), socket.gethostname(), stamp(clock.now()))


def _lock(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as problem:
        if problem.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_locked(descriptor: int) -> bool:
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _write(descriptor: int, clock: Clock) -> Owner:
    owner = _me(clock)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, _text(owner), 0)
    return owner


def _text(owner: Owner) -> bytes:
    """As long with the promise as without it, so that it is written over in one piece."""
    return json.dumps(asdict(owner)).replace("true}", "true }").encode()


def _key(path: Path) -> str:
    return os.path.abspath(path)


def _read(descriptor: int) -> Owner | None:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return Owner(int(told["pid"]), str(told["host"]), str(told["started"]), told.get("beats") is True)
    except (ValueError, KeyError, TypeError):  # the owner is about to write it, or a person wrote into it
        return None
