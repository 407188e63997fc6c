"""Which names a transaction takes: relative paths with `/`, of ordinary parts only.

This is the first of two lines. It refuses what can be seen in the text; that no symbolic link leads elsewhere is
seen by the walk itself (`posix`), folder by folder with descriptors, because text cannot show it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import PurePath

from daybreak.host.files.problems import PathRefused

WORK = ".daybreak-transaction"
"""The folder in the root where a transaction keeps what is not yet, or no longer, in its place."""

PATH_BYTES_MAX = 4000
PART_BYTES_MAX = 255
PARTS_MAX = 128
_SHOWN = 60
_HINT = "give a path relative to the root, such as `notes/today.txt`"
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def checked(path: object, *, platform: str = sys.platform) -> str:
    """The path as text with `/`. Raises PathRefused for anything that is not an ordinary relative path."""
    if isinstance(path, PurePath):
        path = path.as_posix()
    elif isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        raise PathRefused(f"a path is text or a Path, not {type(path).__name__}", hint=_HINT)
    reason = _reason(path) or (_windows_reason(path) if platform == "win32" else None)
    if reason is not None:
        shown = path if len(path) <= _SHOWN else path[:_SHOWN] + "…"
        raise PathRefused(f"path {shown!r} {reason}", hint=_HINT)
    return path


def parents(path: str) -> list[str]:
    """The folders above, from the root down, without the root itself: `a/b/c` → `a`, `a/b`."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def parent(path: str) -> str:
    """The folder that holds it; empty for the root."""
    return path.rpartition("/")[0]


def below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return path == folder or path.startswith(folder + "/")


def _reason(path: str) -> str | None:
    if not path:
        return "is empty"
    if "\0" in path:
        return "contains NUL"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not Unicode text (a lone surrogate)"
    if path.startswith("/"):
        return "is absolute"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, `.` or `..`"
    if len(encoded) > PATH_BYTES_MAX or len(parts) > PARTS_MAX:
        return f"is longer than {PATH_BYTES_MAX} bytes or deeper than {PARTS_MAX} folders"
    if any(len(part.encode()) > PART_BYTES_MAX for part in parts):
        return f"has a part longer than {PART_BYTES_MAX} bytes"
    if any(part.casefold() == WORK for part in parts):
        return f"uses the reserved name {WORK}"
    return None


def _windows_reason(path: str) -> str | None:
    """What Windows would take for something else than a file of that name."""
    if re.search(r'[\x00-\x1f<>:"|?*\\]', path):
        return "has a character that Windows does not allow in names"
    for part in path.split("/"):
        if part[-1] in " .":
            return "has a part that ends with a space or a dot, which Windows drops"
        if _WINDOWS_DEVICE.fullmatch(part):
            return "has a part that names a device on Windows"
    return None
