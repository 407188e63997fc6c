"""The disks that our folders lie on: is there room, can they be written, do they keep what they were given?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from daybreak.config import Places
from daybreak.factory import machine
from daybreak.factory.health.finding import Finding
from daybreak.host import durable
from daybreak.host.disks import file_system, is_network

FOLDERS = ("ledger", "keys", "witness", "workspaces", "locks", "cache")
NOTE_BYTES = 1024 * 1024 * 1024
INODES_MIN = 1_000
SYNC_SLOW_S = 1.0
_PROBE = b"x" * 4096


def look(where: Places) -> Iterator[Finding]:
    yield Finding("places", "note", where.why)
    seen: set[int] = set()
    for name in FOLDERS:
        folder: Path = getattr(where, name)
        existing = nearest(folder)
        if not existing.is_dir():
            yield Finding(name, "bad", f"{folder} cannot be: {existing} is no folder", "move that away")
            continue
        if not os.access(existing, os.W_OK | os.X_OK):
            hint = f"make {existing} writable for you, or set DAYBREAK_HOME to a folder of yours"
            yield Finding(name, "bad", f"{folder} cannot be written", hint)
        else:
            yield Finding(name, "good", str(folder))
        device = existing.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield from _room(existing)
        if existing == folder and name in ("ledger", "witness"):
            yield from _keeps(name, folder)
    kind = file_system(nearest(where.ledger))
    if is_network(kind):
        text = f"the ledger lies on a network file system ({kind}), where locks and syncs cannot be relied on"
        yield Finding("disk", "bad", text, "put it on a local disk: set DAYBREAK_HOME")


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def _room(folder: Path) -> Iterator[Finding]:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    text = f"{free // 2**20:,} MiB free on the disk of {folder}"
    if free < machine.DISK_BYTES_MIN:
        yield Finding("disk", "bad", f"only {text}", f"make room: {machine.DISK_BYTES_MIN // 2**20} MiB are needed")
    elif free < NOTE_BYTES:
        yield Finding("disk", "note", f"only {text}", "a long night may need more")
    else:
        yield Finding("disk", "good", text)
    if status.f_files and status.f_favail < INODES_MIN:  # some file systems have no such number
        text = f"only {status.f_favail:,} more files can be made on the disk of {folder}"
        yield Finding("disk", "bad", text, "remove files: the file system has used up its inodes")


def _keeps(name: str, folder: Path) -> Iterator[Finding]:
    """Write a small file, sync it and its folder, remove it: in folders of our own only."""
    probe = folder / f".probe.daybreak-{os.urandom(6).hex()}"
    began = time.perf_counter()
    try:
        try:
            durable.write_synced(probe, _PROBE)
            kept = probe.read_bytes() == _PROBE
        finally:
            probe.unlink(missing_ok=True)
            durable.sync_folder(folder)
    except OSError as problem:
        yield Finding(name, "bad", f"a file cannot be written and synced in {folder}: {problem.strerror}", "make room")
        return
    taken_s = time.perf_counter() - began
    if not kept:
        text = f"{folder} does not hold what was written to it"
        yield Finding(name, "bad", text, "test the disk; restore a snapshot elsewhere")
    elif taken_s > SYNC_SLOW_S:
        text = f"writing and syncing 4 KiB in {folder} took {taken_s:.1f} s"
        yield Finding(name, "note", text, "every step waits for that; use a faster disk")


def memory(where: Places) -> Iterator[Finding]:
    """Processors, memory, and what is too little."""
    measured = machine.measure(where.ledger)
    free = measured.memory_bytes_free
    text = f"{measured.cores} cores" + (f", {free // 2**20:,} MiB of memory free" if free is not None else "")
    yield Finding("machine", "good", text)
    for lack in measured.shortages():
        if "disk" not in lack:  # told with the disk
            yield Finding("machine", "bad", lack, "make room")
