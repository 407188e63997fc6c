"""Processes that programs of ours left behind.

Every program runs below a guard, which ends it and all its descendants when whoever started it is gone; a guard bears
our name in its command line, and a sandbox's control group bears the number of the process that made it. What a program
left whose guard was itself killed, outside of a control group, bears no mark and cannot be told from others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daybreak.factory.health.finding import Finding
from daybreak.factory.health.leftovers import LeftoverStays
from daybreak.host.sandbox import detect, groups
from daybreak.host.sandbox.machine import GROUP_PREFIX

_HOST = "daybreak/host"
"""Where the guard lies, in any installation."""
GRACE_S = 60.0
"""A guard whose owner has gone needs a moment to end what it guards."""
_ADOPTERS = frozenset({"init", "systemd", "tini", "dumb-init", "docker-init", "launchd", "catatonit", "s6-svscan"})
_UNMARKED = "programs whose guard was killed bear no mark outside of a sandbox, so they are not looked for"


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    name: str
    """Of its program, at most 15 characters."""
    argv: tuple[str, ...]
    age_s: float


def look() -> Iterator[Finding]:
    found = {process.pid: process for process in processes()}
    left = stranded(found)
    for guard in left:
        text = f"process {guard.pid} guards a program whose owner has gone, and does not end it"
        yield Finding("processes", "bad", text, f"kill {guard.pid}")
    for folder, members in orphan_groups(detect().groups.values(), found):
        text = f"{len(members)} processes in {folder.name} were left by process {_maker(folder)}, which is gone"
        hint = f"kill {' '.join(map(str, members))}"
        yield Finding("processes", "bad", text, hint, partial(_end, folder, tuple(members)))
    if not left:
        yield Finding("processes", "good", f"no guard without an owner; {_UNMARKED}")


def stranded(found: Mapping[int, Process]) -> list[Process]:
    """Guards that were handed to the system because their owner died, and that are still there."""
    return [
        process
        for process in found.values()
        if _is_guard(process) and process.age_s > GRACE_S and _is_adopter(found.get(process.parent), process.parent)
    ]


def _is_guard(process: Process) -> bool:
    argv = process.argv
    return len(argv) > 5 and argv[1:4] == ("-I", "-S", "-c") and "guard.main(" in argv[4] and argv[5].endswith(_HOST)


def _is_adopter(parent: Process | None, number: int) -> bool:
    """Does that process take in those whose parents died? Where it cannot be seen: only the first one does."""
    return number == 1 if parent is None else parent.name in _ADOPTERS


def processes(table: Path = Path("/proc")) -> Iterator[Process]:
    """Those that can be seen; none where the system has no such table."""
    try:
        up_s = float((table / "uptime").read_text().split()[0])
        names = [name for name in os.listdir(table) if name.isdecimal()]
    except (OSError, ValueError, IndexError):
        return
    ticks = os.sysconf("SC_CLK_TCK")
    for name in names:
        try:
            before, _, after = (table / name / "stat").read_bytes().rpartition(b")")
            words = (table / name / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            fields = after.split()
            age_s = up_s - int(fields[19]) / ticks
            argv = tuple(word.decode(errors="replace") for word in words)
            yield Process(int(name), int(fields[1]), before.partition(b"(")[2].decode(errors="replace"), argv, age_s)
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile


# -- control groups


def orphan_groups(places: Iterable[Path], found: Mapping[int, Process]) -> Iterator[tuple[Path, list[int]]]:
    """Control groups of ours with living processes, whose maker is gone and which no guard ends any more."""
    for place in places:
        try:
            ours = sorted(place.glob(f"{GROUP_PREFIX}*"))
        except OSError:
            continue
        for folder in ours:
            maker = _maker(folder)
            if not maker.isdecimal() or Path("/proc", maker).exists():
                continue
            members = [pid for pid in _members(folder) if pid in found and found[pid].age_s > GRACE_S]
            if members:
                yield folder, members


def _maker(folder: Path) -> str:
    return folder.name.removeprefix(GROUP_PREFIX).partition("-")[0]


def _members(folder: Path) -> list[int]:
    try:
        return [int(word) for word in (folder / "cgroup.procs").read_text().split()]
    except (OSError, ValueError):
        return []


def _end(folder: Path, members: tuple[int, ...]) -> str:
    if not groups.end([folder], 5.0):
        raise LeftoverStays(f"processes in {folder} do not end", hint="end them by hand")
    return f"{len(members)} processes of the control group {folder.name} were ended: {' '.join(map(str, members))}"
