"""What is read of a git folder inside a workspace, which may be a worker's work: one hash, and a store of objects that
leads nowhere else. Nobody may write there meanwhile."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daybreak.host.tree import shown
from daybreak.host.workspaces.git import is_folder

_HASH = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def commit(git_dir: Path, branch: str) -> str:
    """Where that branch is; empty where no file of its own says so. No link is followed and no pipe waited for."""
    heads = git_dir / "refs" / "heads"
    if not all(map(is_folder, (git_dir, heads.parent, heads))):
        return ""
    told = b""
    with suppress(OSError):
        descriptor = os.open(heads / branch, _FILE)
        try:
            told = os.read(descriptor, 100).strip() if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        finally:
            os.close(descriptor)
    return told.decode() if _HASH.fullmatch(told) else ""


def strange(git_dir: Path) -> str:
    """What is in its store of objects that may lead elsewhere, in words; empty where nothing is."""
    objects = git_dir / "objects"
    if not is_folder(objects):
        return "objects is no folder"
    return next(_strange(objects), "")


def _strange(objects: Path) -> Iterator[str]:
    try:
        with os.scandir(objects) as folders:
            for folder in folders:
                if not folder.is_dir(follow_symlinks=False):
                    yield f"objects/{shown(folder.name)} is no folder"
                    return
                with os.scandir(folder) as files:
                    for file in files:
                        if not file.is_file(follow_symlinks=False) or "alternates" in file.name:
                            yield f"objects/{shown(folder.name)}/{shown(file.name)} is no object"
                            return
    except OSError as error:
        yield f"objects cannot be read: {error.strerror}"
