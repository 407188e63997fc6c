"""What kind of file system a folder lies on."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "ocfs2", "virtiofs"}
)
_OTHERS = "fuse."
"""Begins the names of file systems that a program of somebody's serves: what a lock or a sync means is up to it."""


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system of a folder, such as `ext4`; empty where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = folder.resolve(), -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].encode().decode("unicode_escape"))
        if place.is_relative_to(point) and len(point.parts) >= best:  # the last one lies on top
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def network(folder: Path) -> str:
    """The type of the file system where locks and syncs cannot be relied on, because it is on another machine or a
    program serves it; empty elsewhere, and where the system does not tell. Looked up once for each device."""
    try:
        return _network(os.stat(folder).st_dev, folder)
    except OSError:
        return ""


@cache
def _network(_: int, folder: Path) -> str:
    kind = file_system(folder, MOUNTS)
    return kind if is_network(kind) else ""


def is_network(kind: str) -> bool:
    """Of a type that `file_system` gave."""
    return kind in _NETWORKS or kind.startswith(_OTHERS)
