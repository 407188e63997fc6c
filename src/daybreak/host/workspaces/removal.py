"""Removing a folder whatever a worker did to it, and measuring it before."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any


def remove(folder: Path) -> None:
    """Remove a folder and all in it; links are removed, never followed. Folders without rights are given them.

    A folder that is not there is no error. Raises OSError where the system refuses."""
    if folder.is_symlink():
        folder.unlink()
        return
    try:
        shutil.rmtree(folder, onerror=_grant)
    except FileNotFoundError:
        return
    if os.path.lexists(folder):  # a folder without rights was given them on the way: once more
        shutil.rmtree(folder)


def _grant(function: Callable[..., Any], path: str, error: Any) -> None:
    """Give ourselves the folder and go on; what is still in it is removed in a second pass."""
    problem = error[1]
    if isinstance(problem, FileNotFoundError):
        return
    if not isinstance(problem, PermissionError):
        raise problem
    for folder in (os.path.dirname(path), path):
        if stat.S_ISDIR(os.lstat(folder).st_mode):
            os.chmod(folder, stat.S_IRWXU)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def bytes_on_disk(folder: Path) -> int:
    """What a folder takes, links not followed; what cannot be read counts nothing."""
    total, pending = 0, [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(Path(entry.path))
        except OSError:  # gone meanwhile, or no rights: an estimate is enough
            continue
    return total
