"""System calls that Python does not offer: exchanging two names, moving without replacing, and a sync that is one.

Linux: `renameat2`. macOS: `renameatx_np` (written from its manual, not tried). Elsewhere `rename_with` says that it
cannot. The sync is `durable`'s.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import lru_cache

from daybreak.host.durable import sync

__all__ = ["EXCHANGE", "NO_REPLACE", "rename_with", "sync"]

NO_REPLACE = 1
EXCHANGE = 2

_UNABLE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})

_Rename = Callable[[int, bytes, int, bytes, int], int]
"""Gives the error number, 0 where it was done."""


def rename_with(flag: int, source: str, source_folder: int, target: str, target_folder: int) -> bool:
    """`rename` below two folder descriptors, with NO_REPLACE or EXCHANGE. False where kernel or file system has no
    such call; then nothing was done. Raises OSError."""
    call = _rename_call()
    if call is None:
        return False
    number = call(source_folder, os.fsencode(source), target_folder, os.fsencode(target), flag)
    if number == 0:
        return True
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


@lru_cache(maxsize=1)
def _rename_call() -> _Rename | None:
    try:
        import ctypes  # late: reading alone needs none of it

        libc = ctypes.CDLL(None, use_errno=True)
    except (ImportError, OSError, TypeError):  # a Python without it; Windows
        return None
    mac = sys.platform == "darwin"
    call = getattr(libc, "renameatx_np" if mac else "renameat2", None)
    if call is None:
        return None
    flags = {NO_REPLACE: 4, EXCHANGE: 2} if mac else {NO_REPLACE: 1, EXCHANGE: 2}

    def rename(source_folder: int, source: bytes, target_folder: int, target: bytes, flag: int) -> int:
        done = call(source_folder, source, target_folder, target, ctypes.c_uint(flags[flag]))
        return ctypes.get_errno() if done != 0 else 0

    return rename
