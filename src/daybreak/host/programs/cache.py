"""Versions that were asked once: for this process, and on disk where the caller wants that.

An answer holds as long as the file it came from has the same path, time of change, size and inode. A wrapper script
that stays the same while the program behind it changes is not noticed: pass `cache=None` where that matters.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from daybreak.host.naming import named
from daybreak.host.programs.program import ProgramMisdescribed

_ENTRIES_MAX = 1_000
_BYTES_MAX = 1_000_000
_PATH_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """One file in one state, asked with one command line."""

    path: str
    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, arguments: tuple[str, ...]) -> Key:
        """For the file that `path` leads to. Raises OSError where there is none."""
        seen = path.stat()
        return cls(os.path.realpath(path), seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino, arguments)


class Cache(Protocol):
    """Remembers what a program printed."""

    def get(self, key: Key) -> str | None: ...

    def put(self, key: Key, text: str) -> None: ...


class ProcessCache:
    """For the life of this process. Safe with threads."""

    def __init__(self) -> None:
        self._kept: dict[Key, str] = {}
        self._lock = threading.Lock()

    def get(self, key: Key) -> str | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: Key, text: str) -> None:
        with self._lock:
            if len(self._kept) >= _ENTRIES_MAX:
                self._kept.clear()
            self._kept[key] = text

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


PROCESS_CACHE = ProcessCache()
"""What `find` uses unless told otherwise."""


class DiskCache:
    """A JSON file of the caller's, in front of which the process cache stands.

    A cache is not evidence, so it may fail without harm: a file that is damaged, too large, or that others may write
    to is not believed, and programs are asked again; where it cannot be written, nothing is kept. It is replaced
    whole, so that two processes never leave a mixture; the later one wins.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ProgramMisdescribed for what can be no path."""
        self.path = _checked_path(path)
        self._lock = threading.Lock()

    def get(self, key: Key) -> str | None:
        if (kept := PROCESS_CACHE.get(key)) is not None:
            return kept
        with self._lock:
            text = self._load().get(_label(key))
        if text is not None:
            PROCESS_CACHE.put(key, text)
        return text

    def put(self, key: Key, text: str) -> None:
        PROCESS_CACHE.put(key, text)
        with self._lock:
            kept = self._load()
            kept.pop(_label(key), None)
            while len(kept) >= _ENTRIES_MAX:
                kept.pop(next(iter(kept)))  # the oldest: order is that of writing
            self._store({**kept, _label(key): text})

    def _load(self) -> dict[str, str]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except (OSError, ValueError):
            return {}
        with os.fdopen(descriptor, "rb") as file:
            if not _is_ours(os.fstat(descriptor)):
                return {}
            data = file.read(_BYTES_MAX + 1)
        try:
            kept = json.loads(data) if len(data) <= _BYTES_MAX else {}
        except (ValueError, RecursionError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {label: text for label, text in kept.items() if isinstance(text, str)}

    def _store(self, kept: dict[str, str]) -> None:
        import tempfile  # late: most callers have no cache on disk

        if not self._replaceable():
            return  # somebody else's file: nothing is kept then, which costs time only
        with contextlib.suppress(OSError, ValueError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                    json.dump(kept, file)
                os.replace(fresh, self.path)
            except BaseException:
                os.unlink(fresh)
                raise

    def _replaceable(self) -> bool:
        """There is nothing, or a cache of ours: every label of one is a JSON list."""
        if not os.path.lexists(self.path):
            return True
        try:
            if self.path.stat().st_size == 0:
                return True
        except OSError:
            return False
        known = self._load()
        return bool(known) and all(label.startswith("[") for label in known)


def _checked_path(path: object) -> Path:
    try:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
        if isinstance(text, str) and text and "\0" not in text and len(os.fsencode(text)) <= _PATH_BYTES_MAX:
            return Path(text)
    except Exception:  # noqa: BLE001 - half a surrogate pair, or somebody else's __fspath__: no path
        pass
    raise ProgramMisdescribed(f"{named(path)} can be no path of a cache", hint="give a str or a pathlib.Path")


def checked(cache: object) -> Cache | None:
    """Itself. Raises ProgramMisdescribed for what is neither None nor a cache."""
    if cache is None or (callable(getattr(cache, "get", None)) and callable(getattr(cache, "put", None))):
        return cast("Cache | None", cache)
    raise ProgramMisdescribed(f"{named(cache)} is no cache", hint="leave it out, or give DiskCache(path) or None")


def _label(key: Key) -> str:
    return json.dumps([key.path, key.mtime_ns, key.ctime_ns, key.size, key.inode, *key.arguments])


def _is_ours(seen: os.stat_result) -> bool:
    """An ordinary file that only we may write."""
    if not stat.S_ISREG(seen.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True  # Windows: the folder's own access list decides
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o022
