"""What a sandbox grants, how much of it this machine can enforce, and what goes wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.errors import HostError
from daybreak.host import place

Strength = Literal["none", "degraded", "full"]
STRENGTHS: tuple[Strength, ...] = ("none", "degraded", "full")
"""From weak to strong."""
Network = Literal["none", "listen", "host"]

MIB = 1024 * 1024
GIB = 1024 * MIB
_PATH_BYTES_MAX = 4095
_NEVER_WRITABLE = frozenset(
    f"/{name}"
    for name in (
        "",
        *[
            "bin",
            "boot",
            "dev",
            "etc",
            "home",
            "lib",
            "lib32",
            "lib64",
            "opt",
            "proc",
            "root",
            "run",
            "sbin",
            "sys",
            "tmp",
            "usr",
            "var",
        ],
    )
)


class SandboxMissing(HostError):
    """This machine cannot enforce what is asked; nothing was started."""

    code = "H140"


class SandboxBroken(HostError):
    """A sandbox that should work could not be set up; nothing was started."""

    code = "H142"


class SandboxRefused(HostError):
    """What a sandbox is to grant makes no sense or is dangerous; nothing was started."""

    code = "H143"


class PortTaken(SandboxRefused):
    """The port at which a sandboxed program is to be reached is in use."""

    code = "H144"


@dataclass(frozen=True)
class Sandbox:
    """What a program may have. Everything that is not named here is out of its reach.

    Paths are the same inside and outside. They are absolute, exist when the program starts, and hold no
    symbolic link (whoever may write to a folder could otherwise turn the next grant elsewhere). The system's
    programs and libraries and this environment's Python can always be read.
    """

    writable: tuple[Path, ...] = ()
    """Folders and files that may be read, run and changed."""
    readable: tuple[Path, ...] = ()
    """Folders and files that may be read and run. The longest path decides, so a part of a writable folder may be
    read-only and the other way round."""
    hidden: tuple[Path, ...] = ()
    """Parts of the above that must look empty. Here too the longest path decides, so what is granted further inside is
    there; where a path is both granted and hidden, it is hidden."""
    network: Network = "none"
    """`none`: its own loopback only. `listen`: also, we can reach it at 127.0.0.1:`listen_port`; it can reach nobody.
    `host`: everything."""
    listen_port: int | None = None
    """1 to 65535, exactly with `network="listen"`."""
    memory_bytes: int = 4 * GIB
    """Of all its processes together."""
    processes: int = 512
    """Processes and threads together where a control group or the sandbox's own user counts them, processes
    otherwise."""
    file_bytes: int = 256 * MIB
    """Largest file it may write."""
    disk_bytes: int = 4 * GIB
    """What the writable folders may hold in all: each file by its length or its blocks, whichever is more, and files
    that have been removed for as long as they are open or mapped. Looked at while it runs, every 20 ms where space
    goes away and every second at least, so a fast program may pass it by what it writes in that time; then it is
    ended. It is also ended where a folder cannot be looked into for long, lies more than 256 folders deep, or less
    than 64 MiB (or a hundredth, if that is less) of the file system is free."""
    disk_files: int = 200_000
    """Likewise, the number of files and folders."""
    scratch_bytes: int = 256 * MIB
    """What /tmp and /dev/shm may hold, each. Theirs alone, and gone afterwards."""
    open_files: int = 1024
    """Of each process."""
    cpu_s: int | None = None
    """Processor time of each process. The wall clock is the caller's `timeout_s`."""
    require: Strength = "full"
    """Where the machine can enforce less than this, nothing is started."""

    def __post_init__(self) -> None:
        """Raises SandboxRefused."""
        for name in ("writable", "readable", "hidden"):
            if not isinstance(getattr(self, name), tuple):
                raise SandboxRefused(
                    f"{name} is {place.shown(getattr(self, name))}", hint="give a tuple of pathlib.Path"
                )
        for path in (*self.writable, *self.readable, *self.hidden):
            _check_path(path)
        for path in self.writable:
            if str(path) in _NEVER_WRITABLE:
                raise SandboxRefused(
                    f"{place.cut(str(path))} must not be writable", hint="grant the folder of the work only"
                )
        for path in self.readable:
            if str(path) == "/":
                raise SandboxRefused("all of / must not be readable", hint="grant the folders that are needed")
        for path in self.hidden:
            if not any(path.is_relative_to(granted) for granted in (*self.writable, *self.readable)):
                raise SandboxRefused(f"{place.cut(str(path))} is hidden but never granted", hint="leave it out")
        if self.network not in ("none", "listen", "host") or self.require not in STRENGTHS:
            raise SandboxRefused(
                f"network {place.shown(self.network)}, require {place.shown(self.require)}: no such value",
                hint="network is none, listen or host; require is none, degraded or full",
            )
        _check_number("listen_port", self.listen_port, 1, 65535, optional=True)
        if (self.network == "listen") != (self.listen_port is not None):
            raise SandboxRefused(
                f"network {self.network} with listen_port {self.listen_port}",
                hint='listen_port belongs to network="listen", and only to that',
            )
        _check_number("cpu_s", self.cpu_s, 1, 10**9, optional=True)
        _check_number("processes", self.processes, 1, 10**6)
        _check_number("open_files", self.open_files, 16, 10**6)
        _check_number("disk_files", self.disk_files, 1, 10**12)
        _check_number("memory_bytes", self.memory_bytes, 16 * MIB, 1 << 50)
        for name in ("file_bytes", "disk_bytes", "scratch_bytes"):
            _check_number(name, getattr(self, name), 4096, 1 << 50)


def _check_number(name: str, value: object, low: int, high: int, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if type(value) is not int or not low <= value <= high:
        raise SandboxRefused(f"{name} is {place.shown(value)}", hint=f"a whole number from {low} to {high}")


def _check_path(path: object) -> None:
    if not isinstance(path, Path):
        raise SandboxRefused(f"{place.shown(path)} is no Path", hint="give pathlib.Path objects in a tuple")
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        raise SandboxRefused(f"{place.shown(str(path))} cannot be a file name here", hint="rename it") from None
    if not path.is_absolute() or ".." in path.parts:
        raise SandboxRefused(
            f"{place.cut(str(path))} is not absolute, or has `..` in it", hint="resolve it first: path.resolve()"
        )
    if b"\0" in encoded or b"\n" in encoded or len(encoded) > _PATH_BYTES_MAX:
        raise SandboxRefused(
            f"{place.shown(str(path))} cannot be granted", hint="no NUL, no line break, at most 4,095 bytes"
        )


GAPS = {
    "reading": "files of the same user outside can be read",
    "writing": "files of the same user outside can be changed",
    "truncating": "files of the same user outside can be emptied",
    "metadata": "modes and times of files of the same user outside can be changed",
    "names": "whether a file exists outside, its size and its times can be seen",
    "processes-seen": "other processes and their command lines can be seen",
    "signals": "processes of the same user can be signalled, Daybreak's among them",
    "outliving": "what the program has started can go on when the program is over",
    "tracing": "processes of the same user can be traced and their memory read",
    "network": "the network can be reached",
    "unix-sockets": "sockets of the same user can be talked to",
    "port-seen": "the granted port can be reached from other machines",
    "shared-memory": "shared memory of the same user can be used",
    "kernel": "rarely used system calls are not refused",
    "set-user-id": "files that run with the rights of their owner can be left behind",
    "namespaces": "new namespaces can be made",
    "locks": "sandboxes that run at the same time can signal each other by locks on files that both can read",
}
"""What may not be covered: name → words."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How much of a sandbox is there, for people and for policies."""

    strength: Strength
    layers: tuple[str, ...]
    """What is in force, by name."""
    missing: tuple[str, ...]
    """Layers that are not, each with the reason: `bubblewrap: not installed`."""
    not_covered: tuple[str, ...]
    """Names from `GAPS`."""

    @property
    def words(self) -> str:
        """One line: `degraded: landlock, seccomp, limits; missing bubblewrap: not installed; not covered: ...`."""
        parts = [f"{self.strength}: {', '.join(self.layers)}"]
        parts += [f"missing {'; '.join(self.missing)}"] if self.missing else []
        parts += [f"not covered: {'; '.join(GAPS[name] for name in self.not_covered)}"] if self.not_covered else []
        return "; ".join(parts)

    def reaches(self, wanted: Strength) -> bool:
        return STRENGTHS.index(self.strength) >= STRENGTHS.index(wanted)
