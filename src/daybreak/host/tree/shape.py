"""What a tree is, how much it may be, and what goes wrong with one."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property

from daybreak.errors import HostError

IGNORED = frozenset(
    {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage", ".git", ".venv", ".hypothesis"}
)
"""Names of files and folders that tools make beside the work."""
IGNORED_SUFFIXES = (".pyc", ".pyo")


HISTORY = ".git"


def is_ignored(name: str) -> bool:
    """Whether no tree takes a file or folder of that name, but for one that was asked for whole."""
    return name in IGNORED or name.endswith(IGNORED_SUFFIXES)


_SHOWN_MAX = 200
"""Letters of a name in a message."""


TARGET_BYTES_MAX = 4096
"""Of where a link leads, in UTF-8."""


class NotATree(HostError):
    """A folder holds something that a tree cannot, or more than it may, or cannot be read."""

    code = "H121"


class PackDamaged(HostError):
    """Packed bytes are not a packed tree, or not the one that was expected."""

    code = "H122"


class NotUnpacked(HostError):
    """A packed tree could not be written where it was to go."""

    code = "H123"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tree may be."""

    entries: int = 20_000
    """Files and folders, what tools leave behind included, but not what lies in it."""
    depth: int = 64
    """Folders in folders, the tree's own not counted."""
    bytes: int = 256 * 1024 * 1024
    """Of all files, as they appear: holes count."""
    path_bytes: int = 1024
    """Of one relative path in UTF-8."""
    hint: str = "leave only what belongs to the result: remove what was generated, copied or cached"
    """What to do about a folder that is more."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    """Relative, with `/`."""
    executable: bool
    sha256: str
    """64 hex digits. Of a link: of where it leads."""
    size: int
    """Bytes."""
    link: bool = False
    """A symbolic link: only in trees that were asked for with links, and never executable."""


@dataclass(frozen=True)
class Tree:
    """The files of a folder, sorted by path."""

    entries: tuple[Entry, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over path, executable bit and content hash of every file, 64 hex digits. A link has a word in place
        of the bit, so that no file is taken for one."""
        listed = [[entry.path, "link" if entry.link else entry.executable, entry.sha256] for entry in self.entries]
        return hashlib.sha256(json.dumps(listed, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def files(self) -> dict[str, str]:
        """Path → SHA-256. Links are none."""
        return {entry.path: entry.sha256 for entry in self.entries if not entry.link}


@dataclass(frozen=True, slots=True)
class Taken:
    """A folder as it was when it was read, once."""

    tree: Tree
    packed: bytes
    """What `unpack` makes exactly `tree` of. The same tree gives the same bytes."""


def target_problem(target: str | bytes) -> str:
    """Why that cannot be where a link of a tree leads; empty where it can."""
    try:
        raw = target.encode() if isinstance(target, str) else target
        raw.decode()
    except UnicodeError:
        return "leads to what is not UTF-8"
    if not raw or b"\0" in raw:
        return "leads to nothing that has a name"
    if len(raw) > TARGET_BYTES_MAX:
        return f"leads to a path of {len(raw):,} bytes; at most {TARGET_BYTES_MAX:,} may be"
    return ""


def shown(name: str) -> str:
    """A name for a message: never a letter that moves a cursor or that JSON cannot hold, and never long."""
    cut = name if len(name) <= _SHOWN_MAX else f"{name[: _SHOWN_MAX // 2]}…{name[-_SHOWN_MAX // 2 :]}"
    return cut if cut.isprintable() and "\\" not in cut else ascii(cut)


def words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
