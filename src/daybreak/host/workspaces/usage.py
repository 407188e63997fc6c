"""How much a workspace takes."""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
